// SPDX-License-Identifier: Apache-2.0
// Operands in C order: copies of those that do not lie so, in the memory that the kernel shares.
#pragma once
#include "cpu/conv/space.h"

namespace rv::RV_ISA {
extern const Kernel k_copy;
}
namespace rv::RV_ISA::conv {

inline int64_t line_up(int64_t bytes) { return ceil_div(bytes, 64) * 64; }

inline int64_t copy_bytes(const View& v) { return v.contiguous() ? 0 : line_up(v.size() * item_size(v.dtype)); }
inline int64_t packed_bytes(const Args& args) {
  int64_t bytes = 0;
  for (int k = 0; k < args.n_in; ++k) bytes += copy_bytes(args.in[k]);
  return bytes;
}

template <class T> class Packed {
 public:
  Packed(const Args& args, Team& team) {
    for (int k = 0; k < args.n_in; ++k) {
      const View& v = args.in[k];
      if (v.contiguous()) {
        in_[k] = v.ptr<T>();
        continue;
      }
      View to = v;
      to.data = args.shared + bytes_;
      int64_t step = 1;
      for (int d = to.ndim - 1; d >= 0; --d) {
        to.stride[d] = step;
        step *= to.shape[d];
      }
      Args copy;
      copy.in = &v, copy.out = &to, copy.n_in = copy.n_out = 1;
      k_copy.run(copy, team);
      in_[k] = to.ptr<T>();
      bytes_ += copy_bytes(v);
    }
  }
  const T* operator[](int k) const { return in_[k]; }
  int64_t bytes() const { return bytes_; }

 private:
  const T* in_[3] = {};
  int64_t bytes_ = 0;
};

// Of the operands and the result, which are images `x`, kernels `w` and images `y` in some order, and a bias.
inline const char* check_operands(const Args& args, const View& x, const View& w, const View& y) {
  const ConvAttrs& a = attrs<ConvAttrs>(args);
  if (a.stride.size != kAxes || a.padding.size != kAxes || a.dilation.size != kAxes)
    return "stride, padding and dilation must have 3 numbers";
  for (int d = 0; d < kAxes; ++d)
    if (a.stride[d] < 1 || a.padding[d] < 0 || a.dilation[d] < 1) return "stride, padding or dilation is out of range";
  if (a.groups < 1 || args.n_in < 2 || args.n_in > 3) return "groups or the number of operands is out of range";
  for (int k = 0; k < args.n_in; ++k)
    if (args.in[k].dtype != args.out[0].dtype || !floating(args.in[k].dtype)) return "dtypes must be one float dtype";
  if (w.ndim < 3 || w.ndim > kAxes + 2 || x.ndim != w.ndim || y.ndim != w.ndim)
    return "operands must have 3 to 5 axes, all as many";
  if (x.shape[0] != y.shape[0] || x.shape[1] != w.shape[1] * a.groups || y.shape[1] != w.shape[0] ||
      w.shape[0] % a.groups != 0)
    return "images and channels of the operands do not go together";
  return nullptr;
}

}  // namespace rv::RV_ISA::conv
