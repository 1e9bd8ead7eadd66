// SPDX-License-Identifier: Apache-2.0
// The two micro-kernels. Both take operands as they lie in memory, and `outer` packed panels too.
//
// outer: C[R, V vectors] (+)= A[R, k] B[k, V vectors]; elements of A are broadcast, rows of B are vectors. Every
//        element sums its products in the order of k, whatever R and V are: bits do not depend on the tiling.
// inner: C[R, S] = A[R, k] B[S, k]^T for operands that both lie along k: vectors run along k, lanes are summed last.
#pragma once
#include "cpu/gemm/vec.h"

namespace rv::RV_ISA::gemm {

// ---------------------------------------------------------------- outer

// How a tile of A lies, so that its elements have addresses without arithmetic: `step` elements from one row to the
// next, each contiguous along k (rows), or from one k to the next, each with its rows side by side (columns). In panels
// of kRows rows it is the latter, beside a B in panels of two vectors (packed).
enum class Lie : uint8_t { rows, columns, packed };

template <class T>
using Outer = void (*)(int64_t k, const T* a, int64_t step, const T* b, int64_t b_row, T* c, int64_t c_row,
                       const T* bias, bool accumulate, int tail, bool far, const T* next);

// Values of k in one turn of the loop. With few registers a turn has few products beside its other instructions, which
// wait where two threads share a core (Zen 3, AVX2, of the peak: four values 91 % and not 80, alone 98). With AVX-512
// two cost moves between registers (Zen 5, x @ w.T, 64 x 784 x 512: 209 us, with one value 200).
#if defined(RV_AVX2) && !defined(RV_AVX512)
inline constexpr int kTurn = 4;
#else
inline constexpr int kTurn = 1;
#endif

// Hides where an address comes from: else the compiler makes the addresses of an unrolled turn from offsets that it
// keeps in memory (64 cubed at 0.84 and not 1.09 of OpenBLAS's speed beside a neighbour).
template <class T>
RV_INLINE void keep_whole([[maybe_unused]] const T*& p) {
  if constexpr (kTurn > 1) asm("" : "+r"(p));
}

// Has x loaded once, where the compiler would make the load part of each product that takes it (2 x 64 x 430: 1.8 times
// as long). By value: an element of an array would be stored, too, which took 3 to 5 % of large products (Zen 5).
template <class T>
RV_INLINE vec<T> loaded(vec<T> x) {
#if defined(RV_AVX512)
  asm("" : "+v"(x));
#endif
  return x;
}

// `next`: rows of A that will be wanted after these ones and come from far, or null.
// Strides are in elements; `tail` is the number of columns in the last vector (kLanes: all); bias (one value a column)
// may be null.
template <class T, int R, int V, bool Tail, Lie A>
void outer(int64_t k, const T* a, int64_t step, const T* b, int64_t b_row, T* c, int64_t c_row, const T* bias,
           bool accumulate, int tail, bool far, [[maybe_unused]] const T* next) {
  constexpr int L = kLanes<T>;
  // Many rows are addressed from one base in five, so that all addresses fit the general registers.
  constexpr int G = A != Lie::rows ? R : R <= 6 && kTurn > 1 ? 1 : 5, bases = (R + G - 1) / G;
  if constexpr (A == Lie::packed) step = kRows, b_row = 2 * L;
  const T* base[bases];
#pragma GCC unroll 8
  for (int g = 0; g < bases; ++g) {
    base[g] = a + g * G * step;
    keep_whole(base[g]);
  }
  vec<T> acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) acc[i][v] = vec<T>{};
  auto load_last = [&](const T* p, int v) { return Tail && v == V - 1 ? load_n(p, tail) : load(p); };
  auto turn = [&]<int U>(std::integral_constant<int, U>) __attribute__((always_inline)) {
    // Rows of B that no cache near by holds, for they may lie in a page each (6 x 2065 x 1206 twice as fast). Others
    // need no fetching (Zen 3: 32 x 784 x 128 84 % and not 63, Zen 4: 97 % and not 94). For many rows of A far ahead,
    // into L2, for rows of B 2 KB apart would push one another out of L1 (Zen 5: 8 x 784 x 512 from memory 54 us, four
    // ahead 98, in L1 54; from L3 29, 40, 35).
    if (A != Lie::packed && far)
#pragma GCC unroll 8
      for (int u = 0; u < U; ++u)
#pragma GCC unroll 8
        for (int v = 0; v <= V;
             ++v)  // and the line in which the last vector ends, if there are products enough to hide it
          if (v < V || R > 4)
            __builtin_prefetch(b + ((R > 6 ? 32 : 4) + u) * b_row + v * L - (v == V), 0, R > 6 ? 2 : 3);
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) {
      const T* const from = b + u * b_row;
      auto load_b = [&](int v) __attribute__((always_inline)) {
        return A == Lie::packed ? load(from + v * L) : load_last(from + v * L, v);  // panels end with zeros
      };
      const T* column = base[0] + u * step;
      if (A == Lie::columns) keep_whole(column);
      auto splat_a = [&](int i) __attribute__((always_inline)) {
        return splat(A == Lie::rows ? base[i / G][(i % G) * step + u] : column[i]);
      };
      constexpr bool few = R < V;  // the fewer ones stay in registers
      vec<T> kept[few ? R : V];
#pragma GCC unroll 8
      for (int i = 0; i < (few ? R : V); ++i) { kept[i] = few ? splat_a(i) : loaded<T>(load_b(i)); }
#pragma GCC unroll 16
      for (int j = 0; j < (few ? V : R); ++j) {
        const vec<T> x = few ? loaded<T>(load_b(j)) : splat_a(j);
#pragma GCC unroll 8
        for (int i = 0; i < (few ? R : V); ++i) {
          vec<T>& sum = acc[few ? i : j][few ? j : i];
          sum = multiply_add<T>(x, kept[i], sum);
        }
      }
    }
#pragma GCC unroll 8
    for (int g = 0; g < bases; ++g) base[g] += A == Lie::rows ? U : U * step;
    b += U * b_row;
  };
  // C is on its way while the products are summed, if these take long enough. Of many rows one at a time, for all at
  // once keep rows of A and B waiting (14 rows, 1024 cubed: 4 %).
  auto fetch = [&](int row) __attribute__((always_inline)) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) __builtin_prefetch(c + row * c_row + v * L, 1);
  };
  const int fetched = V > 1 && k > 32 ? R : 0;
  int64_t p = 0;
