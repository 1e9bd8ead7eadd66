// SPDX-License-Identifier: Apache-2.0
// attention_grad: what attention gives back to q, k and v. The weights p = exp(scores - m) / s are computed again from
// the statistics of the forward pass, block by block, so that memory is linear in the length. With g the gradient of
// the result o, d the factors of the dropout and delta = sum(g o):
//   dv = (p d)^T g,   ds = scale p (d (g v^T) - delta),   dq = ds k,   dk = ds^T q
// in: g, o, m, s, q, k, v and the optional ones; out: dq, dk, dv, shaped as q, k and v.
#include "cpu/attention/attention.h"

namespace rv::RV_ISA {
namespace attention {
namespace {

constexpr int kFirst = 4;  // of the inputs that attention had

template <class T> struct Backward {
  using V = Vec<T>;
  static constexpr int64_t Q = kQueries<T>;
  static constexpr int N = V::N;

  const Problem& p;
  const Args& args;

  static int64_t elements(const Problem& p, const Args& args) {
    return 2 * p.width * Q + p.depth * Q + 2 * kKeys * Q + 3 * Q + Scores<T>::kScratch + Rows<T>::copied(p.q) +
           Rows<T>::copied(p.k) + Rows<T>::copied(p.v) + Rows<T>::copied(args.in[0]) + Rows<T>::copied(args.in[1]);
  }

  // The heads that share one head of keys, all panels in order.
  void group(int64_t n, int64_t shared) const {
    const Scratch scratch(elements(p, args) * static_cast<int64_t>(sizeof(T)));
    T *q = scratch.as<T>(), *dq = q + p.width * Q, *g = dq + p.width * Q, *w = g + p.depth * Q, *d = w + kKeys * Q,
      *top = d + kKeys * Q, *scale = top + Q, *delta = scale + Q, *own = delta + Q, *copy = own + Scores<T>::kScratch;
    Rows<T> ks(p.k, n, shared), vs(p.v, n, shared);
    const Rows<T> dks(args.out[1], n, shared), dvs(args.out[2], n, shared);
    ks.gather(p.keys, p.width, copy), copy += Rows<T>::copied(p.k);
    vs.gather(p.keys, p.depth, copy), copy += Rows<T>::copied(p.v);
    for (int64_t j = 0; j < p.keys; ++j) {
      for (int64_t e = 0; e < p.width; ++e) dks.at(j)[e] = 0;
      for (int64_t e = 0; e < p.depth; ++e) dvs.at(j)[e] = 0;
    }
    for (int64_t head = shared * p.groups; head < (shared + 1) * p.groups; ++head) {
      Rows<T> qs(p.q, n, head), gs(args.in[0], n, head), os(args.in[1], n, head);
      const Rows<T> to(args.out[0], n, head);
      T* more = copy;
      qs.gather(p.queries, p.width, more), more += Rows<T>::copied(p.q);
      gs.gather(p.queries, p.depth, more), more += Rows<T>::copied(args.in[0]);
      os.gather(p.queries, p.depth, more);
      for (int64_t begin = 0; begin < p.queries; begin += Q) {
        const Panel at{n, head, begin, min(Q, p.queries - begin)};
        const int64_t lanes = lanes_of<T>(at.count), end = p.visible(begin + at.count);
        load_queries(q, qs, at, p.width, p.scale);
        across(g, gs.at(begin), gs.row, at.count, p.depth);
        statistics(at, gs, os, top, scale, delta);
        const Scores<T> scores(p, at, own);
        bool begun = false;
        for (int64_t j = 0; j < end; j += kKeys) {
          const int64_t count = min(kKeys, end - j);
          if (scores.hidden(j, count)) continue;
          scores.make(w, q, ks, j, count, lanes);
          if (p.depth) multiply(count, p.depth, vs.at(j), vs.row, 1, g, d, lanes, false);
          else
            for (int64_t i = 0; i < count * Q; ++i) d[i] = 0;
          const T* factor = p.dropout > 0 ? scores.factors(j, count) : nullptr;
          differences(w, d, factor, count, lanes, top, scale, delta);
          spread(count, at.count, w, Q, gs.at(begin), gs.row, dvs.at(j), dvs.row, p.depth, true);
          spread(count, at.count, d, Q, qs.at(begin), qs.row, dks.at(j), dks.row, p.width, true);
          multiply(p.width, count, ks.at(j), 1, ks.row, d, dq, lanes, begun);
          begun = true;
        }
        if (!begun)
          for (int64_t i = 0; i < p.width * Q; ++i) dq[i] = 0;
        back(to.at(begin), to.row, dq, at.count, p.width);
      }
    }
  }

  // Of each lane its greatest score, one over its sum (0 where there is no query, or one that sees nothing), delta.
  void statistics(const Panel& at, const Rows<T>& gs, const Rows<T>& os, T* top, T* scale, T* delta) const {
    const auto of_line = [&](const View& v, int64_t i) {
      return v.ptr<T>()[at.n * v.stride[0] + at.head * v.stride[1] + (at.begin + i) * v.stride[2]];
    };
    for (int64_t lane = 0; lane < Q; ++lane) {
      top[lane] = scale[lane] = delta[lane] = 0;
      if (lane >= at.count) continue;
      const T highest = of_line(args.in[2], lane), sum = of_line(args.in[3], lane);
      if (highest != lowest<T>()) top[lane] = highest;
      if (sum != 0) scale[lane] = 1 / sum;
      const T *g = gs.at(at.begin + lane), *o = os.at(at.begin + lane);
      V product(T(0));
      each_vector<T>(
          p.depth, [&](auto get, auto, int64_t e)
                       __attribute__((always_inline)) { product += get(g + e) * get(o + e); });
      delta[lane] = reduce_add(product);
    }
  }

  // From scores w and d = g v^T: w the weights after the dropout, d the scores' gradient.
  void differences(T* w, T* d, const T* factor, int64_t count, int64_t lanes, const T* top, const T* scale,
                   const T* delta) const {
    const V all(p.scale);
    for (int64_t lane = 0; lane < lanes; lane += N) {
      const V center = load(top + lane), share = load(scale + lane), less = load(delta + lane);
      for (int64_t r = 0; r < count; ++r) {
        T *const x = w + r * Q + lane, *const y = d + r * Q + lane;
        const V weight = exp_below(load(x) - center) * share;
        V dw = load(y), kept = weight;
        if (factor) {
          const V f = load(factor + r * Q + lane);
          dw *= f, kept *= f;
        }
        store(x, kept);
        store(y, weight * (dw - less) * all);
      }
    }
  }
};

template <class T> void run_as(const Args& args, Team& team) {
  const Problem p(args, kFirst, args.n_in);
  const Backward<T> backward{p, args};
  const int64_t shared = p.k.shape[2];
  team.each(p.batch * shared, [&](int64_t task) { backward.group(task / shared, task % shared); });
}

void run(const Args& args, Team& team) {
  if (args.in[0].dtype == DType::f32) run_as<float>(args, team);
  else run_as<double>(args, team);
}

double cost(const Args& args) {
  const Problem p(args, kFirst, args.n_in);
  const double scores =
      static_cast<double>(p.batch * p.heads * p.queries) * static_cast<double>(p.keys) * (p.causal ? 0.5 : 1.0);
  return 300 + scores * (0.15 + 0.05 * static_cast<double>(p.width + p.depth)) * (p.q.dtype == DType::f32 ? 1 : 2.5);
}

const char* check(const Args& args) {
  if (args.n_in < kFirst + 3 || args.n_out != 3) return "takes g, o, two statistics and attention's inputs";
  if (const char* wrong = check_operands(args, kFirst, args.n_in)) return wrong;
  const Problem p(args, kFirst, args.n_in);
  const int64_t result[] = {p.batch, p.queries, p.heads, p.depth}, lines[] = {p.batch, p.heads, p.queries};
  for (int k = 0; k < 2; ++k) {
    if (args.in[k].ndim != 4 || args.in[k].dtype != p.q.dtype) return "g and o have q's dtype";
    for (int d = 0; d < 4; ++d)
      if (args.in[k].shape[d] != result[d]) return "g and o are (N, L, H, Ev)";
    const View& stat = args.in[2 + k];
    if (stat.ndim != 3 || stat.dtype != p.q.dtype) return "statistics have q's dtype";
    for (int d = 0; d < 3; ++d)
      if (stat.shape[d] != lines[d]) return "statistics are (N, H, L)";
  }
  for (int k = 0; k < 3; ++k) {
    const View& to = args.out[k];
    if (to.dtype != p.q.dtype || !to.contiguous() || !same_shape(to, args.in[kFirst + k]))
      return "gradients must be contiguous, shaped as q, k and v";
  }
  return nullptr;
}

}  // namespace
}  // namespace attention

extern const Kernel k_attention_grad = {.attrs = attention::AttentionAttrs::schema,
                                        .run = attention::run,
                                        .cost = attention::cost,
                                        .check = attention::check};

}  // namespace rv::RV_ISA
