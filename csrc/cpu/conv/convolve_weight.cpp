// SPDX-License-Identifier: Apache-2.0
// The gradient of a convolution's weights: gradients of y times patches of x, summed over images and places. Images are
// summed in pieces whose number follows from the shape, and the pieces in their order.
#include "cpu/conv/operands.h"
#include "cpu/conv/packed.h"
#include "cpu/gemm/algorithms/outer.h"

namespace rv::RV_ISA {
namespace conv {
namespace {

using gemm::Blocks;

constexpr int64_t kMostPieces = 16, kMostBytes = 8 << 20;

struct Sum {
  Space s;
  int64_t m, n, item;  // rows and columns of one group's result; bytes of an element

  explicit Sum(const Args& args)
      : s(args.in[0], args.out[0], args.in[1], attrs<ConvAttrs>(args)),
        m(s.o),
        n(s.c * s.taps()),
        item(item_size(args.out[0].dtype)) {}

  int64_t result_bytes() const { return s.groups * m * n * item; }
  int64_t pieces() const { return max(1, min(min(s.images, kMostPieces), kMostBytes / max(result_bytes(), 1))); }
  int64_t bytes() const { return pieces() > 1 ? line_up(pieces() * result_bytes()) : 0; }
};

template <class T> void run_as(const Args& args, Team& team) {
  const Sum sum(args);
  const Space& s = sum.s;
  const int64_t m = sum.m, n = sum.n, places = s.y.count(), size = s.groups * m * n;
  T* const result = args.out[0].ptr<T>();
  if (size == 0) return;
  if (s.images * places == 0) {
    for (int64_t i = 0; i < size; ++i) result[i] = T(0);
    return;
  }
  const Packed<T> in(args, team);
  const int64_t pieces = sum.pieces();
  T* const parts = pieces > 1 ? reinterpret_cast<T*>(args.shared + in.bytes()) : result;
  auto one = [&](int64_t piece, int64_t group, Team& workers) {
    const int64_t begin = s.images * piece / pieces, end = s.images * (piece + 1) / pieces, k = (end - begin) * places;
    const Gradients<T> a{&s, in[1] + (begin * s.groups + group) * m * places};
    const TransposedPatches<T> b{&s, in[0] + (begin * s.groups + group) * s.c * s.x.count()};
    const Blocks blocks = Blocks::of<T>(m, n, k, a.source, b.source);
    const Scratch own(blocks.template bytes<T>(m, n, a.source, b.source));
    gemm::blocked<T>(blocks, m, n, k, a, b, parts + piece * size + group * m * n, n, nullptr, own, workers);
  };
  if (pieces * s.groups == 1) return one(0, 0, team);
  team.each(pieces * s.groups, [&](int64_t task) {
    Team alone = team.single();
    one(task / s.groups, task % s.groups, alone);
  });
  if (pieces == 1) return;
  constexpr int64_t chunk = 4096;
  team.each(ceil_div(size, chunk), [&](int64_t task) {
    const int64_t begin = task * chunk, count = min(chunk, size - begin);
    T* const to = result + begin;
    for (int64_t i = 0; i < count; ++i) to[i] = parts[begin + i];
    for (int64_t piece = 1; piece < pieces; ++piece)
      for (int64_t i = 0; i < count; ++i) to[i] += parts[piece * size + begin + i];
  });
}

void run(const Args& args, Team& team) {
  if (args.in[0].dtype == DType::f32) run_as<float>(args, team);
  else run_as<double>(args, team);
}
int64_t shared(const Args& args) { return packed_bytes(args) + Sum(args).bytes(); }
double cost(const Args& args) { return 500 + 0.05 * Sum(args).s.products(); }
const char* check(const Args& args) { return check_operands(args, args.in[0], args.out[0], args.in[1]); }

}  // namespace
}  // namespace conv

extern const Kernel k_convolve_weight = {.attrs = conv::ConvAttrs::schema,
                                         .run = conv::run,
                                         .cost = conv::cost,
                                         .shared = conv::shared,
                                         .check = conv::check};

}  // namespace rv::RV_ISA
