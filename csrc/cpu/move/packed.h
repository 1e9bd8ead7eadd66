// SPDX-License-Identifier: Apache-2.0
// Operands in C order: copies of those that do not lie so, in the memory that the kernel shares.
#pragma once
#include "core/kernel.h"
#include "cpu/simd/ints.h"

namespace rv::RV_ISA {

extern const Kernel k_copy;

inline int64_t line_up(int64_t bytes) { return ceil_div(bytes, 64) * 64; }

inline int64_t copy_bytes(const View& v) { return v.contiguous() ? 0 : line_up(v.size() * item_size(v.dtype)); }
// Of the first `count` operands.
inline int64_t packed_bytes(const Args& args, int count) {
  int64_t bytes = 0;
  for (int k = 0; k < count; ++k) bytes += copy_bytes(args.in[k]);
  return bytes;
}
inline int64_t packed_bytes(const Args& args) { return packed_bytes(args, args.n_in); }

// A view in C order, where it lies or copied to `memory`, which moves behind the copy.
template <class T> const T* in_order(const View& v, std::byte*& memory, Team& team) {
  if (v.contiguous()) return v.ptr<const T>();
  View to = v;
  to.data = memory;
  memory += copy_bytes(v);
  int64_t step = 1;
  for (int d = to.ndim - 1; d >= 0; --d) to.stride[d] = step, step *= to.shape[d];
  Args copy;
  copy.in = &v, copy.out = &to, copy.n_in = copy.n_out = 1;
  k_copy.run(copy, team);
  return to.ptr<const T>();
}

template <class T> class Packed {
 public:
  static constexpr int kMost = 12;

  Packed(const Args& args, Team& team) {
    std::byte* memory = args.shared;
    for (int k = 0; k < args.n_in; ++k) in_[k] = in_order<T>(args.in[k], memory, team);
    bytes_ = memory - args.shared;
  }
  const T* operator[](int k) const { return in_[k]; }
  int64_t bytes() const { return bytes_; }

 private:
  const T* in_[kMost] = {};
  int64_t bytes_ = 0;
};

}  // namespace rv::RV_ISA
