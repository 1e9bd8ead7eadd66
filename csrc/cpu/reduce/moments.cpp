// SPDX-License-Identifier: Apache-2.0
// Reductions that need two passes over a block while it is in cache: var, std, var_mean, logsumexp.
#include "cpu/reduce/reduce.h"
#include "cpu/reduce/rows.h"
#include "cpu/simd/vmath_exp.h"

namespace rv::RV_ISA {
namespace {

RV_ATTRS(MomentAttrs, (ReduceAttrs, reduce), (double, correction));

enum class Want { var, std, var_mean };

// Count, mean and sum of squared deviations (M2), joined by the formula of Chan, Golub and LeVeque (1979). What the
// mean loses by rounding is kept in `low`: means that differ by less than their last place still count.
// A sum that overflows is taken anew, of small multiples of its terms; deviations that overflow have the variance inf.
template <class T> struct Moments {
  static constexpr int kColumns = 32;  // rows of a block: both passes find it in cache
  static constexpr T kGrow = static_cast<T>(0x1p64), kShrink = 1 / kGrow;
  using V = Vec<T>;

  static RV_INLINE bool finite(T a) { return a - a == 0; }
  static RV_INLINE Mask<T> finite(V a) { return a - a == V(T(0)); }
  static RV_INLINE T finite_or(T a, T other) { return finite(a) ? a : other; }
  static RV_INLINE V finite_or(V a, V other) { return select(finite(a), a, other); }

  struct State {
    T *count, *mean, *low, *m2;
    State(void* s, int64_t plane)
        : count(static_cast<T*>(s)), mean(count + plane), low(mean + plane), m2(low + plane) {}
  };

  // sum and sum of squares of x - mean
  static RV_INLINE void deviations(const T* x, int64_t n, V mean, T& sum, T& square) {
    constexpr int U = 4, N = V::N;
    V s[U], q[U];
    for (int k = 0; k < U; ++k) s[k] = q[k] = V(T(0));
    auto add = [&](int k, V d) __attribute__((always_inline)) {
      s[k] += d;
      q[k] += d * d;
    };
    int64_t i = 0;
    for (; i + U * N <= n; i += U * N)
      for (int k = 0; k < U; ++k) add(k, load(x + i + k * N) - mean);
    for (; i + N <= n; i += N) add(0, load(x + i) - mean);
    if (i < n) add(1, select(first_lanes<T>(n - i), load_partial(x + i, n - i) - mean, V(T(0))));
    sum = reduce_add((s[0] + s[1]) + (s[2] + s[3]));
    square = reduce_add((q[0] + q[1]) + (q[2] + q[3]));
  }

  static void rows(const void* data, int64_t pitch, int64_t n, int64_t width, int64_t, void* state, int64_t plane) {
    const State s(state, plane);
    for (int64_t i = 0; i < width; ++i) {
      const T* x = static_cast<const T*>(data) + i * pitch;
      const T terms = static_cast<T>(n);
      T mean = fold_row<Plus>(x, n, T(0), itself) / terms, shift, square;
      if (!finite(mean)) [[unlikely]]
        mean = fold_row<Plus>(
                   x, n, T(0), [&](V a) __attribute__((always_inline)) { return a * V(kShrink); }) /
               terms * kGrow;
      deviations(x, n, V(mean), shift, square);
      shift = finite_or(shift / terms, T(0));
      s.count[i] = terms;
      s.mean[i] = mean + shift;
      s.low[i] = finite_or(shift - (s.mean[i] - mean), T(0));
      // the deviations' own mean takes the rounding of `mean` out again
      s.m2[i] = finite(square) ? square - terms * shift * shift : square;
    }
  }

  // means that are not finite anew
  static void scaled_means(const T* x, int64_t pitch, int64_t n, int64_t width, const State& s) {
    const V terms(static_cast<T>(n));
    fold_columns<Plus>(
        x, pitch, n, width, s.low, [&](V a, auto, int64_t) __attribute__((always_inline)) { return a * V(kShrink); });
    each_vector<T>(
        width, [&](auto get, auto put, int64_t c) __attribute__((always_inline)) {
          put(s.mean + c, finite_or(get(s.mean + c), get(s.low + c) / terms * V(kGrow)));
        });
  }

  static void columns(const void* data, int64_t pitch, int64_t n, int64_t width, int64_t, void* state, int64_t plane) {
    const T* x = static_cast<const T*>(data);
    const State s(state, plane);
    const V terms(static_cast<T>(n));
    fold_columns<Plus>(
        x, pitch, n, width, s.mean, [](V a, auto, int64_t) __attribute__((always_inline)) { return a; });
    bool overflow = false;
    each_vector<T>(
        width, [&](auto get, auto put, int64_t c) __attribute__((always_inline)) {
          const V mean = get(s.mean + c) / terms;
          overflow |= any(~finite(mean));
          put(s.mean + c, mean);
        });
    if (overflow) [[unlikely]]
      scaled_means(x, pitch, n, width, s);
    for (int64_t r = 0; r < n; r += 4) {
      const int64_t rows = n - r < 4 ? n - r : 4;
      const T* from = x + r * pitch;
      each_vector<T>(
          width, [&](auto get, auto put, int64_t c) __attribute__((always_inline)) {
            const V mean = get(s.mean + c), zero(T(0));
            V sum = r == 0 ? zero : get(s.count + c), square = r == 0 ? zero : get(s.m2 + c);
            auto add = [&](V d) __attribute__((always_inline)) {
              sum += d;
              square += d * d;
            };
            if (rows == 4)
              for (int k = 0; k < 4; ++k) add(get(from + k * pitch + c) - mean);
            else
              for (int64_t k = 0; k < rows; ++k) add(get(from + k * pitch + c) - mean);
            put(s.count + c, sum);
            put(s.m2 + c, square);
          });
    }
    each_vector<T>(
        width, [&](auto get, auto put, int64_t c) __attribute__((always_inline)) {
          const V zero(T(0)), shift = finite_or(get(s.count + c) / terms, zero);
          put(s.count + c, terms);
          const V before = get(s.mean + c), mean = before + shift, square = get(s.m2 + c);
          put(s.mean + c, mean);
          put(s.low + c, finite_or(shift - (mean - before), zero));
          put(s.m2 + c, select(finite(square), square - terms * shift * shift, square));
        });
  }

  static void join(void* state, const void* later, int64_t width, int64_t plane) {
    const State a(state, plane), b(const_cast<void*>(later), plane);
    each_vector<T>(
        width, [&](auto get, auto put, int64_t c) __attribute__((always_inline)) {
          const V na = get(a.count + c), nb = get(b.count + c), total = na + nb;
          const V before = get(a.mean + c), low = get(a.low + c), share = nb / total;
          const V d = (get(b.mean + c) - before) + (get(b.low + c) - low);
          const V step = low + d * share;
          const V mean = select(finite(d), before + step, before * (na / total) + get(b.mean + c) * share);
          put(a.mean + c, mean);
          put(a.low + c, finite_or(step - (mean - before), V(T(0))));
          put(a.m2 + c, get(a.m2 + c) + get(b.m2 + c) + d * d * na * share);
          put(a.count + c, total);
        });
  }

  static void empty(void* state, int64_t width, int64_t plane) {
    const State s(state, plane);
    for (int64_t i = 0; i < width; ++i) s.count[i] = 0, s.mean[i] = s.low[i] = __builtin_nanf(""), s.m2[i] = 0;
  }

  // var = M2 / max(0, terms - correction)
  template <Want want>
  static void finish(const void* state, int64_t width, int64_t plane, int64_t terms, const Args& args,
                     std::byte* const* out, int64_t stride) {
    const State s(const_cast<void*>(state), plane);
    T *y = reinterpret_cast<T*>(out[0]), *mean = reinterpret_cast<T*>(out[1]);
    const double left = static_cast<double>(terms) - attrs<MomentAttrs>(args).correction;
    const T divisor = static_cast<T>(left > 0 ? left : 0);
    for (int64_t i = 0; i < width; ++i) {
      const T var = (s.m2[i] > 0 || s.m2[i] != s.m2[i] ? s.m2[i] : T(0)) / divisor;
      if constexpr (want == Want::std) y[i * stride] = sizeof(T) == 4 ? __builtin_sqrtf(var) : __builtin_sqrt(var);
      else y[i * stride] = var;
      if constexpr (want == Want::var_mean) mean[i * stride] = s.mean[i];
    }
  }

  template <Want want>
  static constexpr Reducer reducer{sizeof(T), sizeof(T), 4 * sizeof(T), kColumns, false, 0.2,
                                   nullptr,   rows,      columns,       join,     empty, finish<want>};
};

// Maximum and sum of exp(x - maximum). An infinite maximum counts as 0, so that inf - inf never appears.
template <class T> struct LogSumExp {
  static constexpr int kColumns = 32;
  using V = Vec<T>;

  static RV_INLINE T finite(T m) { return m - m == 0 ? m : T(0); }
  static RV_INLINE V finite(V m) { return select(m - m == V(0), m, V(0)); }

  static void rows(const void* data, int64_t pitch, int64_t n, int64_t width, int64_t, void* state, int64_t plane) {
    T *greatest = static_cast<T*>(state), *sum = greatest + plane;
    for (int64_t i = 0; i < width; ++i) {
      const T* x = static_cast<const T*>(data) + i * pitch;
      greatest[i] = extreme_row<Greatest>(x, n, lowest<T>(), itself);
      const V m(finite(greatest[i]));
      sum[i] = fold_row<Plus, 4>(
          x, n, T(0), [&](V a) __attribute__((always_inline)) { return exp(a - m); });
    }
  }

  static void columns(const void* data, int64_t pitch, int64_t n, int64_t width, int64_t, void* state, int64_t plane) {
    const T* x = static_cast<const T*>(data);
    T *greatest = static_cast<T*>(state), *sum = greatest + plane;
    fold_columns<Greatest>(
        x, pitch, n, width, greatest, [](V a, auto, int64_t) __attribute__((always_inline)) { return a; });
    fold_columns<Plus>(
        x, pitch, n, width, sum, [&](V a, auto get, int64_t c) __attribute__((always_inline)) {
          return exp(a - finite(get(greatest + c)));
        });
  }

  static void join(void* state, const void* later, int64_t width, int64_t plane) {
    T *ma = static_cast<T*>(state), *sa = ma + plane;
    const T *mb = static_cast<const T*>(later), *sb = mb + plane;
    each_vector<T>(
        width, [&](auto get, auto put, int64_t c) __attribute__((always_inline)) {
          const V a = get(ma + c), b = get(mb + c), m = Greatest::join(a, b), center = finite(m);
          put(sa + c, get(sa + c) * exp(a - center) + get(sb + c) * exp(b - center));
          put(ma + c, m);
        });
  }

  static void empty(void* state, int64_t width, int64_t plane) {
    T *greatest = static_cast<T*>(state), *sum = greatest + plane;
    for (int64_t i = 0; i < width; ++i) greatest[i] = lowest<T>(), sum[i] = 0;
  }

  static void finish(const void* state, int64_t width, int64_t plane, int64_t, const Args&, std::byte* const* out,
                     int64_t stride) {
    const T *greatest = static_cast<const T*>(state), *sum = greatest + plane;
    T* y = reinterpret_cast<T*>(out[0]);
    for (int64_t i = 0; i < width; ++i) {
      const T log_sum = sizeof(T) == 4 ? __builtin_logf(sum[i]) : __builtin_log(sum[i]);
      y[i * stride] = finite(greatest[i]) + log_sum;
    }
  }

  static constexpr Reducer reducer{sizeof(T), sizeof(T), 2 * sizeof(T), kColumns, false, 0.4,
                                   nullptr,   rows,      columns,       join,     empty, finish};
};

template <Want want> const Reducer* moments(const Args& args) {
  const DType t = args.in[0].dtype;
  for (int k = 0; k < args.n_out; ++k)
    if (args.out[k].dtype != t) return nullptr;
  if (t == DType::f32) return &Moments<float>::reducer<want>;
  return t == DType::f64 ? &Moments<double>::reducer<want> : nullptr;
}

const Reducer* logsumexp(const Args& args) {
  const DType t = args.in[0].dtype;
  if (args.out[0].dtype != t) return nullptr;
  if (t == DType::f32) return &LogSumExp<float>::reducer;
  return t == DType::f64 ? &LogSumExp<double>::reducer : nullptr;
}

}  // namespace

extern const Kernel k_var = ReduceKernel<moments<Want::var>, MomentAttrs>::kernel;
extern const Kernel k_std = ReduceKernel<moments<Want::std>, MomentAttrs>::kernel;
extern const Kernel k_var_mean = ReduceKernel<moments<Want::var_mean>, MomentAttrs, 2>::kernel;
extern const Kernel k_logsumexp = ReduceKernel<logsumexp>::kernel;

}  // namespace rv::RV_ISA
