// SPDX-License-Identifier: Apache-2.0
// Convolutions as matrix products of weights and patches: one product for each image, group and run of places.
#include "cpu/conv/operands.h"
#include "cpu/conv/packed.h"
#include "cpu/gemm/algorithms/outer.h"

namespace rv::RV_ISA {
namespace conv {
namespace {

using gemm::Blocks;
using gemm::Strided;

// y = w * patches of x (forward), or x = w^T * patches of y (back).
template <class T, bool back> struct Product {
  Space s;
  int64_t m, n, k;  // rows and places of the result, terms
  int64_t columns;  // of places that one task computes
  Blocks blocks;

  explicit Product(const Space& space)
      : s(space),
        m(back ? s.c : s.o),
        n(back ? s.x.count() : s.y.count()),
        k((back ? s.o : s.c) * s.taps()),
        columns(cut()),
        blocks(Blocks::of<T>(m, max(columns, 1), max(k, 1), Source::ahead, Source::copied)) {}

  // Patches of a task stay near; there are tasks for all threads.
  int64_t cut() const {
    constexpr int64_t W = kCols<T>, least = 4 * W;
    const int64_t near = gemm::policy::near_bytes / 8 / static_cast<int64_t>(sizeof(T)) / max(k, 1);
    const int64_t tasks = ceil_div(n * s.images * s.groups, 16);
    return min(max(least, min(near, tasks) / W * W), n);
  }
  int64_t weights_elements() const { return gemm::panel_elements(m, kRows, k); }
  int64_t weights_bytes() const { return line_up(s.groups * weights_elements() * static_cast<int64_t>(sizeof(T))); }

  void pack(const T* w, T* panels, Team& team) const {
    for (int64_t g = 0; g < s.groups; ++g) {
      const T* const own = w + g * s.o * s.c * s.taps();
      T* const to = panels + g * weights_elements();
      if constexpr (back) gemm::pack_rows_ahead(to, TransposedWeights<T>{&s, own}, m, k, team);
      else gemm::pack_rows_ahead(to, Strided<T>{own, k, 1, Source::copied}, m, k, team);
    }
  }

  void run(const T* seen, const T* panels, const T* bias, T* result, Team& team) const {
    const int64_t pieces = ceil_div(n, columns), channels = back ? s.o : s.c;
    const int64_t seen_step = channels * (back ? s.y.count() : s.x.count());
    team.each(s.images * s.groups * pieces, [&](int64_t task) {
      const int64_t plane = task / pieces, group = plane % s.groups, at = task % pieces * columns,
                    count = min(columns, n - at);
      T* const c = result + plane * m * n + at;
      if (k > 0) {
        const Scratch own(blocks.template bytes<T>(m, count, Source::ahead, Source::copied));
        Team alone = team.single();
        gemm::blocked<T>(blocks, m, count, k, Strided<T>{panels + group * weights_elements(), 0, 0, Source::ahead},
                         Patches<T, back>{&s, seen + plane * seen_step, at}, c, n, nullptr, own, alone);
      }
      for (int64_t i = 0; i < m; ++i) {
        T* const row = c + i * n;
        const T add = bias ? bias[group * m + i] : T(0);
        if (k == 0)
          for (int64_t j = 0; j < count; ++j) row[j] = add;
        else if (bias)
          for (int64_t j = 0; j < count; ++j) row[j] += add;
      }
    });
  }
};

template <bool back> Space space_of(const Args& args) {
  const ConvAttrs& a = attrs<ConvAttrs>(args);
  return back ? Space(args.out[0], args.in[1], args.in[0], a) : Space(args.in[0], args.in[1], args.out[0], a);
}

template <class T, bool back> void run_as(const Args& args, Team& team) {
  const Product<T, back> product(space_of<back>(args));
  if (product.m == 0 || product.n == 0 || product.s.images == 0) return;
  const Packed<T> in(args, team);
  T* const panels = reinterpret_cast<T*>(args.shared + in.bytes());
  if (product.k > 0) product.pack(in[1], panels, team);
  product.run(in[0], panels, args.n_in > 2 ? in[2] : nullptr, args.out[0].ptr<T>(), team);
}
template <bool back> void run(const Args& args, Team& team) {
  if (args.in[0].dtype == DType::f32) run_as<float, back>(args, team);
  else run_as<double, back>(args, team);
}

template <bool back> int64_t shared(const Args& args) {
  const int64_t weights = args.in[0].dtype == DType::f32 ? Product<float, back>(space_of<back>(args)).weights_bytes()
                                                         : Product<double, back>(space_of<back>(args)).weights_bytes();
  return packed_bytes(args) + weights;
}

template <bool back> double cost(const Args& args) {
  return 500 + 0.05 * space_of<back>(args).products() + 0.5 * static_cast<double>(args.out[0].size());
}

template <bool back> const char* check(const Args& args) {
  const View &in = args.in[0], &w = args.in[1], &out = args.out[0];
  if (const char* wrong = check_operands(args, back ? out : in, w, back ? in : out)) return wrong;
  return args.n_in == 2 || (args.in[2].ndim == 1 && args.in[2].shape[0] == out.shape[1])
             ? nullptr
             : "bias must have one number for each channel";
}

}  // namespace
}  // namespace conv

extern const Kernel k_convolve = {.attrs = conv::ConvAttrs::schema,
                                  .run = conv::run<false>,
                                  .cost = conv::cost<false>,
                                  .shared = conv::shared<false>,
                                  .check = conv::check<false>};
extern const Kernel k_convolve_input = {.attrs = conv::ConvAttrs::schema,
                                        .run = conv::run<true>,
                                        .cost = conv::cost<true>,
                                        .shared = conv::shared<true>,
                                        .check = conv::check<true>};

}  // namespace rv::RV_ISA
