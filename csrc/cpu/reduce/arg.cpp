// SPDX-License-Identifier: Apache-2.0
// Extremes with their positions: argmax, argmin, and max and min over one axis. The first of equals wins; a NaN beats
// every number, and the first NaN the others. A position counts the terms in logical order.
#include "cpu/reduce/reduce.h"
#include "cpu/reduce/rows.h"

namespace rv::RV_ISA {
namespace {

template <class T> struct State {  // positions first: they need the stricter alignment
  int64_t* where;
  T* value;
  State(void* s, int64_t plane) : where(static_cast<int64_t*>(s)), value(reinterpret_cast<T*>(where + plane)) {}
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

  // Best value and its position among x[0..n), n <= 2048 (so that steps fit lanes of a byte). One pass keeps the best
  // of each lane with its step, blind to NaN, and a sum that is NaN where some x is (or infinities cancel): then a
  // second pass looks closely.
  static RV_INLINE int64_t best_of(const T* x, int64_t n, T& value) {
    constexpr int N = V::N, U = 4;
    using I = Vec<Int>;
    if (n < 2 * N) return closely(x, n, value);
    V best[U], sum[U];
    I step[U];
    for (int k = 0; k < U; ++k) best[k] = load(x), sum[k] = V(T(0)), step[k] = I(Int(0));
    I now(Int(0));
    auto see = [&](int k, int64_t at) __attribute__((always_inline)) {
      prefetch(x + at * N);
      const V v = load(x + at * N);
      const Mask<T> better = exceeds(v, best[k]);
      best[k] = Op::blind(best[k], v);
      step[k] = select(Mask<Int>{better.m}, now, step[k]);
      now += I(Int(1));
      if constexpr (is_float<T>) sum[k] += v;
    };
    const int64_t steps = n / N;
    int64_t at = 0;
    for (; at + U <= steps; at += U)
      for (int k = 0; k < U; ++k) see(k, at + k);
    for (; at < steps; ++at) see(0, at);
    if constexpr (is_float<T>)
      if (any(isnan((sum[0] + sum[1]) + (sum[2] + sum[3])))) [[unlikely]]
        return closely(x, n, value);
    auto better = [](V a, V b) __attribute__((always_inline)) { return Op::blind(a, b); };
    const V top(value = reduce(better(better(best[0], best[1]), better(best[2], best[3])), better));
    auto earlier = [](I a, I b) __attribute__((always_inline)) { return less_or_second(a, b); };
    I first[U];
    for (int k = 0; k < U; ++k)
      first[k] = select(Mask<Int>{(best[k] == top).m}, step[k], I(static_cast<Int>(sizeof(T) == 1 ? 127 : 1 << 30)));
    const I least = earlier(earlier(first[0], first[1]), earlier(first[2], first[3]));
    const Int row = reduce(least, earlier);
    int64_t where = int64_t(row) * N + first_set(Mask<Int>{(least == I(row)).m});
    for (int64_t i = steps * N; i < n; ++i)
      if (beats<Op>(x[i], value)) value = x[i], where = i;
    return where;
  }

  static RV_INLINE Mask<T> exceeds(V a, V b) { return same_type<Op, Greatest> ? a > b : a < b; }

  static int64_t closely(const T* x, int64_t n, T& value) {
    int64_t at = 0;
    value = x[0];
    for (int64_t i = 1; i < n; ++i)
      if (beats<Op>(x[i], value)) value = x[i], at = i;
    return at;
  }

  static void rows(const void* data, int64_t pitch, int64_t n, int64_t width, int64_t first, void* state,
                   int64_t plane) {
    const State<T> s(state, plane);
    for (int64_t i = 0; i < width; ++i)
      s.where[i] = first + best_of(static_cast<const T*>(data) + i * pitch, n, s.value[i]);
  }

  static void columns(const void* data, int64_t pitch, int64_t n, int64_t width, int64_t first, void* state,
                      int64_t plane) {
    const State<T> s(state, plane);
    const T* x = static_cast<const T*>(data);
    each_vector<T>(
        width, [&](auto get, auto put, int64_t c) __attribute__((always_inline)) {
          V best = get(x + c);
          Vec<Int> row(Int(0));  // rows of a block are few: their numbers fit lanes of any width
          for (int64_t r = 1; r < n; ++r) {
            const V v = get(x + r * pitch + c);
            const Mask<T> better = beats<Op>(v, best);
            best = select(better, v, best);
            row = select(Mask<Int>{better.m}, Vec<Int>(static_cast<Int>(r)), row);
          }
          put(s.value + c, best);
          for (int64_t i = 0; i < V::N && c + i < width; ++i) s.where[c + i] = first + row[static_cast<int>(i)];
        });
  }

  static void join(void* state, const void* later, int64_t width, int64_t plane) {
    const State<T> a(state, plane), b(const_cast<void*>(later), plane);
    for (int64_t i = 0; i < width; ++i)
      if (beats<Op>(b.value[i], a.value[i])) a.value[i] = b.value[i], a.where[i] = b.where[i];
  }

  // argmax, argmin: positions; max_dim, min_dim: values, positions
  static void finish(const void* state, int64_t width, int64_t plane, int64_t, const Args& args, std::byte* const* out,
                     int64_t stride) {
    const State<T> s(const_cast<void*>(state), plane);
    int64_t* where = reinterpret_cast<int64_t*>(out[args.n_out - 1]);
    for (int64_t i = 0; i < width; ++i) where[i * stride] = s.where[i];
    if (args.n_out == 2)
      for (int64_t i = 0; i < width; ++i) reinterpret_cast<T*>(out[0])[i * stride] = s.value[i];
  }

  static constexpr Reducer reducer_of(decltype(Reducer::gather) gather) {
    return {sizeof(T), sizeof(T), sizeof(T) + 8, 64, true, 0.15, gather, rows, columns, join, nullptr, finish};
  }
  static constexpr Reducer reducer = reducer_of(nullptr);
  static constexpr Reducer of_bools = reducer_of([](const void* from, int64_t stride, void* to, int64_t n) {
    for (int64_t i = 0; i < n; ++i) static_cast<T*>(to)[i] = static_cast<const T*>(from)[i * stride] != 0;
  });
};

template <class Op> const Reducer* find(const Args& args) {
  const DType t = args.in[0].dtype;
  if (args.out[args.n_out - 1].dtype != DType::i64 || (args.n_out == 2 && args.out[0].dtype != t)) return nullptr;
  switch (t) {
    case DType::f32: return &Arg<Op, float>::reducer;
    case DType::f64: return &Arg<Op, double>::reducer;
    case DType::i32: return &Arg<Op, int32_t>::reducer;
    case DType::i64: return &Arg<Op, int64_t>::reducer;
    case DType::u8: return &Arg<Op, uint8_t>::reducer;
    case DType::b1: return &Arg<Op, uint8_t>::of_bools;
  }
  return nullptr;
}

// There is no extreme of nothing.
template <int outputs, const Reducer* (*find)(const Args&)>
struct ArgKernel : ReduceKernel<find, ReduceAttrs, outputs> {
  using Base = ReduceKernel<find, ReduceAttrs, outputs>;
  static const char* check(const Args& args) {
    if (const char* wrong = Base::check(args)) return wrong;
    return args.in[0].size() == 0 && args.out[0].size() != 0 ? "there must be terms to choose from" : nullptr;
  }
  static constexpr Kernel kernel{
      .attrs = ReduceAttrs::schema, .run = Base::run, .cost = Base::cost, .shared = Base::shared, .check = check};
};

}  // namespace

extern const Kernel k_argmax = ArgKernel<1, find<Greatest>>::kernel;
extern const Kernel k_argmin = ArgKernel<1, find<Least>>::kernel;
extern const Kernel k_max_dim = ArgKernel<2, find<Greatest>>::kernel;
extern const Kernel k_min_dim = ArgKernel<2, find<Least>>::kernel;

}  // namespace rv::RV_ISA
