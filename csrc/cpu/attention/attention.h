// SPDX-License-Identifier: Apache-2.0
// What attention and its gradient share. The unit of work is a panel of queries, as many as two vectors have lanes,
// beside a block of keys. Scores lie transposed, keys down and queries across: each lane is a query, so that maxima,
// exponentials and sums of a softmax are vertical, and the micro-kernels of the matrix product read keys and values
// where they lie.
#pragma once
#include "core/kernel.h"
#include "cpu/gemm/tile.h"
#include "cpu/random.h"
#include "cpu/reduce/rows.h"
#include "cpu/simd/vmath_exp.h"

namespace rv::RV_ISA::attention {

RV_ATTRS(AttentionAttrs, (bool, causal), (double, scale), (double, dropout));

inline constexpr int64_t kKeys = 128;  // of a block; its random factors are whole batches
template <class T> inline constexpr int64_t kQueries = gemm::kCols<T>;

// Two axes of an operand: rows one after the other along the second of (N, rows, heads, width).
template <class T> struct Rows {
  T* p;
  int64_t row, step;

  Rows(const View& v, int64_t n, int64_t head)
      : p(v.ptr<T>() + n * v.stride[0] + head * v.stride[2]),
        row(v.stride[1]),
        step(v.shape[3] > 1 ? v.stride[3] : 1) {}

  T* at(int64_t i) const { return p + i * row; }
  // The same rows with neighbouring values: where they do not lie so, a copy in `memory`.
  void gather(int64_t rows, int64_t width, T* memory) {
    if (step == 1) return;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t e = 0; e < width; ++e) memory[i * width + e] = p[i * row + e * step];
    p = memory, row = width, step = 1;
  }
  static int64_t copied(const View& v) {  // elements of that copy
    return v.shape[3] > 1 && v.stride[3] != 1 ? v.shape[1] * v.shape[3] : 0;
  }
};

// Sizes and operands that do not depend on the task. Inputs from `first` on are q, k, v and, where there are any, the
// mask and the key of the dropout.
struct Problem {
  const View &q, &k, &v;
  const View *mask = nullptr, *key = nullptr;
  int64_t batch, heads, groups, queries, keys, width, depth;  // `groups` heads share their keys; of values: depth
  bool causal;
  double scale, dropout;

  Problem(const Args& args, int first)
      : q(args.in[first]),
        k(args.in[first + 1]),
        v(args.in[first + 2]),
        batch(q.shape[0]),
        heads(q.shape[2]),
        groups(k.shape[2] ? q.shape[2] / k.shape[2] : 1),
        queries(q.shape[1]),
        keys(k.shape[1]),
        width(q.shape[3]),
        depth(v.shape[3]) {
    const auto& a = attrs<AttentionAttrs>(args);
    causal = a.causal, scale = a.scale, dropout = a.dropout;
  }
  Problem(const Args& args, int first, int last) : Problem(args, first) {  // optional inputs: [first + 3, last)
    int at = last;
    if (dropout > 0) key = &args.in[--at];
    if (at > first + 3) mask = &args.in[at - 1];
  }
  int64_t panels(int64_t lanes) const { return ceil_div(queries, lanes); }
  // Keys that the queries before `end` may see.
  int64_t visible(int64_t end) const { return causal ? min(keys, end) : keys; }
};

// Of a panel: queries [begin, begin + count) of a head.
struct Panel {
  int64_t n, head, begin, count;
};

// to[p][lane] = from row of the lane, p < k, rows `row` apart; lanes without a row are 0.
template <class T> void across(T* to, const T* from, int64_t row, int64_t count, int64_t k) {
  constexpr int L = gemm::kLanes<T>;
  for (int64_t lane = 0; lane < kQueries<T>; lane += L)
    gemm::pack_rows(to + lane, kQueries<T>, L, from + lane * row, static_cast<int>(max(0, min(L, count - lane))), row,
                    k);
}
// The queries of a panel, across and scaled.
template <class T> void load_queries(T* to, const Rows<T>& q, const Panel& at, int64_t width, double scale) {
  across(to, q.at(at.begin), q.row, at.count, width);
  for (int64_t i = 0; i < width * kQueries<T>; i += Vec<T>::N) store(to + i, load(to + i) * Vec<T>(scale));
}
// The other way: row `lane` of `to` is from[.][lane], k values.
template <class T> void back(T* to, int64_t row, const T* from, int64_t count, int64_t k) {
  constexpr int L = gemm::kLanes<T>;
  for (int64_t e = 0; e < k; e += L) {
    const int rows = static_cast<int>(min(L, k - e));
    gemm::pack_rows(to + e, row, rows, from + e * kQueries<T>, rows, kQueries<T>, count);
  }
}

