// SPDX-License-Identifier: Apache-2.0
// Vectors of the instruction set at hand, as the matrix product needs them: whole and partial loads and stores,
// transposes and the sum of many vectors at once.
#pragma once
#include <cstdint>
#include <utility>

#include "cpu/simd.h"

namespace rv::RV_ISA::gemm {

// Micro-tile: kRows x 2 vectors of accumulators, as many as fit the register file beside the operands.
#if defined(RV_AVX512)
inline constexpr int kRows = 14;
#elif defined(RV_AVX2)
inline constexpr int kRows = 6;
#elif defined(__aarch64__)
inline constexpr int kRows = 10;
#else
inline constexpr int kRows = 4;
#endif

template <class T> using vec = typename Vec<T>::Native;
template <class T> inline constexpr int kLanes = Vec<T>::N;
template <class T> struct Loose {
  typedef T type __attribute__((vector_size(kVecBytes), aligned(alignof(T)), may_alias));
};

template <class T> RV_INLINE vec<T> load(const T* p) {
  return *reinterpret_cast<const typename Loose<T>::type*>(p);
}
template <class T> RV_INLINE void store(T* p, vec<T> v) { *reinterpret_cast<typename Loose<T>::type*>(p) = v; }
template <class T> RV_INLINE vec<T> splat(T x) { return x - vec<T>{}; }

// The first n of kLanes elements; the others read as zero and are not touched in memory.
template <class T> RV_INLINE vec<T> load_n(const T* p, int n) {
#if defined(RV_AVX512)
  if constexpr (sizeof(T) == 4) return (vec<T>)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
  else return (vec<T>)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1u), p);
#elif defined(RV_AVX2)
  if constexpr (sizeof(T) == 4) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (vec<T>)_mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane));
  } else {
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    return (vec<T>)_mm256_maskload_pd(p, _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), lane));
  }
#else
  vec<T> v{};
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
#endif
}
template <class T> RV_INLINE void store_n(T* p, vec<T> v, int n) {
#if defined(RV_AVX512)
  if constexpr (sizeof(T) == 4) _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v);
  else _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1u), (__m512d)v);
#elif defined(RV_AVX2)
  if constexpr (sizeof(T) == 4) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane), (__m256)v);
  } else {
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    _mm256_maskstore_pd(p, _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), lane), (__m256d)v);
  }
#else
  for (int i = 0; i < n; ++i) p[i] = v[i];
#endif
}

// Lane l of the result: with bit S of l clear a[l] (High: a[l + S]), with bit S set b[l - S] (High: b[l]).
// This is one stage of a transpose, and the pairing step of a sum over lanes.
template <int S, bool High, class V, int... L>
RV_INLINE V exchange(V a, V b, std::integer_sequence<int, L...>) {
  constexpr int n = sizeof...(L);
  return __builtin_shufflevector(a, b, ((L & S) ? n + L - (High ? 0 : S) : L + (High ? S : 0))...);
}
template <int S, bool High, class T> RV_INLINE vec<T> exchange(vec<T> a, vec<T> b) {
  return exchange<S, High>(a, b, std::make_integer_sequence<int, kLanes<T>>{});
}

template <class T, int S = kLanes<T> / 2> RV_INLINE void transpose(vec<T>* v) {
  if constexpr (S > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i) {
      if (i & S) continue;
      const vec<T> a = v[i], b = v[i + S];
      v[i] = exchange<S, false, T>(a, b);
      v[i + S] = exchange<S, true, T>(a, b);
    }
    transpose<T, S / 2>(v);
  }
}

// Lane l of the result is the sum over the lanes of v[l]; v has kLanes vectors and is overwritten.
template <class T, int S = kLanes<T> / 2> RV_INLINE vec<T> sums(vec<T>* v) {
  if constexpr (S == 0) return v[0];
  else {
#pragma GCC unroll 16
    for (int i = 0; i < S; ++i) v[i] = exchange<S, false, T>(v[i], v[i + S]) + exchange<S, true, T>(v[i], v[i + S]);
    return sums<T, S / 2>(v);
  }
}

}  // namespace rv::RV_ISA::gemm
