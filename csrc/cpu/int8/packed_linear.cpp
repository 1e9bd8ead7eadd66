// SPDX-License-Identifier: Apache-2.0
// packed_linear: x of float32 with weights of int8 or int4: of one row or a few, where reading the weights is all the
// work. Each row of x is stored in 16 bits, q = round(x / scale) + 2^15, of which the halves are multiplied as bytes:
// sums of a group of k, which share a scale of the weights, are exact.
//
// Weights of 4 bits lie as those of 8 do (product.h), with two groups of 4 k in the halves of each byte, the first one
// low, and 8 added to each.
#include "cpu/int8/dot.h"
#include "cpu/int8/operands.h"

namespace rv::RV_ISA {
namespace int8 {
namespace {

RV_ATTRS(PackedAttrs, (int64_t, bits), (int64_t, group), (int64_t, features), (bool, bias), (ProgramAttrs, epilogue));

using I = Vec<int32_t>;

// A row of x: q = 256 high + low, of whole words, zeros behind k.
struct Row {
  const uint8_t *high, *low;
  const int32_t* offset;  // for each group what a weight's 8 has added
  float scale;
};

struct PackedLinear {
  const PackedAttrs& a;
  gemm::Epilogue epilogue;
  int64_t m = 1, k, n, words, scales, panels;  // words of 4 bytes in a column, scales of one

  explicit PackedLinear(const Args& args)
      : a(attrs<PackedAttrs>(args)),
        epilogue(args, a.epilogue, DType::f32),
        k(args.in[0].shape[args.in[0].ndim - 1]),
        n(a.features),
        words(args.in[1].shape[1]),
        scales(args.in[2].shape[1]),
        panels(args.in[1].shape[0]) {
    for (int d = 0; d < args.in[0].ndim - 1; ++d) m *= args.in[0].shape[d];
  }
  int own() const { return 3 + a.bias; }
  int64_t word_terms() const { return 32 / a.bits; }
  int64_t row() const { return words * word_terms(); }
  int64_t row_bytes() const { return line_up(2 * row()) + line_up(scales * 4); }
  int64_t rows_bytes() const { return line_up(m * static_cast<int64_t>(sizeof(Row))); }
  int64_t bytes(const Args& args) const {
    return epilogue.shared_bytes() + packed_bytes(args, own()) + rows_bytes() + m * row_bytes();
  }
  double cost() const { return 200 + static_cast<double>(panels * words) * (1 + static_cast<double>(m)); }

  void run(const Args& args, Team& team) const {
    float* const out = epilogue.ptr<float>(args);
    std::byte* shared = args.shared + epilogue.shared_bytes();
    const float* const x = in_order<float>(args.in[0], shared, team);
    const int8_t* const w = in_order<int8_t>(args.in[1], shared, team);
    const float* const scale = in_order<float>(args.in[2], shared, team);
    const float* const bias = a.bias ? in_order<float>(args.in[3], shared, team) : nullptr;
    Row* const rows = reinterpret_cast<Row*>(shared);
    shared += rows_bytes();
    team.each(m, [&](int64_t i) { rows[i] = stored(x + i * k, shared + i * row_bytes()); });
    team.each(panels, [&](int64_t panel) {
      const int8_t* const own_w = w + panel * words * kPanelGroup;
      const float* const own_scale = scale + panel * scales * kColumns;
      const int64_t j = panel * kColumns, columns = min(kColumns, n - j);
      const auto some = [&]<int R>(int64_t i) {
        alignas(64) float y[R][kColumns];
        sums(rows + i, own_w, own_scale, y);
        for (int r = 0; r < R; ++r)
          for (int64_t c = 0; c < columns; ++c)
            out[(i + r) * n + j + c] = bias ? y[r][c] * rows[i + r].scale + bias[j + c] : y[r][c] * rows[i + r].scale;
      };
      int64_t i = 0;
      for (; i + 4 <= m; i += 4) some.template operator()<4>(i);
      for (; i < m; ++i) some.template operator()<1>(i);
    });
    epilogue.run(args, own(), args.prepared, team);
  }

