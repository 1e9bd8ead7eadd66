// SPDX-License-Identifier: Apache-2.0
// Sums, maxima and the like of one contiguous row (in a fixed tree: U vectors of lanes, then their lanes), or of
// neighbouring columns.
#pragma once
#include <limits>

#include "cpu/simd/simd.h"

namespace rv::RV_ISA {

// The first n lanes, 0 <= n <= N.
template <class T> RV_INLINE Mask<T> first_lanes(int64_t n) {
  using Int = typename Mask<T>::Int;
  constexpr int N = Vec<T>::N;
  struct Table {
    Int lane[2 * N];
    constexpr Table() : lane() {
      for (int i = 0; i < N; ++i) lane[i] = -1;
    }
  };
  static constexpr Table table;
  Mask<T> mask;
  memcpy(&mask.m, table.lane + N - n, kVecBytes);
  return mask;
}

struct Plus {
  template <class V> static RV_INLINE V join(V a, V b) { return a + b; }
};
// NaN wins, as in NumPy. `blind` keeps `a` where b is NaN: one instruction instead of three.
struct Greatest {
  template <class T> static RV_INLINE Vec<T> join(Vec<T> a, Vec<T> b) { return max(a, b); }
  template <class T> static RV_INLINE Vec<T> blind(Vec<T> a, Vec<T> b) { return greater_or_second(b, a); }
};
struct Least {
  template <class T> static RV_INLINE Vec<T> join(Vec<T> a, Vec<T> b) { return min(a, b); }
  template <class T> static RV_INLINE Vec<T> blind(Vec<T> a, Vec<T> b) { return less_or_second(b, a); }
};

template <class T> constexpr T highest() {
  return is_float<T> ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
}
template <class T> constexpr T lowest() {
  return is_float<T> ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
}

// What a reduction will read: rows are short, and at their ends the machine's own prefetch loses the stream.
inline constexpr int64_t kAhead = 4096;  // bytes
template <class T> RV_INLINE void prefetch(const T* p) {
  __builtin_prefetch(reinterpret_cast<const char*>(p) + kAhead);
}

inline constexpr auto itself = [](auto a) __attribute__((always_inline)) { return a; };

// Op::join over map(x[0]) ... map(x[n-1]); `identity` fills the last vector and stands for no terms.
template <class Op, int U = 8, class T, class Map> RV_INLINE T fold_row(const T* x, int64_t n, T identity, Map map) {
  using V = Vec<T>;
  constexpr int N = V::N;
  auto part = [&](const T* p, int64_t m) __attribute__((always_inline)) {
    return select(first_lanes<T>(m), map(load_partial(p, m)), V(identity));
  };
  if (n <= 0) return identity;
  V acc;
  int64_t i = N;
  if (n >= U * N) {
    V s[U];
    for (int k = 0; k < U; ++k) s[k] = map(load(x + k * N));
    for (i = U * N; i + U * N <= n; i += U * N)
      for (int k = 0; k < U; ++k) prefetch(x + i + k * N), s[k] = Op::join(s[k], map(load(x + i + k * N)));
    for (int half = U / 2; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) s[k] = Op::join(s[k], s[k + half]);
    acc = s[0];
  } else {
    acc = n >= N ? map(load(x)) : part(x, n);
  }
  for (; i + N <= n; i += N) acc = Op::join(acc, map(load(x + i)));
  if (i < n) acc = Op::join(acc, part(x + i, n - i));
  return reduce(
      acc, [](V a, V b) __attribute__((always_inline)) { return Op::join(a, b); });
}

// The same for the greatest or least of floats: blind to NaN, beside a sum that is NaN where a term is (or where
// infinities cancel); then once more by fold_row.
template <class Op, int U = 4, class T, class Map> RV_INLINE T extreme_row(const T* x, int64_t n, T identity, Map map) {
  using V = Vec<T>;
  constexpr int N = V::N;
  if constexpr (is_float<T>) {
    if (n < 2 * N) return fold_row<Op>(x, n, identity, map);
    V best[U], sum[U];
    for (int k = 0; k < U; ++k) best[k] = V(identity), sum[k] = V(T(0));
    auto see = [&](int k, const T* p) __attribute__((always_inline)) {
      prefetch(p);
      const V v = map(load(p));
      best[k] = Op::blind(best[k], v);
      sum[k] += v;
    };
    int64_t i = 0;
    for (; i + U * N <= n; i += U * N)
      for (int k = 0; k < U; ++k) see(k, x + i + k * N);
    for (; i + N <= n; i += N) see(0, x + i);
    if (i < n) see(1, x + n - N);  // some terms twice
    for (int half = U / 2; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) best[k] = Op::blind(best[k], best[k + half]), sum[k] += sum[k + half];
    if (!any(isnan(sum[0]))) [[likely]]
      return reduce(
          best[0], [](V a, V b) __attribute__((always_inline)) { return Op::blind(a, b); });
  }
  return fold_row<Op>(x, n, identity, map);
}

// f(load, store, c): each vector of columns [0, width); `load(p)` and `store(p, v)` leave lanes beyond the end alone.
template <class T, class F> RV_INLINE void each_vector(int64_t width, F f) {
  constexpr int N = Vec<T>::N;
  int64_t c = 0;
  for (; c + N <= width; c += N)
    f(
        [](const T* p) __attribute__((always_inline)) { return load(p); },
        [](T * p, Vec<T> v) __attribute__((always_inline)) { store(p, v); }, c);
  if (const int64_t rest = width - c; rest > 0)
    f(
        [rest](const T* p) __attribute__((always_inline)) { return load_partial(p, rest); },
        [rest](T * p, Vec<T> v) __attribute__((always_inline)) { store_partial(p, v, rest); }, c);
}

// state[c] = Op::join over rows of map(x[r * pitch + c], c), four rows at a time
template <class Op, class T, class Map>
RV_INLINE void fold_columns(const T* x, int64_t pitch, int64_t n, int64_t width, T* state, Map map) {
  for (int64_t r = 0; r < n;) {
    const int64_t rows = n - r >= 4 ? 4 : 1;
    const T* from = x + r * pitch;
    each_vector<T>(
        width, [&](auto get, auto put, int64_t c) __attribute__((always_inline)) {
          auto at = [&](int64_t row) __attribute__((always_inline)) {
            return map(get(from + row * pitch + c), get, c);
          };
          Vec<T> sum = at(0);
          if (rows == 4) sum = Op::join(Op::join(sum, at(1)), Op::join(at(2), at(3)));
          put(state + c, r == 0 ? sum : Op::join(get(state + c), sum));
        });
    r += rows;
  }
}

}  // namespace rv::RV_ISA
