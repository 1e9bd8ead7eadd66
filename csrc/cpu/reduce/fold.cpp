// SPDX-License-Identifier: Apache-2.0
// Reductions with one accumulator an output: sum, mean, prod, amax, amin, any, all, count_nonzero, norm.
#include "cpu/reduce/reduce.h"
#include "cpu/reduce/rows.h"

namespace rv::RV_ISA {
namespace {

// identity: of no terms; map: of an item; join: of two accumulators; finish: the accumulator as the result
struct Sum : Plus {
  template <class T> static constexpr T identity = 0;
  template <class V> static RV_INLINE V map(V a) { return a; }
  template <class T> static T finish(T a, int64_t) { return a; }
};
struct Mean : Sum {
  template <class T> static T finish(T a, int64_t terms) { return a / static_cast<T>(terms); }
};
struct Prod : Sum {
  template <class T> static constexpr T identity = 1;
  template <class V> static RV_INLINE V join(V a, V b) { return a * b; }
};
struct Max : Greatest {
  template <class T> static constexpr T identity = lowest<T>();
  template <class V> static RV_INLINE V map(V a) { return a; }
  template <class T> static T finish(T a, int64_t) { return a; }
};
struct Min : Least {
  template <class T> static constexpr T identity = highest<T>();
  template <class V> static RV_INLINE V map(V a) { return a; }
  template <class T> static T finish(T a, int64_t) { return a; }
};
// of bytes, of which any but 0 is true
template <class Op> struct Truth : Op {
  template <class T> static T finish(T a, int64_t) { return a != 0; }
};
struct Any : Truth<Max> {};
struct All : Truth<Min> {
  template <class T> static constexpr T identity = 1;
};
// p-norms: of magnitudes
struct Norm1 : Sum {
  template <class T> static RV_INLINE Vec<T> map(Vec<T> a) { return abs(a); }
};
struct Norm2 : Sum {
  template <class T> static RV_INLINE Vec<T> map(Vec<T> a) { return a * a; }
  static float finish(float a, int64_t) { return __builtin_sqrtf(a); }
  static double finish(double a, int64_t) { return __builtin_sqrt(a); }
};
struct NormMax : Max {
  template <class T> static constexpr T identity = 0;
  template <class T> static RV_INLINE Vec<T> map(Vec<T> a) { return abs(a); }
};
struct NormMin : Min {
  template <class T> static RV_INLINE Vec<T> map(Vec<T> a) { return abs(a); }
};
struct Norm0 : Sum {
  template <class T> static RV_INLINE Vec<T> map(Vec<T> a) { return select(a != Vec<T>(0), Vec<T>(1), Vec<T>(0)); }
};

// how an element in memory becomes an item
struct Cast {
  template <class T, class In> static T get(In x) { return static_cast<T>(x); }
};
struct NonZero {
  template <class T, class In> static T get(In x) { return x != 0; }
};

template <class Op, class T> struct Fold {
  using V = Vec<T>;
  static constexpr int N = V::N;
  static constexpr auto map = [](V a) __attribute__((always_inline)) { return Op::map(a); };

  static RV_INLINE V get(const T* x) { return Op::map(load(x)); }
  static RV_INLINE V get(const T* x, int64_t n) {
    return select(first_lanes<T>(n), Op::map(load_partial(x, n)), V(Op::template identity<T>));
  }
  static RV_INLINE V tree(const V* s) {
    return Op::join(Op::join(Op::join(s[0], s[1]), Op::join(s[2], s[3])),
                    Op::join(Op::join(s[4], s[5]), Op::join(s[6], s[7])));
  }

  static void rows(const void* data, int64_t pitch, int64_t n, int64_t width, int64_t, void* state, int64_t) {
    const T* x = static_cast<const T*>(data);  // (width, n), rows `pitch` apart
    T* s = static_cast<T*>(state);             // (width)
    for (int64_t i = 0; i < width; ++i) {
      if constexpr (requires(V v) { Op::blind(v, v); })
        s[i] = extreme_row<Op>(x + i * pitch, n, Op::template identity<T>, map);
      else s[i] = fold_row<Op>(x + i * pitch, n, Op::template identity<T>, map);
    }
  }

  static void columns(const void* data, int64_t pitch, int64_t n, int64_t width, int64_t, void* state, int64_t) {
    const T* x = static_cast<const T*>(data);  // (n, width), rows `pitch` apart
    T* s = static_cast<T*>(state);             // (width)
    for (int64_t r = 0; r < n;) {
      // eight rows at a time: eight streams, and one pass over the state
      const int64_t rows = n - r >= 8 ? 8 : 1;
      const T* from = x + r * pitch;
      const bool start = r == 0;
      int64_t c = 0;
      auto step = [&](auto read, V old) __attribute__((always_inline)) {
        V sum = read(from + c);
        if (rows == 8) {
          V v[8] = {sum};
          for (int k = 1; k < 8; ++k) v[k] = read(from + k * pitch + c);
          sum = tree(v);
        }
        return start ? sum : Op::join(old, sum);
      };
      for (; c + N <= width; c += N)
        store(s + c, step(
                         [](const T* p) __attribute__((always_inline)) { return get(p); }, load(s + c)));
      if (const int64_t rest = width - c; rest > 0)
        store_partial(
            s + c,
            step(
                [rest](const T* p) __attribute__((always_inline)) { return get(p, rest); }, load_partial(s + c, rest)),
            rest);
      r += rows;
    }
  }

  static void join(void* state, const void* later, int64_t width, int64_t) {
    T* a = static_cast<T*>(state);
    const T* b = static_cast<const T*>(later);
    int64_t i = 0;
    for (; i + N <= width; i += N) store(a + i, Op::join(load(a + i), load(b + i)));
    if (const int64_t rest = width - i; rest > 0)
      store_partial(a + i, Op::join(load_partial(a + i, rest), load_partial(b + i, rest)), rest);
  }

  static void empty(void* state, int64_t width, int64_t) {
    for (int64_t i = 0; i < width; ++i) static_cast<T*>(state)[i] = Op::template identity<T>;
  }

  static void finish(const void* state, int64_t width, int64_t, int64_t terms, const Args&, std::byte* const* out,
                     int64_t stride) {
    const T* s = static_cast<const T*>(state);
    T* y = reinterpret_cast<T*>(out[0]);
    for (int64_t i = 0; i < width; ++i) y[i * stride] = Op::finish(s[i], terms);
  }
};

template <class Get, class In, class T> void gather(const void* from, int64_t stride, void* to, int64_t n) {
  const In* x = static_cast<const In*>(from);
  T* y = static_cast<T*>(to);
  if (stride == 1)
    for (int64_t i = 0; i < n; ++i) y[i] = Get::template get<T>(x[i]);
  else
    for (int64_t i = 0; i < n; ++i) y[i] = Get::template get<T>(x[i * stride]);
}

// In elements, accumulated and written as T
template <class Op, class Get, class In, class T> const Reducer* fold() {
  using F = Fold<Op, T>;
  constexpr bool direct = same_type<In, T> && same_type<Get, Cast>;
  static constexpr Reducer r{
      sizeof(In), sizeof(T),  sizeof(T), 128,      false,    direct ? 0.06 : 0.3, direct ? nullptr : gather<Get, In, T>,
      F::rows,    F::columns, F::join,   F::empty, F::finish};
  return &r;
}

DType in_type(const Args& args) { return args.in[0].dtype; }
bool writes(const Args& args, DType t) { return args.out[0].dtype == t; }

template <class Op> const Reducer* of_floats(const Args& args) {
  if (!writes(args, in_type(args))) return nullptr;
  switch (in_type(args)) {
    case DType::f32: return fold<Op, Cast, float, float>();
    case DType::f64: return fold<Op, Cast, double, double>();
    default: return nullptr;
  }
}

// integers are summed and multiplied as int64
template <class Op> const Reducer* wide(const Args& args) {
  if (const Reducer* r = of_floats<Op>(args)) return r;
  if (!writes(args, DType::i64)) return nullptr;
  switch (in_type(args)) {
    case DType::i32: return fold<Op, Cast, int32_t, int64_t>();
    case DType::i64: return fold<Op, Cast, int64_t, int64_t>();
    case DType::u8: return fold<Op, Cast, uint8_t, int64_t>();
    case DType::b1: return fold<Op, NonZero, uint8_t, int64_t>();
    default: return nullptr;
  }
}

template <class Op> const Reducer* extreme(const Args& args) {
  if (const Reducer* r = of_floats<Op>(args)) return r;
  if (!writes(args, in_type(args))) return nullptr;
  switch (in_type(args)) {
    case DType::i32: return fold<Op, Cast, int32_t, int32_t>();
    case DType::i64: return fold<Op, Cast, int64_t, int64_t>();
    case DType::u8: return fold<Op, Cast, uint8_t, uint8_t>();
    case DType::b1: return fold<Truth<Op>, Cast, uint8_t, uint8_t>();
    default: return nullptr;
  }
}

// of (x != 0), as T
template <class Op, class T, DType out> const Reducer* nonzero(const Args& args) {
  if (!writes(args, out)) return nullptr;
  switch (in_type(args)) {
    case DType::f32: return fold<Op, NonZero, float, T>();
    case DType::f64: return fold<Op, NonZero, double, T>();
    case DType::i32: return fold<Op, NonZero, int32_t, T>();
    case DType::i64: return fold<Op, NonZero, int64_t, T>();
    case DType::u8:
    case DType::b1:
      if constexpr (same_type<T, uint8_t>) return fold<Op, Cast, uint8_t, T>();  // which Truth can tell apart
      else return fold<Op, NonZero, uint8_t, T>();
  }
  return nullptr;
}

const Reducer* sum(const Args& args) { return wide<Sum>(args); }
const Reducer* mean(const Args& args) { return of_floats<Mean>(args); }
const Reducer* prod(const Args& args) { return wide<Prod>(args); }
const Reducer* amax(const Args& args) { return extreme<Max>(args); }
const Reducer* amin(const Args& args) { return extreme<Min>(args); }
const Reducer* any(const Args& args) { return nonzero<Any, uint8_t, DType::b1>(args); }
const Reducer* all(const Args& args) { return nonzero<All, uint8_t, DType::b1>(args); }
const Reducer* count(const Args& args) { return nonzero<Sum, int64_t, DType::i64>(args); }

RV_ATTRS(NormAttrs, (ReduceAttrs, reduce), (double, p));

const Reducer* norm(const Args& args) {
  const double p = attrs<NormAttrs>(args).p;
  if (p == 0) return of_floats<Norm0>(args);
  if (p == 1) return of_floats<Norm1>(args);
  if (p == 2) return of_floats<Norm2>(args);
  if (p == __builtin_inf()) return of_floats<NormMax>(args);
  if (p == -__builtin_inf()) return of_floats<NormMin>(args);
  return nullptr;
}

}  // namespace

extern const Kernel k_sum = ReduceKernel<sum>::kernel;
extern const Kernel k_mean = ReduceKernel<mean>::kernel;
extern const Kernel k_prod = ReduceKernel<prod>::kernel;
extern const Kernel k_amax = ReduceKernel<amax>::kernel;
extern const Kernel k_amin = ReduceKernel<amin>::kernel;
extern const Kernel k_any = ReduceKernel<any>::kernel;
extern const Kernel k_all = ReduceKernel<all>::kernel;
extern const Kernel k_count_nonzero = ReduceKernel<count>::kernel;
extern const Kernel k_norm = ReduceKernel<norm, NormAttrs>::kernel;

}  // namespace rv::RV_ISA
