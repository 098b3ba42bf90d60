/**
 * A set of labelled examples in host memory, and the choice of some of them.
 *
 * Law: taking all indices in order gives the set; taking twice is taking by the composed indices.
 */

/** A classification set: `inputs` [count, features], `labels` [count]. */
export interface Examples {
  readonly count: number;
  readonly features: number;
  readonly inputs: Float32Array;
  readonly labels: Int32Array;
}

/** The examples at these indices, in their order: a batch, or a part of a set. Indices lie in 0 … count − 1. */
export const takeExamples = ({ features, inputs, labels }: Examples, indices: Int32Array): Examples => {
  const taken = new Float32Array(indices.length * features);
  indices.forEach((from, to) => {
    taken.set(inputs.subarray(from * features, (from + 1) * features), to * features);
  });
  return { count: indices.length, features, inputs: taken, labels: indices.map((i) => labels[i] as number) };
};
