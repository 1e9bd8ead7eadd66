// SPDX-License-Identifier: Apache-2.0
// Copies with a rule: cat, constant pad, and the triangles of matrices.
#include "cpu/move/walk.h"

namespace rv::RV_ISA {
namespace {

// ---- cat(*inputs; dim): each input is copied to its slice of out. Inputs without the axis (stack) have length 1 on
// it.

RV_ATTRS(CatAttrs, (int64_t, dim));

int64_t length_of(const View& x, const View& out, int dim) { return x.ndim < out.ndim ? 1 : x.shape[dim]; }

// Vectors side by side: out[n i + k] = in[k][i]
template <int n, class U> void interleave(const View* in, U* to, int64_t begin, int64_t end) {
  const U* from[n];
  for (int k = 0; k < n; ++k) from[k] = in[k].ptr<U>();
#pragma omp simd
  for (int64_t i = begin; i < end; ++i)
    for (int k = 0; k < n; ++k) to[n * i + k] = from[k][i];
}

template <class U> void cat_elements(const Args& a, Team& team) {
  U* to = a.out[0].ptr<U>();
  const int n = a.n_in;
  const int64_t rows = a.out[0].size() / n, per_chunk = max(1, kMove / n);
  team.each(ceil_div(rows, per_chunk), [&](int64_t chunk) {
    const int64_t begin = chunk * per_chunk, end = min(rows, begin + per_chunk);
    if (n == 2) return interleave<2>(a.in, to, begin, end);
    if (n == 3) return interleave<3>(a.in, to, begin, end);
    if (n == 4) return interleave<4>(a.in, to, begin, end);
    for (int k = 0; k < n; ++k) {
      const U* from = a.in[k].ptr<U>();
      for (int64_t i = begin; i < end; ++i) to[n * i + k] = from[i];
    }
  });
}

// Contiguous inputs: out is written from end to end, a run of each input in turn.
template <class U> void cat_runs(const Args& a, int dim, int64_t inner, Team& team) {
  const View& out = a.out[0];
  const int64_t size = out.size(), row = out.shape[dim] * inner;
  const auto run = [&](int k) { return length_of(a.in[k], out, dim) * inner; };
  team.each(ceil_div(size, kMove), [&](int64_t chunk) {
    int64_t at = chunk * kMove, r = at / row, skip = at % row;  // skip: within the run of input k
    const int64_t end = min(size, at + kMove);
    int k = 0;
    for (; skip >= run(k); ++k) skip -= run(k);
    for (;;) {
      const int64_t length = run(k), n = min(length - skip, end - at);
      copy_row(out.ptr<U>() + at, 1, a.in[k].template ptr<U>() + r * length + skip, 1, n);
      if ((at += n) == end) return;
      skip = 0;
      if (++k == a.n_in) k = 0, ++r;
    }
  });
}

template <class U> void cat_strided(const Args& a, int dim, Team& team) {
  const View& out = a.out[0];
  int64_t chunks = 0;
  for (int k = 0; k < a.n_in; ++k) chunks += ceil_div(a.in[k].size(), kMove);
  struct Place {
    int input = -1;
    int64_t first = 0, past = 0, start = 0, length = 0;  // chunks of `input`; its place along dim
    Walk<2> walk;                                        // out, input
  };
  Place place;
  const auto make = [] { return Place{}; };
  team.each(chunks, place, make, [&](Place& at, int64_t chunk) {
    if (chunk < at.first) at = {};
    while (chunk >= at.past) {
      const View& x = a.in[++at.input];
      at.first = at.past;
      at.past += ceil_div(x.size(), kMove);
      at.start += at.length;
      at.length = length_of(x, out, dim);
      at.walk = {};
      for (int d = 0, own = 0; d < out.ndim; ++d) {
        if (x.ndim == out.ndim || d != dim) at.walk.axis(x.shape[own], out.stride[d], x.stride[own]), ++own;
      }
    }
    const Walk<2>& walk = at.walk;
    const int64_t begin = (chunk - at.first) * kMove, end = min(walk.size(), begin + kMove);
    const U* from = a.in[at.input].template ptr<U>();
    U* to = out.ptr<U>() + at.start * out.stride[dim];
    walk.rows(begin, end, [&](const int64_t* offset, int64_t n, int64_t) {
      copy_row(to + offset[0], walk.step(0), from + offset[1], walk.step(1), n);
    });
  });
}

template <class U> void cat_as(const Args& a, Team& team) {
  const int dim = static_cast<int>(attrs<CatAttrs>(a).dim);
  int64_t inner = 1;
  for (int d = dim + 1; d < a.out[0].ndim; ++d) inner *= a.out[0].shape[d];
  bool contiguous = true, single = inner == 1;
  for (int k = 0; k < a.n_in; ++k) {
    contiguous = contiguous && a.in[k].contiguous();
    single = single && length_of(a.in[k], a.out[0], dim) == 1;
  }
  if (!contiguous) cat_strided<U>(a, dim, team);
  else if (single) cat_elements<U>(a, team);
  else cat_runs<U>(a, dim, inner, team);
}

void cat_run(const Args& a, Team& team) {
  if (a.out[0].size() == 0) return;
  by_size(a.out[0].dtype, [&](auto u) { cat_as<decltype(u)>(a, team); });
}

double move_cost(const Args& a) { return 50 + 5 * a.n_in + 0.12 * a.out[0].size(); }

const char* cat_check(const Args& a) {
  if (a.n_in < 1 || a.n_out != 1) return "takes inputs";
  const View& out = a.out[0];
  const int64_t dim = attrs<CatAttrs>(a).dim;
  if (dim < 0 || dim >= out.ndim) return "dim out of range";
  int64_t length = 0;
  for (int k = 0; k < a.n_in; ++k) {
    const View& x = a.in[k];
    if (x.dtype != out.dtype || x.ndim < out.ndim - 1 || x.ndim > out.ndim)
      return "inputs must have out's dtype and its axes, or all but dim";
    for (int d = 0, own = 0; d < out.ndim; ++d) {
      if (d == dim) own += x.ndim == out.ndim;
      else if (x.shape[own++] != out.shape[d]) return "inputs must agree outside dim";
    }
    length += length_of(x, out, static_cast<int>(dim));
  }
  if (length != out.shape[dim]) return "the inputs' lengths must add up to out's";
  return out.contiguous() ? nullptr : "out must be contiguous";
}

// ---- pad(x; before, value): x inside out, `before[d]` places from its start on axis d; `value` around it

RV_ATTRS(PadAttrs, (Ints, before), (double, value));

template <class T> void pad_as(const Args& a, Team& team) {
  const View &x = a.in[0], &out = a.out[0];
  const Ints places = attrs<PadAttrs>(a).before;
  const T value = static_cast<T>(attrs<PadAttrs>(a).value);
  const int last = x.ndim - 1;
  const int64_t width = out.shape[last], inside = x.shape[last], before = places[last];
  if (width == 0) return;
  const int64_t rows = out.size() / width, per_chunk = max(1, kMove / width);
  team.each(ceil_div(rows, per_chunk), [&](int64_t chunk) {
    const int64_t begin = chunk * per_chunk, end = min(rows, begin + per_chunk);
    int64_t index[kMaxDims] = {}, rest = begin;  // of the row in out
    for (int d = last - 1; d >= 0; --d) {
      index[d] = rest % out.shape[d];
      rest /= out.shape[d];
    }
    for (int64_t row = begin; row < end; ++row) {
      int64_t from = 0;
      bool outside = inside == 0;
      for (int d = 0; d < last; ++d) {
        const int64_t i = index[d] - places[d];
        outside = outside || i < 0 || i >= x.shape[d];
        from += i * x.stride[d];
      }
      for (int d = last - 1; d >= 0 && ++index[d] == out.shape[d]; --d) index[d] = 0;
      T* to = out.ptr<T>() + row * width;
      const int64_t head = outside ? width : before;
      for (int64_t j = 0; j < head; ++j) to[j] = value;
      if (outside) continue;
      copy_row(to + before, 1, x.ptr<T>() + from, x.stride[last], inside);
      for (int64_t j = before + inside; j < width; ++j) to[j] = value;
    }
  });
}

void pad_run(const Args& a, Team& team) {
  by_dtype(a.in[0].dtype, [&](auto t) { pad_as<decltype(t)>(a, team); });
}

const char* pad_check(const Args& a) {
  if (a.n_in != 1 || a.n_out != 1) return "takes x";
  const Ints before = attrs<PadAttrs>(a).before;
  const View &x = a.in[0], &out = a.out[0];
  if (x.ndim < 1 || out.ndim != x.ndim || before.size != x.ndim || x.dtype != out.dtype) return "out must be like x";
  for (int d = 0; d < x.ndim; ++d)
    if (before[d] < 0 || before[d] + x.shape[d] > out.shape[d]) return "x must fit into out";
  return out.contiguous() ? nullptr : "out must be contiguous";
}

// ---- triangle(x; diagonal, upper): of each matrix the part with column - row <= (upper: >=) diagonal, else 0

RV_ATTRS(TriangleAttrs, (int64_t, diagonal), (bool, upper));

template <class U> void triangle_as(const Args& a, Team& team) {
  const View &x = a.in[0], &out = a.out[0];
  const bool upper = attrs<TriangleAttrs>(a).upper;
  const int64_t diagonal = attrs<TriangleAttrs>(a).diagonal, columns = out.shape[x.ndim - 1],
                height = out.shape[x.ndim - 2];
  if (columns == 0) return;
  Walk<1> start;  // of each row in x
  for (int d = 0; d + 1 < x.ndim; ++d) start.axis(x.shape[d], x.stride[d]);
  const int64_t rows = start.size(), per_chunk = max(1, kMove / columns), step = x.stride[x.ndim - 1];
  team.each(ceil_div(rows, per_chunk), [&](int64_t chunk) {
    const int64_t end = min(rows, (chunk + 1) * per_chunk);
    for (int64_t row = chunk * per_chunk; row < end; ++row) {
      const U* from = x.ptr<U>() + start.offset(0, row);
      U* to = out.ptr<U>() + row * columns;
      const int64_t edge = min(columns, max(0, row % height + diagonal + (upper ? 0 : 1)));
      const int64_t begin = upper ? edge : 0, stop = upper ? columns : edge;
      for (int64_t j = 0; j < begin; ++j) to[j] = 0;
      copy_row(to + begin, 1, from + begin * step, step, stop - begin);
      for (int64_t j = stop; j < columns; ++j) to[j] = 0;
    }
  });
}

void triangle_run(const Args& a, Team& team) {
  by_size(a.in[0].dtype, [&](auto u) { triangle_as<decltype(u)>(a, team); });
}

const char* triangle_check(const Args& a) {
  if (a.n_in != 1 || a.n_out != 1 || a.in[0].ndim < 2) return "takes matrices";
  if (a.in[0].dtype != a.out[0].dtype || !same_shape(a.in[0], a.out[0])) return "out must be like x";
  return a.out[0].contiguous() ? nullptr : "out must be contiguous";
}

}  // namespace

extern const Kernel k_cat = {.attrs = CatAttrs::schema, .run = cat_run, .cost = move_cost, .check = cat_check};
extern const Kernel k_pad = {.attrs = PadAttrs::schema, .run = pad_run, .cost = move_cost, .check = pad_check};
extern const Kernel k_triangle = {
    .attrs = TriangleAttrs::schema, .run = triangle_run, .cost = move_cost, .check = triangle_check};

}  // namespace rv::RV_ISA
