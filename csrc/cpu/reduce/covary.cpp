// SPDX-License-Identifier: Apache-2.0
// Sums of g (x - mean) over arrays (before, kept, behind), one for each of `kept` (python/ranvier/ops/standardize.py).
// Blocks are summed in the operands' type, and blocks of blocks in double; what a block is follows from the shape.
#include "cpu/move/packed.h"
#include "cpu/reduce/rows.h"

namespace rv::RV_ISA {
namespace {

RV_ATTRS(CovaryAttrs, (int64_t, before), (int64_t, kept), (int64_t, behind));

constexpr int64_t kItems = 1 << 16;  // of one task, about
constexpr int64_t kShort = 32;       // from here on, terms behind are summed along the row
constexpr int64_t kRun = 2048;       // terms of a block of a row
constexpr int64_t kRows = 32;        // rows of a block of columns
constexpr int64_t kColumns = 512;    // of one task, about

struct Blocks {
  int64_t before, kept, behind;
  bool rows;                // along rows, not down columns
  int64_t together, outer;  // of `kept` in a task; of `before`
  int64_t kept_tasks, outer_tasks;

  explicit Blocks(const CovaryAttrs& a) : before(a.before), kept(a.kept), behind(a.behind) {
    rows = behind >= kShort;
    together = max(1, min(kept, (rows ? kItems : kColumns) / max(behind, 1)));
    outer = max(1, kItems / max(together * behind, 1));
    kept_tasks = ceil_div(kept, together), outer_tasks = max(1, ceil_div(before, outer));
  }
};

template <class T> struct Covary {
  using V = Vec<T>;
  static constexpr int N = V::N;

  static RV_INLINE double row(const T* g, const T* x, int64_t n, T mean) {
    constexpr int U = 4;
    const V center(mean);
    double total = 0;
    for (int64_t begin = 0; begin < n; begin += kRun) {
      const int64_t end = min(n, begin + kRun);
      V s[U];
      for (int k = 0; k < U; ++k) s[k] = V(T(0));
      int64_t i = begin;
      for (; i + U * N <= end; i += U * N)
        for (int k = 0; k < U; ++k) s[k] += load(g + i + k * N) * (load(x + i + k * N) - center);
      for (; i + N <= end; i += N) s[0] += load(g + i) * (load(x + i) - center);
      if (i < end) {
        const V rest = load_partial(g + i, end - i) * (load_partial(x + i, end - i) - center);
        s[1] += select(first_lanes<T>(end - i), rest, V(T(0)));
      }
      total += static_cast<double>(reduce_add((s[0] + s[1]) + (s[2] + s[3])));
    }
    return total;
  }

  // sums[k] of `width` neighbours, over `rows` rows, a row `pitch` apart
  static void columns(const T* g, const T* x, const T* mean, int64_t pitch, int64_t rows, int64_t behind, int64_t width,
                      double* sums) {
    const int64_t columns = width * behind, room = ceil_div(columns, N) * N;
    const Scratch scratch(room * static_cast<int64_t>(2 * sizeof(T) + sizeof(double)));
    double* const total = scratch.as<double>();
    T *const center = reinterpret_cast<T*>(total + room), *const sum = center + room;
    for (int64_t k = 0; k < width; ++k)
      for (int64_t i = 0; i < behind; ++i) center[k * behind + i] = mean[k];
    for (int64_t c = 0; c < columns; ++c) total[c] = 0;
    for (int64_t begin = 0; begin < rows; begin += kRows) {
      for (int64_t r = begin; r < min(rows, begin + kRows); ++r)
        each_vector<T>(
            columns, [&](auto get, auto put, int64_t c) __attribute__((always_inline)) {
              const V term = get(g + r * pitch + c) * (get(x + r * pitch + c) - get(center + c));
              put(sum + c, r == begin ? term : get(sum + c) + term);
            });
      for (int64_t c = 0; c < columns; ++c) total[c] += static_cast<double>(sum[c]);
    }
    for (int64_t k = 0; k < width; ++k) {
      double all = 0;
      for (int64_t i = 0; i < behind; ++i) all += total[k * behind + i];
      sums[k] = all;
    }
  }

  static void run(const Args& args, Team& team) {
    const Blocks b(attrs<CovaryAttrs>(args));
    if (b.kept == 0) return;
    const Packed<T> in(args, team);
    double* const partial = reinterpret_cast<double*>(args.shared + in.bytes());  // (outer_tasks, kept)
    const int64_t pitch = b.kept * b.behind;
    team.each(b.outer_tasks * b.kept_tasks, [&](int64_t task) {
      const int64_t k0 = task % b.kept_tasks * b.together, width = min(b.together, b.kept - k0);
      const int64_t r0 = task / b.kept_tasks * b.outer, rows = min(b.outer, b.before - r0);
      double* const sums = partial + task / b.kept_tasks * b.kept + k0;
      const T *const g = in[0] + r0 * pitch + k0 * b.behind, *const x = in[1] + r0 * pitch + k0 * b.behind;
      const T* const mean = in[2] + k0;
      if (!b.rows) return columns(g, x, mean, pitch, rows, b.behind, width, sums);
      for (int64_t k = 0; k < width; ++k) sums[k] = 0;
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t k = 0; k < width; ++k)
          sums[k] += row(g + r * pitch + k * b.behind, x + r * pitch + k * b.behind, b.behind, mean[k]);
    });
    T* const out = args.out[0].ptr<T>();
    for (int64_t k = 0; k < b.kept; ++k) {
      double all = 0;
      for (int64_t t = 0; t < b.outer_tasks; ++t) all += partial[t * b.kept + k];
      out[k] = static_cast<T>(all);
    }
  }
};

void run(const Args& args, Team& team) {
  if (args.in[0].dtype == DType::f32) Covary<float>::run(args, team);
  else Covary<double>::run(args, team);
}

double cost(const Args& args) { return 200 + 0.15 * static_cast<double>(args.in[0].size()); }

int64_t shared(const Args& args) {
  const Blocks b(attrs<CovaryAttrs>(args));
  return packed_bytes(args) + b.outer_tasks * b.kept * static_cast<int64_t>(sizeof(double));
}

const char* check(const Args& args) {
  const auto& [before, kept, behind] = attrs<CovaryAttrs>(args);
  if (args.n_in != 3 || args.n_out != 1) return "takes two arrays and means, gives sums";
  for (int k = 0; k < 3; ++k)
    if (args.in[k].dtype != args.out[0].dtype || !floating(args.in[k].dtype)) return "dtypes must be one float dtype";
  if (before < 0 || kept < 0 || behind < 0 || args.in[0].size() != before * kept * behind ||
      args.in[1].size() != args.in[0].size() || args.in[2].size() != kept || args.out[0].size() != kept)
    return "sizes of the operands do not go together";
  return nullptr;
}

}  // namespace

extern const Kernel k_covary = {
    .attrs = CovaryAttrs::schema, .run = run, .cost = cost, .shared = shared, .check = check};

}  // namespace rv::RV_ISA
