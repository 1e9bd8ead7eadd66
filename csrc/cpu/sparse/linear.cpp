// SPDX-License-Identifier: Apache-2.0
// sparse_linear: x times the transpose of a sparse matrix, given row by row: values and columns of row j at starts[j]
// to starts[j + 1]. Rows of x are the lanes: a value is multiplied with a column of them, which lies transposed.
#include "core/kernel.h"
#include "cpu/gemm/epilogue.h"
#include "cpu/int8/operands.h"
#include "cpu/simd/transpose.h"

namespace rv::RV_ISA {
namespace gemm {
namespace {

RV_ATTRS(SparseAttrs, (bool, bias), (ProgramAttrs, epilogue));

using V = Vec<float>;
constexpr int kVectors = 4;  // of rows at a time
constexpr int64_t kWidth = kVectors * V::N, kTaskRows = 64, kAtOnce = 4;

struct Sparse {
  const SparseAttrs& a;
  Epilogue epilogue;
  int64_t m = 1, k, n, count;

  explicit Sparse(const Args& args)
      : a(attrs<SparseAttrs>(args)),
        epilogue(args, a.epilogue, DType::f32),
        k(args.in[0].shape[args.in[0].ndim - 1]),
        n(args.in[3].shape[0] - 1),
        count(args.in[1].shape[0]) {
    for (int d = 0; d < args.in[0].ndim - 1; ++d) m *= args.in[0].shape[d];
  }
  int own() const { return 4 + a.bias; }
  int64_t blocks() const { return ceil_div(m, kWidth); }
  int64_t bytes(const Args& args) const {
    return epilogue.shared_bytes() + packed_bytes(args, own()) + blocks() * k * kWidth * 4;
  }
  double cost() const { return 200 + static_cast<double>(m * k) * 0.3 + static_cast<double>(count * blocks()) * 2; }

  void run(const Args& args, Team& team) const {
    float* const out = epilogue.ptr<float>(args);
    std::byte* shared = args.shared + epilogue.shared_bytes();
    const float* const x = in_order<float>(args.in[0], shared, team);
    const float* const values = in_order<float>(args.in[1], shared, team);
    const int32_t* const columns = in_order<int32_t>(args.in[2], shared, team);
    const int32_t* const starts = in_order<int32_t>(args.in[3], shared, team);
    const float* const bias = a.bias ? in_order<float>(args.in[4], shared, team) : nullptr;
    if (!valid(columns, starts, team)) return;
    float* const turned = reinterpret_cast<float*>(shared);
    team.each(blocks(), [&](int64_t b) {
      const int64_t rows = min(kWidth, m - b * kWidth);
      float* const to = turned + b * k * kWidth;
      for (int64_t p = 0; p < k; ++p)
        for (int64_t r = 0; r < kWidth; ++r) to[p * kWidth + r] = r < rows ? x[(b * kWidth + r) * k + p] : 0.0f;
    });
    const int64_t across = ceil_div(n, kTaskRows);
    team.each(blocks() * across, [&](int64_t task) {
      const int64_t b = task / across, rows = min(kWidth, m - b * kWidth), first = task % across * kTaskRows;
      const float* const from = turned + b * k * kWidth;
      const int64_t end = min(n, first + kTaskRows);
      for (int64_t j = first; j < end; j += kAtOnce) {
        alignas(64) float y[kAtOnce][kWidth];
        const int64_t now = min(kAtOnce, end - j);
        for (int64_t q = 0; q < now; ++q) {
          const V add(bias ? bias[j + q] : 0.0f);
          if (rows > V::N) product<kVectors>(values, columns, starts[j + q], starts[j + q + 1], from, add, y[q]);
          else product<1>(values, columns, starts[j + q], starts[j + q + 1], from, add, y[q]);
        }
        float* const to = out + b * kWidth * n + j;
        const int64_t whole = now == kAtOnce ? rows / 4 * 4 : 0;
        for (int64_t r = 0; r < whole; r += 4) transpose4(y[0] + r, kWidth, to + r * n, n);
        for (int64_t r = whole; r < rows; ++r)
          for (int64_t q = 0; q < now; ++q) to[r * n + q] = y[q][r];
      }
    });
    epilogue.run(args, own(), args.prepared, team);
  }

 private:
  bool valid(const int32_t* columns, const int32_t* starts, Team& team) const {
    for (int64_t j = 0; j <= n; ++j)
      if (const int64_t least = j ? starts[j - 1] : 0; starts[j] < least || starts[j] > count)
        return team.fail(j, starts[j], least, count), false;
    for (int64_t i = 0; i < count; ++i)
      if (columns[i] < 0 || columns[i] >= k) return team.fail(i, columns[i], 0, k - 1), false;
    return true;
  }

  template <int S>
  static void product(const float* values, const int32_t* columns, int64_t i, int64_t end, const float* x, V start,
                      float* y) {
    V sums[S];
    for (int s = 0; s < S; ++s) sums[s] = start;
    for (; i < end; ++i) {
      const V value(values[i]);
      const float* const column = x + columns[i] * kWidth;
      for (int s = 0; s < S; ++s) sums[s] = fma(value, load(column + s * V::N), sums[s]);
    }
    for (int s = 0; s < S; ++s) store(y + s * V::N, sums[s]);
  }
};

void sparse_run(const Args& args, Team& team) { Sparse(args).run(args, team); }
int64_t sparse_shared(const Args& args) { return Sparse(args).bytes(args); }
double sparse_cost(const Args& args) {
  const Sparse s(args);
  return s.cost() + s.epilogue.cost(args, s.own());
}
int64_t sparse_prepare(const Args& args, std::byte* memory) {
  const Sparse s(args);
  return s.epilogue.prepare(args, s.own(), memory);
}
const char* sparse_check(const Args& args) {
  const SparseAttrs& a = attrs<SparseAttrs>(args);
  const int own = 4 + a.bias;
  if (args.n_in < own || args.n_out < 1) return "takes x, values, columns and starts";
  if (args.in[0].dtype != DType::f32 || args.in[1].dtype != DType::f32 || args.in[2].dtype != DType::i32 ||
      args.in[3].dtype != DType::i32)
    return "dtypes must be float32 and int32";
  for (int i = 1; i < own; ++i)
    if (args.in[i].ndim != 1) return "what follows x must be vectors";
  const View &x = args.in[0], &y = args.out[0];
  const int64_t n = args.in[3].shape[0] - 1;
  if (n < 0 || args.in[1].shape[0] != args.in[2].shape[0]) return "values, columns and starts do not fit";
  if (x.ndim < 1 || y.ndim != x.ndim || y.shape[y.ndim - 1] != n) return "the result does not fit";
  for (int d = 0; d + 1 < x.ndim; ++d)
    if (x.shape[d] != y.shape[d]) return "x and the result differ in their rows";
  if (a.bias && (args.in[4].dtype != DType::f32 || args.in[4].shape[0] != n)) return "bias must have a value a column";
  return int8::check_result(args, a.epilogue, own);
}

}  // namespace
}  // namespace gemm

extern const Kernel k_sparse_linear = {.attrs = gemm::SparseAttrs::schema,
                                       .run = gemm::sparse_run,
                                       .cost = gemm::sparse_cost,
                                       .shared = gemm::sparse_shared,
                                       .check = gemm::sparse_check,
                                       .prepare = gemm::sparse_prepare};

}  // namespace rv::RV_ISA
