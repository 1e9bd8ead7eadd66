// SPDX-License-Identifier: Apache-2.0
// gather, scatter, scatter_add along one axis.
#include "cpu/move/walk.h"

namespace rv::RV_ISA {
namespace {

RV_ATTRS(GatherAttrs, (int64_t, dim));

// f(j, index) for j in [0, n), with negative indices wrapped; those outside of [-extent, extent) go to bad(j, value).
template <class I, class F, class B>
void each_index(const I* index, int64_t step, int64_t n, int64_t extent, F&& f, B&& bad) {
  I low = 0, high = -1;
  const auto widen = [&](I v) {
    low = v < low ? v : low;
    high = v > high ? v : high;
  };
  if (step == 1)
    for (int64_t j = 0; j < n; ++j) widen(index[j]);
  else
    for (int64_t j = 0; j < n; ++j) widen(index[j * step]);
  if (low >= 0 && high < extent) {  // as nearly always
    if (step == 1)
      for (int64_t j = 0; j < n; ++j) f(j, index[j]);
    else
      for (int64_t j = 0; j < n; ++j) f(j, index[j * step]);
    return;
  }
  for (int64_t j = 0; j < n; ++j) {
    const int64_t v = index[j * step];
    if (v >= -extent && v < extent) f(j, v + (v < 0 ? extent : 0));
    else bad(j, v);
  }
}

// ---- gather(input, index; dim): out[.., i, ..] = input[.., index[.., i, ..], ..]

template <class U, class I> void gather_as(const Args& a, Team& team) {
  const View &input = a.in[0], &index = a.in[1], &out = a.out[0];
  const int dim = static_cast<int>(attrs<GatherAttrs>(a).dim);
  const int64_t extent = input.ndim ? input.shape[dim] : 1, along = input.ndim ? input.stride[dim] : 0;
  Walk<2> walk;  // index, input without dim
  for (int d = 0; d < index.ndim; ++d) walk.axis(index.shape[d], index.stride[d], d == dim ? 0 : input.stride[d]);
  const int64_t size = walk.size(), si = walk.step(0), sx = walk.step(1);
  team.each(ceil_div(size, kMove), [&](int64_t chunk) {
    walk.rows(chunk * kMove, min(size, (chunk + 1) * kMove), [&](const int64_t* at, int64_t n, int64_t flat) {
      const I* ip = index.ptr<I>() + at[0];
      const U* x = input.ptr<U>() + at[1];
      U* o = out.ptr<U>() + flat;
      each_index(
          ip, si, n, extent, [=](int64_t j, int64_t i) { o[j] = x[j * sx + i * along]; },
          [&](int64_t j, int64_t value) { team.fail(flat + j, value, -extent, extent - 1); });
    });
  });
}

void gather_run(const Args& a, Team& team) {
  by_size(a.in[0].dtype, [&](auto u) {
    if (a.in[1].dtype == DType::i64) gather_as<decltype(u), int64_t>(a, team);
    else gather_as<decltype(u), int32_t>(a, team);
  });
}

double gather_cost(const Args& a) { return 50 + 0.7 * a.in[1].size(); }

const char* index_fits(const Args& a, const View& index) {
  const View& x = a.in[0];
  if (!is_index(index)) return "index must be int32 or int64";
  if (index.ndim != x.ndim) return "index must have as many axes as input";
  const int64_t dim = attrs<GatherAttrs>(a).dim;
  if (dim < 0 || dim >= max(1, x.ndim)) return "dim out of range";
  for (int d = 0; d < x.ndim; ++d)
    if (d != dim && index.shape[d] > x.shape[d]) return "index must not exceed input outside dim";
  return nullptr;
}

const char* gather_check(const Args& a) {
  if (a.n_in != 2 || a.n_out != 1) return "takes input and index";
  if (a.in[0].dtype != a.out[0].dtype || !same_shape(a.in[1], a.out[0])) return "out must have index's shape";
  if (!a.out[0].contiguous()) return "out must be contiguous";
  return index_fits(a, a.in[1]);
}

// ---- scatter(input, index, src; dim): a copy of input, then out[.., index[.., i, ..], ..] = (or +=) src[.., i, ..]
//
// Lines along dim never meet, so they are shared out among the team, and each is walked in order: where an index
// occurs twice the last value wins, and sums are taken in order of position, for any number of threads.

template <class T, class I, class Write> void scatter_as(const Args& a, Team& team) {
  const View &input = a.in[0], &index = a.in[1], &src = a.in[2], &out = a.out[0];
  const int dim = static_cast<int>(attrs<GatherAttrs>(a).dim);
  const bool scalar = input.ndim == 0;
  const int64_t extent = scalar ? 1 : input.shape[dim], count = scalar ? 1 : index.shape[dim];
  const int64_t di = scalar ? 0 : index.stride[dim], ds = scalar ? 0 : src.stride[dim];
  const int64_t dout = scalar ? 0 : out.stride[dim];
  Walk<3> lines;  // index, src, out
  int64_t inner = 1;
  for (int d = 0; d < index.ndim; ++d) {
    if (d != dim) lines.axis(index.shape[d], index.stride[d], src.stride[d], out.stride[d]);
    if (d > dim) inner *= index.shape[d];
  }
  const int64_t size = lines.size(), per_chunk = max(16, kMove / max(1, count));
  const int64_t si = lines.step(0), ss = lines.step(1), so = lines.step(2);
  bool good = true;
  const auto pass = [&](auto put) {
    team.each(ceil_div(size, per_chunk), [&](int64_t chunk) {
      const int64_t end = min(size, (chunk + 1) * per_chunk);
      lines.rows(chunk * per_chunk, end, [&](const int64_t* at, int64_t n, int64_t line) {
        for (int64_t k = 0; k < count; ++k) {
          const I* ip = index.ptr<I>() + at[0] + k * di;
          const T* s = src.ptr<T>() + at[1] + k * ds;
          T* o = out.ptr<T>() + at[2];
          each_index(
              ip, si, n, extent, [=](int64_t j, int64_t i) { put(o[j * so + i * dout], s[j * ss]); },
              [&](int64_t j, int64_t value) {
                const int64_t l = line + j;
                team.fail((l / inner * count + k) * inner + l % inner, value, -extent, extent - 1);
                __atomic_store_n(&good, false, __ATOMIC_RELAXED);
              });
        }
      });
    });
  };
  if (out.data == input.data) pass([](T&, const T&) {});  // a bad index must be found before anything has changed
  if (!good) return;
  copy_all<T>(out, input, team);
  pass([](T& to, const T& value) { to = Write::join(to, value); });
}

void scatter_run(const Args& a, Team& team) {
  by_size(a.in[0].dtype, [&](auto u) {
    if (a.in[1].dtype == DType::i64) scatter_as<decltype(u), int64_t, Replace>(a, team);
    else scatter_as<decltype(u), int32_t, Replace>(a, team);
  });
}

void scatter_add_run(const Args& a, Team& team) {
  by_sum(a.in[0].dtype, [&](auto t, auto sum) {
    if (a.in[1].dtype == DType::i64) scatter_as<decltype(t), int64_t, decltype(sum)>(a, team);
    else scatter_as<decltype(t), int32_t, decltype(sum)>(a, team);
  });
}

double scatter_cost(const Args& a) { return 50 + 0.1 * a.in[0].size() + 1.5 * a.in[1].size(); }

const char* scatter_check(const Args& a) {
  if (a.n_in != 3 || a.n_out != 1) return "takes input, index and src";
  const View &x = a.in[0], &index = a.in[1], &src = a.in[2], &out = a.out[0];
  if (x.dtype != out.dtype || !same_shape(x, out)) return "out must have input's shape and dtype";
  if (src.dtype != x.dtype || src.ndim != index.ndim) return "src must have input's dtype and index's number of axes";
  for (int d = 0; d < index.ndim; ++d)
    if (index.shape[d] > src.shape[d]) return "index must not exceed src";
  if (!out.contiguous()) return "out must be contiguous";
  return index_fits(a, index);
}

}  // namespace

extern const Kernel k_gather = {
    .attrs = GatherAttrs::schema, .run = gather_run, .cost = gather_cost, .check = gather_check};
extern const Kernel k_scatter = {
    .attrs = GatherAttrs::schema, .run = scatter_run, .cost = scatter_cost, .check = scatter_check};
extern const Kernel k_scatter_add = {
    .attrs = GatherAttrs::schema, .run = scatter_add_run, .cost = scatter_cost, .check = scatter_check};

}  // namespace rv::RV_ISA
