// SPDX-License-Identifier: Apache-2.0
// Vec<T>: as many values as fill one register of the instruction set that this file is compiled for, over the
// compiler's vector extensions. T is float, double, int32_t, int64_t, uint8_t or bool (a byte that is 0 or 1, whatever
// it was in memory: NumPy lets masks of 0 and 255 pass for bools; there + is "or" and * is "and"). Comparisons give
// Mask<T>; select(mask, a, b) picks lanes.
#pragma once
#include <cstdint>
#include <cstring>
#include <utility>

#include "core/view.h"

#if defined(__x86_64__) || defined(_M_X64)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // false alarms from inside GCC 12's headers
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

namespace rv::RV_ISA {

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define RV_AVX512 1
inline constexpr int kVecBytes = 64;
#elif defined(__AVX2__)
#define RV_AVX2 1
inline constexpr int kVecBytes = 32;
#else
inline constexpr int kVecBytes = 16;
#endif
#if defined(__SSE4_1__) && !defined(RV_AVX512) && !defined(RV_AVX2)
#define RV_SSE4 1
#endif

// Intrinsics of that width.
#if defined(RV_AVX512)
#define RV_MM(name) _mm512_##name
#define RV_ROUND(name) _mm512_roundscale_##name
#define RV_PS __m512
#define RV_PD __m512d
#elif defined(RV_AVX2)
#define RV_MM(name) _mm256_##name
#define RV_ROUND(name) _mm256_round_##name
#define RV_PS __m256
#define RV_PD __m256d
#elif defined(RV_SSE4)
#define RV_MM(name) _mm_##name
#define RV_ROUND(name) _mm_round_##name
#define RV_PS __m128
#define RV_PD __m128d
#endif

template <int kBytes> struct IntOf;
template <> struct IntOf<1> { using Type = int8_t; };
template <> struct IntOf<4> { using Type = int32_t; };
template <> struct IntOf<8> { using Type = int64_t; };

template <class T> inline constexpr bool is_float = false;
template <> inline constexpr bool is_float<float> = true;
template <> inline constexpr bool is_float<double> = true;
template <class T, class U> inline constexpr bool same_type = false;
template <class T> inline constexpr bool same_type<T, T> = true;

template <class T> struct Mask {
  using Int = typename IntOf<sizeof(T)>::Type;
  typedef Int Native __attribute__((vector_size(kVecBytes)));
  Native m;  // a lane is 0 or -1

  friend RV_INLINE Mask operator&(Mask a, Mask b) { return {a.m & b.m}; }
  friend RV_INLINE Mask operator|(Mask a, Mask b) { return {a.m | b.m}; }
  friend RV_INLINE Mask operator^(Mask a, Mask b) { return {a.m ^ b.m}; }
  friend RV_INLINE Mask operator~(Mask a) { return {~a.m}; }
};

template <class T> struct Vec {
  using Lane = typename LaneOf<T>::Type;
  typedef Lane Native __attribute__((vector_size(kVecBytes)));
  static constexpr int N = kVecBytes / static_cast<int>(sizeof(Lane));
  static constexpr bool kBool = same_type<T, bool>;

  Native v;

  Vec() = default;
  RV_INLINE explicit Vec(Native native) : v(native) {}
  // All lanes s. (s - 0 and not s + 0: it keeps -0.)
  template <class S> RV_INLINE explicit Vec(S s) {
    const Lane lane = static_cast<T>(s);
    v = lane - Native{};
  }

  Lane operator[](int i) const { return v[i]; }

  friend RV_INLINE Vec operator+(Vec a, Vec b) {
    if constexpr (kBool) return Vec(a.v | b.v);
    else return Vec(a.v + b.v);
  }
  friend RV_INLINE Vec operator*(Vec a, Vec b) {
    if constexpr (kBool) return Vec(a.v & b.v);
    else return Vec(a.v * b.v);
  }
  friend RV_INLINE Vec operator-(Vec a, Vec b) { return Vec(a.v - b.v); }
  friend RV_INLINE Vec operator-(Vec a) { return Vec(-a.v); }
  friend RV_INLINE Vec operator/(Vec a, Vec b) requires is_float<T> { return Vec(a.v / b.v); }
  RV_INLINE Vec& operator+=(Vec b) { return *this = *this + b; }
  RV_INLINE Vec& operator-=(Vec b) { return *this = *this - b; }
  RV_INLINE Vec& operator*=(Vec b) { return *this = *this * b; }

  friend RV_INLINE Vec operator&(Vec a, Vec b) requires(!is_float<T>) { return Vec(a.v & b.v); }
  friend RV_INLINE Vec operator|(Vec a, Vec b) requires(!is_float<T>) { return Vec(a.v | b.v); }
  friend RV_INLINE Vec operator^(Vec a, Vec b) requires(!is_float<T>) { return Vec(a.v ^ b.v); }
  friend RV_INLINE Vec operator<<(Vec a, int bits) requires(!is_float<T>) { return Vec(a.v << bits); }
  friend RV_INLINE Vec operator>>(Vec a, int bits) requires(!is_float<T>) { return Vec(a.v >> bits); }

  friend RV_INLINE Mask<T> operator==(Vec a, Vec b) { return {a.v == b.v}; }
  friend RV_INLINE Mask<T> operator!=(Vec a, Vec b) { return {a.v != b.v}; }
  friend RV_INLINE Mask<T> operator<(Vec a, Vec b) { return {a.v < b.v}; }
  friend RV_INLINE Mask<T> operator<=(Vec a, Vec b) { return {a.v <= b.v}; }
  friend RV_INLINE Mask<T> operator>(Vec a, Vec b) { return {a.v > b.v}; }
  friend RV_INLINE Mask<T> operator>=(Vec a, Vec b) { return {a.v >= b.v}; }
};

// ---------------------------------------------------------------- memory

template <class T> RV_INLINE Vec<T> from_memory(Vec<T> a) {
  if constexpr (Vec<T>::kBool) return Vec<T>((typename Vec<T>::Native)(-(a.v != 0)));
  else return a;
}
template <class T> RV_INLINE Vec<T> load(const T* p) {
  Vec<T> r;
  memcpy(&r.v, p, kVecBytes);
  return from_memory(r);
}
template <class T> RV_INLINE void store(T* p, Vec<T> a) { memcpy(p, &a.v, kVecBytes); }

// The first n lanes (0 <= n <= N); the others are zero and their memory is not touched.
template <class T> RV_INLINE Vec<T> load_partial(const T* p, int64_t n) {
  const int64_t bytes = n * static_cast<int64_t>(sizeof(T));
#ifdef RV_AVX512
  const __mmask64 lanes = bytes >= 64 ? ~__mmask64{0} : (__mmask64{1} << bytes) - 1;
  return from_memory(Vec<T>((typename Vec<T>::Native)_mm512_maskz_loadu_epi8(lanes, p)));
#else
  Vec<T> r{typename Vec<T>::Native{}};
  memcpy(&r.v, p, static_cast<size_t>(bytes));
  return from_memory(r);
#endif
}
template <class T> RV_INLINE void store_partial(T* p, Vec<T> a, int64_t n) {
  const int64_t bytes = n * static_cast<int64_t>(sizeof(T));
#ifdef RV_AVX512
  const __mmask64 lanes = bytes >= 64 ? ~__mmask64{0} : (__mmask64{1} << bytes) - 1;
  _mm512_mask_storeu_epi8(p, lanes, (__m512i)a.v);
#else
  memcpy(p, &a.v, static_cast<size_t>(bytes));
#endif
}

// A mask as bools.
template <class T> RV_INLINE void store_bools(bool* p, Mask<T> mask) {
  constexpr int N = Vec<T>::N;
#if defined(RV_AVX512)
  if constexpr (sizeof(T) == 1) {
    const __m512i bytes = _mm512_and_si512((__m512i)mask.m, _mm512_set1_epi8(1));
    memcpy(p, &bytes, N);
  } else if constexpr (sizeof(T) == 4) {
    const __m128i bytes = _mm_maskz_set1_epi8(_mm512_movepi32_mask((__m512i)mask.m), 1);
    memcpy(p, &bytes, N);
  } else {
    const __m128i bytes = _mm_maskz_set1_epi8(_mm512_movepi64_mask((__m512i)mask.m), 1);
    memcpy(p, &bytes, N);
  }
#elif defined(RV_AVX2) || defined(RV_SSE4)
  if constexpr (sizeof(T) == 1) {
    typedef int8_t Bytes __attribute__((vector_size(kVecBytes)));
    const Bytes bytes = mask.m & 1;
    memcpy(p, &bytes, N);
  } else {
    __m128i halves[2];  // 0 or -1 in lanes of 32 bits, then of 16, then of 8
    memcpy(halves, &mask.m, kVecBytes);
    if constexpr (kVecBytes == 16) halves[1] = halves[0];
    const __m128i words =
        sizeof(T) == 4
            ? _mm_packs_epi32(halves[0], halves[1])
            : _mm_packs_epi32(
                  _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(halves[0]), _mm_castsi128_ps(halves[1]), 0x88)),
                  halves[0]);
    const __m128i bytes = _mm_and_si128(_mm_packs_epi16(words, words), _mm_set1_epi8(1));
    memcpy(p, &bytes, N);
  }
