/**
 * Sliding windows: an image `[images, channels, height, width]` to its patches
 * `[channels, area, images·outHeight·outWidth]` and back. Along one row of the image and one offset of the window,
 * outputs from `first` to `last` lie inside.
 */
import { at, copyBytes, load4, store4 } from './lanes';

/** The first output whose pixel output·stride + offset is not before the image. */
@inline
function firstInside(offset: i32, stride: i32, outputs: i32): i32 {
  return offset >= 0 ? 0 : min((stride - 1 - offset) / stride, outputs);
}

/** One past the last output whose pixel output·stride + offset is below `length`. */
@inline
function endInside(offset: i32, stride: i32, length: i32, outputs: i32): i32 {
  return offset >= length ? 0 : min((length - 1 - offset) / stride + 1, outputs);
}

function fillRow(begin: i32, end: i32, value: f32, out: usize): void {
  for (let i = begin; i < end; i++) store<f32>(at(out, i), value);
}

/**
 * The patches; a place outside the image has the value `outside`. The range is one of pieces of outHeight · outWidth
 * elements: channel, window offset, image.
 */
export function unfold(
  begin: i32, end: i32,
  images: i32, channels: i32, height: i32, width: i32,
  area: i32, kernelWidth: i32, strideY: i32, strideX: i32, paddingY: i32, paddingX: i32, dilationY: i32, dilationX: i32,
  outHeight: i32, outWidth: i32,
  outside: f32, x: usize, out: usize,
): void {
  for (let piece = begin; piece < end; piece++) {
    const image = piece % images;
    const offset = (piece / images) % area;
    const channel = piece / images / area;
    const plane = at(x, (image * channels + channel) * height * width);
    const y = (offset / kernelWidth) * dilationY - paddingY;
    const left = (offset % kernelWidth) * dilationX - paddingX;
    const first = firstInside(left, strideX, outWidth);
    const last = max(endInside(left, strideX, width, outWidth), first);
    for (let i = 0; i < outHeight; i++) {
      const to = at(out, (piece * outHeight + i) * outWidth);
      const row = i * strideY + y;
      if (<u32>row >= <u32>height) {
        fillRow(0, outWidth, outside, to);
        continue;
      }
      const from = at(plane, row * width + left); // may lie before the plane; it is read from `first` on
      fillRow(0, first, outside, to);
      if (strideX == 1) copyBytes(at(to, first), at(from, first), <usize>(last - first) << 2);
      else for (let j = first; j < last; j++) store<f32>(at(to, j), load<f32>(at(from, j * strideX)));
      fillRow(last, outWidth, outside, to);
    }
  }
}

/**
 * Adds each patch back into its image, window offsets in ascending order, from +0. The range is one of planes: channel,
 * image.
 */
export function fold(
  begin: i32, end: i32,
  images: i32, channels: i32, height: i32, width: i32,
  area: i32, kernelWidth: i32, strideY: i32, strideX: i32, paddingY: i32, paddingX: i32, dilationY: i32, dilationX: i32,
  outHeight: i32, outWidth: i32,
  patches: usize, out: usize,
): void {
  for (let place = begin; place < end; place++) {
    const channel = place / images;
    const image = place - channel * images;
    const plane = at(out, (image * channels + channel) * height * width);
    memory.fill(plane, 0, (<usize>height * width) << 2);
    for (let offset = 0; offset < area; offset++) {
      const piece = (channel * area + offset) * images + image;
      const y = (offset / kernelWidth) * dilationY - paddingY;
      const left = (offset % kernelWidth) * dilationX - paddingX;
      const first = firstInside(left, strideX, outWidth);
      const last = endInside(left, strideX, width, outWidth);
      for (let i = 0; i < outHeight; i++) {
        const row = i * strideY + y;
        if (<u32>row >= <u32>height) continue;
        addRow(first, last, strideX, at(patches, (piece * outHeight + i) * outWidth), at(plane, row * width + left));
      }
    }
  }
}

/** to[j·stride] += from[j]. */
function addRow(first: i32, last: i32, stride: i32, from: usize, to: usize): void {
  if (stride == 1) {
    for (let j = first; j < last; j += 4) {
      const left = last - j;
      store4(at(to, j), f32x4.add(load4(at(to, j), left), load4(at(from, j), left)), left);
    }
    return;
  }
  for (let j = first; j < last; j++) {
    const pixel = at(to, j * stride);
    store<f32>(pixel, load<f32>(pixel) + load<f32>(at(from, j)));
  }
}
