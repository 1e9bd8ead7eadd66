// SPDX-License-Identifier: Apache-2.0
// Which algorithm computes a product, with which copies: by its shape alone, so that bits never depend on time.
#pragma once
#include "cpu/gemm/shape.h"

namespace rv::RV_ISA::gemm {

enum class Algorithm : uint8_t {
  outer,       // tiles of C by the micro-kernel `outer`, operands in panels or in place
  inner,       // dot products along k: few rows, both operands contiguous along k; or few columns of a copied B
  transposed,  // tiles of C^T: A^T is copied and not the larger B, both contiguous along k; or C has few columns
  slices,      // k in slices, one partial product each: small C, long k
  strips,      // row by row of C: one row, or hardly any k
  lines        // one row, large B contiguous along k
};

struct Choice {
  Algorithm algorithm = Algorithm::outer;
  Source from_a = Source::in_place, from_b = Source::in_place;
  int64_t slices = 1;
};

// Algorithms need C with unit stride along its rows (Shape::wants_transpose), and k > 0.
template <class T> Choice choose(const Shape&);
// The same where A or B is in panels already.
template <class T> Choice choose_ahead(const Shape&, Source a, Source b);
// Whether panels of B, made ahead, would pay.
template <class T> bool ahead_pays(const Shape&);

// What a measurement may ask for instead (variants.def).
enum class Variant : uint8_t {
  chosen,
#define VARIANT(name, ...) name,
#include "cpu/gemm/variants.def"
  count
};
bool fits(const Shape&, Variant);
template <class T> Choice forced(const Shape&, Variant);

// Nanoseconds of one thread for float32 by bf16 terms (split.h) and by FMA. `margin`: by how much terms must win where
// they bring speed alone.
struct UnitSpeed {
  double per_product, per_value, per_value_and_term, fma;  // of a multiply-add; of a packed value
  double margin;
};
// The threads of a core share its tiles, where each has FMAs of its own: a busy neighbour takes half of the gain.
inline constexpr UnitSpeed kAmxSpeed{2 / 3174.0, 0.05, 0.12, 2 / 225.0, 2.0};
// For tests: whatever AMX might take.
inline constexpr UnitSpeed kEmulatedSpeed{2 / 3174.0, 0.05, 0.12, 2 / 225.0, 1.0};
// vdpbf16ps
inline constexpr UnitSpeed kDotSpeed{2 / 440.0, 0.01, 0.1, 2 / 215.0, 1.0};

}  // namespace rv::RV_ISA::gemm
