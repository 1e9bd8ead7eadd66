// SPDX-License-Identifier: Apache-2.0
// Extremes with their positions: argmax, argmin, and max and min over one axis. The first of equals wins; a NaN beats
// every number, and the first NaN the others. A position counts the terms in logical order.
#include "cpu/kernels.h"
#include "cpu/reduce.h"
#include "cpu/rows.h"

namespace rv::RV_ISA {
namespace {

template <class T> struct State {  // positions first: they need the stricter alignment
  int64_t* where;
  T* value;
  State(void* s, int64_t width) : where(static_cast<int64_t*>(s)), value(reinterpret_cast<T*>(where + width)) {}
};

// `b` replaces `a`, which came before
template <class Op, class T> RV_INLINE bool beats(T b, T a) {
  if constexpr (same_type<Op, Greatest>) return b > a || (b != b && a == a);
  else return b < a || (b != b && a == a);
}
template <class Op, class T> RV_INLINE Mask<T> beats(Vec<T> b, Vec<T> a) {
  Mask<T> better = same_type<Op, Greatest> ? b > a : b < a;
  if constexpr (is_float<T>) better = better | (isnan(b) & (a == a));
  return better;
}

template <class Op, class T> struct Arg {
  using V = Vec<T>;
  using Int = typename Mask<T>::Int;

  static int64_t find(const T* x, int64_t n, T value) {
    constexpr int N = V::N;
    auto is = [value](T a) { return a == value || (a != a && value != value); };
    int64_t i = 0;
    if (value == value)
      for (const V v(value); i + N <= n && !any(load(x + i) == v);) i += N;
    while (i < n && !is(x[i])) ++i;
    return i;
  }

  static void rows(const void* data, int64_t pitch, int64_t n, int64_t width, int64_t first, void* state) {
    const State<T> s(state, width);
    const T identity = same_type<Op, Greatest> ? lowest<T>() : highest<T>();
    for (int64_t i = 0; i < width; ++i) {
      const T* x = static_cast<const T*>(data) + i * pitch;
      s.value[i] = fold_row<Op>(x, n, identity, [](V a) __attribute__((always_inline)) { return a; });
      s.where[i] = first + find(x, n, s.value[i]);
    }
  }

  static void columns(const void* data, int64_t pitch, int64_t n, int64_t width, int64_t first, void* state) {
    constexpr int N = V::N;
    const State<T> s(state, width);
    const T* x = static_cast<const T*>(data);
    for (int64_t c = 0; c < width; c += N) {
      const int64_t lanes = width - c < N ? width - c : N;
      // rows of a block are few: their numbers fit lanes of any width
      V best = load_partial(x + c, lanes);
      Vec<Int> row(Int(0));
      for (int64_t r = 1; r < n; ++r) {
        const V v = load_partial(x + r * pitch + c, lanes);
        const Mask<T> better = beats<Op>(v, best);
        best = select(better, v, best);
        row = select(Mask<Int>{better.m}, Vec<Int>(static_cast<Int>(r)), row);
      }
      store_partial(s.value + c, best, lanes);
      for (int64_t i = 0; i < lanes; ++i) s.where[c + i] = first + row[static_cast<int>(i)];
    }
  }

  static void join(void* state, const void* later, int64_t width) {
    const State<T> a(state, width), b(const_cast<void*>(later), width);
    for (int64_t i = 0; i < width; ++i)
      if (beats<Op>(b.value[i], a.value[i])) a.value[i] = b.value[i], a.where[i] = b.where[i];
  }

  // argmax, argmin: positions; max_dim, min_dim: values, positions
  static void finish(const void* state, int64_t width, int64_t, const Args& args, std::byte* const* out,
                     int64_t stride) {
    const State<T> s(const_cast<void*>(state), width);
    int64_t* where = reinterpret_cast<int64_t*>(out[args.n_out - 1]);
    for (int64_t i = 0; i < width; ++i) where[i * stride] = s.where[i];
    if (args.n_out == 2)
      for (int64_t i = 0; i < width; ++i) reinterpret_cast<T*>(out[0])[i * stride] = s.value[i];
  }

  static constexpr Reducer reducer{
      sizeof(T), sizeof(T), sizeof(T) + 8, 64, true, 0.15, nullptr, rows, columns, join, nullptr, finish};
};

template <class Op> const Reducer* find(const Args& args) {
  const DType t = args.in[0].dtype;
  if (args.out[args.n_out - 1].dtype != DType::i64 || (args.n_out == 2 && args.out[0].dtype != t)) return nullptr;
  switch (t) {
    case DType::f32: return &Arg<Op, float>::reducer;
    case DType::f64: return &Arg<Op, double>::reducer;
    case DType::i32: return &Arg<Op, int32_t>::reducer;
    case DType::i64: return &Arg<Op, int64_t>::reducer;
    case DType::u8:
    case DType::b1: return &Arg<Op, uint8_t>::reducer;
  }
  return nullptr;
}

// There is no extreme of nothing.
template <int outputs, const Reducer* (*find)(const Args&)> struct ArgKernel : ReduceKernel<find, outputs> {
  static const char* check(const Args& args) {
    if (const char* wrong = ReduceKernel<find, outputs>::check(args)) return wrong;
    return args.in[0].size() == 0 && args.out[0].size() != 0 ? "there must be terms to choose from" : nullptr;
  }
  using Base = ReduceKernel<find, outputs>;
  static constexpr Kernel kernel{Base::run, Base::cost, Base::shared, check};
};

}  // namespace

const Kernel k_argmax = ArgKernel<1, find<Greatest>>::kernel;
const Kernel k_argmin = ArgKernel<1, find<Least>>::kernel;
const Kernel k_max_dim = ArgKernel<2, find<Greatest>>::kernel;
const Kernel k_min_dim = ArgKernel<2, find<Least>>::kernel;

}  // namespace rv::RV_ISA
