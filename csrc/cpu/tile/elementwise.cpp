// SPDX-License-Identifier: Apache-2.0
// The tile functions: each elementwise row of elementwise.def for each of its dtypes.
#include "cpu/simd/simd.h"
#include "cpu/tile/program.h"
#include "cpu/simd/vmath.h"

namespace rv::RV_ISA {
namespace {

// in the order of DType
template <int code>
struct TypeOf;
template <>
struct TypeOf<0> {
  using Type = float;
};
template <>
struct TypeOf<1> {
  using Type = double;
};
template <>
struct TypeOf<2> {
  using Type = int32_t;
};
template <>
struct TypeOf<3> {
  using Type = int64_t;
};
template <>
struct TypeOf<4> {
  using Type = uint8_t;
};
template <>
struct TypeOf<5> {
  using Type = bool;
};

// type classes of elementwise.def, a bit a dtype
enum Types : unsigned { FLOAT = 0b000011, NUMERIC = 0b011111, ALL = 0b111111, INTEGER = 0b111100, BOOL = 0b100000 };

template <class T>
RV_INLINE void store_result(T* out, Vec<T> r) {
  store(out, r);
}
template <class T>
RV_INLINE void store_result(bool* out, Mask<T> r) {
  store_bools(out, r);
}

template <class T>
struct MaskOrVec;  // the element type of a formula's result
template <class T>
struct MaskOrVec<Vec<T>> {
  using Out = T;
};
template <class T>
struct MaskOrVec<Mask<T>> {
  using Out = bool;
};

// Whole vectors first; then the rest in the same loop, once, by way of padded buffers.
template <class Formula, class T>
void run(const void* const* in, void* out_memory, int64_t n) {
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

template <class T>
void run_where(const void* const* in, void* out_memory, int64_t n) {
  const bool* condition = static_cast<const bool*>(in[0]);
  const T *a = static_cast<const T*>(in[1]), *b = static_cast<const T*>(in[2]);
  T* out = static_cast<T*>(out_memory);
  int64_t i = 0;
  for (; i + Vec<T>::N <= n; i += Vec<T>::N)
    store(out + i, select(load_bools<T>(condition + i), load(a + i), load(b + i)));
#pragma GCC unroll 1
  for (; i < n; ++i) out[i] = condition[i] ? a[i] : b[i];
}

// Truncates floats. Where C leaves a conversion undefined, small integers take the low bits of int32, as the
// machine and NumPy do.
template <class To, class From>
RV_INLINE To convert_scalar(From x) {
  if constexpr (same_type<To, bool>) return x != From(0);
  else if constexpr (is_float<From> && sizeof(To) == 1) return static_cast<To>(static_cast<int32_t>(x));
  else return static_cast<To>(x);
}
template <class To, class From>
void run_cast(const void* const* in, void* out_memory, int64_t n) {
  using Lane = typename LaneOf<From>::Type;  // bools as bytes: the compiler does not vectorise them
  const Lane* a = static_cast<const Lane*>(in[0]);
  To* out = static_cast<To*>(out_memory);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = convert_scalar<To>(a[i]);
}

// ---------------------------------------------------------------- the table

#define EW(name, arity, types, ...)                                                               \
  struct formula_##name {                                                                         \
    static constexpr int kArity = arity;                                                          \
    static constexpr unsigned kTypes = types;                                                     \
    template <class V>                                                                            \
    static RV_INLINE auto apply([[maybe_unused]] V a, [[maybe_unused]] V b, [[maybe_unused]] V c, \
                                [[maybe_unused]] V d) {                                           \
      return __VA_ARGS__;                                                                         \
    }                                                                                             \
  };
#define EWP(...) EW(__VA_ARGS__)
#include "core/elementwise.def"

template <class Formula, int code>
constexpr TileFn instance() {
  if constexpr ((Formula::kTypes >> code & 1) != 0) return run<Formula, typename TypeOf<code>::Type>;
  else return nullptr;
}

using Row = TileFn[kDTypes];

constexpr Row kTable[] = {
#define EW(name, ...)                                                                           \
  {instance<formula_##name, 0>(), instance<formula_##name, 1>(), instance<formula_##name, 2>(), \
   instance<formula_##name, 3>(), instance<formula_##name, 4>(), instance<formula_##name, 5>()},
#define EWP(...) EW(__VA_ARGS__)
#define EWX(name, arity) {},
#include "core/elementwise.def"
};
constexpr int kRows = sizeof(kTable) / sizeof(Row);

enum : int {  // row_add, row_sub, ...
#define EW(name, ...) row_##name,
#define EWP(name, ...) row_##name,
#define EWX(name, arity) row_##name,
#include "core/elementwise.def"
};

constexpr Row kWhere = {run_where<float>,   run_where<double>,  run_where<int32_t>,
                        run_where<int64_t>, run_where<uint8_t>, run_where<bool>};

#define FROM(T)                                                                                                \
  {                                                                                                            \
    run_cast<float, T>, run_cast<double, T>, run_cast<int32_t, T>, run_cast<int64_t, T>, run_cast<uint8_t, T>, \
        run_cast<bool, T>                                                                                      \
  }
constexpr Row kCast[kDTypes] = {FROM(float), FROM(double), FROM(int32_t), FROM(int64_t), FROM(uint8_t), FROM(bool)};
#undef FROM

}  // namespace

TileFn tile_fn(int row, int dtype_code) {
  if (row < 0 || row >= kRows || dtype_code < 0) return nullptr;
  if (row == row_cast) {
    const int from = dtype_code / 16, to = dtype_code % 16;
    return from < kDTypes && to < kDTypes ? kCast[from][to] : nullptr;
  }
  if (dtype_code >= kDTypes) return nullptr;
  return row == row_where ? kWhere[dtype_code] : kTable[row][dtype_code];
}

}  // namespace rv::RV_ISA
