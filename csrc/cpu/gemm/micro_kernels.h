// SPDX-License-Identifier: Apache-2.0
// The micro-kernels of micro.h, for the files that compile them.
#pragma once
#include "cpu/gemm/micro.h"

namespace rv::RV_ISA::gemm {

// Values of k in one turn of the loop. With few registers a turn has few products beside its other instructions, which
// wait where two threads share a core. With AVX-512 two cost moves between registers.
#if defined(RV_AVX2) && !defined(RV_AVX512)
inline constexpr int kTurn = 4;
#else
inline constexpr int kTurn = 1;
#endif

// Hides where an address comes from: else the compiler makes the addresses of an unrolled turn from offsets that it
// keeps in memory.
template <class T> RV_INLINE void keep_whole([[maybe_unused]] const T*& p) {
  if constexpr (kTurn > 1) asm("" : "+r"(p));
}

template <class T, int R, int V, bool Tail, Layout A>
void outer(int64_t k, const T* a, int64_t step, const T* b, int64_t b_row, T* c, int64_t c_row, const T* bias,
           bool accumulate, int tail, bool far, [[maybe_unused]] const T* next) {
  constexpr int L = kLanes<T>;
  // Many rows are addressed from one base in five, so that all addresses fit the general registers.
  constexpr int G = A != Layout::rows ? R : R <= 6 && kTurn > 1 ? 1 : 5, bases = (R + G - 1) / G;
  if constexpr (A == Layout::packed) step = kRows, b_row = 2 * L;
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
    // Rows of B that no cache near by holds, for they may lie in a page each. Others need no fetching. For many rows of
    // A far ahead, into L2, for rows of B 2 KB apart would push one another out of L1.
    if (A != Layout::packed && far)
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
        return A == Layout::packed ? load(from + v * L) : load_last(from + v * L, v);  // panels end with zeros
      };
      const T* column = base[0] + u * step;
      if (A == Layout::columns) keep_whole(column);
      auto splat_a = [&](int i) __attribute__((always_inline)) {
        return splat(A == Layout::rows ? base[i / G][(i % G) * step + u] : column[i]);
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
    for (int g = 0; g < bases; ++g) base[g] += A == Layout::rows ? U : U * step;
    b += U * b_row;
  };
  // C is on its way while the products are summed, if these take long enough. Of many rows one at a time, for all at
  // once keep rows of A and B waiting.
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
    if (A == Layout::rows && V <= 2 && next && row < fetched)
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
  auto whole = [&](int64_t end) __attribute__((always_inline)) {
    for (; p + L <= end; p += L) step(p, [](const T* q) { return load(q); });
  };
  if (k > kSumAlong) {  // a sum of sums
    vec<T> before[N] = {};
    while (k - p > kSumAlong) {
      whole(p + kSumAlong);
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) before[i] += acc[i], acc[i] = vec<T>{};
    }
    whole(k);
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) acc[i] += before[i];
  } else {
    whole(k);
  }
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

template <class T, Layout A, bool Tail, int V, int... I>
constexpr typename MicroKernels<T>::Column column(std::integer_sequence<int, I...>) {
  return {{outer < T, I + 1, V ? V : wide(I + 1), Tail, A > ...}};
}
template <class T, Layout A, bool Tail, int V> constexpr typename MicroKernels<T>::Column column() {
  return column<T, A, Tail, V>(std::make_integer_sequence<int, kRows>{});
}

#define RV_COLUMNS(A)                                                                                          \
  {                                                                                                            \
    {column<T, A, false, 1>(), column<T, A, false, 2>()}, { column<T, A, true, 1>(), column<T, A, true, 2>() } \
  }
template <class T>
constexpr typename MicroKernels<T>::Column MicroKernels<T>::outer[3][2][2] = {
    RV_COLUMNS(Layout::rows), RV_COLUMNS(Layout::columns), RV_COLUMNS(Layout::packed)};
#undef RV_COLUMNS
template <class T>
constexpr typename MicroKernels<T>::Column MicroKernels<T>::wide[2] = {column<T, Layout::rows, false, 0>(),
                                                                       column<T, Layout::columns, false, 0>()};
#if defined(RV_AVX512)
#define RV_INNER(S) \
  { gemm::inner<T, 1, S>, gemm::inner<T, 2, S>, gemm::inner<T, 3, S>, gemm::inner<T, 4, S> }
#else
#define RV_INNER(S) \
  { gemm::inner<T, 1, S>, gemm::inner<T, 2, S> }
#endif
template <class T> constexpr Inner<T> MicroKernels<T>::inner[2][kInnerRows] = {RV_INNER(2), RV_INNER(kInnerCols)};
#undef RV_INNER
template <class T>
constexpr Inner<T> MicroKernels<T>::inner_row[2] = {gemm::inner<T, 1, 8>, gemm::inner<T, 1, kLanes<T> == 16 ? 16 : 8>};

}  // namespace rv::RV_ISA::gemm
