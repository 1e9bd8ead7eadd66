// SPDX-License-Identifier: Apache-2.0
// A vector of neighbouring places: how it finds what one tap meets at each of them.
#pragma once
#include "cpu/gemm/vec.h"

namespace rv::RV_ISA::conv {

using gemm::kLanes;
using gemm::vec;

// The lanes of 2 L values from p on that lie `at` elements beyond it, for lanes below `count`; zero in the others.
template <class T> RV_INLINE vec<T> pick(const T* p, const int32_t* at, int count) {
  constexpr int L = kLanes<T>;
#if defined(RV_AVX512)
  if constexpr (sizeof(T) == 4)
    return (vec<T>)_mm512_maskz_permutex2var_ps((__mmask16)((1u << count) - 1u), _mm512_loadu_ps(p),
                                                _mm512_loadu_si512(at), _mm512_loadu_ps(p + L));
  else
    return (vec<T>)_mm512_maskz_permutex2var_pd(
        (__mmask8)((1u << count) - 1u), _mm512_loadu_pd(p),
        _mm512_cvtepi32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at))), _mm512_loadu_pd(p + L));
#elif defined(RV_AVX2)
  if constexpr (sizeof(T) == 4) {
    const __m256i index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(p), index),
                 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(p + L), index);
    const __m256 both = _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (vec<T>)_mm256_and_ps(both, _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane)));
  }
#endif
  vec<T> v{};
  for (int i = 0; i < L; ++i)
    if (i < count) v[i] = p[at[i]];
  return v;
}

// Places `first`, ... of a run, `count` of them. For a tap that the first of them meets at p, the others meet theirs at
// p + at.
template <class T> struct Lanes {
  enum Kind : int32_t {
    row,   // L places side by side
    near,  // all within two vectors
    far
  };
  int32_t first, count;  // where the first place lies; places that exist
  Kind kind;
  int32_t at[kLanes<T>];

  Lanes() = default;
  // Places from `place` on, side by side.
  RV_INLINE void set_row(int64_t place) {
    first = static_cast<int32_t>(place), count = kLanes<T>, kind = row;
    for (int i = 0; i < kLanes<T>; ++i) at[i] = i;
  }
  // next(): where each of the places lies, one after the other.
  template <class F> RV_INLINE void set(int places, F&& next) {
    count = places, kind = far, first = places > 0 ? static_cast<int32_t>(next()) : 0;
    int32_t reach = 0;
    for (int i = 0; i < kLanes<T>; ++i) {
      at[i] = 0 < i && i < places ? static_cast<int32_t>(next()) - first : 0;
      reach = at[i] > reach ? at[i] : reach;
    }
    if (reach < 2 * kLanes<T>) kind = near;
  }

  // What a tap at `frame` meets: two vectors may be read from there.
  RV_INLINE vec<T> load(const T* frame) const {
    if (kind == row) return gemm::load(frame + first);
    if (kind == near) return pick<T>(frame + first, at, count);
    return scattered(frame + first);
  }

 private:
  vec<T> scattered(const T* p) const {
    vec<T> v{};
    for (int i = 0; i < count; ++i) v[i] = p[at[i]];
    return v;
  }
};

}  // namespace rv::RV_ISA::conv
