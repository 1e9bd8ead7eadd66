// SPDX-License-Identifier: Apache-2.0
// softmax and log_softmax along one axis.
//   softmax:      y = exp(x - m) / s          m = max x,  s = sum exp(x - m)
//   log_softmax:  y = (x - m) - log s
#include "cpu/reduce/lines.h"
#include "cpu/reduce/rows.h"
#include "cpu/simd/vmath_exp.h"

namespace rv::RV_ISA {
namespace {

RV_ATTRS(SoftmaxAttrs, (int64_t, dim));

RV_INLINE float log_of(float x) { return __builtin_logf(x); }
RV_INLINE double log_of(double x) { return __builtin_log(x); }

template <class T, bool kLog> struct Softmax {
  using V = Vec<T>;
  static constexpr int N = V::N;

  static void row(const T* x, T* y, int64_t n) {
    const T m = extreme_row<Greatest>(x, n, lowest<T>(), itself);
    const V center(m);
    if constexpr (kLog) {
      const T s = fold_row<Plus, 4>(
          x, n, T(0), [&](V a) __attribute__((always_inline)) { return exp(a - center); });
      const V log_sum(log_of(s));
      each_vector<T>(
          n, [&](auto get, auto put, int64_t i)
                 __attribute__((always_inline)) { put(y + i, (get(x + i) - center) - log_sum); });
    } else {
      V sum[2] = {V(T(0)), V(T(0))};
      int64_t i = 0;
      for (; i + 2 * N <= n; i += 2 * N)
        for (int k = 0; k < 2; ++k) {
          const V e = exp(load(x + i + k * N) - center);
          store(y + i + k * N, e);
          sum[k] += e;
        }
      for (; i < n; i += N) {
        const int64_t lanes = n - i < N ? n - i : N;
        const V e = exp(load_partial(x + i, lanes) - center);
        store_partial(y + i, e, lanes);
        sum[0] += select(first_lanes<T>(lanes), e, V(T(0)));
      }
      const V scale(T(1) / reduce_add(sum[0] + sum[1]));
      each_vector<T>(
          n, [&](auto get, auto put, int64_t j) __attribute__((always_inline)) { put(y + j, get(y + j) * scale); });
    }
  }

  // x (n, width) -> y (n, width), element strides (step, next) each. The work is done in `e` (n, width): lines that lie
  // a power of two apart share few cache sets. m, s (width) are scratch.
  static void columns(const T* x, int64_t step_x, int64_t next_x, T* y, int64_t step_y, int64_t next_y, int64_t n,
                      int64_t width, T* m, T* s, T* e) {
    for (int64_t r = 0; r < n; ++r) {
      if (next_x == 1) memcpy(e + r * width, x + r * step_x, static_cast<size_t>(width) * sizeof(T));
      else
        for (int64_t c = 0; c < width; ++c) e[r * width + c] = x[r * step_x + c * next_x];
    }
    fold_columns<Greatest>(
        e, width, n, width, m, [](V a, auto, int64_t) __attribute__((always_inline)) { return a; });
    for (int64_t c = 0; c < width; ++c) s[c] = 0;
    for (int64_t r = 0; r < n; ++r)
      each_vector<T>(
          width, [&](auto get, auto put, int64_t c) __attribute__((always_inline)) {
            T* at = e + r * width + c;
            const V shifted = get(at) - get(m + c), v = exp(shifted);
            put(at, kLog ? shifted : v);
            put(s + c, get(s + c) + v);
          });
    for (int64_t c = 0; c < width; ++c) s[c] = kLog ? log_of(s[c]) : T(1) / s[c];
    for (int64_t r = 0; r < n; ++r) {
      T* to = next_y == 1 ? y + r * step_y : e + r * width;
      each_vector<T>(
          width, [&](auto get, auto put, int64_t c) __attribute__((always_inline)) {
            const V v = get(e + r * width + c), scale = get(s + c);
            put(to + c, kLog ? v - scale : v * scale);
          });
      if (next_y != 1)
        for (int64_t c = 0; c < width; ++c) y[r * step_y + c * next_y] = to[c];
    }
  }

  static void run(const Args& args, Team& team) {
    const View &in = args.in[0], &out = args.out[0];
    const Lines<2> lines({&in, &out}, static_cast<int>(attrs<SoftmaxAttrs>(args).dim));
    const int64_t n = lines.length;
    const Cut cut(lines, n == 1 || (lines.step[0] == 1 && lines.step[1] == 1), N);
    if (n == 0 || cut.tasks == 0) return;
    team.each(cut.tasks, [&](int64_t task) {
      const int64_t outer = task / cut.tiles, begin = task % cut.tiles * cut.width;
      const int64_t width = lines.tiled - begin < cut.width ? lines.tiled - begin : cut.width;
      const T* x = in.ptr<T>() + lines.offset(0, outer) + begin * lines.next[0];
      T* y = out.ptr<T>() + lines.offset(1, outer) + begin * lines.next[1];
      if (cut.rows) {
        for (int64_t i = 0; i < width; ++i) row(x + i * lines.next[0], y + i * lines.next[1], n);
        return;
      }
      const Scratch scratch(static_cast<int64_t>(sizeof(T)) * (cut.width * (2 + n) + 2 * N));
      T *m = scratch.as<T>(), *s = m + cut.width, *e = s + cut.width;
      columns(x, lines.step[0], lines.next[0], y, lines.step[1], lines.next[1], n, width, m, s, e);
    });
  }
};

template <bool kLog> void run(const Args& args, Team& team) {
  if (args.in[0].dtype == DType::f32) Softmax<float, kLog>::run(args, team);
  else Softmax<double, kLog>::run(args, team);
}

double cost(const Args& args) {
  return 100 + (args.in[0].dtype == DType::f32 ? 0.5 : 4.0) * static_cast<double>(args.in[0].size());
}

const char* check(const Args& args) {
  if (const char* wrong = check_along(args, attrs<SoftmaxAttrs>(args).dim)) return wrong;
  return floating(args.in[0].dtype) ? nullptr : "dtype must be float";
}

}  // namespace

extern const Kernel k_softmax = {.attrs = SoftmaxAttrs::schema, .run = run<false>, .cost = cost, .check = check};
extern const Kernel k_log_softmax = {.attrs = SoftmaxAttrs::schema, .run = run<true>, .cost = cost, .check = check};

}  // namespace rv::RV_ISA
