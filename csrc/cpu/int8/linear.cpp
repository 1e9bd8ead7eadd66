// SPDX-License-Identifier: Apache-2.0
// Linear layers with weights of int8. int8_matmul: the exact product of bytes. int8_linear: x of float32 is stored as
// bytes, row by row; sums become float32 again, with the bias, before they leave the caches.
#include "cpu/int8/operands.h"

namespace rv::RV_ISA {
namespace int8 {
namespace {

constexpr int64_t kTaskPanels = 2 * kBlockPanels;  // of one task

// The rows of A and the panels of B of a call.
struct Shape {
  int64_t m, k, n, groups, panels;

  Shape(const View& a, const View& w, int64_t features)
      : m(1), k(a.shape[a.ndim - 1]), n(features), groups(w.shape[1]), panels(w.shape[0]) {
    for (int d = 0; d < a.ndim - 1; ++d) m *= a.shape[d];
  }
  int64_t row_bytes() const { return groups * kGroup; }
  double cost() const { return 200 + static_cast<double>(m * k) * (0.1 + static_cast<double>(n) / 400); }

  // finish(first row, rows, first column, columns, sums) for each block, on any thread.
  template <class F> void blocks(const uint8_t* a, const int8_t* w, Team& team, F&& finish) const {
    const int64_t across = ceil_div(panels, kTaskPanels), offset = 0;
    const Steps steps{&offset, 1, groups};
    team.each(ceil_div(m, kBlockRows) * across, [&](int64_t task) {
      const int64_t i = task / across * kBlockRows, rows = min(kBlockRows, m - i), first = task % across * kTaskPanels,
                    end = min(panels, first + kTaskPanels);
      const uint8_t* row[kBlockRows];
      for (int64_t r = 0; r < rows; ++r) row[r] = a + (i + r) * row_bytes();
      alignas(64) int32_t sums[kBlockRows * kBlockColumns];
      for (int64_t p = first; p < end; p += kBlockPanels) {
        multiply(row, rows, steps, w + p * groups * kPanelGroup, min(kBlockPanels, end - p), sums);
        finish(i, rows, p * kColumns, min(kBlockColumns, n - p * kColumns), sums);
      }
    });
  }
};

const char* check_product(const View& a, const View& w, const View& c, int64_t features) {
  if (a.ndim < 1 || w.ndim != 4 || c.ndim != a.ndim) return "operands have other numbers of axes";
  if (w.shape[2] != kColumns || w.shape[3] != kGroup || w.shape[1] != ceil_div(a.shape[a.ndim - 1], kGroup) ||
      w.shape[0] != ceil_div(features, kColumns) || c.shape[c.ndim - 1] != features)
    return "weights do not fit x and the result";
  for (int d = 0; d + 1 < a.ndim; ++d)
    if (a.shape[d] != c.shape[d]) return "x and the result differ in their rows";
  return nullptr;
}

// ---- bytes to int32

Shape matmul_shape(const Args& args) { return {args.in[0], args.in[1], args.out[0].shape[args.out[0].ndim - 1]}; }
int64_t matmul_shared(const Args& args) {
  const Shape s = matmul_shape(args);
  return packed_bytes(args, 2) + line_up(s.m * s.row_bytes());
}
void matmul_run(const Args& args, Team& team) {
  const Shape s = matmul_shape(args);
  std::byte* shared = args.shared;
  const uint8_t* const x = in_order<uint8_t>(args.in[0], shared, team);
  const int8_t* const w = in_order<int8_t>(args.in[1], shared, team);
  uint8_t* const rows = reinterpret_cast<uint8_t*>(shared);  // of whole groups
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t p = 0; p < s.k; ++p) rows[i * s.row_bytes() + p] = x[i * s.k + p];
    for (int64_t p = s.k; p < s.row_bytes(); ++p) rows[i * s.row_bytes() + p] = 0;
  }
  int32_t* const c = args.out[0].ptr<int32_t>();
  s.blocks(rows, w, team, [&](int64_t i, int64_t count, int64_t j, int64_t columns, const int32_t* sums) {
    for (int64_t r = 0; r < count; ++r)
      memcpy(c + (i + r) * s.n + j, sums + r * kBlockColumns, static_cast<size_t>(columns) * sizeof(int32_t));
  });
}
const char* matmul_check(const Args& args) {
  if (args.n_in != 2 || args.n_out != 1) return "takes a and weights";
  if (args.in[0].dtype != DType::u8 || args.in[1].dtype != DType::u8 || args.out[0].dtype != DType::i32)
    return "dtypes must be uint8, uint8 and int32";
  return check_product(args.in[0], args.in[1], args.out[0], args.out[0].shape[args.out[0].ndim - 1]);
}

// ---- float32 to float32

struct Linear {
  const LayerAttrs& a;
  gemm::Epilogue epilogue;
  Shape s;

