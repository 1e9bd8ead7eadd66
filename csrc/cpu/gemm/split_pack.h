// SPDX-License-Identifier: Apache-2.0
// float32 operands as bf16 terms, packed into tiles: hi = bf16(x), mid = bf16(x - hi), lo = bf16(x - hi - mid), rounded
// to nearest. The differences are exact, and 8 + 8 + 8 bits hold all 24 of x: x = hi + mid + lo unless a term
// underflows.
//
// A tile is 1 KB: 16 rows of A, or columns of B, by 32 k. A panel is a row of tiles along k, the terms of each block of
// 32 k side by side: [block of k][term][tile]. In a tile of A a row's 32 values lie together, [row][k]; one of B has
// two rows of k interleaved, [k / 2][column][k % 2]. So 32 bits always hold a pair of k. What is missing at the edges
// is zero.
#pragma once
#include "cpu/gemm/vec.h"

#if defined(RV_AVX512)
namespace rv::RV_ISA::gemm {

inline constexpr int kTile = 16, kTileK = 32, kTileWords = kTile * kTileK;

// The largest magnitude of a panel, and its smallest but zero minus one, as bits. No elements: {0, ~0}.
struct Range {
  uint32_t max, min;

  RV_INLINE void merge(Range r) {
    if (r.max > max) max = r.max;
    if (r.min < min) min = r.min;
  }
  static RV_INLINE float value(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
  }
  bool zero() const { return max == 0; }
  float largest() const { return value(max); }
  float smallest() const { return value(min + 1); }
};
inline constexpr Range kNoRange{0, ~uint32_t{0}};

struct RangeOfVectors {
  __m512i max = _mm512_setzero_si512(), min = _mm512_set1_epi32(-1);

  RV_INLINE void add(__m512 x) {
    const __m512i bits = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
    max = _mm512_max_epu32(max, bits);
    min = _mm512_min_epu32(min, _mm512_sub_epi32(bits, _mm512_set1_epi32(1)));
  }
  RV_INLINE Range get() const { return {_mm512_reduce_max_epu32(max), _mm512_reduce_min_epu32(min)}; }
};

// x rounded to bf16: bits whose low half is to be dropped.
RV_INLINE __m512i round_bf16(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  return _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
}
// x minus that.
RV_INLINE __m512 rest_bf16(__m512 x, __m512i rounded) {
  return _mm512_sub_ps(
      x, _mm512_castsi512_ps(_mm512_and_si512(rounded, _mm512_set1_epi32(static_cast<int>(0xffff0000u)))));
}

// 32 values along k of one row: a line of a tile of A.
template <int kTerms> RV_INLINE void split_row(uint16_t* to, __m512 x, __m512 y) {
  alignas(64) static constexpr uint16_t kOdd[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                                    33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  const __m512i high = _mm512_load_si512(kOdd);
#pragma GCC unroll 3
  for (int t = 0; t < kTerms; ++t) {
    const __m512i rx = round_bf16(x), ry = round_bf16(y);
    _mm512_store_si512(to + t * kTileWords, _mm512_permutex2var_epi16(rx, high, ry));
    if (t + 1 < kTerms) x = rest_bf16(x, rx), y = rest_bf16(y, ry);
  }
}
// 16 columns at k = p (x) and p + 1 (y): a line of a tile of B.
template <int kTerms> RV_INLINE void split_pair(uint16_t* to, __m512 x, __m512 y) {
#pragma GCC unroll 3
  for (int t = 0; t < kTerms; ++t) {
    const __m512i rx = round_bf16(x), ry = round_bf16(y);
    _mm512_store_si512(to + t * kTileWords, _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(rx, 16), ry));
    if (t + 1 < kTerms) x = rest_bf16(x, rx), y = rest_bf16(y, ry);
  }
}

// to[j][i] = from[i][j], 16 x 16 values of 32 bits.
RV_INLINE void transpose_tile(float* to, const float* from) {
#pragma GCC unroll 4
  for (int c = 0; c < kTile; c += 4) {
    vec<float> v[4];
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) v[g] = load_blocks(from + g * kTile + c, 4 * kTile);
    transpose_blocks<float>(v);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) store(to + (c + j) * kTile, v[j]);
  }
}

// The panel of rows src[i * s_outer + p * s_k], i < count <= 16, p < k, as tiles of A (kPairs false) or B; its range.
// Along k and across are equally welcome: the other order costs a transpose of finished tiles.
template <int kTerms, bool kPairs>
[[gnu::noinline]] Range split_panel(uint16_t* dst, int count, const float* src, int64_t s_outer, int64_t s_k,
                                    int64_t k) {
  alignas(64) uint16_t lines[3 * kTileWords];
  alignas(64) float gathered[kTileK];
  RangeOfVectors range;
  for (int64_t p = 0; p < k; p += kTileK, dst += kTerms * kTileWords) {
    const int steps = static_cast<int>(k - p < kTileK ? k - p : kTileK);
    if (s_outer == 1 && s_k != 1) {
      uint16_t* const to = kPairs ? dst : lines;
      const __mmask16 have = static_cast<__mmask16>((1u << count) - 1);
      const float* from = src + p * s_k;
      for (int h = 0; h < kTileK; h += 2, from += 2 * s_k) {
        const __m512 x = h < steps ? _mm512_maskz_loadu_ps(have, from) : _mm512_setzero_ps();
        const __m512 y = h + 1 < steps ? _mm512_maskz_loadu_ps(have, from + s_k) : _mm512_setzero_ps();
        range.add(x), range.add(y);
        split_pair<kTerms>(to + h * kTile, x, y);
      }
    } else {
      uint16_t* const to = kPairs ? lines : dst;
      const uint32_t have = steps == kTileK ? ~0u : (1u << steps) - 1;
      for (int i = 0; i < kTile; ++i) {
        const float* from = src + i * s_outer + p * s_k;
        if (s_k != 1 && i < count) {
          for (int j = 0; j < steps; ++j) gathered[j] = from[j * s_k];
          from = gathered;
        }
        const uint32_t lanes = i < count ? have : 0;
        const __m512 x = _mm512_maskz_loadu_ps(static_cast<__mmask16>(lanes), from);
        const __m512 y = _mm512_maskz_loadu_ps(static_cast<__mmask16>(lanes >> 16), from + 16);
        range.add(x), range.add(y);
        split_row<kTerms>(to + i * kTileK, x, y);
      }
    }
    if ((s_outer == 1 && s_k != 1) != kPairs)
#pragma GCC unroll 3
      for (int t = 0; t < kTerms; ++t)
        transpose_tile(reinterpret_cast<float*>(dst + t * kTileWords),
                       reinterpret_cast<const float*>(lines + t * kTileWords));
  }
  return range.get();
}

using SplitPanel = Range (*)(uint16_t* dst, int count, const float* src, int64_t s_outer, int64_t s_k, int64_t k);
inline SplitPanel pick_split(int terms, bool pairs) {
  static constexpr SplitPanel table[3][2] = {{split_panel<1, false>, split_panel<1, true>},
                                             {split_panel<2, false>, split_panel<2, true>},
                                             {split_panel<3, false>, split_panel<3, true>}};
  return table[terms - 1][pairs];
}

}  // namespace rv::RV_ISA::gemm
#endif
