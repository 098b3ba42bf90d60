/**
 * paca-ts: Partial Connection Adaptation as an executable specification.
 *
 * The public surface and nothing else. Backends come from `paca-ts/backends`, file stores for Node and Deno from
 * `paca-ts/node`. In the order of the files.
 *
 * @module
 */

export type { Backend, ConformanceClass } from './core/backend.ts';
export { chain } from './core/chain.ts';
export type { ActivationKernels, ReluKernels, TanhKernels } from './core/derived/activations.ts';
export type { AdamwCoefficients, AdamwKernels, Moments } from './core/derived/adamw.ts';
export type { AttentionConfig as AttentionKernelConfig, AttentionKernels } from './core/derived/attention.ts';
export type { Conv2dKernels, ConvGeometry } from './core/derived/conv2d.ts';
export type { EmbeddingKernels } from './core/derived/embedding.ts';
export type { LinearKernels } from './core/derived/linear.ts';
export type { CrossEntropyKernels, MeanSquaredErrorKernels } from './core/derived/losses.ts';
export type { LayerNormKernels, RmsNormKernels } from './core/derived/norms.ts';
export type { PacaConv2dKernels } from './core/derived/paca-conv2d.ts';
export { type Connections, type PacaLinearKernels, pacaWeight } from './core/derived/paca-linear.ts';
export type { AveragePoolKernels, MaxPoolKernels } from './core/derived/pooling.ts';
export type { RopeKernels } from './core/derived/rope.ts';
export type { SwigluKernels } from './core/derived/swiglu.ts';
export { type Bounded, errorBounds } from './core/error-bound.ts';
export { derive, type Fused, type FusedKernels, type Kernels, kernels } from './core/fused.ts';
export {
  type AnyLayer,
  andThen,
  anyLayer,
  dropBackward,
  fork,
  type Layer,
  recompute,
  residualAdd,
} from './core/layer.ts';
export {
  LANES,
  type Layout,
  type MemoryUse,
  type Operand,
  type Ops,
  outputLength,
  type Release,
  type Scope,
  type Window,
} from './core/ops.ts';
export { normals, permutation, type Rng, rngFromSeed, splitRng, uniform, uniforms } from './core/rng.ts';
export { leafPaths, leaves, mapTree, type None, none, overlay, type SlotTree, type Tree } from './core/tree.ts';
export { type BatchPlan, batchesFrom, batchIndices, batchPlan, inOrder, stepsPerEpoch } from './data/batches.ts';
export { type ChatOptions, chatRenderer, chatSegments, type RenderChat } from './data/chat.ts';
export { type Examples, takeExamples } from './data/examples.ts';
export { type Packing, planRows, type Row, type TokenBatch, tokenBatch, tokenBatches } from './data/packing.ts';
export {
  alpacaPrompt,
  type ChatSample,
  type Message,
  type PlainSample,
  type RecordFormat,
  type Role,
  recordFormats,
  type Sample,
  type Segment,
  sampleFromLine,
  samplesFromJsonl,
} from './data/records.ts';
export {
  type SequenceConfig,
  type SequenceReport,
  type Sequences,
  sequencesFromSamples,
  type TokenSequence,
} from './data/sequences.ts';
export { type Share, type Split, splitSamples } from './data/split.ts';
export { type Tokenizer, type TokenizerFiles, tokenizerFromFiles } from './data/tokenizer.ts';
export { type AdapterFile, decodeAdapter, encodeAdapter, type ReadAdapter, readAdapter } from './io/adapter.ts';
export type { AdapterSettings } from './io/adapter-config.ts';
export {
  type DoraAdapterFile,
  type DoraModule,
  encodeLoraAdapter,
  type LoraAdapterFile,
  type LoraModule,
  type LowRankAdapterFile,
  type LowRankFile,
  loraScale,
  type MosloraAdapterFile,
  type MosloraModule,
} from './io/adapter-lora.ts';
export { type AdapterModule, encodePacaAdapter, type PacaAdapterFile } from './io/adapter-paca.ts';
export { type SavedTensors, type Saving, savedOver, type TrainedBiases } from './io/adapter-saved.ts';
export { treatmentAt } from './io/adapter-treatment.ts';
export { type Checkpoint, checkpointWith, openCheckpoint } from './io/checkpoint.ts';
export { sha256Hex } from './io/digest.ts';
export { parseLlamaConfig } from './io/llama-config.ts';
export { loadModel } from './io/load-model.ts';
export { decodeSafetensors, encodeSafetensors, type Safetensors } from './io/safetensors.ts';
export { memorySource, type Source } from './io/source.ts';
export { type Files, memoryStore, type Store } from './io/store.ts';
export { gelu, type Pointwise, relu, silu, tanh } from './layers/activations.ts';
export { type AttentionConfig, type AttentionInput, type AttentionResidual, attention } from './layers/attention.ts';
export { type Conv2dConfig, conv2d, convolution, frozenConv2d, imageSize } from './layers/conv2d.ts';
export { type DropoutConfig, dropout } from './layers/dropout.ts';
export {
  type EmbeddingConfig,
  type EmbeddingParams,
  type EmbeddingResidual,
  embedding,
  frozenEmbedding,
} from './layers/embedding.ts';
export { frozenLayerNorm, type LayerNormParams, type LayerNormResidual, layerNorm } from './layers/layer-norm.ts';
export { type Affine, frozenLinear, type InputResidual, type LinearConfig, linear } from './layers/linear.ts';
export { crossEntropy, type Loss, meanSquaredError, type Targets as LossTargets } from './layers/losses.ts';
export { averagePool, maxPool, type PoolingConfig, pooling } from './layers/pooling.ts';
export { flatten, type HeadsConfig, mergeHeads, splitHeads } from './layers/reshape.ts';
export {
  frozenRmsNorm,
  type NormConfig,
  type RmsNormParams,
  type RmsNormResidual,
  rmsNorm,
} from './layers/rms-norm.ts';
export { type RopeTables, rope, ropeFrequencies, ropeTables } from './layers/rope.ts';
export { type SwigluResidual, swiglu } from './layers/swiglu.ts';
export { adapt, methodNames, type PacaPlan, type Treatment } from './methods/adapt.ts';
export type { DoraPlan, LoraPlan, LowRankTreatment, MosloraPlan } from './methods/adapt-low-rank.ts';
export type { HostAffine } from './methods/base.ts';
export { type DecayTowards, decayTarget } from './methods/decay.ts';
export {
  type DoraAdapter,
  type DoraKept,
  type DoraLayer,
  type DoraResidual,
  doraLinear,
  doraWeight,
  rowNorms,
} from './methods/dora.ts';
export { freshLora, type LoraAdapter, loraLinear, loraWeight } from './methods/lora.ts';
export type {
  LowRankConfig,
  LowRankGradient,
  LowRankLayer,
  LowRankParams,
  LowRankResidual,
} from './methods/low-rank.ts';
export { type Merged, mergePaca, type SavedColumns, unmergePaca } from './methods/merge.ts';
export { freshMoslora, type MosloraAdapter, mosloraLinear, mosloraWeight } from './methods/moslora.ts';
export {
  type ColumnView,
  columnView,
  deltaShape,
  type Module,
  type Operation,
  type Site,
  weightShape,
} from './methods/operation.ts';
export {
  type PacaAdapter,
  type PacaAdapterConfig,
  type PacaGradient,
  type PacaLayer,
  type PacaParams,
  type PacaResidual,
  pacaConv2d,
  pacaLinear,
} from './methods/paca.ts';
export { type HostLora, type HostPaca, pacaToLora } from './methods/paca-to-lora.ts';
export { type ModulePattern, matchTargets, type Targets } from './methods/targets.ts';
export {
  type Architecture,
  evaluate,
  type FixedStep,
  initialWeights,
  type LeafStep,
  leafSteps,
  type Mode,
  type PlainStep,
  type SiteStep,
  type Step,
  sitesOf,
  tensorsOf,
  type Weights,
} from './models/architecture.ts';
export { type CnnConfig, cnn } from './models/cnn.ts';
export { type Generation, generate, greedy, type Sampling, sampleToken } from './models/generate.ts';
export type { LlamaConfig } from './models/llama/config.ts';
export { type LlamaOptions, llama } from './models/llama/llama.ts';
export type { RopeScaling } from './models/llama/rope-scaling.ts';
export { type MlpConfig, mlp } from './models/mlp.ts';
export { buildModel, type Model } from './models/model.ts';
export { besides, type SavedPlace, savedPlaces, trainsAt } from './models/saved-places.ts';
export { type ActivationName, activation, dropoutStep, site } from './models/steps.ts';
export { type AdamwConfig, adamw } from './optim/adamw.ts';
export { clipByGlobalNorm, globalNorm } from './optim/clip.ts';
export { constant, cosine, linear as linearSchedule, type Schedule, warmUp } from './optim/schedule.ts';
export {
  addWeightDecay,
  type Decay,
  type LearningRate,
  type MomentumConfig,
  momentum,
  type SgdConfig,
  scaleByLearningRate,
  sgd,
} from './optim/sgd.ts';
export {
  applyDeltas,
  chain as chainTransforms,
  type Numbers,
  type OptimizerState,
  type Transform,
} from './optim/transform.ts';
export { type QuantisationError, quantisationError, quantise } from './quant/quantise.ts';
export { checkIndices, checkRank } from './select/indices.ts';
export { type Chosen, capturedShare, overlap, overlapByChance } from './select/overlap.ts';
export {
  type ColumnStatistics,
  findSelector,
  runSelector,
  type Selection,
  type Selector,
  type Selectors,
  type Statistic,
  selectors,
  withSelector,
} from './select/selector.ts';
export type { DocumentStarts } from './spec/documents.ts';
export type { DType, FileType, FloatType, HostArrays } from './spec/dtype.ts';
export { bytesPerElement, hostArray } from './spec/dtype.ts';
export { ERF32 } from './spec/elementary/erf.ts';
export { EXP32 } from './spec/elementary/exp.ts';
export { type Elementary, elementary32, elementary64, ulpBound } from './spec/elementary/index.ts';
export { LOG32 } from './spec/elementary/log.ts';
export { TANH32 } from './spec/elementary/tanh.ts';
export { type ErrorTag, orThrow, type PacaError, type Result, showError } from './spec/errors.ts';
export { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16 } from './spec/float16.ts';
export { decodeNf4, isNf4, type Nf4Type } from './spec/nf4.ts';
export {
  bytesOf,
  type HostTensor,
  type HostTensorOf,
  inputSlot,
  type Shape,
  type Slot,
  type Spec,
  sizeOf,
  spec,
} from './spec/tensor.ts';
export { type Arithmetic, gamma, ieee } from './spec/tolerance.ts';
export { type Account, account, measure, residualBytes, trainableCount } from './train/account.ts';
export { divergenceOfLogits, meanDivergence, type Weighted } from './train/divergence.ts';
export { type Evaluation, evaluateClassifier } from './train/evaluate.ts';
export { type HostBatch, toDevice } from './train/host-batch.ts';
export { type Checkpointing, type Loop, resume, type TrainEvent, train } from './train/loop.ts';
export { type Selected, type SelectionCost, type SelectionPlan, selectColumns } from './train/select.ts';
export {
  initialState,
  type Metrics,
  type MicroBatch,
  type Problem,
  type StepOptions,
  type TrainState,
  trainStep,
} from './train/step.ts';

export type { Json, RejectionCase, Tensors, VectorCase } from './vectors/case.ts';
export { rejections, vectorCases } from './vectors/cases/index.ts';
export { generateSuite, type Oracles } from './vectors/generate.ts';
export { type Failure, type ReadFile, type Report, verifySuite } from './vectors/verify.ts';
