// SPDX-License-Identifier: Apache-2.0
// attention: softmax(scale q k^T + mask) v for q (N, L, H, E), k (N, S, Hk, E), v (N, S, Hk, Ev) -> (N, L, H, Ev), in
// blocks of keys with a running maximum m and sum s (Milakov and Gimelshein 2018; Dao et al. 2022):
//   m' = max(m, scores),  p = exp(scores - m'),  s = s exp(m - m') + sum p,  o = o exp(m - m') + p v
// out: o / s, and where they are wanted m and s, (N, H, L). A query that sees no key gives 0.
#include "cpu/attention/attention.h"

namespace rv::RV_ISA {
namespace attention {

const char* check_operands(const Args& args, int first, int last) {
  if (last < first + 3 || last > first + 5) return "takes q, k, v, and a mask and a key where there are any";
  const View &q = args.in[first], &k = args.in[first + 1], &v = args.in[first + 2];
  if (q.ndim != 4 || k.ndim != 4 || v.ndim != 4) return "q, k and v have four axes";
  if (!floating(q.dtype) || k.dtype != q.dtype || v.dtype != q.dtype) return "q, k and v are of one float dtype";
  if (k.shape[0] != q.shape[0] || v.shape[0] != q.shape[0] || k.shape[1] != v.shape[1] || k.shape[2] != v.shape[2] ||
      k.shape[3] != q.shape[3])
    return "shapes of q, k and v do not go together";
  if (k.shape[2] ? q.shape[2] % k.shape[2] != 0 : q.shape[2] != 0) return "heads of k must divide those of q";
  const double dropout = attrs<AttentionAttrs>(args).dropout;
  if (!(dropout >= 0 && dropout <= 1)) return "dropout must be in [0, 1]";
  if (last < first + 3 + (dropout > 0)) return "a dropout needs a key";
  const Problem p(args, first, last);
  if (p.key && (p.key->dtype != DType::i64 || p.key->ndim != 1 || p.key->shape[0] != 2)) return "the key is int64(2,)";
  if (!p.mask) return last > first + 3 + (p.key != nullptr) ? "too many operands" : nullptr;
  const View& m = *p.mask;
  if (m.dtype != DType::b1 && m.dtype != q.dtype) return "the mask is bool or of q's dtype";
  const int64_t wanted[] = {p.batch, p.heads, p.queries, p.keys};
  for (int d = 0; d < 4; ++d)
    if (m.ndim != 4 || m.shape[d] != wanted[d]) return "the mask is (N, H, L, S)";
  return nullptr;
}

namespace {

template <class T> struct Forward {
  using V = Vec<T>;
  static constexpr int64_t Q = kQueries<T>;
  static constexpr int N = V::N;

  const Problem& p;
  const View& out;
  T *tops, *sums;  // may be null

  static int64_t elements(const Problem& p) {
    return p.width * Q + kKeys * Q + p.depth * Q + 3 * Q + Scores<T>::kScratch + Rows<T>::copied(p.q) +
           Rows<T>::copied(p.k) + Rows<T>::copied(p.v);
  }

  // Few queries, as in decoding: their scores are products along the features, and each is a row.
  static constexpr int64_t kFew = gemm::kInnerRows;
  static int64_t few_elements(const Problem& p) { return 2 * (p.keys + N) * (kFew + 1) + p.depth * kFew; }

  void few(const Panel& at) const {
    const Scratch scratch((few_elements(p) + elements(p)) * static_cast<int64_t>(sizeof(T)));
    T *s = scratch.as<T>(), *factor = s + (p.keys + N) * kFew, *own = factor + p.keys + N,
      *copy = own + Scores<T>::kScratch;
    const int64_t row = p.keys + N;
    const Scores<T> scores(p, at, own);
    const int64_t end = scores.seen(p.visible(at.begin + at.count));
    Rows<T> qs(p.q, at.n, at.head), ks(p.k, at.n, at.head / p.groups), vs(p.v, at.n, at.head / p.groups);
    const Rows<T> to(out, at.n, at.head);
    qs.gather(p.queries, p.width, copy), copy += Rows<T>::copied(p.q);
    ks.gather(end, p.width, copy), copy += Rows<T>::copied(p.k);
    vs.gather(end, p.depth, copy);
    const int rows = static_cast<int>(at.count), step = gemm::inner_cols<T>(at.count, p.width);
    for (int64_t j = 0; j < end; j += step) {
      const int cols = static_cast<int>(min(step, end - j));
      gemm::pick_inner<T>(step, cols, rows)(p.width, qs.at(at.begin), qs.row, ks.at(j), ks.row, cols, s + j, row,
                                            nullptr);
    }
    for (int64_t i = 0; i < at.count; ++i) {
      T* const x = s + i * row;
      for (int64_t j = 0; j < end; ++j) x[j] = x[j] * static_cast<T>(p.scale) + scores.added(i, j);
      const T top = fold_row<Greatest>(x, end, lowest<T>(), itself);
      const V center(top == lowest<T>() ? T(0) : top);
      each_vector<T>(
          end, [&](auto get, auto put, int64_t j)
                   __attribute__((always_inline)) { put(x + j, exp_below(get(x + j) - center)); });
      const T sum = fold_row<Plus>(x, end, T(0), itself);
      if (p.dropout > 0) {
        scores.factors(i, end, factor);
        for (int64_t j = 0; j < end; ++j) x[j] *= factor[j];
      }
      if (tops) {
        const int64_t line = (at.n * p.heads + at.head) * p.queries + at.begin + i;
        tops[line] = top, sums[line] = sum;
      }
      const T share = sum == 0 ? T(0) : 1 / sum;
      for (int64_t j = 0; j < end; ++j) x[j] *= share;
    }
    spread(at.count, end, s, row, vs.p, vs.row, to.at(at.begin), to.row, p.depth, false);
    if (end == 0)
      for (int64_t i = 0; i < at.count; ++i)
        for (int64_t e = 0; e < p.depth; ++e) to.at(at.begin + i)[e] = 0;
  }

  void panel(const Panel& at) const {
    const Scratch scratch(elements(p) * static_cast<int64_t>(sizeof(T)));
    T *q = scratch.as<T>(), *s = q + p.width * Q, *o = s + kKeys * Q, *top = o + p.depth * Q, *sum = top + Q,
      *shrink = sum + Q, *own = shrink + Q, *copy = own + Scores<T>::kScratch;
    const int64_t lanes = lanes_of<T>(at.count), end = p.visible(at.begin + at.count);
    Rows<T> qs(p.q, at.n, at.head), ks(p.k, at.n, at.head / p.groups), vs(p.v, at.n, at.head / p.groups);
    qs.gather(p.queries, p.width, copy), copy += Rows<T>::copied(p.q);
    ks.gather(end, p.width, copy), copy += Rows<T>::copied(p.k);
    vs.gather(end, p.depth, copy);
    load_queries(q, qs, at, p.width, p.scale);
    for (int64_t i = 0; i < Q; ++i) top[i] = lowest<T>(), sum[i] = 0;
    const Scores<T> scores(p, at, own);
    bool begun = false;
    for (int64_t j = 0; j < end; j += kKeys) {
      const int64_t count = min(kKeys, end - j);
      if (scores.hidden(j, count)) continue;
      scores.make(s, q, ks, j, count, lanes);
      exponentials(s, count, lanes, top, sum, shrink);
      if (p.dropout > 0) {
        const T* factor = scores.factors(j, count);
        for (int64_t r = 0; r < count; ++r) scale(s + r * Q, factor + r * Q, lanes);
      }
      if (begun)
        for (int64_t e = 0; e < p.depth; ++e) scale(o + e * Q, shrink, lanes);
      multiply(p.depth, count, vs.at(j), 1, vs.row, s, o, lanes, begun);
      begun = true;
    }
    if (!begun)
      for (int64_t i = 0; i < p.depth * Q; ++i) o[i] = 0;
    finish(at, o, top, sum, shrink, lanes);
  }

  static void scale(T* x, const T* factors, int64_t lanes) {
    for (int64_t lane = 0; lane < lanes; lane += N) store(x + lane, load(x + lane) * load(factors + lane));
  }

  // s becomes the exponentials; of each lane the greatest score and the sum so far follow, and by what both shrink what
  // was there before.
  static void exponentials(T* s, int64_t count, int64_t lanes, T* top, T* sum, T* shrink) {
    for (int64_t lane = 0; lane < lanes; lane += N) {
      T* const x = s + lane;
      V best = load(top + lane), before = best;
      for (int64_t r = 0; r < count; ++r) best = Greatest::blind(best, load(x + r * Q));  // NaN shows in the sums
      const V center = select(best == V(lowest<T>()), V(T(0)), best);                     // nothing seen yet
      V total[2] = {V(T(0)), V(T(0))};
      int64_t r = 0;
      for (; r + 2 <= count; r += 2)
        for (int k = 0; k < 2; ++k) {
          const V e = exp_below(load(x + (r + k) * Q) - center);
          store(x + (r + k) * Q, e);
          total[k] += e;
        }
      if (r < count) {
        const V e = exp_below(load(x + r * Q) - center);
        store(x + r * Q, e);
        total[0] += e;
      }
      const V less = exp_below(before - center);
      store(shrink + lane, less);
      store(top + lane, best);
      store(sum + lane, load(sum + lane) * less + (total[0] + total[1]));
    }
  }

  void finish(const Panel& at, T* o, const T* top, const T* sum, T* shrink, int64_t lanes) const {
    for (int64_t lane = 0; lane < lanes; lane += N) {
      const V s = load(sum + lane);
      store(shrink + lane, select(s == V(T(0)), V(T(0)), V(T(1)) / s));
    }
    for (int64_t e = 0; e < p.depth; ++e) scale(o + e * Q, shrink, lanes);
    const Rows<T> to(out, at.n, at.head);
    back(to.at(at.begin), to.row, o, at.count, p.depth);
    if (!tops) return;
    const int64_t line = (at.n * p.heads + at.head) * p.queries + at.begin;
    for (int64_t i = 0; i < at.count; ++i) tops[line + i] = top[i], sums[line + i] = sum[i];
  }
};

template <class T> void run_as(const Args& args, Team& team) {
  const Problem p(args, 0, args.n_in);
  const bool stats = args.n_out == 3;
  const Forward<T> forward{p, args.out[0], stats ? args.out[1].ptr<T>() : nullptr,
                           stats ? args.out[2].ptr<T>() : nullptr};
  if (p.queries <= Forward<T>::kFew && p.width > 0) {
    team.each(p.batch * p.heads, [&](int64_t line) { forward.few({line / p.heads, line % p.heads, 0, p.queries}); });
    return;
  }
  const int64_t panels = p.panels(kQueries<T>);
  team.each(p.batch * p.heads * panels, [&](int64_t task) {
    const int64_t begin = task % panels * kQueries<T>, line = task / panels;
    forward.panel({line / p.heads, line % p.heads, begin, min(kQueries<T>, p.queries - begin)});
  });
}

void run(const Args& args, Team& team) {
  if (args.in[0].dtype == DType::f32) run_as<float>(args, team);
  else run_as<double>(args, team);
}

double cost(const Args& args) {
  const Problem p(args, 0, args.n_in);
  const double scores =
      static_cast<double>(p.batch * p.heads * p.queries) * static_cast<double>(p.keys) * (p.causal ? 0.5 : 1.0);
  return 200 + scores * (0.1 + 0.02 * static_cast<double>(p.width + p.depth)) * (p.q.dtype == DType::f32 ? 1 : 2.5);
}

const char* check(const Args& args) {
  if (args.n_out != 1 && args.n_out != 3) return "gives the result, and the greatest scores and sums of exponentials";
  if (const char* wrong = check_operands(args, 0, args.n_in)) return wrong;
  const Problem p(args, 0, args.n_in);
  const View& o = args.out[0];
  const int64_t wanted[] = {p.batch, p.queries, p.heads, p.depth}, lines[] = {p.batch, p.heads, p.queries};
  if (o.ndim != 4 || o.dtype != p.q.dtype || !o.contiguous()) return "out must be contiguous, with q's dtype";
  for (int d = 0; d < 4; ++d)
    if (o.shape[d] != wanted[d]) return "out is (N, L, H, Ev)";
  for (int k = 1; k < args.n_out; ++k) {
    const View& stat = args.out[k];
    if (stat.ndim != 3 || stat.dtype != p.q.dtype || !stat.contiguous()) return "statistics must be contiguous";
    for (int d = 0; d < 3; ++d)
      if (stat.shape[d] != lines[d]) return "statistics are (N, H, L)";
  }
  return nullptr;
}

}  // namespace
}  // namespace attention

extern const Kernel k_attention = {.attrs = attention::AttentionAttrs::schema,
                                   .run = attention::run,
                                   .cost = attention::cost,
                                   .check = attention::check};

}  // namespace rv::RV_ISA
