// SPDX-License-Identifier: Apache-2.0
// Correlations with few channels in the result, such as depthwise ones: sums of vectors of places in registers,
// straight from the frame.
#pragma once
#include "cpu/conv/frame.h"

namespace rv::RV_ISA::conv {

// Vectors side by side that leave registers for what they are made of.
template <class T> constexpr int side_by_side(int rows) {
#if defined(RV_AVX512)
  return rows <= 2 ? 8 : 4;
#else
  return rows == 1 ? 8 : rows == 2 ? 4 : 2;
#endif
}
inline constexpr int64_t kDirectRows = 4;

// One product of the few rows w[R, terms] with patches: c[i, place] = bias[i] + sum; for `vectors` of places.
template <class T> struct Direct {
  const T* frame;
  const int32_t* taps;
  int64_t terms;
  const T* w;
  const T* bias;  // or null
  T* c;
  int64_t c_row;

  void run(int64_t rows, const Lanes<T>* lanes, int64_t vectors) const {
    if (rows == 1) groups<1>(lanes, vectors);
    else if (rows == 2) groups<2>(lanes, vectors);
    else if (rows == 3) groups<3>(lanes, vectors);
    else groups<4>(lanes, vectors);
  }

 private:
  using Kind = typename Lanes<T>::Kind;

  template <int R> void groups(const Lanes<T>* lanes, int64_t vectors) const {
    constexpr int V = side_by_side<T>(R);
    int64_t j = 0;
    for (; j + V <= vectors; j += V) some<R, V>(lanes + j, j);
    if constexpr (V > 4)
      if (j + 4 <= vectors) some<R, 4>(lanes + j, j), j += 4;
    if constexpr (V > 2)
      if (j + 2 <= vectors) some<R, 2>(lanes + j, j), j += 2;
    for (; j < vectors; ++j) some<R, 1>(lanes + j, j);
  }
  template <int R, int V> void some(const Lanes<T>* lanes, int64_t j) const {
    bool rows = true, far = false;
    for (int v = 0; v < V; ++v) rows = rows && lanes[v].kind == Kind::row, far = far || lanes[v].kind == Kind::far;
    if (rows)
      sums<R, V>(
          lanes, j, [](const Lanes<T>&, const T* p) __attribute__((always_inline)) { return gemm::load(p); });
    else if (!far)
      sums<R, V>(
          lanes, j,
          [](const Lanes<T>& at, const T* p) __attribute__((always_inline)) { return pick<T>(p, at.at, at.count); });
    else
      for (int v = 0; v < V; ++v)
        sums<R, 1>(lanes + v, j + v, [](const Lanes<T>& at, const T* p) { return at.load(p - at.first); });
  }
  template <int R, int V, class Load> RV_INLINE void sums(const Lanes<T>* lanes, int64_t j, Load load) const {
    constexpr int L = kLanes<T>;
    const T* from[V];
    vec<T> sum[R][V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      from[v] = frame + lanes[v].first;
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) sum[i][v] = vec<T>{};
    }
    for (int64_t q = 0; q < terms; ++q) {
      vec<T> x[R];
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) x[i] = gemm::splat(w[i * terms + q]);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        const vec<T> seen = load(lanes[v], from[v] + taps[q]);
#pragma GCC unroll 4
        for (int i = 0; i < R; ++i) sum[i][v] = gemm::multiply_add<T>(x[i], seen, sum[i][v]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
      const vec<T> add = bias ? gemm::splat(bias[i]) : vec<T>{};
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        T* const to = c + i * c_row + (j + v) * L;
        const vec<T> value = bias ? sum[i][v] + add : sum[i][v];
        if (lanes[v].count == L) gemm::store(to, value);
        else if (lanes[v].count > 0) gemm::store_n(to, value, lanes[v].count);
      }
    }
  }
};

}  // namespace rv::RV_ISA::conv
