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

  int64_t taps() const { return k.count(); }
  double products() const {
    return static_cast<double>(images * groups) * static_cast<double>(c * o * taps()) * static_cast<double>(y.count());
  }
};

// Where place `t` of the kernel meets x, for place `o` of y: forward, a place of x; back, for a place `o` of x, the
// place of y that it was part of. False where there is none.
template <bool back> bool meets(const Space& s, int axis, int64_t o, int64_t t, int64_t& at) {
  const int64_t stride = s.attrs->stride[axis], pad = s.attrs->padding[axis], shift = t * s.attrs->dilation[axis];
  if constexpr (back) {
    const int64_t u = o + pad - shift;
    at = u / stride;
    return u >= 0 && u % stride == 0 && at < s.y.of[axis];
  } else {
    at = o * stride - pad + shift;
    return at >= 0 && at < s.x.of[axis];
  }
}

// A run of places along the last axis that `place` t of the kernel meets: places first, first + step, ... (`count` of
// them) of [begin, begin + length), at from, from + jump, ...
struct Run {
  int64_t first, step, count, from, jump;
};
template <bool back> Run meets_along(const Space& s, int64_t begin, int64_t length, int64_t t) {
  const int64_t stride = s.attrs->stride[2], pad = s.attrs->padding[2], shift = t * s.attrs->dilation[2];
  Run r;
  if constexpr (back) {  // begin + i + pad - shift = stride at
    const int64_t u = begin + pad - shift;
    r.step = stride, r.jump = 1;
    r.from = u > 0 ? ceil_div(u, stride) : 0;
    r.first = r.from * stride - u;
    r.count = r.first < length ? min(ceil_div(length - r.first, stride), s.y.of[2] - r.from) : 0;
  } else {  // at = (begin + i) stride - pad + shift
    const int64_t u = begin * stride - pad + shift;
    r.step = 1, r.jump = stride;
    r.first = u < 0 ? ceil_div(-u, stride) : 0;
    r.from = u + r.first * stride;
    r.count = r.from < s.x.of[2] ? min(length - r.first, ceil_div(s.x.of[2] - r.from, stride)) : 0;
  }
  if (r.count < 0) r.count = 0;
  return r;
}

}  // namespace rv::RV_ISA::conv
