// SPDX-License-Identifier: Apache-2.0
// C[16 R, 16 S] (+)= A B for panels of bf16 tiles (split_pack.h), on one of three units: AMX tiles, their exact
// emulation in software (for tests), and vdpbf16ps of AVX512_BF16.
#pragma once
#include "core/units.h"
#include "cpu/gemm/split_pack.h"

#if defined(RV_AVX512)
namespace rv::RV_ISA::gemm {

// Products of terms, the smallest first; neighbours share a tile where they can. The smallest are left out (mid lo and
// below, of 2^-25 |a b| each): 6 of 9 and 3 of 4 remain.
struct TermPair {
  int a, b;
};
template <int kTerms> struct Pairs;
template <> struct Pairs<1> {
  static constexpr int count = 1;
  static constexpr TermPair list[] = {{0, 0}};
};
template <> struct Pairs<2> {
  static constexpr int count = 3;
  static constexpr TermPair list[] = {{0, 1}, {0, 0}, {1, 0}};
};
template <> struct Pairs<3> {
  static constexpr int count = 6;
  static constexpr TermPair list[] = {{0, 2}, {0, 1}, {1, 1}, {1, 0}, {2, 0}, {0, 0}};
};

// Panels of A follow each other at `a_panel` values, those of B at `b_panel`; `blocks` of 32 k.
struct UnitJob {
  const uint16_t *a, *b;
  int64_t a_panel, b_panel, blocks;
  float* c;
  int64_t c_row;
  bool accumulate;
};

// ---------------------------------------------------------------- AMX

#if defined(RV_HAVE_AMX)
#define RV_AMX __attribute__((target("amx-tile,amx-bf16"), noinline))

struct TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);
alignas(64) inline constexpr TileConfig kTileConfig;

// Assembly of our own, because compilers' tile intrinsics do not say that they read and write memory.
RV_AMX inline void amx_begin() { asm volatile("ldtilecfg %0" ::"m"(kTileConfig)); }
RV_AMX inline void amx_end() { asm volatile("tilerelease"); }
#define RV_TILE_ZERO(t) asm volatile("tilezero %%tmm" #t ::)
#define RV_TILE_LOAD(t, p, bytes) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"(p), "r"(static_cast<int64_t>(bytes)) : "memory")
#define RV_TILE_STORE(t, p, bytes) \
  asm volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"(p), "r"(static_cast<int64_t>(bytes)) : "memory")
#define RV_TILE_DOT(c, a, b) asm volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

// Tiles 0 to 3 are C, 4 and 5 a term of A, 6 and 7 one of B. For 3 terms 14 loads feed 24 multiplications.
template <int kTerms, int R, int S> RV_AMX void amx_block(const UnitJob& job) {
  const int64_t c_bytes = job.c_row * 4;
  float *const c0 = job.c, *const c1 = job.c + kTile * job.c_row;
  if (job.accumulate) {
    RV_TILE_LOAD(0, c0, c_bytes);
    if constexpr (S == 2) RV_TILE_LOAD(1, c0 + kTile, c_bytes);
    if constexpr (R == 2) RV_TILE_LOAD(2, c1, c_bytes);
    if constexpr (R == 2 && S == 2) RV_TILE_LOAD(3, c1 + kTile, c_bytes);
  } else {
    RV_TILE_ZERO(0);
    if constexpr (S == 2) RV_TILE_ZERO(1);
    if constexpr (R == 2) RV_TILE_ZERO(2);
    if constexpr (R == 2 && S == 2) RV_TILE_ZERO(3);
  }
  const uint16_t *a = job.a, *b = job.b;
  for (int64_t k = 0; k < job.blocks; ++k, a += kTerms * kTileWords, b += kTerms * kTileWords) {
    int term_a = -1, term_b = -1;
#pragma GCC unroll 6
    for (int s = 0; s < Pairs<kTerms>::count; ++s) {
      const TermPair pair = Pairs<kTerms>::list[s];
      if (pair.a != term_a) {
        term_a = pair.a;
        RV_TILE_LOAD(4, a + term_a * kTileWords, 64);
        if constexpr (R == 2) RV_TILE_LOAD(5, a + job.a_panel + term_a * kTileWords, 64);
      }
      if (pair.b != term_b) {
        term_b = pair.b;
        RV_TILE_LOAD(6, b + term_b * kTileWords, 64);
        if constexpr (S == 2) RV_TILE_LOAD(7, b + job.b_panel + term_b * kTileWords, 64);
      }
      RV_TILE_DOT(0, 4, 6);
      if constexpr (S == 2) RV_TILE_DOT(1, 4, 7);
      if constexpr (R == 2) RV_TILE_DOT(2, 5, 6);
      if constexpr (R == 2 && S == 2) RV_TILE_DOT(3, 5, 7);
    }
  }
  RV_TILE_STORE(0, c0, c_bytes);
  if constexpr (S == 2) RV_TILE_STORE(1, c0 + kTile, c_bytes);
  if constexpr (R == 2) RV_TILE_STORE(2, c1, c_bytes);
  if constexpr (R == 2 && S == 2) RV_TILE_STORE(3, c1 + kTile, c_bytes);
}
#endif