#else
  typedef int8_t Bytes __attribute__((vector_size(N)));
  const Bytes bytes = __builtin_convertvector(mask.m, Bytes) & 1;
  memcpy(p, &bytes, N);
#endif
}

// Bools as a mask for lanes of T.
template <class T> RV_INLINE Mask<T> load_bools(const bool* p) {
  using Native = typename Mask<T>::Native;
  if constexpr (sizeof(T) == 1) {
    Native bytes;
    memcpy(&bytes, p, kVecBytes);
    return {bytes != 0};
  } else {
#ifdef RV_MM
    int64_t low = 0, high = 0;
    memcpy(&low, p, Vec<T>::N < 8 ? Vec<T>::N : 8);
    if constexpr (Vec<T>::N == 16) memcpy(&high, p + 8, 8);
    const __m128i bytes = _mm_min_epu8(_mm_set_epi64x(high, low), _mm_set1_epi8(1));
    if constexpr (sizeof(T) == 4) return {-(Native)RV_MM(cvtepi8_epi32)(bytes)};
    else return {-(Native)RV_MM(cvtepi8_epi64)(bytes)};
#else
    typedef int8_t Bytes __attribute__((vector_size(Vec<T>::N)));
    Bytes bytes;
    memcpy(&bytes, p, Vec<T>::N);
    return {__builtin_convertvector(bytes != 0, Native)};
#endif
  }
}