// C[m, lanes] (+)= A[m, k] B[k, lanes] for rows of B and C a panel wide. A lies in place: element (i, p) at
// a[i row + p col], one of the strides 1.
template <class T>
void multiply(int64_t m, int64_t k, const T* a, int64_t row, int64_t col, const T* b, T* c, int64_t lanes,
              bool accumulate) {
  if (m == 0 || k == 0) return;
  gemm::TileJob<T> job;
  job.a = gemm::TileA<T>::in_place(a, row, col);
  job.b = b, job.bias = nullptr, job.b_row = kQueries<T>, job.b_panel = kQueries<T>;
  job.c = c, job.c_row = kQueries<T>, job.rows = m, job.cols = lanes, job.k = k;
  job.accumulate = accumulate, job.runs = false, job.far = false;
  gemm::run_tile(job);
}

// c[rows, width] (+)= a[rows, k] b[k, width], all by rows that lie in place.
template <class T>
void spread(int64_t rows, int64_t k, const T* a, int64_t a_row, const T* b, int64_t b_row, T* c, int64_t c_row,
            int64_t width, bool accumulate) {
  if (width == 0 || k == 0) return;
  gemm::TileJob<T> job;
  job.a = gemm::TileA<T>::in_place(a, a_row, 1);
  job.b = b, job.bias = nullptr, job.b_row = b_row, job.b_panel = kQueries<T>;
  job.c = c, job.c_row = c_row, job.rows = rows, job.cols = width, job.k = k;
  job.accumulate = accumulate, job.runs = false, job.far = false;
  gemm::run_tile(job);
}

