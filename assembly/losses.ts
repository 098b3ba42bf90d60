/**
 * Cross-entropy row by row, with the operations of src/core/derived/losses.ts in their order. The range is one of rows.
 */
import { exp4, log4 } from './elementary';
import { at, load4, maxLanes, store4, sumLanes } from './lanes';

/** Whether a target is one of the classes. */
@inline
function isClass(target: i32, classes: i32): bool {
  return <u32>target < <u32>classes;
}

/**
 * The probabilities of each row, and its surprise log Σ e^(x − max) − (x[target] − max): +0 if the target is no class,
 * and −∞, the log of an empty sum, if there are no classes at all.
 */
export function crossEntropy(
  begin: i32, end: i32, classes: i32,
  logits: usize, targets: usize, probabilities: usize, surprises: usize,
): void {
  for (let row = begin; row < end; row++) {
    const x = at(logits, row * classes);
    const p = at(probabilities, row * classes);
    const largest = maxLanes(x, classes);
    const shift = f32x4.splat(largest);
    for (let i = 0; i < classes; i += 4) {
      store4(at(p, i), exp4(f32x4.sub(load4(at(x, i), classes - i), shift)), classes - i);
    }
    const sum = sumLanes(p, classes);
    const target = load<i32>(at(targets, row));
    let surprise: f32 = classes == 0 ? -Infinity : 0;
    if (isClass(target, classes)) {
      surprise = f32x4.extract_lane(log4(f32x4.splat(sum)), 0) - (load<f32>(at(x, target)) - largest);
    }
    store<f32>(at(surprises, row), surprise);
    const divisor = f32x4.splat(sum);
    for (let i = 0; i < classes; i += 4) {
      store4(at(p, i), f32x4.div(load4(at(p, i), classes - i), divisor), classes - i);
    }
  }
}

/** (p − onehot)·factor, the difference being +0 in a row whose target is no class. */
export function crossEntropyBackward(
  begin: i32, end: i32, classes: i32,
  probabilities: usize, targets: usize, factor: usize, gradient: usize,
): void {
  const f = load<f32>(factor);
  const factors = v128.load32_splat(factor);
  const nothing = f32x4.mul(i32x4.splat(0), factors);
  for (let row = begin; row < end; row++) {
    const p = at(probabilities, row * classes);
    const dx = at(gradient, row * classes);
    const target = load<i32>(at(targets, row));
    const counted = isClass(target, classes);
    for (let i = 0; i < classes; i += 4) {
      const left = classes - i;
      store4(at(dx, i), counted ? f32x4.mul(load4(at(p, i), left), factors) : nothing, left);
    }
    if (counted) store<f32>(at(dx, target), (load<f32>(at(p, target)) - 1) * f);
  }
}
