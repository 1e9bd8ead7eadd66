// SPDX-License-Identifier: Apache-2.0
// Indexing with integer arrays: index_get (x[.., i, j, ..]) and index_put.
#include "cpu/move/walk.h"

namespace rv::RV_ISA {
namespace {

RV_ATTRS(IndexAttrs, (Ints, axes));
RV_ATTRS(IndexPutAttrs, (IndexAttrs, index), (bool, accumulate));

constexpr int64_t kColumns = 64;   // columns that one chunk of index_put owns
constexpr int64_t kAheadRows = 8;  // rows lie anywhere: the one after so many is asked for in advance

// x's axes, sorted into those before the result's index axes, the indexed ones, and those after.
// Result shape: pre + broadcast(indices) + post; the index axes stand where the indexed axes stood if those are
// neighbours, else in front (NumPy's and PyTorch's rule).
struct Indexing {
  int axes[kMaxDims] = {}, pre[kMaxDims] = {}, post[kMaxDims] = {}, n_axes = 0, n_pre = 0, n_post = 0;
  int64_t shape[kMaxDims] = {};  // of the broadcast indices
  int ndim = 0;
  int64_t count = 1;  // index tuples

  Indexing(const View& x, const View* indices, Ints axis, int n) : n_axes(n) {
    bool neighbours = true;
    for (int k = 0; k < n; ++k) {
      axes[k] = static_cast<int>(axis[k]);
      neighbours = neighbours && axis[k] == axis[0] + k;
      ndim = static_cast<int>(max(ndim, indices[k].ndim));
    }
    for (int d = 0; d < ndim; ++d) {
      shape[d] = 1;
      for (int k = 0; k < n; ++k) {
        const int own = d - (ndim - indices[k].ndim);
        if (own >= 0 && indices[k].shape[own] != 1) shape[d] = indices[k].shape[own];
      }
      count *= shape[d];
    }
    for (int d = 0, k = 0; d < x.ndim; ++d) {
      if (k < n && axes[k] == d) ++k;
      else if (neighbours && k == 0) pre[n_pre++] = d;
      else post[n_post++] = d;
    }
  }
};

// offsets[b] = where in x index tuple b points, without the other axes; false where one is out of range.
template <class I, class Step>
bool add_offsets(const I* index, Step step, int64_t n, int64_t extent, int64_t stride, int64_t* offsets, int64_t at,
                 bool first, Team& team) {
  I low = 0, high = -1;
  for (int64_t j = 0; j < n; ++j) {
    const I v = index[j * step];
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
  if (low < -extent || high >= extent) {
    for (int64_t j = 0; j < n; ++j)
      if (const int64_t v = index[j * step]; v < -extent || v >= extent) team.fail(at + j, v, -extent, extent - 1);
    return false;
  }
  for (int64_t j = 0; j < n; ++j) {
    const int64_t v = index[j * step], offset = (v + (v < 0 ? extent : 0)) * stride;
    offsets[j] = first ? offset : offsets[j] + offset;
  }
  return true;
}
struct One {
  RV_INLINE operator int64_t() const { return 1; }
};

bool find_offsets(const View& x, const View* indices, const Indexing& l, int64_t* offsets, Team& team) {
  Walk<1> walks[kMaxDims];
  for (int k = 0; k < l.n_axes; ++k)
    for (int d = 0; d < l.ndim; ++d) walks[k].axis(l.shape[d], broadcast_stride(indices[k], d, l.ndim));
  bool good = true;
  team.each(ceil_div(l.count, kMove), [&](int64_t chunk) {
    const int64_t begin = chunk * kMove, end = min(l.count, begin + kMove);
    for (int k = 0; k < l.n_axes; ++k) {
      const View& index = indices[k];
      const int64_t extent = x.shape[l.axes[k]], stride = x.stride[l.axes[k]], step = walks[k].step(0);
      walks[k].rows(begin, end, [&](const int64_t* at, int64_t n, int64_t b) {
        const auto add = [&](const auto* p) {
          if (step == 1) return add_offsets(p + at[0], One(), n, extent, stride, offsets + b, b, k == 0, team);
          return add_offsets(p + at[0], step, n, extent, stride, offsets + b, b, k == 0, team);
        };
        if (!(index.dtype == DType::i64 ? add(index.ptr<int64_t>()) : add(index.ptr<int32_t>())))
          __atomic_store_n(&good, false, __ATOMIC_RELAXED);
      });
    }
  });
  return good;
}

// ---- index_get(x, *indices; axes)

template <class U> void index_get_as(const Args& a, Team& team) {
  const View &x = a.in[0], &out = a.out[0];
  const Indexing l(x, a.in + 1, attrs<IndexAttrs>(a).axes, a.n_in - 1);
  int64_t* offsets = reinterpret_cast<int64_t*>(a.shared);
  if (!find_offsets(x, a.in + 1, l, offsets, team) || out.size() == 0) return;
  Walk<1> pre, post;
  for (int d = 0; d < l.n_pre; ++d) pre.axis(x.shape[l.pre[d]], x.stride[l.pre[d]]);
  for (int d = 0; d < l.n_post; ++d) post.axis(x.shape[l.post[d]], x.stride[l.post[d]]);
  const int64_t width = post.size(), total = pre.size() * l.count * width;
  const bool plain = post.ndim == 0 || (post.ndim == 1 && post.stride[0][0] == 1);
  const U* from = x.ptr<U>();
  team.each(ceil_div(total, kMove), [&](int64_t chunk) {
    int64_t at = chunk * kMove;
    const int64_t end = min(total, at + kMove);
    int64_t row = at / width, column = at % width, p = row / l.count, b = row % l.count, base = pre.offset(0, p);
    while (at < end) {
      U* to = out.ptr<U>() + at;
      if (width == 1) {  // all the tuples b that are left, one element each
        const int64_t n = min(l.count - b, end - at);
        for (int64_t j = 0; j < n; ++j) to[j] = from[base + offsets[b + j]];
        at += n;
        b += n;
      } else {  // one row (p, b), or the part of it in this chunk
        const int64_t n = min(width - column, end - at);
        const U* source = from + base + offsets[b];
        const char* next = reinterpret_cast<const char*>(from + base + offsets[min(b + kAheadRows, l.count - 1)]);
        for (int64_t i = 0; i < min(width * static_cast<int64_t>(sizeof(U)), 1024); i += 64)
          __builtin_prefetch(next + i);
        if (plain) copy_row(to, 1, source + column, 1, n);
        else
          post.rows(column, column + n, [&](const int64_t* o, int64_t m, int64_t q) {
            copy_row(to + q - column, 1, source + o[0], post.step(0), m);
          });
        at += n;
        column = 0;
        ++b;
      }
      if (b == l.count) {
        b = 0;
        base = pre.offset(0, ++p);
      }
    }
  });
}

void index_get_run(const Args& a, Team& team) {
  by_size(a.in[0].dtype, [&](auto u) { index_get_as<decltype(u)>(a, team); });
}

double index_get_cost(const Args& a) { return 60 + 1.0 * a.in[1].size() + 0.12 * a.out[0].size(); }

int64_t broadcast_count(const Args& a, int first) {
  return Indexing(a.in[0], a.in + first, attrs<IndexAttrs>(a).axes, a.n_in - first).count;
}
int64_t index_get_shared(const Args& a) { return 8 * broadcast_count(a, 1); }

const char* indices_fit(const Args& a, int first) {
  const int n = a.n_in - first;
  const Ints axes = attrs<IndexAttrs>(a).axes;
  if (n < 1 || axes.size != n) return "takes one axis for each index";
  for (int k = 0; k < n; ++k) {
    if (!is_index(a.in[first + k])) return "indices must be int32 or int64";
    if (axes[k] < (k ? axes[k - 1] + 1 : 0) || axes[k] >= a.in[0].ndim) return "axes must ascend within x's";
  }
  const Indexing l(a.in[0], a.in + first, axes, n);
  for (int k = 0; k < n; ++k)
    for (int d = 0; d < a.in[first + k].ndim; ++d) {
      const int64_t own = a.in[first + k].shape[d];
      if (own != 1 && own != l.shape[d + l.ndim - a.in[first + k].ndim]) return "indices must broadcast";
    }
  return nullptr;
}

// Does `v`, broadcast where `loose`, have the shape of x[indices]?
bool has_result_shape(const View& v, const Args& a, int first, bool loose) {
  const View& x = a.in[0];
  const Indexing l(x, a.in + first, attrs<IndexAttrs>(a).axes, a.n_in - first);
  const int ndim = l.n_pre + l.ndim + l.n_post;
  if (ndim > kMaxDims || (loose ? v.ndim > ndim : v.ndim != ndim)) return false;
  for (int d = ndim - v.ndim; d < ndim; ++d) {
    const int64_t own = v.shape[d - (ndim - v.ndim)];
    const int64_t want = d < l.n_pre            ? x.shape[l.pre[d]]
                         : d < l.n_pre + l.ndim ? l.shape[d - l.n_pre]
                                                : x.shape[l.post[d - l.n_pre - l.ndim]];
    if (own != want && !(loose && own == 1)) return false;
  }
  return true;
}

const char* index_get_check(const Args& a) {
  if (a.n_in < 2 || a.n_out != 1) return "takes x and indices";
  if (const char* wrong = indices_fit(a, 1)) return wrong;
  if (a.in[0].dtype != a.out[0].dtype || !has_result_shape(a.out[0], a, 1, false)) return "out has a wrong shape";
  return a.out[0].contiguous() ? nullptr : "out must be contiguous";
}

// ---- index_put(x, values, *indices; axes, accumulate)
//
// A chunk owns some columns (positions on the other axes) and goes through all index tuples in order: the last
// of several values for one place wins, sums have a fixed order, and threads never meet.

template <class T, class Write> void index_put_as(const Args& a, Team& team) {
  const View &x = a.in[0], &values = a.in[1], &out = a.out[0];
  const Indexing l(x, a.in + 2, attrs<IndexAttrs>(a).axes, a.n_in - 2);
  int64_t* offsets = reinterpret_cast<int64_t*>(a.shared);
  if (!find_offsets(out, a.in + 2, l, offsets, team)) return;  // before anything has changed: out may be x
  copy_all<T>(out, x, team);
  const int ndim = l.n_pre + l.ndim + l.n_post;
  Walk<2> pre, post;  // out, values
  Walk<1> tuples;     // values
  for (int d = 0; d < l.n_pre; ++d)
    pre.axis(x.shape[l.pre[d]], out.stride[l.pre[d]], broadcast_stride(values, d, ndim));
  for (int d = 0; d < l.ndim; ++d) tuples.axis(l.shape[d], broadcast_stride(values, l.n_pre + d, ndim));
  for (int d = 0; d < l.n_post; ++d)
    post.axis(x.shape[l.post[d]], out.stride[l.post[d]], broadcast_stride(values, l.n_pre + l.ndim + d, ndim));
  const int64_t width = post.size(), blocks = ceil_div(width, kColumns), so = post.step(0), sv = post.step(1);
  team.each(pre.size() * blocks, [&](int64_t chunk) {
    const int64_t p = chunk / blocks, q = chunk % blocks * kColumns, q_end = min(width, q + kColumns);
    T* to = out.ptr<T>() + pre.offset(0, p);
    const T* from = values.ptr<T>() + pre.offset(1, p);
    tuples.rows(0, l.count, [&](const int64_t* at, int64_t n, int64_t b) {
      if (width == 1) {
        const T* v = from + at[0];
        const int64_t step = tuples.step(0);
        for (int64_t j = 0; j < n; ++j) {
          T& o = to[offsets[b + j]];
          o = Write::join(o, v[j * step]);
        }
        return;
      }
      for (int64_t j = 0; j < n; ++j) {
        T* o = to + offsets[b + j];
        const T* v = from + at[0] + j * tuples.step(0);
        const auto put = [&](const int64_t* shift, int64_t m) {
          T* target = o + shift[0];
          const T* source = v + shift[1];
          if (so == 1 && sv == 1) {
#pragma omp simd  // values are not where they go
            for (int64_t i = 0; i < m; ++i) target[i] = Write::join(target[i], source[i]);
            return;
          }
          for (int64_t i = 0; i < m; ++i) target[i * so] = Write::join(target[i * so], source[i * sv]);
        };
        if (post.ndim <= 1) {
          const int64_t shift[2] = {q * so, q * sv};
          const int64_t next = offsets[b + min(j + kAheadRows, n - 1)];
          for (int64_t i = q; i < q_end; i += 64 / static_cast<int64_t>(sizeof(T)))
            __builtin_prefetch(to + next + i * so);
          put(shift, q_end - q);
        } else {
          post.rows(q, q_end, [&](const int64_t* shift, int64_t m, int64_t) { put(shift, m); });
        }
      }
    });
  });
}

void index_put_run(const Args& a, Team& team) {
  if (attrs<IndexPutAttrs>(a).accumulate)
    by_sum(a.in[0].dtype, [&](auto t, auto sum) { index_put_as<decltype(t), decltype(sum)>(a, team); });
  else by_size(a.in[0].dtype, [&](auto u) { index_put_as<decltype(u), Replace>(a, team); });
}

double index_put_cost(const Args& a) {
  const double x = a.in[0].size(), axis = max(1, a.in[0].shape[attrs<IndexAttrs>(a).axes[0]]);
  return 60 + 0.1 * x + (1.0 + 0.2 * x / axis) * a.in[2].size();
}

int64_t index_put_shared(const Args& a) { return 8 * broadcast_count(a, 2); }

const char* index_put_check(const Args& a) {
  if (a.n_in < 3 || a.n_out != 1) return "takes x, values and indices";
  if (const char* wrong = indices_fit(a, 2)) return wrong;
  const View &x = a.in[0], &out = a.out[0];
  if (x.dtype != out.dtype || a.in[1].dtype != x.dtype || !same_shape(x, out)) return "out and values must fit x";
  if (!has_result_shape(a.in[1], a, 2, true)) return "values must broadcast to the shape of x[indices]";
  if (!out.contiguous()) return "out must be contiguous";
  return nullptr;
}

}  // namespace

extern const Kernel k_index_get = {.attrs = IndexAttrs::schema,
                                   .run = index_get_run,
                                   .cost = index_get_cost,
                                   .shared = index_get_shared,
                                   .check = index_get_check};
extern const Kernel k_index_put = {.attrs = IndexPutAttrs::schema,
                                   .run = index_put_run,
                                   .cost = index_put_cost,
                                   .shared = index_put_shared,
                                   .check = index_put_check};

}  // namespace rv::RV_ISA