 private:
  Row stored(const float* x, std::byte* memory) const {
    Extremes e;
    e.take(x, k);
    const float most = e.high > -e.low ? e.high : -e.low, inverse = most > 0 ? 32767.0f / most : 0.0f;
    uint8_t* const high = reinterpret_cast<uint8_t*>(memory);
    uint8_t* const low = high + row();
    int32_t* const offset = reinterpret_cast<int32_t*>(memory + line_up(2 * row()));
    const Scratch scratch(ceil_div(row(), V::N) * kVecBytes);
    int32_t* const q = scratch.as<int32_t>();
    for (int64_t p = 0; p < row(); p += V::N) {
      const V v = round((p + V::N <= k ? load(x + p) : load_partial(x + p, max(0, k - p))) * V(inverse));
      store(q + p, convert<int32_t>(select(isnan(v), V(0.0f), v)));
    }
    for (int64_t p = 0; p < row(); ++p) high[p] = static_cast<uint8_t>((q[p] + 32768) >> 8);
    for (int64_t p = 0; p < row(); ++p) low[p] = static_cast<uint8_t>(q[p]);
    for (int64_t g = 0; a.bits == 4 && g < scales; ++g) {
      offset[g] = 0;
      for (int64_t p = g * a.group; p < min(row(), (g + 1) * a.group); ++p) offset[g] += 8 * q[p];
    }
    return {high, low, offset, e.low == e.low ? most / 32767.0f : e.low};
  }

  template <int R> void sums(const Row* rows, const int8_t* w, const float* scale, float (&y)[R][kColumns]) const {
#if defined(RV_INT8_DOT)
    if (matrix_units.int8_dot)
      return a.bits == 8 ? sums_on<Bytes, 8>(rows, w, scale, y) : sums_on<Bytes, 4>(rows, w, scale, y);
#endif
    return a.bits == 8 ? sums_on<Words, 8>(rows, w, scale, y) : sums_on<Words, 4>(rows, w, scale, y);
  }