// ---------------------------------------------------------------- lanes

template <class T> RV_INLINE Vec<T> select(Mask<T> mask, Vec<T> a, Vec<T> b) { return Vec<T>(mask.m ? a.v : b.v); }

template <class T> RV_INLINE bool any(Mask<T> mask) {
#if defined(RV_AVX512)
  return _mm512_test_epi32_mask((__m512i)mask.m, (__m512i)mask.m) != 0;
#elif defined(RV_AVX2)
  return _mm256_movemask_epi8((__m256i)mask.m) != 0;
#elif defined(RV_SSE4)
  return _mm_movemask_epi8((__m128i)mask.m) != 0;
#else
  int64_t halves[2];
  memcpy(halves, &mask.m, 16);
  return (halves[0] | halves[1]) != 0;
#endif
}

template <class To, class From> RV_INLINE Vec<To> bitcast(Vec<From> a) {
  return Vec<To>((typename Vec<To>::Native)a.v);
}

// Logical, not arithmetic as operator>>.
RV_INLINE Vec<int64_t> shift_right(Vec<int64_t> a, int bits) {
  typedef uint64_t Unsigned __attribute__((vector_size(kVecBytes)));
  return Vec<int64_t>((Vec<int64_t>::Native)((Unsigned)a.v >> bits));
}

