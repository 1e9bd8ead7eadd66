// SPDX-License-Identifier: Apache-2.0
// Sums of a few neighbours along one axis (python/ranvier/ops/blend.py): averages of windows, interpolation.
#include "core/kernel.h"
#include "cpu/simd/ints.h"

namespace rv::RV_ISA {
namespace {

RV_ATTRS(BlendAttrs, (int64_t, dim), (int64_t, width), (Ints, start), (Ints, count), (Floats, weights));

constexpr int64_t kChunk = 1 << 14;  // elements of the result that one task computes, about

// The axis in the middle of (outer, n, inner); elements of the outer and inner axes may lie anywhere.
struct Cut {
  const View &x, &y;
  int64_t dim, outer = 1, inner = 1;
  bool plain;  // inner elements are neighbours

  explicit Cut(const Args& args) : x(args.in[0]), y(args.out[0]), dim(attrs<BlendAttrs>(args).dim) {
    for (int d = 0; d < dim; ++d) outer *= x.shape[d];
    for (int d = static_cast<int>(dim) + 1; d < x.ndim; ++d) inner *= x.shape[d];
    int64_t expected = 1;
    plain = true;
    for (int d = x.ndim - 1; d > dim; --d) {
      plain = plain && (x.shape[d] == 1 || x.stride[d] == expected);
      expected *= x.shape[d];
    }
  }
  // Offset in x of element `flat` of axes [begin, end).
  int64_t offset(int64_t flat, int begin, int end) const {
    int64_t at = 0;
    for (int d = end - 1; d >= begin; --d) {
      at += flat % x.shape[d] * x.stride[d];
      flat /= x.shape[d];
    }
    return at;
  }
};

template <class T> void run_as(const Args& args, Team& team) {
  const Cut cut(args);
  const BlendAttrs& a = attrs<BlendAttrs>(args);
  const int64_t m = a.start.size, width = a.width, inner = cut.inner, step = cut.x.stride[cut.dim];
  if (cut.outer * m * inner == 0) return;
  const int dim = static_cast<int>(cut.dim);
  const T* const x = cut.x.ptr<T>();
  T* const y = cut.y.ptr<T>();
  const int64_t lines = max(1, kChunk / max(m * inner, 1));  // of one task
  team.each(ceil_div(cut.outer, lines), [&](int64_t task) {
    for (int64_t o = task * lines; o < min(cut.outer, (task + 1) * lines); ++o) {
      const T* const from = x + cut.offset(o, 0, dim);
      T* to = y + o * m * inner;
      for (int64_t i = 0; i < m; ++i, to += inner) {
        const T* const line = from + a.start[i] * step;
        const double* const w = a.weights.data + i * width;
        const int64_t count = a.count[i];
        if (inner == 1) {
          T sum = 0;
          for (int64_t t = 0; t < count; ++t) sum += static_cast<T>(w[t]) * line[t * step];
          *to = sum;
        } else if (cut.plain) {
          const T first = static_cast<T>(w[0]);
          for (int64_t k = 0; k < inner; ++k) to[k] = count > 0 ? first * line[k] : T(0);
          for (int64_t t = 1; t < count; ++t) {
            const T factor = static_cast<T>(w[t]);
            const T* const next = line + t * step;
            for (int64_t k = 0; k < inner; ++k) to[k] += factor * next[k];
          }
        } else {
          for (int64_t k = 0; k < inner; ++k) {
            const T* const place = line + cut.offset(k, dim + 1, cut.x.ndim);
            T sum = 0;
            for (int64_t t = 0; t < count; ++t) sum += static_cast<T>(w[t]) * place[t * step];
            to[k] = sum;
          }
        }
      }
    }
  });
}

void run(const Args& args, Team& team) {
  if (args.in[0].dtype == DType::f32) run_as<float>(args, team);
  else run_as<double>(args, team);
}

double cost(const Args& args) {
  return 200 + 0.5 * static_cast<double>(args.out[0].size() * attrs<BlendAttrs>(args).width);
}

const char* check(const Args& args) {
  const BlendAttrs& a = attrs<BlendAttrs>(args);
  const View &x = args.in[0], &y = args.out[0];
  if (args.n_in != 1 || !floating(x.dtype) || y.dtype != x.dtype) return "takes one float array";
  if (a.dim < 0 || a.dim >= x.ndim || y.ndim != x.ndim) return "dim is out of range";
  if (a.width < 1 || a.count.size != a.start.size || a.weights.size != a.start.size * a.width ||
      y.shape[a.dim] != a.start.size)
    return "start, weights and the result must have as many rows";
  for (int64_t i = 0; i < a.start.size; ++i)
    if (a.start[i] < 0 || a.count[i] < 0 || a.count[i] > a.width || a.start[i] + a.count[i] > x.shape[a.dim])
      return "a row of weights reaches outside of the axis";
  return nullptr;
}

}  // namespace

extern const Kernel k_blend = {.attrs = BlendAttrs::schema, .run = run, .cost = cost, .check = check};

}  // namespace rv::RV_ISA
