// SPDX-License-Identifier: Apache-2.0
// The common iteration space of a tile program's operands, and typed copies between strided memory and tiles.
#pragma once
#include <cstring>

#include "cpu/tile/program.h"
#include "cpu/simd/ints.h"

namespace rv::RV_ISA {

inline constexpr int64_t kShortRow = 32;  // rows below it are gathered several to a tile
inline constexpr int64_t kLongRow = 512;  // likewise where all operands repeat from row to row

// ---- typed copies

template <class T> void gather_as(const T* src, int64_t stride, T* dst, int64_t n) {
  if (stride == 0) {
    const T v = *src;
    for (int64_t i = 0; i < n; ++i) dst[i] = v;
  } else if (stride == 1 && n >= kShortRow) {
    std::memcpy(dst, src, n * sizeof(T));
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i] = src[i * stride];
  }
}
template <class T> void scatter_as(const T* src, T* dst, int64_t stride, int64_t n) {
  if (stride == 1 && n >= kShortRow) std::memcpy(dst, src, n * sizeof(T));
  else
    for (int64_t i = 0; i < n; ++i) dst[i * stride] = src[i];
}
inline void gather(const std::byte* src, int64_t stride, std::byte* dst, int64_t n, int64_t item) {
  if (item == 4) gather_as(reinterpret_cast<const uint32_t*>(src), stride, reinterpret_cast<uint32_t*>(dst), n);
  else if (item == 8) gather_as(reinterpret_cast<const uint64_t*>(src), stride, reinterpret_cast<uint64_t*>(dst), n);
  else gather_as(reinterpret_cast<const uint8_t*>(src), stride, reinterpret_cast<uint8_t*>(dst), n);
}

// ---- the space

struct TileOperand {
  int64_t stride[kMaxDims];  // in elements
  int64_t item;              // bytes
  bool dense;                // in the order of the space's flat positions
  bool one;                  // a single element for all of them
};

// Without data pointers: what depends on shapes and strides alone. Operands are inputs, then outputs.
struct TileSpace {
  int n_args = 0, ndim = 1;
  int64_t total = 1;
  int64_t shape[kMaxDims];
  TileOperand* op;  // (n_args)

  explicit TileSpace(TileOperand* operands) : op(operands) {}

  void of_views(const View* ins, int n_in, const View* outs, int n_out) {
    if (flat(ins, n_in, outs, n_out)) return;
    const View& full = outs[0];
    for (int k = 0; k < n_args; ++k) {  // strides on the axes of `full`, aligned at the right; length-1 axes broadcast
      const View& v = k < n_in ? ins[k] : outs[k - n_in];
      const int pad = full.ndim - v.ndim;
      op[k].item = item_size(v.dtype);
      for (int d = 0; d < full.ndim; ++d) op[k].stride[d] = d < pad || v.shape[d - pad] == 1 ? 0 : v.stride[d - pad];
    }
    collapse(full, n_in);
  }

  // Whether tiles are parts of single rows.
  bool by_row(int n_in) const {
    bool repeats = true;  // every operand is dense, or the same for each index of the outermost axis
    for (int k = 0; k < n_args; ++k) repeats &= op[k].dense || (k < n_in && op[k].stride[0] == 0);
    return shape[ndim - 1] >= (repeats ? kLongRow : kShortRow);
  }
  // Inputs that are a single element, in each tile at least; a bit for each.
  uint32_t ones(int n_in) const {
    const bool rows = by_row(n_in);
    uint32_t mask = 0;
    for (int k = 0; k < n_in; ++k)
      if (op[k].one || (rows && !op[k].dense && op[k].stride[ndim - 1] == 0)) mask |= uint32_t{1} << k;
    return mask;
  }

 private:
  // The frequent case: every operand is contiguous and of full size, or a single input element.
  bool flat(const View* ins, int n_in, const View* outs, int n_out) {
    n_args = n_in + n_out;
    ndim = 1;
    shape[0] = total = outs[0].size();
    for (int k = 0; k < n_args; ++k) {
      const View& v = k < n_in ? ins[k] : outs[k - n_in];
      const int64_t size = v.size();
      op[k].dense = size == total;
      op[k].one = !op[k].dense && size == 1;
      if (!(op[k].dense && v.contiguous()) && !(op[k].one && k < n_in)) return false;
      op[k].item = item_size(v.dtype);
      op[k].stride[0] = op[k].one ? 0 : 1;
    }
    return true;
  }

