// SPDX-License-Identifier: Apache-2.0
// The formulas of elementwise.def as types, formula_add, formula_sub, ..., and the rows' numbers, row_add, row_sub, ...
#pragma once
#include "cpu/simd/simd.h"
#include "cpu/simd/vmath.h"

namespace rv::RV_ISA {

constexpr unsigned types_of(DTypeClass c) {  // a bit a dtype
  unsigned types = 0;
  for (int code = 0; code < kDTypes; ++code) types |= unsigned{kDTypeClass[code] == c} << code;
  return types;
}
// what elementwise.def calls them
enum Types : unsigned {
  FLOAT = types_of(DTypeClass::FLOAT),
  BOOL = types_of(DTypeClass::BOOL),
  NUMERIC = FLOAT | types_of(DTypeClass::INTEGER),
  INTEGER = BOOL | types_of(DTypeClass::INTEGER),
  ALL = NUMERIC | BOOL,
};

enum class Links { none, light, commuting };  // of chains: EW, EWL, EWC

#define EW(...) FORMULA(none, __VA_ARGS__)
#define EWL(...) FORMULA(light, __VA_ARGS__)
#define EWC(...) FORMULA(commuting, __VA_ARGS__)
#define EWP(...) FORMULA(none, __VA_ARGS__)
#define FORMULA(links, name, arity, types, ...)                                                   \
  struct formula_##name {                                                                         \
    static constexpr int kArity = arity;                                                          \
    static constexpr unsigned kTypes = types;                                                     \
    static constexpr Links kLinks = Links::links;                                                 \
    template <class V>                                                                            \
    static RV_INLINE auto apply([[maybe_unused]] V a, [[maybe_unused]] V b, [[maybe_unused]] V c, \
                                [[maybe_unused]] V d) {                                           \
      return __VA_ARGS__;                                                                         \
    }                                                                                             \
  };
#include "core/elementwise.def"
#undef FORMULA

enum : int {
#define EW(name, ...) row_##name,
#define EWP(name, ...) row_##name,
#define EWX(name, ...) row_##name,
#include "core/elementwise.def"
  row_count
};

}  // namespace rv::RV_ISA
