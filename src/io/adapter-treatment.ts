/** What an adapter that was read makes of one place of its model. */
import type { Treatment } from '../methods/adapt.ts';
import type { AdapterFile } from './adapter.ts';
import { type LoraModule, loraScale } from './adapter-lora.ts';

const adapterAt = (adapter: AdapterFile, path: string, trains: boolean): Treatment => {
  const scaled = <M extends LoraModule>(module: M, file: Parameters<typeof loraScale>[0]) => {
    const { alpha: _, ...matrices } = module;
    return { ...matrices, scale: loraScale(file, module), trains };
  };
  if (!Object.hasOwn(adapter.modules, path)) return { method: 'frozen' };
  switch (adapter.method) {
    case 'paca':
      return { method: 'paca', adapters: [{ ...adapter.modules[path]!, alpha: adapter.alpha, trains }] };
    case 'lora':
      return { method: 'lora', adapters: [scaled(adapter.modules[path]!, adapter)] };
    case 'dora':
      return { method: 'dora', adapters: [scaled(adapter.modules[path]!, adapter)] };
    case 'moslora':
      return { method: 'moslora', adapters: [scaled(adapter.modules[path]!, adapter)] };
  }
};

/**
 * `trains`: whether it is to be trained on. A place that the adapter does not name stays the base's; what the adapter
 * saves whole is none of its places: `savedOver` and `checkpointWith` put it in.
 */
export const treatmentAt = (adapter: AdapterFile, path: string, trains: boolean): Treatment => {
  const isAdapted = Object.hasOwn(adapter.modules, path);
  const trainsBias = trains && (adapter.bias === 'all' || (adapter.bias === 'lora_only' && isAdapted));
  return { ...adapterAt(adapter, path, trains), ...(trainsBias && { trainsBias }) };
};
