// SPDX-License-Identifier: Apache-2.0
// embedding: rows of a table by their numbers; embedding_grad: what each row of the table gets back.
#include "cpu/move/walk.h"

namespace rv::RV_ISA {
namespace {

RV_ATTRS(EmbeddingGradAttrs, (int64_t, padding_idx), (bool, by_frequency));

// f(position, number) for all of `index`, positions [begin, end) in C order; false where one is not in [0, rows).
template <class F> bool each_number(const View& index, int64_t begin, int64_t end, int64_t rows, Team& team, F&& f) {
  Walk<1> walk;
  for (int d = 0; d < index.ndim; ++d) walk.axis(index.shape[d], index.stride[d]);
  bool good = true;
  walk.rows(begin, end, [&](const int64_t* at, int64_t n, int64_t flat) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t number = load_index(index, at[0] + i * walk.step(0));
      if (number >= 0 && number < rows) f(flat + i, number);
      else team.fail(flat + i, number, 0, rows - 1), good = false;
    }
  });
  return good;
}

// ---- embedding(weight, index): out[.., e] = weight[index[..], e]

template <class U> void embedding_as(const Args& a, Team& team) {
  const View &weight = a.in[0], &index = a.in[1], &out = a.out[0];
  const int64_t width = weight.shape[1], count = index.size(), group = max(1, kMove / max(1, width));
  team.each(ceil_div(count, group), [&](int64_t chunk) {
    each_number(
        index, chunk * group, min(count, (chunk + 1) * group), weight.shape[0], team, [&](int64_t at, int64_t number) {
          copy_row(out.ptr<U>() + at * width, 1, weight.ptr<U>() + number * weight.stride[0], weight.stride[1], width);
        });
  });
}

void embedding_run(const Args& a, Team& team) {
  by_size(a.in[0].dtype, [&](auto u) { embedding_as<decltype(u)>(a, team); });
}

double embedding_cost(const Args& a) {
  return 50 + 4.0 * static_cast<double>(a.in[1].size()) + 0.1 * static_cast<double>(a.out[0].size());
}

// Whether `rows` are rows of `table`, one for each number.
const char* rows_fit(const View& table, const View& index, const View& rows) {
  if (table.ndim != 2 || !is_index(index)) return "takes a table of rows and int32 or int64 numbers";
  if (rows.dtype != table.dtype || rows.ndim != index.ndim + 1 || rows.shape[index.ndim] != table.shape[1])
    return "there must be one row for each number";
  for (int d = 0; d < index.ndim; ++d)
    if (rows.shape[d] != index.shape[d]) return "there must be one row for each number";
  return nullptr;
}

const char* embedding_check(const Args& a) {
  if (a.n_in != 2 || a.n_out != 1) return "takes weight and index";
  if (!a.out[0].contiguous()) return "out must be contiguous";
  return rows_fit(a.in[0], a.in[1], a.out[0]);
}

// ---- embedding_grad(g, index): out[r] = sum of g at the positions of number r, in their order
//
// Chunks own rows of the result, and each goes through all numbers: sums do not depend on the threads.

template <class T> void embedding_grad_as(const Args& a, Team& team) {
  const View &g = a.in[0], &index = a.in[1], &out = a.out[0];
  const auto& [padding_idx, by_frequency] = attrs<EmbeddingGradAttrs>(a);
  const int64_t rows = out.shape[0], width = out.shape[1], count = index.size();
  const int64_t owned = max(ceil_div(rows, 16), ceil_div(kMove, max(1, width)));
  Walk<1> lines;  // of g, without its last axis
  for (int d = 0; d < index.ndim; ++d) lines.axis(g.shape[d], g.stride[d]);
  const int64_t step = g.stride[g.ndim - 1];
  team.each(max(1, ceil_div(rows, owned)), [&](int64_t chunk) {  // a table without rows refuses every number
    const int64_t begin = chunk * owned, end = min(rows, begin + owned);
    T* const to = out.ptr<T>();
    for (int64_t i = begin * width; i < end * width; ++i) to[i] = 0;
    const Scratch scratch(by_frequency ? (end - begin) * 8 : 0);
    int64_t* const times = scratch.as<int64_t>();
    if (by_frequency) {
      for (int64_t r = 0; r < end - begin; ++r) times[r] = 0;
      each_number(index, 0, count, rows, team, [&](int64_t, int64_t r) {
        if (r >= begin && r < end) ++times[r - begin];
      });
    }
    each_number(index, 0, count, rows, team, [&](int64_t at, int64_t r) {
      if (r < begin || r >= end || r == padding_idx) return;
      const T* from = g.ptr<T>() + lines.offset(0, at);
      T* row = to + r * width;
      if (by_frequency) {
        const T share = T(1) / static_cast<T>(times[r - begin]);
        for (int64_t e = 0; e < width; ++e) row[e] += from[e * step] * share;
      } else if (step == 1) {
        for (int64_t e = 0; e < width; ++e) row[e] += from[e];
      } else {
        for (int64_t e = 0; e < width; ++e) row[e] += from[e * step];
      }
    });
  });
}

void embedding_grad_run(const Args& a, Team& team) {
  if (a.out[0].dtype == DType::f32) embedding_grad_as<float>(a, team);
  else embedding_grad_as<double>(a, team);
}

double embedding_grad_cost(const Args& a) {
  return 50 + 0.15 * static_cast<double>(a.out[0].size() + a.in[0].size()) + 8.0 * static_cast<double>(a.in[1].size());
}

const char* embedding_grad_check(const Args& a) {
  if (a.n_in != 2 || a.n_out != 1) return "takes rows and index";
  if (!floating(a.out[0].dtype)) return "dtype must be float";
  if (!a.out[0].contiguous()) return "out must be contiguous";
  return rows_fit(a.out[0], a.in[1], a.in[0]);
}

}  // namespace

extern const Kernel k_embedding = {.run = embedding_run, .cost = embedding_cost, .check = embedding_check};
extern const Kernel k_embedding_grad = {.attrs = EmbeddingGradAttrs::schema,
                                        .run = embedding_grad_run,
                                        .cost = embedding_grad_cost,
                                        .check = embedding_grad_check};

}  // namespace rv::RV_ISA