// Between types of the same size; floats are truncated.
template <class To, class From> RV_INLINE Vec<To> convert(Vec<From> a) {
  static_assert(sizeof(To) == sizeof(From));
  return Vec<To>(__builtin_convertvector(a.v, typename Vec<To>::Native));
}

// A float vector as two double vectors, and back.
struct Doubles {
  Vec<double> lo, hi;
};
typedef float HalfFloats __attribute__((vector_size(kVecBytes / 2)));
RV_INLINE Doubles widen(Vec<float> a) {
#if defined(RV_AVX512)
  return {Vec<double>((Vec<double>::Native)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)a.v))),
          Vec<double>((Vec<double>::Native)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)a.v, 1)))};
#elif defined(RV_AVX2)
  return {Vec<double>((Vec<double>::Native)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)a.v))),
          Vec<double>((Vec<double>::Native)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)a.v, 1)))};
#elif defined(RV_SSE4)
  return {Vec<double>((Vec<double>::Native)_mm_cvtps_pd((__m128)a.v)),
          Vec<double>((Vec<double>::Native)_mm_cvtps_pd(_mm_movehl_ps((__m128)a.v, (__m128)a.v)))};
#else
  HalfFloats halves[2];
  memcpy(halves, &a.v, kVecBytes);
  return {Vec<double>(__builtin_convertvector(halves[0], Vec<double>::Native)),
          Vec<double>(__builtin_convertvector(halves[1], Vec<double>::Native))};
#endif
}
RV_INLINE Vec<float> narrow(Doubles d) {
#if defined(RV_AVX512)
  return Vec<float>((Vec<float>::Native)_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)d.lo.v)),
                                                           _mm512_cvtpd_ps((__m512d)d.hi.v), 1));
#elif defined(RV_AVX2)
  return Vec<float>((Vec<float>::Native)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps((__m256d)d.lo.v)),
                                                             _mm256_cvtpd_ps((__m256d)d.hi.v), 1));
#elif defined(RV_SSE4)
  return Vec<float>((Vec<float>::Native)_mm_movelh_ps(_mm_cvtpd_ps((__m128d)d.lo.v), _mm_cvtpd_ps((__m128d)d.hi.v)));
#else
  const HalfFloats halves[2] = {__builtin_convertvector(d.lo.v, HalfFloats),
                                __builtin_convertvector(d.hi.v, HalfFloats)};
  Vec<float> r;
  memcpy(&r.v, halves, kVecBytes);
  return r;
#endif
}

// f on each lane, for what has no vector form.
template <class T, class F> RV_INLINE Vec<T> map(Vec<T> a, F f) {
  alignas(kVecBytes) typename Vec<T>::Lane x[Vec<T>::N];
  memcpy(x, &a.v, kVecBytes);
#pragma GCC unroll 1
  for (int i = 0; i < Vec<T>::N; ++i) x[i] = f(x[i]);
  memcpy(&a.v, x, kVecBytes);
  return a;
}
template <class T, class F> RV_INLINE Vec<T> map(Vec<T> a, Vec<T> b, F f) {
  alignas(kVecBytes) typename Vec<T>::Lane x[Vec<T>::N], y[Vec<T>::N];
  memcpy(x, &a.v, kVecBytes);
  memcpy(y, &b.v, kVecBytes);
#pragma GCC unroll 1
  for (int i = 0; i < Vec<T>::N; ++i) x[i] = f(x[i], y[i]);
  memcpy(&a.v, x, kVecBytes);
  return a;
}
// f on the lanes that `mask` has, `rest` elsewhere: what a lane gives must not depend on its neighbours.
template <class T, class F> RV_INLINE Vec<T> map_where(Mask<T> mask, Vec<T> rest, F f) {
  if (!any(mask)) [[likely]]
    return rest;
  alignas(kVecBytes) typename Mask<T>::Int set[Vec<T>::N];
  alignas(kVecBytes) typename Vec<T>::Lane r[Vec<T>::N];
  memcpy(set, &mask.m, kVecBytes);
  memcpy(r, &rest.v, kVecBytes);
#pragma GCC unroll 1
  for (int i = 0; i < Vec<T>::N; ++i)
    if (set[i]) r[i] = f(i);
  memcpy(&rest.v, r, kVecBytes);
  return rest;
}
template <class T, class F> RV_INLINE Vec<T> map_where(Mask<T> mask, Vec<T> rest, Vec<T> a, F f) {
  return map_where(mask, rest, [&](int i) { return f(a[i]); });
}
template <class T, class F> RV_INLINE Vec<T> map_where(Mask<T> mask, Vec<T> rest, Vec<T> a, Vec<T> b, F f) {
  return map_where(mask, rest, [&](int i) { return f(a[i], b[i]); });
}

