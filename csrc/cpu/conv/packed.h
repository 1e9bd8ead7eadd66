// SPDX-License-Identifier: Apache-2.0
// What the operands of convolutions must be like.
#pragma once
#include "cpu/conv/space.h"
#include "cpu/move/packed.h"

namespace rv::RV_ISA::conv {

// Of images `x`, kernels `w` and images `y`, which are operands and the result in some order.
inline const char* check_operands(const ConvAttrs& a, const View& x, const View& w, const View& y) {
  if (a.stride.size != kAxes || a.padding.size != kAxes || a.dilation.size != kAxes)
    return "stride, padding and dilation must have 3 numbers";
  for (int d = 0; d < kAxes; ++d)
    if (a.stride[d] < 1 || a.padding[d] < 0 || a.dilation[d] < 1) return "stride, padding or dilation is out of range";
  if (a.groups < 1) return "groups or the number of operands is out of range";
  if (x.dtype != w.dtype || w.dtype != y.dtype || !floating(x.dtype)) return "dtypes must be one float dtype";
  if (w.ndim < 3 || w.ndim > kAxes + 2 || x.ndim != w.ndim || y.ndim != w.ndim)
    return "operands must have 3 to 5 axes, all as many";
  if (x.shape[0] != y.shape[0] || x.shape[1] != w.shape[1] * a.groups || y.shape[1] != w.shape[0] ||
      w.shape[0] % a.groups != 0)
    return "images and channels of the operands do not go together";
  return nullptr;
}

}  // namespace rv::RV_ISA::conv
