// SPDX-License-Identifier: Apache-2.0
// Vectors of the instruction set at hand, as the matrix product needs them: whole and partial loads and stores,
// transposes and the sum of many vectors at once.
#pragma once
#include <cstdint>
#include <utility>

#include "cpu/simd/simd.h"

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

// Values of k that one sum takes where lanes run along k: longer sums are sums of sums, for errors grow with the number
// of terms in a row.
inline constexpr int64_t kSumAlong = 4096;

template <class T> struct Loose {
  typedef T type __attribute__((vector_size(kVecBytes), aligned(alignof(T)), may_alias));
};

template <class T> RV_INLINE vec<T> load(const T* p) { return *reinterpret_cast<const typename Loose<T>::type*>(p); }
template <class T> RV_INLINE void store(T* p, vec<T> v) { *reinterpret_cast<typename Loose<T>::type*>(p) = v; }
template <class T> RV_INLINE vec<T> splat(T x) { return x - vec<T>{}; }

// sum + a b. The sum stays in its register: in an unrolled loop over many sums the compiler moves them from one to
// another, for which a core shared by two threads has no slot.
template <class T> RV_INLINE vec<T> multiply_add(vec<T> a, vec<T> b, vec<T> sum) {
#if defined(RV_AVX2)
  if constexpr (sizeof(T) == 4) asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
  else asm("vfmadd231pd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
  return sum;
#else
  return sum + a * b;
#endif
}

// Has x loaded once, where the compiler would make the load part of each product that takes it. By value: an element of
// an array would be stored, too.
template <class T> RV_INLINE vec<T> loaded(vec<T> x) {
#if defined(RV_AVX512)
  asm("" : "+v"(x));
#endif
  return x;
}

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
#elif defined(RV_AVX2)  // piece by piece: masked stores take a dozen cycles each on AMD's processors
  if constexpr (sizeof(T) == 4) {
    __m128 part = _mm256_castps256_ps128((__m256)v);
    if (n & 8) return _mm256_storeu_ps(p, (__m256)v);
    if (n & 4) _mm_storeu_ps(p, part), p += 4, part = _mm256_extractf128_ps((__m256)v, 1);
    if (n & 2) _mm_storel_pi(reinterpret_cast<__m64*>(p), part), p += 2, part = _mm_movehl_ps(part, part);
    if (n & 1) _mm_store_ss(p, part);
  } else {
    __m128d part = _mm256_castpd256_pd128((__m256d)v);
    if (n & 4) return _mm256_storeu_pd(p, (__m256d)v);
    if (n & 2) _mm_storeu_pd(p, part), p += 2, part = _mm256_extractf128_pd((__m256d)v, 1);
    if (n & 1) _mm_store_sd(p, part);
  }
#else
  for (int i = 0; i < n; ++i) p[i] = v[i];
#endif
}

// Lane l of the result: with bit S of l clear a[l] (High: a[l + S]), with bit S set b[l - S] (High: b[l]).
// The pairing step of a sum over lanes.
template <int S, bool High, class V, int... L> RV_INLINE V exchange(V a, V b, std::integer_sequence<int, L...>) {
  constexpr int n = sizeof...(L);
  return __builtin_shufflevector(a, b, ((L & S) ? n + L - (High ? 0 : S) : L + (High ? S : 0))...);
}
template <int S, bool High, class T> RV_INLINE vec<T> exchange(vec<T> a, vec<T> b) {
  return exchange<S, High>(a, b, std::make_integer_sequence<int, kLanes<T>>{});
}

// Blocks of 16 bytes: four floats or two doubles.
template <class T> inline constexpr int kBlock = 16 / static_cast<int>(sizeof(T));

// Block b of the result is what lies at `at(b)`.
template <class T, class At> RV_INLINE vec<T> gather_blocks(At at) {
#if defined(RV_AVX512)
  auto block = [&](int b) { return _mm_loadu_ps(reinterpret_cast<const float*>(at(b))); };
  __m512 v = _mm512_castps128_ps512(block(0));  // masked broadcasts: loads, where inserts are shuffles
  v = _mm512_mask_broadcast_f32x4(v, 0x00f0, block(1));
  v = _mm512_mask_broadcast_f32x4(v, 0x0f00, block(2));
  return (vec<T>)_mm512_mask_broadcast_f32x4(v, 0xf000, block(3));
#elif defined(RV_AVX2)
  auto block = [&](int b) { return _mm_loadu_ps(reinterpret_cast<const float*>(at(b))); };
  return (vec<T>)_mm256_insertf128_ps(_mm256_castps128_ps256(block(0)), block(1), 1);
#else
  vec<T> v;
#pragma GCC unroll 4
  for (int b = 0; b < kLanes<T> / kBlock<T>; ++b) memcpy(reinterpret_cast<T*>(&v) + b * kBlock<T>, at(b), 16);
  return v;
#endif
}
// Block b of the result is what lies at p + b * step.
template <class T> RV_INLINE vec<T> load_blocks(const T* p, int64_t step) {
  return gather_blocks<T>([=](int b) __attribute__((always_inline)) { return p + b * step; });
}

// Interleaves the low (High: high) halves of the blocks of a and b, in units of U elements.
template <int U, bool High, class V, int... L> RV_INLINE V unpack(V a, V b, std::integer_sequence<int, L...>) {
  constexpr int n = sizeof...(L), block = 16 / static_cast<int>(sizeof(a[0]));
  return __builtin_shufflevector(
      a, b,
      (L / block * block + (High ? block / 2 : 0) + L % block / (2 * U) * U + L % U + (L % block / U % 2 ? n : 0))...);
}
template <int U, bool High, class T> RV_INLINE vec<T> unpack(vec<T> a, vec<T> b) {
  return unpack<U, High>(a, b, std::make_integer_sequence<int, kLanes<T>>{});
}

// Transposes the kBlock x kBlock matrices that kBlock vectors hold in each of their blocks.
template <class T> RV_INLINE void transpose_blocks(vec<T>* v) {
  if constexpr (kBlock<T> == 2) {
    const vec<T> a = v[0], b = v[1];
    v[0] = unpack<1, false, T>(a, b), v[1] = unpack<1, true, T>(a, b);
  } else {
    const vec<T> a = unpack<1, false, T>(v[0], v[1]), b = unpack<1, true, T>(v[0], v[1]);
    const vec<T> c = unpack<1, false, T>(v[2], v[3]), d = unpack<1, true, T>(v[2], v[3]);
    v[0] = unpack<2, false, T>(a, c), v[1] = unpack<2, true, T>(a, c);
    v[2] = unpack<2, false, T>(b, d), v[3] = unpack<2, true, T>(b, d);
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