// table[i % 16] for each lane.
RV_INLINE Vec<float> lookup(const float (&table)[16], Vec<int32_t> i) {
#if defined(RV_AVX512)
  return Vec<float>((Vec<float>::Native)_mm512_permutexvar_ps((__m512i)i.v, _mm512_loadu_ps(table)));
#elif defined(RV_AVX2)
  const __m256i lanes = (__m256i)i.v;
  return Vec<float>((Vec<float>::Native)_mm256_blendv_ps(_mm256_permutevar8x32_ps(_mm256_loadu_ps(table), lanes),
                                                         _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), lanes),
                                                         _mm256_castsi256_ps(_mm256_slli_epi32(lanes, 28))));
#else
  Vec<float> r;
  for (int k = 0; k < Vec<float>::N; ++k) r.v[k] = table[i.v[k] & 15];
  return r;
#endif
}

// table[i] for each lane, of a table of two vectors; 0 <= i < 2 N.
template <class T> RV_INLINE Vec<T> lookup(Vec<T> low, Vec<T> high, Vec<typename IntOf<sizeof(T)>::Type> i) {
#if defined(RV_AVX512)
  using Native = typename Vec<T>::Native;
  if constexpr (sizeof(T) == 4)
    return Vec<T>((Native)_mm512_permutex2var_ps((__m512)low.v, (__m512i)i.v, (__m512)high.v));
  else return Vec<T>((Native)_mm512_permutex2var_pd((__m512d)low.v, (__m512i)i.v, (__m512d)high.v));
#else
  alignas(kVecBytes) T table[2 * Vec<T>::N];
  store(table, low), store(table + Vec<T>::N, high);
  if constexpr (sizeof(T) == 4 && Vec<T>::N == 8) return lookup(table, i);
  Vec<T> r;
  for (int k = 0; k < Vec<T>::N; ++k) r.v[k] = table[i.v[k]];
  return r;
#endif
}

// ---------------------------------------------------------------- arithmetic

template <class T> RV_INLINE Mask<T> isnan(Vec<T> a) { return a != a; }

// a * b + c; rounded once where the machine has such an instruction, twice elsewhere.
template <class T> RV_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) { return a * b + c; }

// What rounding a * b to `product` lost.
#ifdef __FMA__
RV_INLINE Vec<float> product_error(Vec<float> a, Vec<float> b, Vec<float> product) {
  return Vec<float>((Vec<float>::Native)RV_MM(fmsub_ps)((RV_PS)a.v, (RV_PS)b.v, (RV_PS)product.v));
}
RV_INLINE Vec<double> product_error(Vec<double> a, Vec<double> b, Vec<double> product) {
  return Vec<double>((Vec<double>::Native)RV_MM(fmsub_pd)((RV_PD)a.v, (RV_PD)b.v, (RV_PD)product.v));
}
#else
template <class T> RV_INLINE Vec<T> product_error(Vec<T> a, Vec<T> b, Vec<T> product) {
  using Int = typename IntOf<sizeof(T)>::Type;  // halves of both have few enough bits for exact products
  const Vec<Int> upper(static_cast<Int>(~Int(0) << (sizeof(T) == 4 ? 12 : 27)));
  const Vec<T> a1 = bitcast<T>(bitcast<Int>(a) & upper), b1 = bitcast<T>(bitcast<Int>(b) & upper), a2 = a - a1,
               b2 = b - b1;
  return ((a1 * b1 - product) + (a1 * b2 + a2 * b1)) + a2 * b2;
}
#endif

