// SPDX-License-Identifier: Apache-2.0
// The greatest element of each window, and its place in the plane. The first of equals wins; a NaN beats every number.
#include "cpu/conv/packed.h"

namespace rv::RV_ISA {
namespace conv {
namespace {

RV_ATTRS(PoolAttrs, (Ints, kernel), (Ints, stride), (Ints, padding), (Ints, dilation), (bool, adaptive));

// The places of one axis that window `i` sees: begin, begin + step, ... < end.
struct Window {
  int64_t begin, end, step;

  Window(const PoolAttrs& a, int axis, int64_t i, int64_t n, int64_t windows) {
    if (a.adaptive) {
      begin = i * n / windows, end = ceil_div((i + 1) * n, windows), step = 1;
      return;
    }
    step = a.dilation[axis];
    begin = i * a.stride[axis] - a.padding[axis];
    end = min(n, begin + (a.kernel[axis] - 1) * step + 1);
    if (begin < 0) begin += ceil_div(-begin, step) * step;
  }
};

template <class T> void run_as(const Args& args, Team& team) {
  const PoolAttrs& a = attrs<PoolAttrs>(args);
  const Packed<T> in(args, team);
  const Extent x = Extent::spatial(args.in[0]), y = Extent::spatial(args.out[0]);
  const int64_t planes = args.in[0].shape[0] * args.in[0].shape[1], lines = y.of[0] * y.of[1];
  T* const values = args.out[0].ptr<T>();
  int64_t* const places = args.out[1].ptr<int64_t>();
  if (planes * y.count() == 0) return;
  const int64_t together = max(1, 2048 / max(y.of[2], 1));  // lines of one task
  team.each(ceil_div(planes * lines, together), [&](int64_t task) {
    for (int64_t q = task * together; q < min(planes * lines, (task + 1) * together); ++q) {
      const T* const plane = in[0] + q / lines * x.count();
      const Window w0(a, 0, q % lines / y.of[1], x.of[0], y.of[0]), w1(a, 1, q % y.of[1], x.of[1], y.of[1]);
      for (int64_t i = 0; i < y.of[2]; ++i) {
        const Window w2(a, 2, i, x.of[2], y.of[2]);
        int64_t best = (w0.begin * x.of[1] + w1.begin) * x.of[2] + w2.begin;
        T top = plane[best];
        for (int64_t d = w0.begin; d < w0.end; d += w0.step)
          for (int64_t h = w1.begin; h < w1.end; h += w1.step) {
            const int64_t row = (d * x.of[1] + h) * x.of[2];
            for (int64_t c = w2.begin; c < w2.end; c += w2.step)
              if (const T v = plane[row + c]; v > top || (v != v && top == top)) top = v, best = row + c;
          }
        values[q * y.of[2] + i] = top, places[q * y.of[2] + i] = best;
      }
    }
  });
}

void run(const Args& args, Team& team) {
  if (args.in[0].dtype == DType::f32) run_as<float>(args, team);
  else run_as<double>(args, team);
}

double cost(const Args& args) {
  const PoolAttrs& a = attrs<PoolAttrs>(args);
  const int64_t seen = a.adaptive ? args.in[0].size() : args.out[0].size() * a.kernel[0] * a.kernel[1] * a.kernel[2];
  return 200 + static_cast<double>(seen);
}

const char* check(const Args& args) {
  const PoolAttrs& a = attrs<PoolAttrs>(args);
  const View &x = args.in[0], &y = args.out[0];
  const Ints sizes[] = {a.kernel, a.stride, a.padding, a.dilation};
  for (const Ints& each : sizes)
    if (each.size != kAxes) return "kernel, stride, padding and dilation must have 3 numbers";
  if (args.n_in != 1 || args.n_out != 2 || !floating(x.dtype) || y.dtype != x.dtype ||
      args.out[1].dtype != DType::i64 || !same_shape(y, args.out[1]) || x.ndim < 3 || x.ndim > kAxes + 2 ||
      y.ndim != x.ndim)
    return "takes a float array of 3 to 5 axes, gives values and int64 places";
  const Extent n = Extent::spatial(x), windows = Extent::spatial(y);
  for (int d = 0; d < kAxes; ++d) {
    if (a.kernel[d] < 1 || a.stride[d] < 1 || a.padding[d] < 0 || a.dilation[d] < 1) return "sizes are out of range";
    if (windows.of[d] == 0) continue;
    if (n.of[d] == 0) return "a window is empty";
    for (int k = 0; k < 2; ++k) {
      const Window w(a, d, k * (windows.of[d] - 1), n.of[d], windows.of[d]);
      if (w.begin < 0 || w.begin >= w.end) return "a window is empty";
    }
  }
  return nullptr;
}

}  // namespace
}  // namespace conv

extern const Kernel k_max_pool = {.attrs = conv::PoolAttrs::schema,
                                  .run = conv::run,
                                  .cost = conv::cost,
                                  .shared = conv::packed_bytes,
                                  .check = conv::check};

}  // namespace rv::RV_ISA
