// SPDX-License-Identifier: Apache-2.0
// The geometry of a convolution: images and kernels of three axes, those that are missing of size 1 in front.
#pragma once
#include "core/kernel.h"
#include "cpu/simd/ints.h"

namespace rv::RV_ISA::conv {

RV_ATTRS(ConvAttrs, (Ints, stride), (Ints, padding), (Ints, dilation), (int64_t, groups));

inline constexpr int kAxes = 3;

struct Extent {
  int64_t of[kAxes];

  int64_t count() const { return of[0] * of[1] * of[2]; }
  // Axes 2 and up of a view.
  static Extent spatial(const View& v) {
    Extent e{{1, 1, 1}};
    for (int d = 2; d < v.ndim; ++d) e.of[kAxes - v.ndim + d] = v.shape[d];
    return e;
  }
};

// One axis of a correlation. Place q of the result, which is place first + q * apart of the result's axis, meets by its
// i-th tap, which is tap first_tap + i * tap_step of the kernel, what lies at q * step + shift + i * shift_step, and
// zero where that is not in [0, seen).
struct Axis {
  int64_t places, first, apart;
  int64_t taps, first_tap, tap_step;
  int64_t seen, step, shift, shift_step;

  int64_t least_shift() const { return shift + min(0, (taps - 1) * shift_step); }

  static Axis forward(int64_t x, int64_t k, int64_t y, int64_t stride, int64_t padding, int64_t dilation) {
    return {y, 0, 1, k, 0, 1, x, stride, -padding, dilation};
  }
  // Of the places of x that are `phase` beyond a multiple of the stride, counted from where the kernel begins: all that
  // one kind of taps reaches.
  static Axis back(int64_t x, int64_t k, int64_t y, int64_t stride, int64_t padding, int64_t dilation, int64_t phase) {
    Axis a{};
    a.first = ((phase - padding) % stride + stride) % stride, a.apart = stride;
    a.places = max(0, ceil_div(x - a.first, stride));
    a.seen = y, a.step = 1;
    while (a.first_tap < k && (a.first_tap * dilation - phase) % stride != 0) ++a.first_tap;
    for (a.tap_step = 1; a.tap_step * dilation % stride != 0;) ++a.tap_step;
    a.taps = ceil_div(max(0, k - a.first_tap), a.tap_step);
    a.shift = (a.first + padding - a.first_tap * dilation) / stride, a.shift_step = -(a.tap_step * dilation / stride);
    return a;
  }
};

// result[image, group, i, place] = sum over channels and taps of weight[group, i, channel, tap] times what the tap
// meets in seen[image, group, channel].
struct Correlation {
  int64_t images, groups, rows, channels;
  Axis of[kAxes];

  int64_t places() const { return of[0].places * of[1].places * of[2].places; }
  int64_t seen() const { return of[0].seen * of[1].seen * of[2].seen; }
  int64_t taps() const { return of[0].taps * of[1].taps * of[2].taps; }
  int64_t terms() const { return channels * taps(); }
};

// Of one call: x (images, groups c, x), kernels (groups o, c, k), y (images, groups o, y).
struct Space {
  int64_t images, groups, c, o;
  Extent x, k, y;
  const ConvAttrs* attrs;

  Space(const View& x_, const View& w, const View& y_, const ConvAttrs& a)
      : images(x_.shape[0]),
        groups(a.groups),
        c(w.shape[1]),
        o(w.shape[0] / a.groups),
        x(Extent::spatial(x_)),
        k(Extent::spatial(w)),
        y(Extent::spatial(y_)),
        attrs(&a) {}

  double products() const {
    return static_cast<double>(images * groups) * static_cast<double>(c * o * k.count()) *
           static_cast<double>(y.count());
  }
  // y of x.
  Correlation forward() const {
    Correlation r{images, groups, o, c, {}};
    for (int d = 0; d < kAxes; ++d)
      r.of[d] = Axis::forward(x.of[d], k.of[d], y.of[d], attrs->stride[d], attrs->padding[d], attrs->dilation[d]);
    return r;
  }
  // x of y: a strided kernel gives each class of places a few taps, which make a correlation of their own.
  int64_t phases() const { return attrs->stride[0] * attrs->stride[1] * attrs->stride[2]; }
  Correlation back(int64_t phase) const {
    Correlation r{images, groups, c, o, {}};
    for (int d = kAxes - 1; d >= 0; --d) {
      const int64_t stride = attrs->stride[d];
      r.of[d] = Axis::back(x.of[d], k.of[d], y.of[d], stride, attrs->padding[d], attrs->dilation[d], phase % stride);
      phase /= stride;
    }
    return r;
  }
};

}  // namespace rv::RV_ISA::conv