// Scores of keys [j, j + count) and a panel, masked: -inf where a query must not see a key.
template <class T> class Scores {
  using V = Vec<T>;
  static constexpr int64_t Q = kQueries<T>;
  static constexpr int N = V::N;

 public:
  // Elements of scratch.
  static constexpr int64_t kScratch = 2 * kKeys * Q;

  Scores(const Problem& p, const Panel& panel, T* scratch)
      : p_(p), panel_(panel), rows_(scratch), turned_(scratch + kKeys * Q) {}

  // The keys before `end` without the last ones that the mask hides from all queries alike.
  int64_t seen(int64_t end) const {
    while (end > 0 && hidden(end - 1, 1)) --end;
    return end;
  }

  // What the mask and causality add to the score of a query with a key.
  T added(int64_t query, int64_t key) const {
    if (p_.causal && key > panel_.begin + query) return -static_cast<T>(__builtin_inf());
    if (!p_.mask) return 0;
    T value = 0;
    with_mask(key, [&](auto* m) { value = added(m[query * p_.mask->stride[2]]); });
    return value;
  }

  // Whether the mask hides these keys from all queries alike.
  bool hidden(int64_t j, int64_t count) const {
    if (!p_.mask || p_.mask->dtype != DType::b1 || (p_.mask->stride[2] != 0 && panel_.count > 1)) return false;
    const bool* m = mask_at<bool>(j);
    for (int64_t r = 0; r < count; ++r)
      if (m[r * p_.mask->stride[3]]) return false;
    return true;
  }

  // Of the panel `q`, scaled, with these keys.
  void make(T* scores, const T* q, const Rows<T>& keys, int64_t j, int64_t count, int64_t lanes) const {
    if (p_.width) multiply(count, p_.width, keys.at(j), keys.row, 1, q, scores, lanes, false);
    else
      for (int64_t i = 0; i < count * Q; ++i) scores[i] = 0;
    mask(scores, j, count, lanes);
  }

  // Factors of the dropout, by which weights are multiplied.
  const T* factors(int64_t j, int64_t count) const {
    for (int64_t lane = 0; lane < panel_.count; ++lane) draw(lane, j, count, rows_ + lane * kKeys);
    across(turned_, rows_, kKeys, panel_.count, count);
    return turned_;
  }
  // Those of one query, for all keys before `end`.
  void factors(int64_t query, int64_t end, T* to) const { draw(query, 0, end, to); }

 private:
  void draw(int64_t query, int64_t j, int64_t count, T* to) const {
    const int64_t line = (panel_.n * p_.heads + panel_.head) * p_.queries + panel_.begin + query;
    const uint64_t seed = static_cast<uint64_t>(p_.key->ptr<int64_t>()[0]),
                   first = static_cast<uint64_t>(p_.key->ptr<int64_t>()[p_.key->stride[0]]);
    const double kept = 1 - p_.dropout;
    random_factors(seed, first + static_cast<uint64_t>(line * ceil_div(p_.keys, 4) + j / 4), count, threshold_of(kept),
                   static_cast<T>(kept > 0 ? 1 / kept : 0), to);
  }

  void mask(T* scores, int64_t j, int64_t count, int64_t lanes) const {
    if (p_.mask) {
      if (p_.mask->stride[2] == 0 || panel_.count == 1) by_key(scores, j, count, lanes);
      else by_place(scores, j, count, lanes);
    }
    if (!p_.causal) return;
    const V hidden(-__builtin_inf());
    for (int64_t r = max(0, panel_.begin + 1 - j); r < count; ++r)  // queries before key j + r do not see it
      for (int64_t lane = 0; lane < lanes; lane += N) {
        const int64_t before = min(N, max(0, j + r - panel_.begin - lane));
        T* at = scores + r * Q + lane;
        if (before > 0) store(at, select(first_lanes<T>(before), hidden, load(at)));
      }
  }

  template <class M> const M* mask_at(int64_t j) const {
    const View& m = *p_.mask;
    return m.ptr<M>() + panel_.n * m.stride[0] + panel_.head * m.stride[1] + panel_.begin * m.stride[2] +
           j * m.stride[3];
  }
  static T added(bool visible) { return visible ? T(0) : -static_cast<T>(__builtin_inf()); }
  static T added(T x) { return x; }
  template <class F> void with_mask(int64_t j, F&& f) const {
    if (p_.mask->dtype == DType::b1) f(mask_at<bool>(j));
    else f(mask_at<T>(j));
  }

  void by_key(T* scores, int64_t j, int64_t count, int64_t lanes) const {
    with_mask(j, [&](auto* m) {
      for (int64_t r = 0; r < count; ++r) {
        const V add(added(m[r * p_.mask->stride[3]]));
        for (int64_t lane = 0; lane < lanes; lane += N) store(scores + r * Q + lane, load(scores + r * Q + lane) + add);
      }
    });
  }
  void by_place(T* scores, int64_t j, int64_t count, int64_t lanes) const {
    with_mask(j, [&](auto* m) {
      for (int64_t lane = 0; lane < panel_.count; ++lane)
        for (int64_t r = 0; r < count; ++r)
          rows_[lane * kKeys + r] = added(m[lane * p_.mask->stride[2] + r * p_.mask->stride[3]]);
    });
    across(turned_, rows_, kKeys, panel_.count, count);
    for (int64_t r = 0; r < count; ++r)
      for (int64_t lane = 0; lane < lanes; lane += N)
        store(scores + r * Q + lane, load(scores + r * Q + lane) + load(turned_ + r * Q + lane));
  }

  const Problem& p_;
  const Panel panel_;
  T *rows_, *turned_;
};

// exp of scores less their greatest: never above 0, NaN stays.
template <class T> RV_INLINE Vec<T> exp_below(Vec<T> x) {
  return exp_sum(max(x, Vec<T>(Float<T>::kExpLow)), Vec<T>(-0.0));
}

// Lanes that a panel of `count` queries needs: one vector or two.
template <class T> int64_t lanes_of(int64_t count) { return count <= gemm::kLanes<T> ? gemm::kLanes<T> : kQueries<T>; }

// What is wrong with the operands from `first` on, q, k, v and the optional ones up to `last`; nullptr: nothing.
const char* check_operands(const Args& args, int first, int last);

}  // namespace rv::RV_ISA::attention
