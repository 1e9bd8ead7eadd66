// SPDX-License-Identifier: Apache-2.0
// The `copy` kernel: any strided view to any strided view of the same shape and dtype.
#include <cstring>

#include "cpu/kernels.h"

namespace rv::RV_ISA {
namespace {

struct Axis {
  int64_t n, from, to;  // length, strides in elements
};

template <class T> void copy_run(const T* src, int64_t from, T* dst, int64_t to, int64_t n) {
  if (from == 1 && to == 1) std::memcpy(dst, src, n * sizeof(T));
  else if (to == 1)
    for (int64_t i = 0; i < n; ++i) dst[i] = src[i * from];
  else
    for (int64_t i = 0; i < n; ++i) dst[i * to] = src[i * from];
}

template <class T> void copy_all(const Args& args, Team& team) {
  const View &in = args.in[0], &out = args.out[0];
  int64_t rows = 1;
  for (int d = 0; d + 1 < out.ndim; ++d) rows *= out.shape[d];
  const int last = out.ndim - 1;
  const int64_t n = last < 0 ? 1 : out.shape[last];
  team.each(rows, [&](int64_t row) {
    int64_t from = 0, to = 0;
    for (int d = last - 1; d >= 0; --d) {
      const int64_t i = row % out.shape[d];
      row /= out.shape[d];
      from += i * in.stride[d];
      to += i * out.stride[d];
    }
    copy_run(in.ptr<const T>() + from, last < 0 ? 1 : in.stride[last], out.ptr<T>() + to, last < 0 ? 1 : out.stride[last], n);
  });
}

void run_copy(const Args& args, Team& team) {
  const int64_t item = item_size(args.in[0].dtype);
  if (item == 4) copy_all<uint32_t>(args, team);
  else if (item == 8) copy_all<uint64_t>(args, team);
  else copy_all<uint8_t>(args, team);
}

double copy_cost(const Args& args) { return 30 + static_cast<double>(args.out[0].size()) * 0.5; }

const char* check_copy(const Args& a) {
  if (a.n_in != 1 || a.n_out != 1) return "copy takes one input and one output";
  if (a.in[0].dtype != a.out[0].dtype) return "input and output must have the same dtype";
  if (a.in[0].ndim != a.out[0].ndim) return "input and output must have the same shape";
  for (int d = 0; d < a.in[0].ndim; ++d)
    if (a.in[0].shape[d] != a.out[0].shape[d]) return "input and output must have the same shape";
  return nullptr;
}

}  // namespace

extern const Kernel k_copy = {run_copy, copy_cost, nullptr, check_copy};

}  // namespace rv::RV_ISA