// a > b ? a : b and a < b ? a : b, so b where either is NaN: one instruction, which the compiler does not always find.
template <class T> RV_INLINE Vec<T> greater_or_second(Vec<T> a, Vec<T> b) { return select(a > b, a, b); }
template <class T> RV_INLINE Vec<T> less_or_second(Vec<T> a, Vec<T> b) { return select(a < b, a, b); }
#ifdef RV_MM
RV_INLINE Vec<float> greater_or_second(Vec<float> a, Vec<float> b) {
  return Vec<float>((Vec<float>::Native)RV_MM(max_ps)((RV_PS)a.v, (RV_PS)b.v));
}
RV_INLINE Vec<double> greater_or_second(Vec<double> a, Vec<double> b) {
  return Vec<double>((Vec<double>::Native)RV_MM(max_pd)((RV_PD)a.v, (RV_PD)b.v));
}
#ifdef RV_AVX512
RV_INLINE Vec<int32_t> less_or_second(Vec<int32_t> a, Vec<int32_t> b) {
  return Vec<int32_t>((Vec<int32_t>::Native)_mm512_min_epi32((__m512i)a.v, (__m512i)b.v));
}
#endif
RV_INLINE Vec<float> less_or_second(Vec<float> a, Vec<float> b) {
  return Vec<float>((Vec<float>::Native)RV_MM(min_ps)((RV_PS)a.v, (RV_PS)b.v));
}
RV_INLINE Vec<double> less_or_second(Vec<double> a, Vec<double> b) {
  return Vec<double>((Vec<double>::Native)RV_MM(min_pd)((RV_PD)a.v, (RV_PD)b.v));
}
#endif

// The greater; NaN where either is NaN. One instruction where b is a constant.
template <class T> RV_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {
  const Vec<T> r = greater_or_second(b, a);
  if constexpr (is_float<T>) return select(isnan(b), b, r);
  else return r;
}
template <class T> RV_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {
  const Vec<T> r = less_or_second(b, a);
  if constexpr (is_float<T>) return select(isnan(b), b, r);
  else return r;
}

template <class T> RV_INLINE Vec<T> sign_bit() {
  using Int = typename IntOf<sizeof(T)>::Type;
  return bitcast<T>(Vec<Int>(Int(Int(1) << (8 * sizeof(T) - 1))));
}
template <class T> RV_INLINE Vec<T> copysign(Vec<T> magnitude, Vec<T> sign) requires is_float<T> {
  using Int = typename IntOf<sizeof(T)>::Type;
  const Vec<Int> bit = bitcast<Int>(sign_bit<T>());
  return bitcast<T>((bitcast<Int>(magnitude) & (bit ^ Vec<Int>(-1))) | (bitcast<Int>(sign) & bit));
}
template <class T> RV_INLINE Vec<T> abs(Vec<T> a) {
  if constexpr (is_float<T>) {
    using Int = typename IntOf<sizeof(T)>::Type;
    return bitcast<T>(bitcast<Int>(a) & (bitcast<Int>(sign_bit<T>()) ^ Vec<Int>(-1)));
  } else if constexpr (same_type<T, uint8_t> || same_type<T, bool>) {
    return a;
  } else {
    return select(a < Vec<T>(0), -a, a);
  }
}

template <class T> RV_INLINE Vec<T> sign(Vec<T> a) {  // of a zero: zero; of NaN: zero
  using V = Vec<T>;
  if constexpr (T(-1) < T(0)) return select(a > V(0), V(1), select(a < V(0), V(-1), V(0)));
  else return select(a > V(0), V(1), V(0));
}
template <class T> RV_INLINE Mask<T> isinf(Vec<T> a) {
  if constexpr (is_float<T>) return abs(a) == Vec<T>(__builtin_inf());
  else return a != a;
}
template <class T> RV_INLINE Mask<T> isfinite(Vec<T> a) {
  if constexpr (is_float<T>) return abs(a) < Vec<T>(__builtin_inf());
  else return a == a;
}

