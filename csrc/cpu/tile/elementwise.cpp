// SPDX-License-Identifier: Apache-2.0
// The tile functions: each elementwise row of elementwise.def for each of its dtypes.
#include "cpu/tile/formulas.h"
#include "cpu/tile/program.h"

namespace rv::RV_ISA {
namespace {

template <class T> RV_INLINE void store_result(T* out, Vec<T> r) { store(out, r); }
template <class T> RV_INLINE void store_result(bool* out, Mask<T> r) { store_bools(out, r); }

template <class T> struct MaskOrVec;  // the element type of a formula's result
template <class T> struct MaskOrVec<Vec<T>> { using Out = T; };
template <class T> struct MaskOrVec<Mask<T>> { using Out = bool; };

// Whole vectors first; then the rest in the same loop, once, by way of padded buffers.
template <class Formula, class T> void run(const void* const* in, void* out_memory, int64_t n) {
  using V = Vec<T>;
  using Out = typename MaskOrVec<decltype(Formula::apply(V{}, V{}, V{}, V{}))>::Out;
  constexpr int N = V::N, kArity = Formula::kArity;
  const T* p[4] = {};
  for (int k = 0; k < kArity; ++k) p[k] = static_cast<const T*>(in[k]);
  Out* out = static_cast<Out*>(out_memory);
  alignas(kVecBytes) T padded[kArity][N];
  alignas(kVecBytes) Out padded_out[N];

  int64_t whole = n & -N;
  const int64_t rest = n - whole;
  for (bool tail = false;; tail = true) {
    for (int64_t i = 0; i < whole; i += N) {
      V x[4] = {};
      for (int k = 0; k < kArity; ++k) x[k] = load(p[k] + i);
      store_result(out + i, Formula::apply(x[0], x[1], x[2], x[3]));
    }
    if (rest == 0) return;
    if (tail) break;
    for (int k = 0; k < kArity; ++k) {
      store(padded[k], load_partial(p[k] + whole, rest));
      p[k] = padded[k];
    }
    out_memory = out + whole;
    out = padded_out;
    whole = N;
  }
  memcpy(out_memory, padded_out, static_cast<size_t>(rest) * sizeof(Out));
}

// ---------------------------------------------------------------- mixed dtypes

template <class T> void run_where(const void* const* in, void* out_memory, int64_t n) {
  const uint8_t* condition = static_cast<const uint8_t*>(in[0]);
  const T *a = static_cast<const T*>(in[1]), *b = static_cast<const T*>(in[2]);
  T* out = static_cast<T*>(out_memory);
  int64_t i = 0;
  for (; i + Vec<T>::N <= n; i += Vec<T>::N)
    store(out + i, select(load_bools<T>(reinterpret_cast<const bool*>(condition + i)), load(a + i), load(b + i)));
#pragma GCC unroll 1
  for (; i < n; ++i) out[i] = condition[i] ? a[i] : b[i];
}

// Truncates floats. Where C leaves a conversion undefined, small integers take the low bits of int32, as the
// machine and NumPy do.
template <class To, class From> RV_INLINE To convert_scalar(typename LaneOf<From>::Type x) {
  if constexpr (same_type<To, bool> || same_type<From, bool>) return static_cast<To>(x != 0);
  else if constexpr (is_float<From> && sizeof(To) == 1) return static_cast<To>(static_cast<int32_t>(x));
  else return static_cast<To>(x);
}
template <class To, class From> void run_cast(const void* const* in, void* out_memory, int64_t n) {
  using Lane = typename LaneOf<From>::Type;  // bools as bytes: the compiler does not vectorise them
  const Lane* a = static_cast<const Lane*>(in[0]);
  To* out = static_cast<To*>(out_memory);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = convert_scalar<To, From>(a[i]);
}

// ---------------------------------------------------------------- the table

struct Row {
  TileFn fn[kDTypes];
};

template <class Formula, DType t, class T> constexpr TileFn instance() {
  if constexpr ((Formula::kTypes >> static_cast<int>(t) & 1) != 0) return run<Formula, T>;
  else return nullptr;
}
template <class Formula> constexpr Row row_of() {
  return {{
#define DTYPE(name, type, ...) instance<Formula, DType::name, type>(),
#include "core/dtypes.def"
  }};
}
constexpr Row kTable[] = {
#define EW(name, ...) row_of<formula_##name>(),
#define EWP(name, ...) row_of<formula_##name>(),
#define EWX(name, arity) {},
#include "core/elementwise.def"
};

constexpr Row kWhere = {{
#define DTYPE(name, type, ...) run_where<type>,
#include "core/dtypes.def"
}};

template <class From> constexpr Row casts_from() {
  return {{
#define DTYPE(name, type, ...) run_cast<type, From>,
#include "core/dtypes.def"
  }};
}
constexpr Row kCast[] = {
#define DTYPE(name, type, ...) casts_from<type>(),
#include "core/dtypes.def"
};

}  // namespace

TileFn tile_fn(int row, int dtype_code) {
  if (row < 0 || row >= row_count || dtype_code < 0) return nullptr;
  if (row == row_cast) {
    const int from = dtype_code / 16, to = dtype_code % 16;
    return from < kDTypes && to < kDTypes ? kCast[from].fn[to] : nullptr;
  }
  if (dtype_code >= kDTypes) return nullptr;
  return row == row_where ? kWhere.fn[dtype_code] : kTable[row].fn[dtype_code];
}

}  // namespace rv::RV_ISA