  // Drops axes of length 1, orders axes as the first output lies in memory, and merges neighbours that all operands
  // step over evenly.
  void collapse(const View& full, int first_out) {
    int order[kMaxDims], n = 0;
    auto reach = [&](int d) {
      return op[first_out].stride[d] < 0 ? -op[first_out].stride[d] : op[first_out].stride[d];
    };
    for (int d = 0; d < full.ndim; ++d) {
      if (full.shape[d] == 1) continue;
      int at = n++;
      for (; at > 0 && reach(order[at - 1]) < reach(d); --at) order[at] = order[at - 1];
      order[at] = d;
    }
    ndim = 0;
    int first[kMaxDims + 1];  // of the axes that are merged into one
    for (int i = 0; i < n; ++i) {
      bool merge = i > 0;
      for (int k = 0; k < n_args && merge; ++k)
        merge = op[k].stride[order[i - 1]] == op[k].stride[order[i]] * full.shape[order[i]];
      if (!merge) first[ndim++] = i;
    }
    first[ndim] = n;
    total = 1;
    for (int i = 0; i < ndim; ++i) {
      shape[i] = 1;
      for (int j = first[i]; j < first[i + 1]; ++j) shape[i] *= full.shape[order[j]];
      total *= shape[i];
    }
    if (ndim == 0) shape[0] = 1;  // a single element
    for (int k = 0; k < n_args; ++k) {
      TileOperand& o = op[k];
      int64_t merged[kMaxDims] = {};
      for (int i = 0; i < ndim; ++i) merged[i] = o.stride[order[first[i + 1] - 1]];
      std::memcpy(o.stride, merged, sizeof merged);
      bool constant = true, dense = true;
      int64_t expected = 1;
      for (int d = ndim - 1; d >= 0; --d) {
        constant &= merged[d] == 0;
        dense &= merged[d] == expected;
        expected *= shape[d];
      }
      o.dense = dense || total == 1;
      o.one = !o.dense && constant;
    }
    if (ndim == 0) ndim = 1;
  }
};

// A flat position, with the element offset of each operand there.
struct TileCursor {
  int64_t at[kMaxDims], offset[Program::kMaxOperands];

  TileCursor(const TileSpace& s, int64_t pos) {
    for (int k = 0; k < s.n_args; ++k) offset[k] = 0;
    for (int d = s.ndim - 1; d >= 0; --d) {
      at[d] = pos % s.shape[d];
      pos /= s.shape[d];
      for (int k = 0; k < s.n_args; ++k) offset[k] += at[d] * s.op[k].stride[d];
    }
  }
  void advance(const TileSpace& s, int64_t n) {  // n never crosses the end of an innermost run
    int d = s.ndim - 1;
    at[d] += n;
    for (int k = 0; k < s.n_args; ++k) offset[k] += n * s.op[k].stride[d];
    for (; d > 0 && at[d] >= s.shape[d]; --d) {
      at[d] = 0;
      ++at[d - 1];
      for (int k = 0; k < s.n_args; ++k) offset[k] += s.op[k].stride[d - 1] - s.shape[d] * s.op[k].stride[d];
    }
  }
};

// Copies n elements from position `c` on between operand k, at `data`, and a tile, run by run.
template <class T>
void move_rows(const TileSpace& s, int k, std::byte* data, const TileCursor& c, T* tile, int64_t n, bool to_tile) {
  const int last = s.ndim - 1;
  const int64_t inner = s.shape[last], step = s.op[k].stride[last];
  T* p = reinterpret_cast<T*>(data) + c.offset[k];
  int64_t at[kMaxDims];
  for (int d = 0; d <= last; ++d) at[d] = c.at[d];
  while (n > 0) {
    const int64_t run = min(n, inner - at[last]);
    if (to_tile) gather_as(p, step, tile, run);
    else scatter_as(tile, p, step, run);
    tile += run;
    n -= run;
    p += run * step;
    at[last] += run;
    for (int d = last; d > 0 && at[d] >= s.shape[d]; --d) {
      at[d] = 0;
      ++at[d - 1];
      p += s.op[k].stride[d - 1] - s.shape[d] * s.op[k].stride[d];
    }
  }
}
inline void move_tile(const TileSpace& s, int k, std::byte* data, const TileCursor& c, std::byte* tile, int64_t n,
                      bool to_tile) {
  if (s.op[k].item == 4) move_rows(s, k, data, c, reinterpret_cast<uint32_t*>(tile), n, to_tile);
  else if (s.op[k].item == 8) move_rows(s, k, data, c, reinterpret_cast<uint64_t*>(tile), n, to_tile);
  else move_rows(s, k, data, c, reinterpret_cast<uint8_t*>(tile), n, to_tile);
}

}  // namespace rv::RV_ISA