template <int half, class V, int... L> RV_INLINE V swap_lanes(V a, std::integer_sequence<int, L...>) {
  return __builtin_shufflevector(a, a, (L ^ half)...);
}
template <int half, class T> RV_INLINE Vec<T> swap_lanes(Vec<T> a) {  // lane i and lane i ^ half
  return Vec<T>(swap_lanes<half>(a.v, std::make_integer_sequence<int, Vec<T>::N>{}));
}
// f over the lanes, in a fixed tree: lane i with lane i + N/2, and so on; f joins two vectors.
template <int half = 0, class T, class F> RV_INLINE T reduce(Vec<T> a, F f) {
  constexpr int h = half ? half : Vec<T>::N / 2;
  const Vec<T> joined = f(a, swap_lanes<h>(a));
  if constexpr (h > 1) return reduce<h / 2>(joined, f);
  else return static_cast<T>(joined.v[0]);
}
template <class T> RV_INLINE T reduce_add(Vec<T> a) {
  return reduce(
      a, [](Vec<T> x, Vec<T> y) __attribute__((always_inline)) { return x + y; });
}

// The number of the first lane that is set; N where none is.
template <class T> RV_INLINE int first_set(Mask<T> mask) {
  constexpr int N = Vec<T>::N;
#if defined(RV_AVX512)
  uint64_t bits;
  if constexpr (sizeof(T) == 1) bits = _mm512_movepi8_mask((__m512i)mask.m);
  else if constexpr (sizeof(T) == 4) bits = _mm512_movepi32_mask((__m512i)mask.m);
  else bits = _mm512_movepi64_mask((__m512i)mask.m);
  return bits ? __builtin_ctzll(bits) : N;
#else
  for (int i = 0; i < N; ++i)
    if (mask.m[i]) return i;
  return N;
#endif
}

// ---------------------------------------------------------------- rounding, square root

#ifdef RV_MM
#define RV_ROUNDING(name, mode)                                                                                      \
  RV_INLINE Vec<float> name(Vec<float> a) { return Vec<float>((Vec<float>::Native)RV_ROUND(ps)((RV_PS)a.v, mode)); } \
  RV_INLINE Vec<double> name(Vec<double> a) { return Vec<double>((Vec<double>::Native)RV_ROUND(pd)((RV_PD)a.v, mode)); }
RV_ROUNDING(floor, 9)  // toward -inf, no exception
RV_ROUNDING(ceil, 10)
RV_ROUNDING(trunc, 11)
RV_ROUNDING(round, 8)  // half to even
#undef RV_ROUNDING
RV_INLINE Vec<float> sqrt(Vec<float> a) { return Vec<float>((Vec<float>::Native)RV_MM(sqrt_ps)((RV_PS)a.v)); }
RV_INLINE Vec<double> sqrt(Vec<double> a) { return Vec<double>((Vec<double>::Native)RV_MM(sqrt_pd)((RV_PD)a.v)); }
#else
#define RV_BY_LANE(name, f32, f64)                  \
  RV_INLINE Vec<float> name(Vec<float> a) {         \
    return map(a, [](float x) { return f32(x); });  \
  }                                                 \
  RV_INLINE Vec<double> name(Vec<double> a) {       \
    return map(a, [](double x) { return f64(x); }); \
  }
RV_BY_LANE(floor, __builtin_floorf, __builtin_floor)
RV_BY_LANE(ceil, __builtin_ceilf, __builtin_ceil)
RV_BY_LANE(trunc, __builtin_truncf, __builtin_trunc)
RV_BY_LANE(round, __builtin_rintf, __builtin_rint)
RV_BY_LANE(sqrt, __builtin_sqrtf, __builtin_sqrt)
#undef RV_BY_LANE
#endif

}  // namespace rv::RV_ISA
