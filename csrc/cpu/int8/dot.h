// SPDX-License-Identifier: Apache-2.0
// Sums of four products of bytes in each 32-bit lane: acc += a0 b0 + a1 b1 + a2 b2 + a3 b3, a unsigned, b signed. Exact
// on every unit, so that all give the same bits.
#pragma once
#include "core/units.h"
#include "cpu/simd/simd.h"

namespace rv::RV_ISA::int8 {

// By products of 16-bit numbers, whose sums of two fit: the instruction for bytes (pmaddubsw) saturates.
struct Words {
  static constexpr int kLanes = kVecBytes / 4;
  typedef int32_t Acc __attribute__((vector_size(kVecBytes)));
  typedef int16_t Halves __attribute__((vector_size(kVecBytes)));
  typedef uint16_t Unsigned __attribute__((vector_size(kVecBytes)));
  struct Pairs {
    Halves even, odd;
  };
  using A = Pairs;
  using B = Pairs;

  static RV_INLINE A broadcast(const uint8_t* p) {
    int32_t four;
    memcpy(&four, p, 4);
    const Unsigned all = (Unsigned)(four - Acc{});
    return {(Halves)(all & 255), (Halves)(all >> 8)};
  }
  static RV_INLINE B load(const int8_t* p) {
    Halves all;
    memcpy(&all, p, kVecBytes);
    return {(all << 8) >> 8, all >> 8};
  }
  static RV_INLINE Acc madd(Halves a, Halves b) {
#if defined(RV_AVX512)
    return (Acc)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(RV_AVX2)
    return (Acc)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return (Acc)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    const Acc x = (Acc)a, y = (Acc)b;  // halves of each lane, sign-extended
    return ((x << 16) >> 16) * ((y << 16) >> 16) + (x >> 16) * (y >> 16);
#endif
  }
  static RV_INLINE Acc dot(Acc acc, A a, B b) { return acc + madd(a.even, b.even) + madd(a.odd, b.odd); }
};

#if defined(RV_AVX512) || (defined(RV_AVX2) && defined(RV_HAVE_AVX_VNNI))
#define RV_INT8_DOT 1
// vpdpbusd. Assembly, for the instruction set's level does not promise it: MatrixUnits::int8_dot says whether it is
// there.
struct Bytes {
  static constexpr int kLanes = kVecBytes / 4;
  typedef int32_t Acc __attribute__((vector_size(kVecBytes)));
  using A = Acc;
  using B = Acc;

  static RV_INLINE A broadcast(const uint8_t* p) {
    int32_t four;
    memcpy(&four, p, 4);
    return four - Acc{};
  }
  static RV_INLINE B load(const int8_t* p) {
    B all;
    memcpy(&all, p, kVecBytes);
    return all;
  }
  static RV_INLINE Acc dot(Acc acc, A a, B b) {
#if defined(RV_AVX512)
    asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
#else
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
#endif
    return acc;
  }
};
#endif

}  // namespace rv::RV_ISA::int8
