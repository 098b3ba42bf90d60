/**
 * A PaCA adapter's file as a LoRA adapter's, for releases of PEFT that know no PaCA: A is the 0/1 selector of the
 * columns, B is δ, and α, r and with them s stay.
 *
 * Law: s·B·A is the matrix that PaCA adds to the weight, to the bit.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { pacaToLora } from '../methods/paca-to-lora.ts';
import type { Result } from '../spec/errors.ts';
import type { HostTensorOf } from '../spec/tensor.ts';
import type { LoraAdapterFile, LoraModule } from './adapter-lora.ts';
import type { PacaAdapterFile } from './adapter-paca.ts';
import { checkAdapter, type LinearMaps } from './adapter-places.ts';

/** `maps`: the linear maps of the base. Errors: a module that is none of them, or does not fit its map. */
export const loraAdapterOf = (adapter: PacaAdapterFile, maps: LinearMaps): Result<LoraAdapterFile> => {
  const { method: _, seed: __, modules, ...settings } = adapter;
  const { rank, alpha } = settings;
  return pipe(
    checkAdapter(adapter, maps),
    E.map(() => {
      const converted = Object.entries(modules).map(([path, { indices, delta }]): readonly [string, LoraModule] => {
        const paca = { indices, delta: delta as HostTensorOf<'f32'>, scale: alpha / rank };
        const { a, b } = pacaToLora(paca, maps.get(path)!.in);
        return [path, { a, b, alpha }];
      });
      return { method: 'lora', ...settings, rankStabilized: false, modules: Object.fromEntries(converted) };
    }),
  );
};