// ---------------------------------------------------------------- emulated tiles

// c (+)= a b as tdpbf16ps computes it (Intel SDM, vol. 2): even and odd k are summed apart, each in the order of k by
// FMA from zero; then their sum is added to c. All rounded to nearest, denormals are zero: the mode of a plan's
// threads.
inline void emulate_dot(float* c, int64_t c_row, const uint16_t* a, const uint16_t* b) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  for (int i = 0; i < kTile; ++i) {
    __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
    for (int p = 0; p < kTile; ++p) {
      int pair;
      memcpy(&pair, a + i * kTileK + 2 * p, 4);
      const __m512i x = _mm512_set1_epi32(pair), y = _mm512_load_si512(b + p * kTileK);
      even = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)),
                             _mm512_castsi512_ps(_mm512_slli_epi32(y, 16)), even);
      odd = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, high)),
                            _mm512_castsi512_ps(_mm512_and_si512(y, high)), odd);
    }
    float* const to = c + i * c_row;
    _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), _mm512_add_ps(even, odd)));
  }
}

template <int kTerms, int R, int S> void emulated_block(const UnitJob& job) {
  for (int r = 0; r < R; ++r)
    for (int s = 0; s < S; ++s) {
      float* const c = job.c + r * kTile * job.c_row + s * kTile;
      if (!job.accumulate)
        for (int i = 0; i < kTile; ++i) _mm512_storeu_ps(c + i * job.c_row, _mm512_setzero_ps());
      const uint16_t *a = job.a + r * job.a_panel, *b = job.b + s * job.b_panel;
      for (int64_t k = 0; k < job.blocks; ++k, a += kTerms * kTileWords, b += kTerms * kTileWords)
        for (const TermPair& pair : Pairs<kTerms>::list)
          emulate_dot(c, job.c_row, a + pair.a * kTileWords, b + pair.b * kTileWords);
    }
}

// ---------------------------------------------------------------- vdpbf16ps

// One term, 8 rows by S vectors at a time. Machines start as many of them a cycle as FMAs: twice the arithmetic.
template <int R, int S> __attribute__((target("avx512bf16"), noinline)) void dot_block(const UnitJob& job) {
  constexpr int kStep = 8;
  for (int r = 0; r < R * kTile; r += kStep) {
    float* const c = job.c + r * job.c_row;
    const uint16_t *a = job.a + r / kTile * job.a_panel + r % kTile * kTileK, *b = job.b;
    __m512 acc[kStep][S];
#pragma GCC unroll 8
    for (int i = 0; i < kStep; ++i)
#pragma GCC unroll 2
      for (int s = 0; s < S; ++s)
        acc[i][s] = job.accumulate ? _mm512_loadu_ps(c + i * job.c_row + s * kTile) : _mm512_setzero_ps();
    for (int64_t k = 0; k < job.blocks; ++k, a += kTileWords, b += kTileWords) {
      for (int p = 0; p < kTileK; p += 2) {
        __m512bh y[S];
#pragma GCC unroll 2
        for (int s = 0; s < S; ++s) y[s] = (__m512bh)_mm512_load_si512(b + s * job.b_panel + p * kTile);
#pragma GCC unroll 8
        for (int i = 0; i < kStep; ++i) {
          int pair;
          memcpy(&pair, a + i * kTileK + p, 4);
          const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 2
          for (int s = 0; s < S; ++s) acc[i][s] = _mm512_dpbf16_ps(acc[i][s], x, y[s]);
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kStep; ++i)
#pragma GCC unroll 2
      for (int s = 0; s < S; ++s) _mm512_storeu_ps(c + i * job.c_row + s * kTile, acc[i][s]);
  }
}

// ---------------------------------------------------------------- choice

using UnitBlock = void (*)(const UnitJob&);

// A thread's work on the unit lies between the two: AMX needs its tiles configured, and its state is large.
inline void unit_begin() {
#if defined(RV_HAVE_AMX)
  if (matrix_units.tiles == Tiles::amx) amx_begin();
#endif
}
inline void unit_end() {
#if defined(RV_HAVE_AMX)
  if (matrix_units.tiles == Tiles::amx) amx_end();
#endif
}

template <int kTerms, int R, int S> UnitBlock unit_of() {
  switch (matrix_units.tiles) {
#if defined(RV_HAVE_AMX)
    case Tiles::amx: return amx_block<kTerms, R, S>;
#endif
    case Tiles::emulated: return emulated_block<kTerms, R, S>;
    default: return kTerms == 1 ? dot_block<R, S> : nullptr;
  }
}
template <int kTerms> UnitBlock pick_unit(int64_t rows, int64_t cols) {
  if (rows > kTile) return cols > kTile ? unit_of<kTerms, 2, 2>() : unit_of<kTerms, 2, 1>();
  return cols > kTile ? unit_of<kTerms, 1, 2>() : unit_of<kTerms, 1, 1>();
}
inline UnitBlock pick_unit(int terms, int64_t rows, int64_t cols) {
  return terms == 1 ? pick_unit<1>(rows, cols) : terms == 2 ? pick_unit<2>(rows, cols) : pick_unit<3>(rows, cols);
}

}  // namespace rv::RV_ISA::gemm
#endif
