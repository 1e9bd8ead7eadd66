// SPDX-License-Identifier: Apache-2.0
// The windows of a pooling: which places of the images each of them sees.
#pragma once
#include "cpu/conv/packed.h"

namespace rv::RV_ISA::conv {

RV_ATTRS(PoolAttrs, (Ints, kernel), (Ints, stride), (Ints, padding), (Ints, dilation), (bool, adaptive));

// The places of one axis that window `i` sees: begin, begin + step, ... < end. They are its taps `tap`, tap + 1, ...
struct Window {
  int64_t begin, end, step, tap = 0;

  Window(const PoolAttrs& a, int axis, int64_t i, int64_t n, int64_t windows) {
    if (a.adaptive) {
      begin = i * n / windows, end = ceil_div((i + 1) * n, windows), step = 1;
      return;
    }
    step = a.dilation[axis];
    begin = i * a.stride[axis] - a.padding[axis];
    end = min(n, begin + (a.kernel[axis] - 1) * step + 1);
    if (begin < 0) tap = ceil_div(-begin, step), begin += tap * step;
  }
  bool empty() const { return begin >= end; }
};

// Of images x and their windows y.
struct Pooling {
  const PoolAttrs& attrs;
  Extent x, y;

  Pooling(const View& images, const View& windows, const PoolAttrs& a)
      : attrs(a), x(Extent::spatial(images)), y(Extent::spatial(windows)) {}

  Window window(int axis, int64_t i) const { return Window(attrs, axis, i, x.of[axis], y.of[axis]); }
  int64_t taps() const { return attrs.kernel[0] * attrs.kernel[1] * attrs.kernel[2]; }
  int64_t tap(int64_t d, int64_t h, int64_t w) const { return (d * attrs.kernel[1] + h) * attrs.kernel[2] + w; }
};

// What is wrong with the attributes, or images and windows that do not go together, or nullptr.
inline const char* check_pooling(const PoolAttrs& a, const View& x, const View& y) {
  const Ints sizes[] = {a.kernel, a.stride, a.padding, a.dilation};
  for (const Ints& each : sizes)
    if (each.size != kAxes) return "kernel, stride, padding and dilation must have 3 numbers";
  if (x.ndim < 3 || x.ndim > kAxes + 2 || y.ndim != x.ndim || x.shape[0] != y.shape[0] || x.shape[1] != y.shape[1])
    return "images and windows must have 3 to 5 axes, and as many images and channels";
  const Extent n = Extent::spatial(x), windows = Extent::spatial(y);
  for (int d = 0; d < kAxes; ++d) {
    if (a.kernel[d] < 1 || a.stride[d] < 1 || a.padding[d] < 0 || a.dilation[d] < 1) return "sizes are out of range";
    if (windows.of[d] > 0 && n.of[d] == 0) return "a window is empty";
  }
  return nullptr;
}

}  // namespace rv::RV_ISA::conv
