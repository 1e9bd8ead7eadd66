// SPDX-License-Identifier: Apache-2.0
// Sums of a few neighbours along one axis (python/ranvier/ops/blend.py): averages of windows, interpolation.
#include "core/kernel.h"
#include "cpu/simd/ints.h"
#include "cpu/simd/simd.h"

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

// Rows [first, first + lanes) of the map, whose elements of a line lie within two vectors, from `base` on. Followed by
// the place of each row's first element there (N integers), its count (N integers) and the weights: N of each tap.
struct Block {
  int64_t first, lanes, base, taps;
};

template <class T> struct Blocks {
  using V = Vec<T>;
  using Int = typename IntOf<sizeof(T)>::Type;
  static constexpr int64_t N = V::N, kLeast = N > 4 ? N / 4 : 1;  // fewer rows are better summed one by one

  static int64_t bytes_of(int64_t taps) {
    return static_cast<int64_t>(sizeof(Block) + 2 * N * sizeof(Int) + static_cast<size_t>(taps * N) * sizeof(T));
  }

  // f(block): those of the map, in order; `taps` of one without a vector's worth of rows is 0.
  template <class F> static void each(const BlendAttrs& a, F&& f) {
    for (int64_t first = 0; first < a.start.size;) {
      Block b{first, 0, a.start[first], 1};
      int64_t end = b.base;
      while (b.lanes < N && first + b.lanes < a.start.size) {
        const int64_t i = first + b.lanes, low = min(b.base, a.start[i]), high = max(end, a.start[i] + a.count[i]);
        if (high - low > 2 * N) break;
        b.base = low, end = high, b.taps = max(b.taps, a.count[i]), ++b.lanes;
      }
      if (b.lanes < kLeast) b.lanes = 1, b.taps = 0, b.base = a.start[first];
      f(b);
      first += b.lanes;
    }
  }

  static int64_t prepare(const BlendAttrs& a, std::byte* to) {
    int64_t bytes = 0;
    each(a, [&](const Block& b) {
      if (to) {
        memcpy(to + bytes, &b, sizeof b);
        Int* const place = reinterpret_cast<Int*>(to + bytes + sizeof b);
        T* const weights = reinterpret_cast<T*>(place + 2 * N);
        for (int64_t k = 0; b.taps > 0 && k < N; ++k) {
          const int64_t i = b.first + min(k, b.lanes - 1);
          place[k] = static_cast<Int>(a.start[i] - b.base), place[N + k] = static_cast<Int>(a.count[i]);
          for (int64_t t = 0; t < b.taps; ++t)
            weights[t * N + k] = t < a.count[i] ? static_cast<T>(a.weights[i * a.width + t]) : T(0);
        }
      }
      bytes += bytes_of(b.taps);
    });
    return bytes;
  }

  // One line of n neighbours.
  static void line(const BlendAttrs& a, const std::byte* prepared, const T* x, int64_t n, T* y) {
    for (int64_t done = 0; done < a.start.size;) {
      const Block& b = *reinterpret_cast<const Block*>(prepared);
      const Int* const place = reinterpret_cast<const Int*>(prepared + sizeof b);
      const T* weights = reinterpret_cast<const T*>(place + 2 * N);
      prepared += bytes_of(b.taps), done += b.lanes;
      if (b.taps == 0) {
        T sum = 0;
        for (int64_t t = 0; t < a.count[b.first]; ++t)
          sum += static_cast<T>(a.weights[b.first * a.width + t]) * x[b.base + t];
        y[b.first] = sum;
        continue;
      }
      const T* const from = x + b.base;
      const int64_t left = n - b.base;  // elements that there are
      const V low = left >= N ? load(from) : load_partial(from, left);
      const V high = left >= 2 * N ? load(from + N) : left > N ? load_partial(from + N, left - N) : V(T(0));
      const Vec<Int> first = load(place), count = load(place + N);
      V sum(T(0));
      for (int64_t t = 0; t < b.taps; ++t, weights += N) {
        const Vec<Int> tap(static_cast<Int>(t)), inside = Vec<Int>((tap < count).m & (first + tap).v);
        sum = select(Mask<T>{(tap < count).m}, sum + load(weights) * lookup(low, high, inside), sum);
      }
      if (b.lanes == N) store(y + b.first, sum);
      else store_partial(y + b.first, sum, b.lanes);
    }
  }
};

// to[k] (+)= the sum of up to four taps, `pitch` apart
template <class T> void mix(const T* from, int64_t pitch, const double* w, int64_t count, bool more, T* to, int64_t n) {
  const T a = static_cast<T>(w[0]), b = count > 1 ? static_cast<T>(w[1]) : T(0);
  const T c = count > 2 ? static_cast<T>(w[2]) : T(0), d = count > 3 ? static_cast<T>(w[3]) : T(0);
  const T *const x = from, *const y = x + pitch, *const z = y + pitch, *const u = z + pitch;
  auto put = [&](auto sum) __attribute__((always_inline)) {
    if (more)
      for (int64_t k = 0; k < n; ++k) to[k] += sum(k);
    else
      for (int64_t k = 0; k < n; ++k) to[k] = sum(k);
  };
  if (count == 1) put([&](int64_t k) __attribute__((always_inline)) { return a * x[k]; });
  else if (count == 2) put([&](int64_t k) __attribute__((always_inline)) { return a * x[k] + b * y[k]; });
  else if (count == 3) put([&](int64_t k) __attribute__((always_inline)) { return a * x[k] + b * y[k] + c * z[k]; });
  else put([&](int64_t k) __attribute__((always_inline)) { return a * x[k] + b * y[k] + c * z[k] + d * u[k]; });
}

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
      if (inner == 1 && step == 1) {
        Blocks<T>::line(a, args.prepared, from, cut.x.shape[dim], to);
        continue;
      }
      for (int64_t i = 0; i < m; ++i, to += inner) {
        const T* const line = from + a.start[i] * step;
        const double* const w = a.weights.data + i * width;
        const int64_t count = a.count[i];
        if (cut.plain && inner > 1) {
          for (int64_t t = 0; t < count; t += 4) mix(line + t * step, step, w + t, min(4, count - t), t > 0, to, inner);
          if (count == 0) __builtin_memset(to, 0, static_cast<size_t>(inner) * sizeof(T));
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

int64_t prepare(const Args& args, std::byte* memory) {
  const BlendAttrs& a = attrs<BlendAttrs>(args);
  return args.in[0].dtype == DType::f32 ? Blocks<float>::prepare(a, memory) : Blocks<double>::prepare(a, memory);
}

void run(const Args& args, Team& team) {
  if (args.in[0].dtype == DType::f32) run_as<float>(args, team);
  else run_as<double>(args, team);
}

double cost(const Args& args) {
  return 200 + 0.2 * static_cast<double>(args.out[0].size() * attrs<BlendAttrs>(args).width);
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

extern const Kernel k_blend = {
    .attrs = BlendAttrs::schema, .run = run, .cost = cost, .check = check, .prepare = prepare};

}  // namespace rv::RV_ISA