  template <class U, int kBits, int R>
  void sums_on(const Row* rows, const int8_t* w, const float* scale, float (&y)[R][kColumns]) const {
    constexpr int kHalves = 8 / kBits, kWays = R == 1 ? 4 : 1;  // sums that do not wait for each other
    static constexpr uint8_t kOnes[4] = {1, 1, 1, 1};
    const int64_t words_of_group = a.group / (4 * kHalves);
    const typename U::A ones = U::broadcast(kOnes);
    const Vec<uint8_t> nibble(15);
    for (int64_t v = 0; v < kColumns; v += U::kLanes) {
      V total[R];
      for (int r = 0; r < R; ++r) total[r] = V(0.0f);
      for (int64_t g = 0; g < scales; ++g) {
        typename U::Acc all_of[kWays] = {}, high_of[kWays][R] = {}, low_of[kWays][R] = {};
        const int64_t end = min(words, (g + 1) * words_of_group);
        const auto add = [&](int64_t q, int way) __attribute__((always_inline)) {
          typename U::Acc &all = all_of[way], *const high = high_of[way], *const low = low_of[way];
          const int8_t* const at = w + q * kPanelGroup + v * kGroup;
#pragma GCC unroll 2
          for (int h = 0; h < kHalves; ++h) {
            typename U::B b;
            if constexpr (kBits == 8) {
              b = U::load(at);
            } else {
              alignas(64) int8_t part[kVecBytes];
              I word = load(reinterpret_cast<const int32_t*>(at));
              if (h == 1) word = word >> 4;
              store(reinterpret_cast<uint8_t*>(part), bitcast<uint8_t>(word) & nibble);
              b = U::load(part);
            }
            all = U::dot(all, ones, b);
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r) {
              const int64_t p = (q * kHalves + h) * kGroup;
              high[r] = U::dot(high[r], U::broadcast(rows[r].high + p), b);
              low[r] = U::dot(low[r], U::broadcast(rows[r].low + p), b);
            }
          }
        };
        int64_t q = g * words_of_group;
        for (; q + kWays <= end; q += kWays)
#pragma GCC unroll 4
          for (int way = 0; way < kWays; ++way) add(q + way, way);
        for (; q < end; ++q) add(q, 0);
        typename U::Acc all = {}, high[R] = {}, low[R] = {};
        for (int way = 0; way < kWays; ++way) {
          all += all_of[way];
          for (int r = 0; r < R; ++r) high[r] += high_of[way][r], low[r] += low_of[way][r];
        }
        const V s = load(scale + g * kColumns + v);
        for (int r = 0; r < R; ++r) {
          const V exact_high = convert<float>(I(high[r]) - (I(all) << 7));
          const V exact_low = kBits == 8 ? convert<float>(I(low[r])) : convert<float>(I(low[r]) - I(rows[r].offset[g]));
          total[r] = total[r] + (exact_high * V(256.0f) + exact_low) * s;
        }
      }
      for (int r = 0; r < R; ++r) store(y[r] + v, total[r]);
    }
  }
};

void packed_run(const Args& args, Team& team) { PackedLinear(args).run(args, team); }
int64_t packed_shared(const Args& args) { return PackedLinear(args).bytes(args); }
double packed_cost(const Args& args) {
  const PackedLinear l(args);
  return l.cost() + l.epilogue.cost(args, l.own());
}
int64_t packed_prepare(const Args& args, std::byte* memory) {
  const PackedLinear l(args);
  return l.epilogue.prepare(args, l.own(), memory);
}

const char* packed_check(const Args& args) {
  const PackedAttrs& a = attrs<PackedAttrs>(args);
  const int own = 3 + a.bias;
  if (args.n_in < own || args.n_out < 1) return "takes x, weights and scales";
  const View &x = args.in[0], &w = args.in[1], &s = args.in[2], &y = args.out[0];
  if (x.dtype != DType::f32 || w.dtype != DType::u8 || s.dtype != DType::f32) return "dtypes must be float32 and uint8";
  if (a.bits != 8 && a.bits != 4) return "bits must be 8 or 4";
  const int64_t terms = 32 / a.bits;
  if (a.group < terms || a.group % terms) return "a group must be whole words";
  if (x.ndim < 1 || w.ndim != 4 || s.ndim != 3 || y.ndim != x.ndim) return "operands have other numbers of axes";
  const int64_t k = x.shape[x.ndim - 1];
  if (k > 65536) return "sums may not fit 32 bits";
  if (w.shape[0] != ceil_div(a.features, kColumns) || w.shape[1] != ceil_div(k, terms) || w.shape[2] != kColumns ||
      w.shape[3] != kGroup || s.shape[0] != w.shape[0] || s.shape[1] != ceil_div(k, a.group) ||
      s.shape[2] != kColumns || y.shape[y.ndim - 1] != a.features)
    return "weights or scales do not fit x and the result";
  for (int d = 0; d + 1 < x.ndim; ++d)
    if (x.shape[d] != y.shape[d]) return "x and the result differ in their rows";
  if (a.bias && (args.in[3].dtype != DType::f32 || args.in[3].ndim != 1 || args.in[3].shape[0] != a.features))
    return "bias must be a vector of the features";
  return check_result(args, a.epilogue, own);
}

}  // namespace
}  // namespace int8

extern const Kernel k_packed_linear = {.attrs = int8::PackedAttrs::schema,
                                       .run = int8::packed_run,
                                       .cost = int8::packed_cost,
                                       .shared = int8::packed_shared,
                                       .check = int8::packed_check,
                                       .prepare = int8::packed_prepare};

}  // namespace rv::RV_ISA
