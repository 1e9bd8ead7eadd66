// SPDX-License-Identifier: Apache-2.0
// Stepping through several strided operands of one shape together, and dispatch by dtype: the base of all kernels
// that move data.
#pragma once
#include "core/kernel.h"
#include "cpu/move/bytes.h"
#include "cpu/simd/ints.h"

namespace rv::RV_ISA {

// Elements that one chunk of work moves: enough to hide its set-up, few enough to balance the team.
inline constexpr int64_t kMove = 16384;

// K operands over one shape; strides in elements. Flat positions count in C order of the axes as added.
template <int K> struct Walk {
  int ndim = 0;
  int64_t shape[kMaxDims + 1] = {};
  int64_t stride[K][kMaxDims + 1] = {};

  // Append an axis; axes of length 1 vanish, and an axis that continues its predecessor in every operand joins it.
  template <class... S> void axis(int64_t length, S... strides) {
    static_assert(sizeof...(S) == K);
    const int64_t s[K] = {static_cast<int64_t>(strides)...};
    if (length == 1) return;
    if (ndim > 0) {
      bool joins = true;
      for (int k = 0; k < K; ++k) joins = joins && stride[k][ndim - 1] == s[k] * length;
      if (joins) {
        shape[ndim - 1] *= length;
        for (int k = 0; k < K; ++k) stride[k][ndim - 1] = s[k];
        return;
      }
    }
    shape[ndim] = length;
    for (int k = 0; k < K; ++k) stride[k][ndim] = s[k];
    ++ndim;
  }

  int64_t size() const {
    int64_t n = 1;
    for (int d = 0; d < ndim; ++d) n *= shape[d];
    return n;
  }
  int64_t step(int k) const { return ndim ? stride[k][ndim - 1] : 0; }  // along the innermost axis
  int64_t inner() const { return ndim ? shape[ndim - 1] : 1; }

  // Offset of operand k at flat position `at`.
  int64_t offset(int k, int64_t at) const {
    int64_t result = 0;
    for (int d = ndim - 1; d >= 0; --d) {
      result += at % shape[d] * stride[k][d];
      at /= shape[d];
    }
    return result;
  }

  // f(offsets, n, at) for each run of n positions along the innermost axis within flat positions [begin, end).
  template <class F> void rows(int64_t begin, int64_t end, F&& f) const {
    if (begin >= end) return;  // axes of length 0 must not be divided by
    int64_t offset[K] = {}, index[kMaxDims + 1] = {};
    if (ndim == 0) return f(offset, int64_t{1}, begin);
    int64_t rest = begin;
    for (int d = ndim - 1; d >= 0; --d) {
      index[d] = rest % shape[d];
      rest /= shape[d];
      for (int k = 0; k < K; ++k) offset[k] += index[d] * stride[k][d];
    }
    const int last = ndim - 1;
    while (begin < end) {
      const int64_t n = min(shape[last] - index[last], end - begin);
      f(offset, n, begin);
      begin += n;
      for (int k = 0; k < K; ++k) offset[k] -= index[last] * stride[k][last];
      index[last] = 0;
      for (int d = last - 1; d >= 0; --d) {
        for (int k = 0; k < K; ++k) offset[k] += stride[k][d];
        if (++index[d] < shape[d]) break;
        for (int k = 0; k < K; ++k) offset[k] -= shape[d] * stride[k][d];
        index[d] = 0;
      }
    }
  }
};

template <class U> void copy_row(U* to, int64_t to_step, const U* from, int64_t from_step, int64_t n) {
  if (to_step == 1 && from_step == 1) {
    if (n * sizeof(U) >= 64) {
      copy_bytes(to, from, n * static_cast<int64_t>(sizeof(U)));
    } else {
      for (int64_t j = 0; j < n; ++j) to[j] = from[j];
    }
  } else if (to_step == 1 && from_step == 0) {
    const U value = n ? *from : U();
    for (int64_t j = 0; j < n; ++j) to[j] = value;
  } else {
    for (int64_t j = 0; j < n; ++j) to[j * to_step] = from[j * from_step];
  }
}

// f(U{}) with an unsigned type of the dtype's size: for kernels that only move items.
template <class F> void by_size(DType t, F&& f) {
  switch (item_size(t)) {
    case 1: return f(uint8_t{});
    case 4: return f(uint32_t{});
    default: return f(uint64_t{});
  }
}

// f(T{}) with the number type of the dtype (bool as uint8_t).
template <class F> void by_dtype(DType t, F&& f) {
  with_type(t, [&](auto v) { f(typename LaneOf<decltype(v)>::Type{}); });
}

// What becomes of an element that a value is written to: the value, their sum, of bools (bytes that are 0 or not) "or".
struct Replace {
  template <class T> static RV_INLINE T join(T, T value) { return value; }
};
struct Add {
  template <class T> static RV_INLINE T join(T old, T value) { return static_cast<T>(old + value); }
};
struct Or {
  template <class T> static RV_INLINE T join(T old, T value) { return static_cast<T>(old | value); }
};
// f(lane type of t, Add or Or)
template <class F> void by_sum(DType t, F&& f) {
  if (t == DType::b1) f(uint8_t{}, Or{});
  else by_dtype(t, [&](auto v) { f(v, Add{}); });
}

inline bool is_index(const View& v) { return v.dtype == DType::i32 || v.dtype == DType::i64; }
inline int64_t load_index(const View& v, int64_t at) {
  return v.dtype == DType::i64 ? v.ptr<int64_t>()[at] : v.ptr<int32_t>()[at];
}

// Stride of `v` along axis d of a shape of `ndim` axes to which it broadcasts.
inline int64_t broadcast_stride(const View& v, int d, int ndim) {
  const int own = d - (ndim - v.ndim);
  return own < 0 || v.shape[own] == 1 ? 0 : v.stride[own];
}

// All of `from` into the contiguous `to` of the same shape, shared out among the team; nothing if they are the same.
template <class U> void copy_all(const View& to, const View& from, Team& team) {
  if (to.data == from.data) return;
  Walk<1> walk;
  for (int d = 0; d < from.ndim; ++d) walk.axis(from.shape[d], from.stride[d]);
  const int64_t size = walk.size();
  team.each(ceil_div(size, kMove), [&](int64_t chunk) {
    walk.rows(chunk * kMove, min(size, (chunk + 1) * kMove), [&](const int64_t* at, int64_t n, int64_t flat) {
      copy_row(to.ptr<U>() + flat, 1, from.ptr<U>() + at[0], walk.step(0), n);
    });
  });
}

}  // namespace rv::RV_ISA
