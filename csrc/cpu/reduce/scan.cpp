// SPDX-License-Identifier: Apache-2.0
// cumsum: y[i] = x[0] + ... + x[i] along one axis, or x[i] + ... + x[n-1]; cumprod: the same of products.
// float32 is accumulated in double precision.
#include "cpu/reduce/lines.h"
#include "cpu/simd/simd.h"

namespace rv::RV_ISA {
namespace {

struct Add {
  static constexpr int kNeutral = 0;
  template <class S> S operator()(S a, S b) const { return a + b; }
};
struct Multiply {
  static constexpr int kNeutral = 1;
  template <class S> S operator()(S a, S b) const { return a * b; }
};

RV_ATTRS(ScanAttrs, (int64_t, dim), (bool, reverse));

constexpr int64_t kChunk = 1 << 15;  // of a long line: the sums of earlier chunks are added in a second phase

template <class T> struct Scan { using Sum = T; };
template <> struct Scan<float> { using Sum = double; };

// A line is cut where there are too few of them to share out; then the sum inside a chunk starts anew.
struct ScanCut {
  Lines<2> lines;
  bool columns;
  int64_t width, tiles, chunks;

  explicit ScanCut(const Args& args)
      : lines({&args.in[0], &args.out[0]}, static_cast<int>(attrs<ScanAttrs>(args).dim)) {
    columns = lines.tiled >= 8 && lines.next[0] == 1 && lines.next[1] == 1;
    width = columns ? (lines.tiled < 512 ? lines.tiled : 512) : 1;
    tiles = (lines.tiled + width - 1) / width;
    chunks = tiles * lines.outer < 32 && !columns ? (lines.length + kChunk - 1) / kChunk : 1;
  }
};

template <class Join, class T>
typename Scan<T>::Sum scan(const T* x, int64_t step_x, T* y, int64_t step_y, int64_t n, typename Scan<T>::Sum before) {
  typename Scan<T>::Sum sum = Join::kNeutral;
  for (int64_t i = 0; i < n; ++i) {
    sum = Join()(sum, static_cast<typename Scan<T>::Sum>(x[i * step_x]));
    y[i * step_y] = static_cast<T>(Join()(before, sum));
  }
  return sum;
}

template <class Join, class T> typename Scan<T>::Sum total(const T* x, int64_t step, int64_t n) {
  typename Scan<T>::Sum sum = Join::kNeutral;
  for (int64_t i = 0; i < n; ++i) sum = Join()(sum, static_cast<typename Scan<T>::Sum>(x[i * step]));
  return sum;
}

template <class T, class Join> void run_as(const Args& args, Team& team) {
  using Sum = typename Scan<T>::Sum;
  const ScanCut p(args);
  const Lines<2>& lines = p.lines;
  const int64_t n = lines.length;
  if (n == 0 || p.tiles * lines.outer == 0) return;
  const bool reverse = attrs<ScanAttrs>(args).reverse;
  const int64_t step_x = reverse ? -lines.step[0] : lines.step[0], step_y = reverse ? -lines.step[1] : lines.step[1];
  auto first_x = [&](int64_t place) {
    return args.in[0].ptr<const T>() + lines.offset(0, place / p.tiles) + place % p.tiles * p.width * lines.next[0] +
           (reverse ? (n - 1) * lines.step[0] : 0);
  };
  auto first_y = [&](int64_t place) {
    return args.out[0].ptr<T>() + lines.offset(1, place / p.tiles) + place % p.tiles * p.width * lines.next[1] +
           (reverse ? (n - 1) * lines.step[1] : 0);
  };
  auto length = [&](int64_t chunk) { return n - chunk * kChunk < kChunk ? n - chunk * kChunk : kChunk; };

  if (p.columns) {
    return team.each(p.tiles * lines.outer, [&](int64_t place) {
      const Scratch scratch(p.width * static_cast<int64_t>(sizeof(Sum)));
      Sum* sum = scratch.as<Sum>();
      const int64_t left = lines.tiled - place % p.tiles * p.width, width = left < p.width ? left : p.width;
      const T* x = first_x(place);
      T* y = first_y(place);
      for (int64_t c = 0; c < width; ++c) sum[c] = Join::kNeutral;
      for (int64_t r = 0; r < n; ++r, x += step_x, y += step_y)
        for (int64_t c = 0; c < width; ++c) {
          const Sum s = Join()(sum[c], static_cast<Sum>(x[c]));
          sum[c] = s;
          y[c] = static_cast<T>(s);
        }
    });
  }
  if (p.chunks <= 1 || team.alone())  // the same sums in the same order as below, in one pass
    return team.each(p.tiles * lines.outer, [&](int64_t place) {
      Sum before = Join::kNeutral;
      for (int64_t k = 0; k < p.chunks; ++k)
        before = Join()(before,
                        scan<Join>(first_x(place) + k * kChunk * step_x, step_x, first_y(place) + k * kChunk * step_y,
                                   step_y, p.chunks == 1 ? n : length(k), before));
    });

  Sum* totals = reinterpret_cast<Sum*>(args.shared);  // (lines, chunks)
  team.each(p.tiles * lines.outer * p.chunks, [&](int64_t task) {
    const int64_t place = task / p.chunks, k = task % p.chunks;
    totals[task] = total<Join>(first_x(place) + k * kChunk * step_x, step_x, length(k));
  });
  team.each(p.tiles * lines.outer * p.chunks, [&](int64_t task) {
    const int64_t place = task / p.chunks, k = task % p.chunks;
    Sum before = Join::kNeutral;
    for (int64_t j = 0; j < k; ++j) before = Join()(before, totals[place * p.chunks + j]);
    scan<Join>(first_x(place) + k * kChunk * step_x, step_x, first_y(place) + k * kChunk * step_y, step_y, length(k),
               before);
  });
}

template <class Join> void run(const Args& args, Team& team) {
  switch (args.in[0].dtype) {
    case DType::f32: return run_as<float, Join>(args, team);
    case DType::f64: return run_as<double, Join>(args, team);
    default: return run_as<int64_t, Join>(args, team);
  }
}

double cost(const Args& args) { return 100 + static_cast<double>(args.in[0].size()); }

int64_t shared(const Args& args) {
  const ScanCut p(args);
  return p.chunks > 1 ? p.tiles * p.lines.outer * p.chunks * static_cast<int64_t>(sizeof(double)) : 0;
}

const char* check(const Args& args) {
  if (const char* wrong = check_along(args, attrs<ScanAttrs>(args).dim)) return wrong;
  const DType t = args.in[0].dtype;
  return floating(t) || t == DType::i64 ? nullptr : "dtype must be float32, float64 or int64";
}

}  // namespace

extern const Kernel k_cumsum = {
    .attrs = ScanAttrs::schema, .run = run<Add>, .cost = cost, .shared = shared, .check = check};
extern const Kernel k_cumprod = {
    .attrs = ScanAttrs::schema, .run = run<Multiply>, .cost = cost, .shared = shared, .check = check};

}  // namespace rv::RV_ISA
