// SPDX-License-Identifier: Apache-2.0
// Cross-entropy of logits x (N, C, d...) with class labels t (N, d...), and its gradient.
//
//   q[n,c]  = w[c] ((1 - e) [c = t[n]] + e / C)             e: label smoothing, w: class weights (1 where absent)
//   loss[n] = sum_c q[n,c] (top[n] - x[n,c] + log_sum[n])   0 where t[n] is ignored
//   top[n]  = max_c x[n,c], log_sum[n] = log sum_c exp(x[n,c] - top[n]): apart, so that large logits lose nothing
//   mean    = sum_n loss[n] / total                         total = sum of w[t[n]] over what is not ignored
//
// cross_entropy:      (x, t[, w])                         -> loss, top, log_sum, total
// cross_entropy_grad: (g, x, t, top, log_sum, total[, w]) -> dx;  g is shaped as loss
#include "cpu/reduce/lines.h"
#include "cpu/reduce/rows.h"
#include "cpu/simd/vmath_exp.h"

namespace rv::RV_ISA {
namespace {

enum Reduction { kNone, kSum, kMean };

RV_ATTRS(LossAttrs, (int64_t, dim), (int64_t, reduction), (int64_t, ignore_index), (double, label_smoothing));

template <class T> struct CrossEntropy {
  using V = Vec<T>;
  static constexpr int N = V::N;

  struct Labels {
    const View* weight;
    int64_t classes, ignored;
    T smoothing, all;  // all: sum of the class weights

    Labels(const Args& args, int weight_at, int64_t n)
        : weight(args.n_in > weight_at ? &args.in[weight_at] : nullptr),
          classes(n),
          ignored(attrs<LossAttrs>(args).ignore_index),
          smoothing(static_cast<T>(attrs<LossAttrs>(args).label_smoothing)),
          all(static_cast<T>(n)) {
      if (!weight || smoothing == 0) return;
      all = 0;
      for (int64_t c = 0; c < n; ++c) all += of(c);
    }
    T of(int64_t c) const { return weight ? weight->ptr<const T>()[c * weight->stride[0]] : T(1); }
    bool valid(int64_t label) const { return label >= 0 && label < classes; }
  };

  // a tile of the logits as columns (n, width), copied where they are not neighbours
  static const T* as_columns(const T* x, int64_t step, int64_t next, int64_t n, int64_t width, T* copy) {
    if (next == 1) return x;
    for (int64_t r = 0; r < n; ++r)
      for (int64_t c = 0; c < width; ++c) copy[r * width + c] = x[r * step + c * next];
    return copy;
  }

  // sum_c w[c] (top - x[c]); a weight of 0 takes out what is infinite
  static double below(T top, const T* x, int64_t step, const Labels& labels) {
    double sum = 0;
    for (int64_t c = 0; c < labels.classes; ++c) {
      const T w = labels.of(c);
      if (w != 0) sum += static_cast<double>(w) * static_cast<double>(top - x[c * step]);
    }
    return sum;
  }

  static void forward(const Args& args, Team& team) {
    const View &in = args.in[0], &target = args.in[1], &loss = args.out[0], &top = args.out[1];
    const Lines<3> lines({&in, &target, &top}, static_cast<int>(attrs<LossAttrs>(args).dim));
    const int64_t n = lines.length;
    const auto reduction = static_cast<Reduction>(attrs<LossAttrs>(args).reduction);
    const Labels labels(args, 2, n);
    const Cut cut(lines, lines.step[0] == 1 || n == 1, N);
    double* partial = reinterpret_cast<double*>(args.shared);  // (tasks, 2): sums of loss and of weight
    // (width) m, (width) s, (n, width) copy
    const auto bytes =
        static_cast<int64_t>(sizeof(T)) * (cut.width * (2 + (cut.rows || lines.next[0] == 1 ? 0 : n)) + N);

    team.each(cut.tasks, [&](int64_t task) {
      const int64_t outer = task / cut.tiles, begin = task % cut.tiles * cut.width;
      const int64_t width = lines.tiled - begin < cut.width ? lines.tiled - begin : cut.width;
      const T* x = in.ptr<T>() + lines.offset(0, outer) + begin * lines.next[0];
      const int64_t* t = target.ptr<int64_t>() + lines.offset(1, outer) + begin * lines.next[1];
      const int64_t line = lines.offset(2, outer) + begin * lines.next[2];  // loss, top and log_sum are C-ordered
      const Scratch scratch(bytes);
      T *m = scratch.as<T>(), *s = m + cut.width;
      if (cut.rows) {
        for (int64_t i = 0; i < width; ++i) {
          const T* row = x + i * lines.next[0];
          m[i] = extreme_row<Greatest>(row, n, lowest<T>(), itself);
          const V center(m[i]);
          s[i] = fold_row<Plus, 4>(
              row, n, T(0), [&](V a) __attribute__((always_inline)) { return exp(a - center); });
        }
      } else {
        const T* tile = as_columns(x, lines.step[0], lines.next[0], n, width, s + cut.width);
        const int64_t pitch = lines.next[0] == 1 ? lines.step[0] : width;
        fold_columns<Greatest>(
            tile, pitch, n, width, m, [](V a, auto, int64_t) __attribute__((always_inline)) { return a; });
        fold_columns<Plus>(
            tile, pitch, n, width,
            s, [&](V a, auto get, int64_t c) __attribute__((always_inline)) { return exp(a - get(m + c)); });
      }
      double sum = 0, weight = 0;
      for (int64_t i = 0; i < width; ++i) {
        const int64_t label = t[i * lines.next[1]];
        const int64_t at = line + i * lines.next[2];
        const T log_sum = sizeof(T) == 4 ? __builtin_logf(s[i]) : __builtin_log(s[i]);
        T value = 0;
        if (label != labels.ignored) {
          if (!labels.valid(label)) {
            team.fail(at, label, 0, labels.classes - 1);
          } else {
            const T* row = x + i * lines.next[0];
            const T w = labels.of(label);
            const T share = (1 - labels.smoothing) * w;
            if (share != 0) value = share * (m[i] - row[label * lines.step[0]] + log_sum);
            if (labels.smoothing != 0)
              value += static_cast<T>(static_cast<double>(labels.smoothing / static_cast<T>(n)) *
                                      (below(m[i], row, lines.step[0], labels) +
                                       static_cast<double>(labels.all) * static_cast<double>(log_sum)));
            weight += static_cast<double>(w);
          }
        }
        top.ptr<T>()[at] = m[i];
        args.out[2].ptr<T>()[at] = log_sum;
        if (reduction == kNone) loss.ptr<T>()[at] = value;
        sum += static_cast<double>(value);
      }
      partial[2 * task] = sum;
      partial[2 * task + 1] = weight;
    });

    double sum = 0, total = 0;
    for (int64_t i = 0; i < cut.tasks; ++i) sum += partial[2 * i], total += partial[2 * i + 1];
    *args.out[3].ptr<T>() = static_cast<T>(total);
    if (reduction != kNone) *loss.ptr<T>() = static_cast<T>(reduction == kMean ? sum / total : sum);
  }

  static void backward(const Args& args, Team& team) {
    const View &g = args.in[0], &in = args.in[1], &target = args.in[2], &top = args.in[3], &log_sum = args.in[4],
               &out = args.out[0];
    const auto reduction = static_cast<Reduction>(attrs<LossAttrs>(args).reduction);
    const View& upstream = reduction == kNone ? g : top;  // a scalar has no lines
    const Lines<6> lines({&in, &target, &top, &out, &upstream, &log_sum}, static_cast<int>(attrs<LossAttrs>(args).dim));
    const int64_t n = lines.length;
    const Labels labels(args, 6, n);
    const Cut cut(lines, n == 1 || (lines.step[0] == 1 && lines.step[3] == 1), N);
    if (n == 0 || cut.tasks == 0) return;
    T common = 1;
    if (reduction != kNone) common = *g.ptr<T>();
    if (reduction == kMean) common /= *args.in[5].ptr<T>();
    const T keep = 1 - labels.smoothing, spread = labels.smoothing / static_cast<T>(n);
    const bool unit_in = lines.next[0] == 1, unit_out = lines.next[3] == 1;
    // (width) top, (width) log_sum, (width) a, (width) b, (n, width) copy
    const auto bytes = static_cast<int64_t>(sizeof(T)) * (cut.width * (4 + (unit_in && unit_out ? 0 : n)) + N);

    team.each(cut.tasks, [&](int64_t task) {
      const int64_t outer = task / cut.tiles, begin = task % cut.tiles * cut.width;
      const int64_t width = lines.tiled - begin < cut.width ? lines.tiled - begin : cut.width;
      const T* x = in.ptr<T>() + lines.offset(0, outer) + begin * lines.next[0];
      const int64_t* t = target.ptr<int64_t>() + lines.offset(1, outer) + begin * lines.next[1];
      const T* highest = top.ptr<T>() + lines.offset(2, outer) + begin * lines.next[2];
      const T* log_sums = log_sum.ptr<T>() + lines.offset(5, outer) + begin * lines.next[5];
      T* dx = out.ptr<T>() + lines.offset(3, outer) + begin * lines.next[3];
      const T* up = upstream.ptr<T>() + lines.offset(4, outer) + begin * lines.next[4];
      const Scratch scratch(bytes);
      T *m = scratch.as<T>(), *ls = m + cut.width, *a = ls + cut.width, *b = a + cut.width, *copy = b + cut.width;
      // dx[c] = a exp(x[c] - top - log_sum) - b w[c] - [c = t] h
      for (int64_t i = 0; i < width; ++i) {
        const int64_t label = t[i * lines.next[1]];
        const bool counts = label != labels.ignored && labels.valid(label);
        const T gi = !counts ? T(0) : reduction == kNone ? up[i * lines.next[4]] : common;
        m[i] = highest[i * lines.next[2]];
        ls[i] = log_sums[i * lines.next[5]];
        b[i] = gi * spread;
        a[i] = counts ? gi * keep * labels.of(label) + b[i] * labels.all : T(0);
      }
      auto subtract_target = [&](T* y, int64_t step, int64_t next) {
        for (int64_t i = 0; i < width; ++i) {
          const int64_t label = t[i * lines.next[1]];
          if (label == labels.ignored || !labels.valid(label)) continue;
          const T gi = reduction == kNone ? up[i * lines.next[4]] : common;
          y[label * step + i * next] -= gi * keep * labels.of(label);
        }
      };
      if (cut.rows) {
        for (int64_t i = 0; i < width; ++i) {
          const T* row = x + i * lines.next[0];
          T* to = dx + i * lines.next[3];
          const V center(m[i]), rest(ls[i]), scale(a[i]), shift(labels.weight ? T(0) : b[i]);
          if (a[i] == 0 && b[i] == 0) {
            for (int64_t c = 0; c < n; ++c) to[c] = 0;
            continue;
          }
          each_vector<T>(
              n, [&](auto get, auto put, int64_t c) __attribute__((always_inline)) {
                put(to + c, exp(get(row + c) - center - rest) * scale - shift);
              });
          if (labels.weight && b[i] != 0)
            for (int64_t c = 0; c < n; ++c) to[c] -= b[i] * labels.of(c);
        }
        return subtract_target(dx, lines.step[3], lines.next[3]);
      }
      const T* tile = as_columns(x, lines.step[0], lines.next[0], n, width, copy);
      const int64_t px = unit_in ? lines.step[0] : width;
      T* y = unit_out ? dx : copy;
      const int64_t py = unit_out ? lines.step[3] : width;
      for (int64_t c = 0; c < n; ++c) {
        const V w(labels.of(c));
        each_vector<T>(
            width, [&](auto get, auto put, int64_t i) __attribute__((always_inline)) {
              const V scale = get(a + i);
              const V p = exp(get(tile + c * px + i) - get(m + i) - get(ls + i)) * scale - get(b + i) * w;
              put(y + c * py + i, select(scale == V(T(0)), V(T(0)), p));  // an ignored line may hold anything
            });
      }
      subtract_target(y, py, 1);
      if (!unit_out)
        for (int64_t r = 0; r < n; ++r)
          for (int64_t c = 0; c < width; ++c) dx[r * lines.step[3] + c * lines.next[3]] = copy[r * width + c];
    });
  }
};

double forward_cost(const Args& args) { return 150 + 0.4 * static_cast<double>(args.in[0].size()); }
double backward_cost(const Args& args) { return 100 + 0.4 * static_cast<double>(args.in[1].size()); }

int64_t forward_shared(const Args& args) {
  const View& in = args.in[0];
  const Lines<3> lines({&in, &args.in[1], &args.out[1]}, static_cast<int>(attrs<LossAttrs>(args).dim));
  const int64_t lanes = kVecBytes / item_size(in.dtype);
  return Cut(lines, lines.step[0] == 1 || lines.length == 1, lanes).tasks * 2 * static_cast<int64_t>(sizeof(double));
}

void forward(const Args& args, Team& team) {
  if (args.in[0].dtype == DType::f32) CrossEntropy<float>::forward(args, team);
  else CrossEntropy<double>::forward(args, team);
}
void backward(const Args& args, Team& team) {
  if (args.in[1].dtype == DType::f32) CrossEntropy<float>::backward(args, team);
  else CrossEntropy<double>::backward(args, team);
}

// `v` has the shape of x without the class axis
bool fits(const View& v, const View& x, int64_t axis) {
  if (v.ndim != x.ndim - 1) return false;
  for (int d = 0; d < v.ndim; ++d)
    if (v.shape[d] != x.shape[d + (d >= axis)]) return false;
  return true;
}

// what both directions ask of logits, labels, top, log_sum and total (at `lines`), loss (or its gradient) and the
// weights
const char* check(const Args& args, const View& x, const View& t, const View* lines, const View& loss,
                  const View* weight) {
  const View &top = lines[0], &log_sum = lines[1], &total = lines[2];
  const auto& [dim, reduction, ignore_index, label_smoothing] = attrs<LossAttrs>(args);
  if (!floating(x.dtype)) return "logits must be float";
  if (t.dtype != DType::i64) return "labels must be int64";
  if (x.ndim < 1 || dim < 0 || dim >= x.ndim) return "dim out of range";
  if (reduction < kNone || reduction > kMean) return "reduction must be 0, 1 or 2";
  if (!fits(t, x, dim) || !fits(top, x, dim) || !fits(log_sum, x, dim))
    return "labels, top and log_sum have the logits' other axes";
  if (top.dtype != x.dtype || log_sum.dtype != x.dtype || total.dtype != x.dtype || loss.dtype != x.dtype)
    return "dtypes must be equal";
  if (total.ndim != 0) return "total is a scalar";
  if (reduction == kNone ? !fits(loss, x, dim) : loss.ndim != 0) return "loss has the wrong shape";
  if (weight && (weight->ndim != 1 || weight->shape[0] != x.shape[dim] || weight->dtype != x.dtype))
    return "there must be one weight a class";
  return nullptr;
}

const char* forward_check(const Args& args) {
  if ((args.n_in != 2 && args.n_in != 3) || args.n_out != 4) return "two or three inputs and four outputs are needed";
  for (int k = 0; k < 3; ++k)
    if (!args.out[k].contiguous()) return "outputs must be contiguous";
  return check(args, args.in[0], args.in[1], args.out + 1, args.out[0], args.n_in == 3 ? &args.in[2] : nullptr);
}

const char* backward_check(const Args& args) {
  if ((args.n_in != 6 && args.n_in != 7) || args.n_out != 1) return "six or seven inputs and one output are needed";
  const View &x = args.in[1], &dx = args.out[0];
  if (dx.dtype != x.dtype || !same_shape(x, dx)) return "the gradient is shaped as the logits";
  return check(args, x, args.in[2], args.in + 3, args.in[0], args.n_in == 7 ? &args.in[6] : nullptr);
}

}  // namespace

extern const Kernel k_cross_entropy = {
    .attrs = LossAttrs::schema, .run = forward, .cost = forward_cost, .shared = forward_shared, .check = forward_check};
extern const Kernel k_cross_entropy_grad = {
    .attrs = LossAttrs::schema, .run = backward, .cost = backward_cost, .check = backward_check};

}  // namespace rv::RV_ISA
