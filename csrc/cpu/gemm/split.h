// SPDX-License-Identifier: Apache-2.0
// Products of float32 matrices by the sum of products of their bf16 terms, where the CPU has a unit for these:
//
//   "highest"  x = hi + mid + lo, 6 products   leaves out at most 2^-24 |a| |b|: one rounding of float32
//   "high"     x = hi + mid, 3 products        2^-15
//   "medium"   x = hi, 1 product               2^-7
//
// Values that bf16 terms do not hold are found while packing: tiles of C that depend on them are computed by FMA. That
// follows from the data alone, as the choice of the unit follows from shapes: bits do not depend on the threads.
#pragma once
#include "core/units.h"
#include "cpu/gemm/fma.h"
#include "cpu/simd/simd.h"

namespace rv::RV_ISA::gemm {

enum class Precision : uint8_t { highest, high, medium };

// How a product is cut, by its shape alone: k in pieces whose terms fill 1 KB a row (two panels of B: 32 KB, in L1),
// tiles of C of 128 x 256 (their A: 128 KB, in L2), packed super-blocks of at most 2048 x 2048 (2 MB each).
struct Split {
  int terms = 0;  // 0: by FMA
  int64_t piece = 0, tile_rows = 0, tile_cols = 0;
  Source from_a = Source::copied, from_b = Source::copied;
  const std::byte *a = nullptr, *b = nullptr;  // operands in terms, made ahead

  explicit operator bool() const { return terms > 0; }
  static Split of([[maybe_unused]] Precision precision, [[maybe_unused]] const Shape& s, [[maybe_unused]] Source from_a,
                  [[maybe_unused]] Source from_b) {
#if defined(RV_AVX512)
    if (matrix_units.tiles != Tiles::none || (matrix_units.bf16_dot && precision == Precision::medium))
      return by_unit(precision, s, from_a, from_b);
#endif
    return {};
  }
  // Of one operand of `extent` rows or columns in terms, made ahead.
  int64_t ahead_bytes(int64_t extent, int64_t k) const;

 private:
  static Split by_unit(Precision, const Shape&, Source from_a, Source from_b);  // where it pays
};

// An operand as `split_ahead` and `run_split` read it: rows of A, or columns of B.
struct SplitSide {
  const float* p;
  int64_t s_outer, s_k, extent;
  bool pairs;  // B
};
void split_ahead(const Split&, const SplitSide&, int64_t k, std::byte* to, Team&);

// As for FMA (fma.h).
int64_t split_bytes(const Split&, const Shape&);
void run_split(const Split&, const Product<float>&, const float* bias, std::byte* scratch, Team&);

}  // namespace rv::RV_ISA::gemm
