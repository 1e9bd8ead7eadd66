// SPDX-License-Identifier: Apache-2.0
// The greatest element of each window, and where it is. The first of equals wins; a NaN beats every number; a window
// that sees nothing gives -inf. Places are those of the plane, -1 where there is none (int64), or taps of the window
// (uint8): the gradient needs no more, and they take an eighth of the memory.
#include "cpu/conv/pool.h"
#include "cpu/reduce/rows.h"

namespace rv::RV_ISA {
namespace conv {
namespace {

enum class Places { none, taps, plane };

template <class V, int... L> RV_INLINE V even_lanes(V a, V b, std::integer_sequence<int, L...>) {
  constexpr int N = sizeof...(L);
  // b begins one element early
  return __builtin_shufflevector(a, b, (2 * L < N ? 2 * L : 2 * L + 1)...);
}

// p[0], p[step], ... p[(m - 1) step], m <= N; nothing behind them is read.
template <int step, class T> RV_INLINE Vec<T> load_apart(const T* p, int64_t m) {
  constexpr int N = Vec<T>::N;
  if constexpr (step == 1) return m == N ? load(p) : load_partial(p, m);
  using Lanes = std::make_integer_sequence<int, N>;
  if (m == N) return Vec<T>(even_lanes(load(p).v, load(p + N - 1).v, Lanes{}));
  const int64_t n = 2 * m - 1;
  const Vec<T> low = load_partial(p, min(n, N)), high = n < N ? Vec<T>(T(0)) : load_partial(p + N - 1, n - N + 1);
  return Vec<T>(even_lanes(low.v, high.v, Lanes{}));
}

template <class T, Places places> struct Line {
  using Int = typename IntOf<sizeof(T)>::Type;
  static constexpr int N = Vec<T>::N;

  const Pooling& pool;
  const T* plane;
  Window w0, w1;  // of the line
  T* values;
  uint8_t* taps;
  int64_t* flat;

  void keep(int64_t i, int64_t tap) const {
    if constexpr (places == Places::taps) taps[i] = static_cast<uint8_t>(tap);
    if constexpr (places == Places::plane) {
      const auto& [kernel, stride, padding, dilation, adaptive] = pool.attrs;
      const int64_t c = i * stride[2] - padding[2] + tap % kernel[2] * dilation[2];
      const int64_t h = w1.begin + (tap / kernel[2] % kernel[1] - w1.tap) * w1.step;
      const int64_t d = w0.begin + (tap / kernel[2] / kernel[1] - w0.tap) * w0.step;
      flat[i] = (d * pool.x.of[1] + h) * pool.x.of[2] + c;
    }
  }

  // Window by window.
  void each(int64_t begin, int64_t end) const {
    for (int64_t i = begin; i < end; ++i) {
      const Window w2 = pool.window(2, i);
      T top = lowest<T>();
      int64_t best = -1, tap = 0;
      for (int64_t d = w0.begin, td = w0.tap; d < w0.end; d += w0.step, ++td)
        for (int64_t h = w1.begin, th = w1.tap; h < w1.end; h += w1.step, ++th) {
          const int64_t row = (d * pool.x.of[1] + h) * pool.x.of[2];
          for (int64_t c = w2.begin, tc = w2.tap; c < w2.end; c += w2.step, ++tc)
            if (const T v = plane[row + c]; best < 0 || (!(v <= top) && top == top))
              top = v, best = row + c, tap = pool.tap(td, th, tc);
        }
      values[i] = top;
      if constexpr (places == Places::taps) taps[i] = static_cast<uint8_t>(tap);
      if constexpr (places == Places::plane) flat[i] = best;
    }
  }

  // A vector of windows at a time, whose columns lie in the image.
  template <int step> void vectors(int64_t begin, int64_t end) const {
    using Indices = Vec<Int>;
    const auto& [kernel, stride, padding, dilation, adaptive] = pool.attrs;
    for (int64_t i = begin; i < end; i += N) {
      if (end - i < N && end - begin >= N) i = end - N;  // some windows twice
      const int64_t m = min(N, end - i), first = i * step - padding[2];
      Vec<T> top(lowest<T>());
      Indices at(static_cast<Int>(pool.tap(w0.tap, w1.tap, 0)));
      for (int64_t d = w0.begin, td = w0.tap; d < w0.end; d += w0.step, ++td)
        for (int64_t h = w1.begin, th = w1.tap; h < w1.end; h += w1.step, ++th) {
          const T* const row = plane + (d * pool.x.of[1] + h) * pool.x.of[2] + first;
          const int64_t tap = pool.tap(td, th, 0);
          for (int64_t t = 0; t < kernel[2]; ++t) {
            const Vec<T> v = load_apart<step>(row + t * dilation[2], m);
            const Mask<T> better = ~(v <= top) & (top == top);
            top = select(better, v, top);
            at = Indices(better.m ? Indices(static_cast<Int>(tap + t)).v : at.v);
          }
        }
      if (m == N) store(values + i, top);
      else store_partial(values + i, top, m);
      if constexpr (places != Places::none) {
        alignas(kVecBytes) Int found[N];
        store(found, at);
        for (int64_t k = 0; k < m; ++k) keep(i + k, found[k]);
      }
    }
  }

  void run() const {
    const auto& [kernel, stride, padding, dilation, adaptive] = pool.attrs;
    const int64_t n = pool.x.of[2], windows = pool.y.of[2], s = stride[2], p = padding[2];
    const int64_t spare = n + p - ((kernel[2] - 1) * dilation[2] + 1);  // where the last whole window may begin
    const int64_t low = min(windows, ceil_div(p, s)), high = spare < 0 ? low : max(low, min(windows, spare / s + 1));
    if (adaptive || s > 2 || w0.empty() || w1.empty()) return each(0, windows);
    each(0, low);
    if (s == 1) vectors<1>(low, high);
    else vectors<2>(low, high);
    each(high, windows);
  }
};

template <class T, Places places> void run_as(const Args& args, Team& team) {
  const Pooling pool(args.in[0], args.out[0], attrs<PoolAttrs>(args));
  const Packed<T> in(args, team);
  const int64_t planes = args.in[0].shape[0] * args.in[0].shape[1], lines = pool.y.of[0] * pool.y.of[1];
  if (planes * pool.y.count() == 0) return;
  const int64_t windows = pool.y.of[2], together = max(1, 2048 / windows);  // lines of one task
  team.each(ceil_div(planes * lines, together), [&](int64_t task) {
    for (int64_t q = task * together; q < min(planes * lines, (task + 1) * together); ++q) {
      Line<T, places> line{pool,
                           in[0] + q / lines * pool.x.count(),
                           pool.window(0, q % lines / pool.y.of[1]),
                           pool.window(1, q % pool.y.of[1]),
                           args.out[0].ptr<T>() + q * windows,
                           nullptr,
                           nullptr};
      if constexpr (places == Places::taps) line.taps = args.out[1].ptr<uint8_t>() + q * windows;
      if constexpr (places == Places::plane) line.flat = args.out[1].ptr<int64_t>() + q * windows;
      line.run();
    }
  });
}

template <class T> void run_for(const Args& args, Team& team) {
  if (args.n_out == 1) run_as<T, Places::none>(args, team);
  else if (args.out[1].dtype == DType::u8) run_as<T, Places::taps>(args, team);
  else run_as<T, Places::plane>(args, team);
}

void run(const Args& args, Team& team) {
  if (args.in[0].dtype == DType::f32) run_for<float>(args, team);
  else run_for<double>(args, team);
}

double cost(const Args& args) {
  const Pooling pool(args.in[0], args.out[0], attrs<PoolAttrs>(args));
  const bool vectors = !pool.attrs.adaptive && pool.attrs.stride[2] <= 2;
  const double seen = static_cast<double>(pool.attrs.adaptive ? args.in[0].size() : args.out[0].size() * pool.taps());
  return 200 + (vectors ? 0.15 : 1.0) * seen;
}

const char* check_places(const PoolAttrs& a, const View& values, const View& places) {
  if (!same_shape(values, places)) return "values and places must have one shape";
  if (places.dtype == DType::i64) return nullptr;
  const Pooling pool(values, values, a);
  return places.dtype == DType::u8 && !a.adaptive && pool.taps() <= 256 ? nullptr
                                                                        : "places must be int64, or uint8 taps";
}

const char* check(const Args& args) {
  if (args.n_in != 1 || args.n_out < 1 || args.n_out > 2 || !floating(args.in[0].dtype) ||
      args.out[0].dtype != args.in[0].dtype)
    return "takes a float array, gives values and their places";
  const PoolAttrs& a = attrs<PoolAttrs>(args);
  if (const char* wrong = check_pooling(a, args.in[0], args.out[0])) return wrong;
  return args.n_out == 2 ? check_places(a, args.out[0], args.out[1]) : nullptr;
}

// ---------------------------------------------------------------- back to where they came from

template <class V, int... L> RV_INLINE void store_in_turn(V a, V b, V* low, V* high, std::integer_sequence<int, L...>) {
  constexpr int N = sizeof...(L);
  *low = __builtin_shufflevector(a, b, (L / 2 + L % 2 * N)...);
  *high = __builtin_shufflevector(a, b, (N / 2 + L / 2 + L % 2 * N)...);
}

template <class T> struct Back {
  using Int = typename IntOf<sizeof(T)>::Type;
  static constexpr int N = Vec<T>::N;
  const Pooling& pool;
  bool gaps = false;  // whether a window of the last axis sees nothing

  explicit Back(const Pooling& p) : pool(p) {
    for (int64_t k = 0; k < pool.y.of[2]; ++k) gaps |= pool.window(2, k).empty();
  }

  // A row of dx whose windows lie side by side, two columns each: taps `tap` and tap + 1 of them.
  void pairs(const T* g, const uint8_t* taps, int64_t tap, T* dx) const {
    const int64_t windows = pool.y.of[2];
    int64_t i = 0;
    for (; i + N <= windows; i += N) {
      typedef uint8_t Bytes __attribute__((vector_size(N)));
      Bytes bytes;
      memcpy(&bytes, taps + i, N);
      const Vec<Int> at(__builtin_convertvector(bytes, typename Vec<Int>::Native));
      const Vec<T> v = load(g + i), zero(T(0));
      const Vec<T> even = select(Mask<T>{(at == Vec<Int>(static_cast<Int>(tap))).m}, v, zero);
      const Vec<T> odd = select(Mask<T>{(at == Vec<Int>(static_cast<Int>(tap + 1))).m}, v, zero);
      typename Vec<T>::Native low, high;
      store_in_turn(even.v, odd.v, &low, &high, std::make_integer_sequence<int, N>{});
      store(dx + 2 * i, Vec<T>(low));
      store(dx + 2 * i + N, Vec<T>(high));
    }
    for (; i < windows; ++i)
      for (int64_t k = 0; k < 2 && 2 * i + k < pool.x.of[2]; ++k) dx[2 * i + k] = taps[i] == tap + k ? g[i] : T(0);
    for (int64_t c = 2 * windows; c < pool.x.of[2]; ++c) dx[c] = T(0);
  }

  bool side_by_side() const {
    const auto& [kernel, stride, padding, dilation, adaptive] = pool.attrs;
    for (int d = 0; d < kAxes; ++d)
      if (dilation[d] != 1 || padding[d] != 0 || kernel[d] > stride[d]) return false;
    return !adaptive && kernel[2] == 2 && stride[2] == 2 && pool.y.of[2] >= N && 2 * pool.y.of[2] <= pool.x.of[2];
  }

  void rows(const T* g, const uint8_t* taps, T* dx) const {
    const auto& [kernel, stride, padding, dilation, adaptive] = pool.attrs;
    const int64_t width = pool.x.of[2];
    for (int64_t d = 0, i = 0, td = 0; d < pool.x.of[0]; ++d, ++td) {
      if (td == stride[0]) td = 0, ++i;
      for (int64_t h = 0, j = 0, th = 0; h < pool.x.of[1]; ++h, ++th, dx += width) {
        if (th == stride[1]) th = 0, ++j;
        if (i < pool.y.of[0] && j < pool.y.of[1] && td < kernel[0] && th < kernel[1]) {
          const int64_t line = (i * pool.y.of[1] + j) * pool.y.of[2];
          pairs(g + line, taps + line, pool.tap(td, th, 0), dx);
        } else {
          __builtin_memset(dx, 0, static_cast<size_t>(width) * sizeof(T));
        }
      }
    }
  }

  // Window by window; `offsets`: of each tap from the first one, in the plane.
  void plane(const T* g, const uint8_t* taps, const int64_t* offsets, T* dx) const {
    const auto& [kernel, stride, padding, dilation, adaptive] = pool.attrs;
    for (int64_t i = 0; i < pool.y.of[0]; ++i)
      for (int64_t j = 0; j < pool.y.of[1]; ++j, g += pool.y.of[2], taps += pool.y.of[2]) {
        if (pool.window(0, i).empty() || pool.window(1, j).empty()) continue;
        const int64_t row = (i * stride[0] - padding[0]) * pool.x.of[1] + j * stride[1] - padding[1];
        int64_t first = row * pool.x.of[2] - padding[2];
        for (int64_t k = 0; k < pool.y.of[2]; ++k, first += stride[2])
          if (!gaps || !pool.window(2, k).empty()) dx[first + offsets[taps[k]]] += g[k];
      }
  }
};

template <class T> void back(const Args& args, Team& team) {
  const Pooling pool(args.out[0], args.in[0], attrs<PoolAttrs>(args));
  const Back<T> to(pool);
  const View &g = args.in[0], &places = args.in[1];
  const int64_t planes = g.shape[0] * g.shape[1], n = pool.x.count(), windows = pool.y.count();
  if (planes * n == 0) return;
  const bool taps = places.dtype == DType::u8, quick = taps && to.side_by_side();
  const Packed<std::byte> in(args, team);
  const T* const gradients = reinterpret_cast<const T*>(in[0]);
  const uint8_t* const of_windows = reinterpret_cast<const uint8_t*>(in[1]);
  const int64_t* const of_plane = reinterpret_cast<const int64_t*>(in[1]);
  const int64_t together = max(1, 8192 / n);  // planes of one task
  int64_t offsets[256];
  for (int64_t t = 0; taps && t < pool.taps(); ++t) {
    const auto& [kernel, stride, padding, dilation, adaptive] = pool.attrs;
    const int64_t d = t / kernel[2] / kernel[1] * dilation[0], h = t / kernel[2] % kernel[1] * dilation[1];
    offsets[t] = (d * pool.x.of[1] + h) * pool.x.of[2] + t % kernel[2] * dilation[2];
  }
  team.each(ceil_div(planes, together), [&](int64_t task) {
    for (int64_t q = task * together; q < min(planes, (task + 1) * together); ++q) {
      const T* const from = gradients + q * windows;
      T* const dx = args.out[0].ptr<T>() + q * n;
      if (quick) {
        to.rows(from, of_windows + q * windows, dx);
        continue;
      }
      __builtin_memset(dx, 0, static_cast<size_t>(n) * sizeof(T));
      if (taps) {
        to.plane(from, of_windows + q * windows, offsets, dx);
        continue;
      }
      const int64_t* const at = of_plane + q * windows;
      for (int64_t i = 0; i < windows; ++i)
        if (at[i] >= 0 && at[i] < n) dx[at[i]] += from[i];
    }
  });
}

void run_back(const Args& args, Team& team) {
  if (args.out[0].dtype == DType::f32) back<float>(args, team);
  else back<double>(args, team);
}

double cost_back(const Args& args) {
  return 200 + 0.1 * static_cast<double>(args.out[0].size()) + 0.5 * static_cast<double>(args.in[0].size());
}

const char* check_back(const Args& args) {
  if (args.n_in != 2 || args.n_out != 1 || !floating(args.in[0].dtype) || args.out[0].dtype != args.in[0].dtype)
    return "takes float gradients and places, gives float images";
  const PoolAttrs& a = attrs<PoolAttrs>(args);
  if (const char* wrong = check_pooling(a, args.out[0], args.in[0])) return wrong;
  return check_places(a, args.in[0], args.in[1]);
}

}  // namespace
}  // namespace conv

extern const Kernel k_max_pool = {.attrs = conv::PoolAttrs::schema,
                                  .run = conv::run,
                                  .cost = conv::cost,
                                  .shared = packed_bytes,
                                  .check = conv::check};
extern const Kernel k_max_pool_grad = {.attrs = conv::PoolAttrs::schema,
                                       .run = conv::run_back,
                                       .cost = conv::cost_back,
                                       .shared = packed_bytes,
                                       .check = conv::check_back};

}  // namespace rv::RV_ISA