#pragma GCC unroll 1
  for (int row = 0; p + kTurn <= k; ++row) {
    if (row < fetched) fetch(row);
    const int64_t end = row < fetched ? k * (row + 1) / R : k;
    if (A == Lie::rows && next && row < fetched)
      for (const T* line = next + row * step; p + kTurn <= end; p += kTurn, line += R * kTurn) {  // all of that row
        for (int e = 0; e < R * kTurn; e += 64 / static_cast<int>(sizeof(T))) __builtin_prefetch(line + e);
        turn(std::integral_constant<int, kTurn>{});
      }
    for (; p + kTurn <= end; p += kTurn) turn(std::integral_constant<int, kTurn>{});
  }
  if constexpr (kTurn > 1)
    for (; p < k; ++p) turn(std::integral_constant<int, 1>{});
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    const vec<T> add = bias ? load_last(bias + v * L, v) : vec<T>{};
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      T* to = c + i * c_row + v * L;
      vec<T> x = acc[i][v];
      if (accumulate) x = load_last(to, v) + x;
      if (bias) x += add;
      if (Tail && v == V - 1) store_n(to, x, tail);
      else store(to, x);
    }
  }
}

// Vectors side by side for R rows: two, and more where few rows would leave the adders waiting, or calls would be
// short.
#if defined(RV_AVX512)
inline constexpr int kWideRows = 6;
inline constexpr int wide(int rows) { return rows <= 3 ? 8 : rows <= kWideRows ? 4 : 2; }
#else
inline constexpr int kWideRows = kRows > 4 ? 3 : 1;
inline constexpr int wide(int rows) { return rows == 1 ? 8 : rows <= kWideRows ? 4 : 2; }
#endif

