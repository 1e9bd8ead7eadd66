// SPDX-License-Identifier: Apache-2.0
// Kernels that work along one axis (softmax, cumsum, ...) see their arrays as lines along it; lines that are
// neighbours in memory form tiles.
#pragma once
#include "core/kernel.h"

namespace rv::RV_ISA {

template <int K> struct Lines {
  int64_t length = 1;    // of a line
  int64_t step[K] = {};  // element strides along a line
  int64_t tiled = 1;     // lines along the innermost other axis ...
  int64_t next[K] = {};  // ... and the strides from one to the next
  int64_t outer = 1;     // product of the remaining axes

  // views[0] has `axis`; the others have it too, or lack it (then their rank is one less).
  Lines(const View* const (&views)[K], int axis) {
    const View& first = *views[0];
    for (int d = 0; d < first.ndim; ++d) {
      int64_t stride[K];
      for (int k = 0; k < K; ++k) {
        const bool has_axis = views[k]->ndim == first.ndim;
        stride[k] = has_axis ? views[k]->stride[d] : d == axis ? 0 : views[k]->stride[d - (d > axis)];
      }
      if (d == axis) {
        length = first.shape[d];
        for (int k = 0; k < K; ++k) step[k] = stride[k];
      } else if (first.shape[d] != 1) {
        int at = n_++;  // farthest first
        for (; at > 0 && near(stride_[at - 1][0]) < near(stride[0]); --at) {
          size_[at] = size_[at - 1];
          for (int k = 0; k < K; ++k) stride_[at][k] = stride_[at - 1][k];
        }
        size_[at] = first.shape[d];
        for (int k = 0; k < K; ++k) stride_[at][k] = stride[k];
      }
    }
    merge();
    if (n_ > 0) {
      tiled = size_[--n_];
      for (int k = 0; k < K; ++k) next[k] = stride_[n_][k];
    }
    for (int d = 0; d < n_; ++d) outer *= size_[d];
  }

  // Element offset of the first line of outer index `flat` in array k.
  int64_t offset(int k, int64_t flat) const {
    int64_t sum = 0;
    for (int d = n_ - 1; d >= 0; --d) {
      sum += flat % size_[d] * stride_[d][k];
      flat /= size_[d];
    }
    return sum;
  }

 private:
  int64_t size_[kMaxDims], stride_[kMaxDims][K];
  int n_ = 0;

  static int64_t near(int64_t stride) { return stride < 0 ? -stride : stride; }
  void merge() {
    int kept = 0;
    for (int d = 0; d < n_; ++d) {
      bool joins = kept > 0;
      for (int k = 0; joins && k < K; ++k) joins = stride_[kept - 1][k] == stride_[d][k] * size_[d];
      const int to = joins ? kept - 1 : kept++;
      size_[to] = joins ? size_[to] * size_[d] : size_[d];
      for (int k = 0; k < K; ++k) stride_[to][k] = stride_[d][k];
    }
    n_ = kept;
  }
};

// What is wrong with one array made of another of its shape and dtype, along axis `dim`, or nullptr.
inline const char* check_along(const Args& args, int64_t dim) {
  if (args.n_in != 1 || args.n_out != 1) return "one input and one output are needed";
  const View &in = args.in[0], &out = args.out[0];
  if (in.dtype != out.dtype || !same_shape(in, out)) return "input and output must have one shape and dtype";
  return dim < 0 || dim >= (in.ndim ? in.ndim : 1) ? "dim out of range" : nullptr;
}

// How the lines are cut: `width` neighbouring lines at a time.
struct Cut {
  bool rows;  // a line is contiguous: work along it; else across `width` lines
  int64_t width, tiles, tasks;

  template <int K> Cut(const Lines<K>& lines, bool contiguous_lines, int64_t lanes) : rows(contiguous_lines) {
    constexpr int64_t kItems = 16384, kMost = 512;
    width = kItems / (lines.length > 0 ? lines.length : 1);
    if (!rows) width = width / lanes * lanes;
    const int64_t least = rows ? 1 : 4 * lanes;  // whole cache lines, and some of them
    width = width < least ? least : width > kMost ? kMost : width;
    if (width > lines.tiled) width = lines.tiled;
    tiles = width > 0 ? (lines.tiled + width - 1) / width : 0;
    tasks = tiles * lines.outer;
  }
};

}  // namespace rv::RV_ISA