  explicit Linear(const Args& args)
      : a(attrs<LayerAttrs>(args)),
        epilogue(args, a.epilogue, DType::f32),
        s(args.in[0], args.in[1], args.in[2].shape[0]) {}
  int own() const { return Layer::operands(a); }
  int64_t bytes(const Args& args) const {
    return epilogue.shared_bytes() + packed_bytes(args, own()) + line_up(s.m * static_cast<int64_t>(sizeof(Range))) +
           line_up(s.m * s.row_bytes());
  }

  void run(const Args& args, Team& team) const {
    float* const out = epilogue.ptr<float>(args);
    std::byte* shared = args.shared + epilogue.shared_bytes();
    const Layer layer(args, a, shared, team);
    Range* const ranges = reinterpret_cast<Range*>(shared);
    uint8_t* const rows = reinterpret_cast<uint8_t*>(shared + line_up(s.m * static_cast<int64_t>(sizeof(Range))));
    const int64_t step = max(1, (16 << 10) / max(s.k, 1));
    team.each(ceil_div(s.m, step), [&](int64_t task) {
      for (int64_t i = task * step; i < min(s.m, (task + 1) * step); ++i) store(layer, i, ranges[i], rows);
    });
    s.blocks(rows, layer.weights, team, [&](int64_t i, int64_t count, int64_t j, int64_t columns, const int32_t* sums) {
      for (int64_t r = 0; r < count; ++r)
        finish(layer.columns, ranges[i + r], j, columns, sums + r * kBlockColumns, out + (i + r) * s.n + j);
    });
    epilogue.run(args, own(), args.prepared, team);
  }

  void store(const Layer& layer, int64_t i, Range& range, uint8_t* rows) const {
    const float* const x = layer.x + i * s.k;
    uint8_t* const to = rows + i * s.row_bytes();
    if (layer.stored) {
      range = Range::fixed(layer.stored);
    } else {
      Extremes e;
      e.take(x, s.k);
      range = Range::between(e.low, e.high);
    }
    if (quantize(x, s.k, range, to)) range.scale = __builtin_nanf("");
    for (int64_t p = s.k; p < s.row_bytes(); ++p) to[p] = 0;
  }

  // y = (sums - zero sums of weights) (scale of the row scale of the column) + bias
  static void finish(const Columns& of, const Range& range, int64_t j, int64_t columns, const int32_t* sums, float* y) {
    using I = Vec<int32_t>;
    const I zero(range.zero);
    const V scale(range.scale);
    for (int64_t c = 0; c < columns; c += V::N) {
      const int64_t n = min(V::N, columns - c);
      const I exact = load(sums + c) - zero * load_partial(of.sums + j + c, n);
      V v = convert<float>(exact) * (scale * load_partial(of.scale + j + c, n));
      if (of.bias) v = v + load_partial(of.bias + j + c, n);
      if (n == V::N) rv::RV_ISA::store(y + c, v);
      else store_partial(y + c, v, n);
    }
  }
};

void linear_run(const Args& args, Team& team) { Linear(args).run(args, team); }
int64_t linear_shared(const Args& args) { return Linear(args).bytes(args); }
double linear_cost(const Args& args) {
  const Linear l(args);
  return l.s.cost() + l.epilogue.cost(args, l.own());
}
int64_t linear_prepare(const Args& args, std::byte* memory) {
  const Linear l(args);
  return l.epilogue.prepare(args, l.own(), memory);
}
const char* linear_check(const Args& args) {
  if (args.n_in < 4 || args.n_out < 1 || args.in[2].ndim != 1) return "takes x, weights, scale and sums";
  const LayerAttrs& a = attrs<LayerAttrs>(args);
  const int64_t features = args.in[2].shape[0];
  if (const char* wrong = check_layer(args, a, features)) return wrong;
  return check_product(args.in[0], args.in[1], args.out[0], features);
}

}  // namespace
}  // namespace int8

extern const Kernel k_int8_matmul = {.run = int8::matmul_run,
                                     .cost = [](const Args& args) { return int8::matmul_shape(args).cost(); },
                                     .shared = int8::matmul_shared,
                                     .check = int8::matmul_check};
extern const Kernel k_int8_linear = {.attrs = int8::LayerAttrs::schema,
                                     .run = int8::linear_run,
                                     .cost = int8::linear_cost,
                                     .shared = int8::linear_shared,
                                     .check = int8::linear_check,
                                     .prepare = int8::linear_prepare};

}  // namespace rv::RV_ISA