template <class T, bool Tail, Lie A, int... I>
RV_INLINE Outer<T> pick(int rows, int vectors, std::integer_sequence<int, I...>) {
  static constexpr Outer<T> one[] = {outer<T, I + 1, 1, Tail, A>...}, two[] = {outer<T, I + 1, 2, Tail, A>...};
  if constexpr (A != Lie::packed) {
    static constexpr Outer<T> most[] = {outer<T, I + 1, wide(I + 1), Tail, A>...};
    if (vectors > 2) return most[rows - 1];
  }
  return vectors == 1 ? one[rows - 1] : two[rows - 1];
}
template <class T, Lie A>
inline Outer<T> pick(int rows, int vectors, bool tail) {
  constexpr auto all = std::make_integer_sequence<int, kRows>{};
  return tail ? pick<T, true, A>(rows, vectors, all) : pick<T, false, A>(rows, vectors, all);
}
// vectors: 1, 2 or, unless A is packed, wide(rows)
template <class T>
inline Outer<T> pick_outer(Lie a, int rows, int vectors, bool tail) {
  switch (a) {
    case Lie::rows: return pick<T, Lie::rows>(rows, vectors, tail);
    case Lie::columns: return pick<T, Lie::columns>(rows, vectors, tail);
    default: return pick<T, Lie::packed>(rows, vectors, tail);
  }
}

// ---------------------------------------------------------------- inner

// R x S accumulators; a multiple of the lanes of float32.
#if defined(RV_AVX512)
inline constexpr int kInnerRows = 4, kInnerCols = 4;
#else
inline constexpr int kInnerRows = 2, kInnerCols = 4;
#endif

template <class T>
using Inner = void (*)(int64_t k, const T* a, int64_t a_row, const T* b, int64_t b_row, int cols, T* c, int64_t c_row,
                       const T* bias);

// `cols` <= S of the columns exist.
template <class T, int R, int S>
void inner(int64_t k, const T* a, int64_t a_row, const T* b, int64_t b_row, int cols, T* c, int64_t c_row,
           const T* bias) {
  constexpr int L = kLanes<T>, N = R * S, groups = (N + L - 1) / L;
  const T* bp[S];
#pragma GCC unroll 16
  for (int s = 0; s < S; ++s) bp[s] = b + (s < cols ? s : cols - 1) * b_row;
  vec<T> acc[groups * L] = {};
  auto step = [&](int64_t p, auto get) __attribute__((always_inline)) {
    vec<T> av[R];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) av[i] = loaded<T>(get(a + i * a_row + p));
#pragma GCC unroll 16
    for (int s = 0; s < S; ++s) {
      const vec<T> bv = R > 1 ? loaded<T>(get(bp[s] + p)) : get(bp[s] + p);
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) acc[i * S + s] += av[i] * bv;
    }
  };
  int64_t p = 0;
  for (; p + L <= k; p += L) step(p, [](const T* q) { return load(q); });
  if (p < k) {
    const int rest = static_cast<int>(k - p);
    step(p, [rest](const T* q) { return load_n(q, rest); });
  }
  alignas(kVecBytes) T sum[groups * L];
#pragma GCC unroll 8
  for (int g = 0; g < groups; ++g) store(sum + g * L, sums<T>(acc + g * L));
  if (cols == S) {
    typedef T Row __attribute__((vector_size(S * sizeof(T)), aligned(alignof(T)), may_alias));
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      Row x = *reinterpret_cast<const Row*>(sum + i * S);
      if (bias) x += *reinterpret_cast<const Row*>(bias);
      *reinterpret_cast<Row*>(c + i * c_row) = x;
    }
    return;
  }
  for (int i = 0; i < R; ++i)
    for (int s = 0; s < cols; ++s) c[i * c_row + s] = bias ? sum[i * S + s] + bias[s] : sum[i * S + s];
}

// Columns at a time: one row takes more of them, and as many as there are lanes where k is short and sums over lanes
// are most of the work.
template <class T>
inline int inner_cols(int64_t m, int64_t k) {
  return m > 1 ? kInnerCols : kLanes<T> == 16 && k <= 64 ? 16 : 8;
}

template <class T, int S, int... I>
RV_INLINE Inner<T> pick_inner(int rows, std::integer_sequence<int, I...>) {
  static constexpr Inner<T> table[] = {inner<T, I + 1, S>...};
  return table[rows - 1];
}
// For `cols` of the `step` columns at a time that inner_cols gave.
template <class T>
inline Inner<T> pick_inner(int step, int cols, int rows) {
  constexpr auto all = std::make_integer_sequence<int, kInnerRows>{};
  if (step == kInnerCols) return cols <= 2 ? pick_inner<T, 2>(rows, all) : pick_inner<T, kInnerCols>(rows, all);
  return step == 8 ? inner<T, 1, 8> : inner < T, 1, kLanes<T> == 16 ? 16 : 8 > ;
}

}  // namespace rv::RV_ISA::gemm
