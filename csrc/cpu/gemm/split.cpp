// SPDX-License-Identifier: Apache-2.0
#include "cpu/gemm/split.h"

#include "cpu/gemm/split_unit.h"

namespace rv::RV_ISA::gemm {

#if defined(RV_AVX512)
namespace {

constexpr int64_t kSuper = 2048;

int64_t blocks_of(int64_t depth) { return ceil_div(depth, kTileK); }
int64_t panels_of(int64_t extent) { return ceil_div(extent, kTile); }
int64_t range_bytes(int64_t panels) { return ceil_div(panels * static_cast<int64_t>(sizeof(Range)), 64) * 64; }
// Where, in words, a panel of an operand made ahead begins, in the piece of k of `depth` values from p on: ranges of
// panels over all of k, then pieces of k one after the other, in each all panels.
int64_t word_of(const Split& s, int64_t extent, int64_t p, int64_t panel, int64_t depth) {
  return (panels_of(extent) * blocks_of(p) + panel * blocks_of(depth)) * s.terms * kTileWords;
}
int64_t words_of_panel(const Split& s) { return blocks_of(s.piece) * s.terms * kTileWords; }

// Products of terms win by `speed.margin` where speed is all that they bring: "high" and "medium" are asked for.
bool pays(const UnitSpeed& speed, Precision precision, const Shape& s, int terms, Source from_a, Source from_b) {
  const auto whole = [](int64_t x, int64_t unit) { return static_cast<double>(ceil_div(x, unit) * unit); };
  const double rows = whole(s.m, kTile), cols = whole(s.n, kTile), deep = whole(s.k, kTileK);
  const int products = terms == 3 ? 6 : terms == 2 ? 3 : 1;
  const double values = ((from_a == Source::ahead ? 0 : rows) + (from_b == Source::ahead ? 0 : cols)) * deep;
  const double unit =
      rows * cols * deep * products * speed.per_product + values * (speed.per_value + terms * speed.per_value_and_term);
  const double fma = static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k) * speed.fma;
  return s.m >= kTile && s.n >= kTile && unit * (precision == Precision::highest ? speed.margin : 1) < fma;
}

enum class Verdict : uint8_t { exact, doubtful, wrong };

// What terms make of values in these ranges. Units treat denormals as zero, in terms as in sums: an error of at most
// 2^-126 each. From 2^-96 on, FMA's own rounding error of a product is larger than all of them; with smaller products
// it depends on the sum (`doubtful`: see `loses`). Beyond 2^50 sums could overflow in one order and not in another.
inline Verdict judge(Range a, Range b) {
  if (a.zero() || b.zero()) return a.largest() < 0x1p50f && b.largest() < 0x1p50f ? Verdict::exact : Verdict::wrong;
  if (!(a.largest() < 0x1p50f) || !(b.largest() < 0x1p50f)) return Verdict::wrong;
  const double x = a.smallest(), y = b.smallest();
  return x >= 0x1p-96 && y >= 0x1p-96 && x * y >= 0x1p-96 ? Verdict::exact : Verdict::doubtful;
}
// Whether an element of C is so small that its share of what was flushed may show: k errors of 2^-126, as large as the
// largest factors, against a rounding error of 2^-24 |c|.
inline bool loses(const float* c, int64_t c_row, int64_t rows, int64_t cols, int64_t k, Range a, Range b) {
  const double least_safe = 0x1p-100 * static_cast<double>(k) * (static_cast<double>(a.largest()) + b.largest() + 8);
  const __m512 bound = _mm512_set1_ps(static_cast<float>(least_safe));
  __mmask16 small = 0;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; j += kTile) {
      const __mmask16 have = static_cast<__mmask16>(cols - j >= kTile ? 0xffff : (1 << (cols - j)) - 1);
      const __m512 x = _mm512_abs_ps(_mm512_maskz_loadu_ps(have, c + i * c_row + j));
      small = static_cast<__mmask16>(small | _mm512_mask_cmp_ps_mask(have, x, bound, _CMP_LT_OQ));
    }
  return small != 0;
}

// The tile [rows, cols] of C at c, for one piece of k: panel by panel, two by two.
void split_tile(int terms, const uint16_t* a, const uint16_t* b, int64_t blocks, float* c, int64_t c_row, int64_t rows,
                int64_t cols, bool accumulate) {
  constexpr int64_t step = 2 * kTile;
  alignas(64) float edge[step * step];  // of C, where it is not whole
  const int64_t panel = blocks * terms * kTileWords;
  for (int64_t j = 0; j < cols; j += step)
    for (int64_t i = 0; i < rows; i += step) {
      const int64_t have_rows = min(step, rows - i), have_cols = min(step, cols - j);
      UnitJob job{
          a + i / kTile * panel, b + j / kTile * panel, panel, panel, blocks, c + i * c_row + j, c_row, accumulate};
      const UnitBlock block = pick_unit(terms, have_rows, have_cols);
      if (have_rows % kTile == 0 && have_cols % kTile == 0) {
        block(job);
        continue;
      }
      float* const to = job.c;
      job.c = edge, job.c_row = step;
      if (accumulate)
        for (int64_t r = 0; r < have_rows; ++r)
          memcpy(edge + r * step, to + r * c_row, static_cast<size_t>(have_cols) * 4);
      block(job);
      for (int64_t r = 0; r < have_rows; ++r)
        memcpy(to + r * c_row, edge + r * step, static_cast<size_t>(have_cols) * 4);
    }
}

// One side during a product: of a super-block, panels and ranges of its own, or those made ahead.
struct Panels {
  const Split& split;
  SplitSide side;
  const std::byte* ahead;
  Range* own_ranges;
  uint16_t* own_words;

  int64_t chunks(int64_t count) const { return ahead ? 0 : panels_of(count); }
  // Panel t of those that begin with row or column `at` and end before `end`.
  void pack(int64_t t, int64_t at, int64_t end, int64_t p, int64_t depth) const {
    const int64_t i = at + t * kTile;
    const Range found = pick_split(split.terms, side.pairs)(
        own_words + t * blocks_of(depth) * split.terms * kTileWords, static_cast<int>(min(kTile, end - i)),
        side.p + i * side.s_outer + p * side.s_k, side.s_outer, side.s_k, depth);
    if (p == 0) own_ranges[t] = found;
    else own_ranges[t].merge(found);
  }
  const uint16_t* words(int64_t at, int64_t p, int64_t depth) const {
    if (!ahead) return own_words;
    return reinterpret_cast<const uint16_t*>(ahead + range_bytes(panels_of(side.extent))) +
           word_of(split, side.extent, p, at / kTile, depth);
  }
  Range range(int64_t at, int64_t from, int64_t count) const {
    const Range* const ranges = ahead ? reinterpret_cast<const Range*>(ahead) + at / kTile : own_ranges;
    Range all = kNoRange;
    for (int64_t i = from / kTile; i < ceil_div(from + count, kTile); ++i) all.merge(ranges[i]);
    return all;
  }
};

// What FMA computes anew.
Product<float> part_of(const Product<float>& q, int64_t i, int64_t rows, int64_t j, int64_t cols) {
  Product<float> part = plan_fma<float>({rows, cols, q.k, q.a, q.b, {q.c.row, 1}});
  part.place(q.pa + i * q.a.row, q.pb + j * q.b.col, q.pc + i * q.c.row + j);
  return part;
}

int64_t own_panels(int64_t extent, Source from) { return from == Source::ahead ? 0 : panels_of(min(extent, kSuper)); }

}  // namespace

Split Split::by_unit(Precision precision, const Shape& shape, Source from_a, Source from_b) {
  Split s;
  const int terms = 3 - static_cast<int>(precision);
  const UnitSpeed& speed = matrix_units.tiles == Tiles::none  ? kDotSpeed
                           : matrix_units.tiles == Tiles::amx ? kAmxSpeed
                                                              : kEmulatedSpeed;
  if (!pays(speed, precision, shape, terms, from_a, from_b)) return s;
  const int64_t deep = 512 / terms / kTileK * kTileK;
  s.terms = terms, s.from_a = from_a, s.from_b = from_b;
  s.piece = ceil_div(ceil_div(shape.k, ceil_div(shape.k, deep)), kTileK) * kTileK;
  s.tile_rows = 128, s.tile_cols = 256;  // small products still give a few tiles to share out
  if (ceil_div(shape.m, s.tile_rows) * ceil_div(shape.n, s.tile_cols) < 16) s.tile_cols = 64;
  if (ceil_div(shape.m, s.tile_rows) * ceil_div(shape.n, s.tile_cols) < 16) s.tile_rows = 64;
  return s;
}
int64_t Split::ahead_bytes(int64_t extent, int64_t k) const {
  return range_bytes(panels_of(extent)) + word_of(*this, extent, k, 0, 0) * 2;
}

void split_ahead(const Split& s, const SplitSide& side, int64_t k, std::byte* to, Team& team) {
  Range* const ranges = reinterpret_cast<Range*>(to);
  uint16_t* const words = reinterpret_cast<uint16_t*>(to + range_bytes(panels_of(side.extent)));
  team.each(panels_of(side.extent), [&](int64_t t) {
    for (int64_t p = 0; p < k; p += s.piece) {
      const int64_t depth = min(s.piece, k - p);
      // a panel by itself, whose range is merged over all of k
      Panels{s, side, nullptr, ranges + t, words + word_of(s, side.extent, p, t, depth)}.pack(0, t * kTile, side.extent,
                                                                                              p, depth);
    }
  });
}

int64_t split_bytes(const Split& s, const Shape& shape) {
  const int64_t panels = own_panels(shape.m, s.from_a) + own_panels(shape.n, s.from_b);
  return range_bytes(panels) + panels * words_of_panel(s) * 2;
}

void run_split(const Split& s, const Product<float>& q, const float* bias, std::byte* scratch, Team& team) {
  const int64_t panels_a = own_panels(q.m, s.from_a), panels_b = own_panels(q.n, s.from_b);
  Range* const ranges = reinterpret_cast<Range*>(scratch);
  uint16_t* const words = reinterpret_cast<uint16_t*>(scratch + range_bytes(panels_a + panels_b));
  const Panels a{s, {q.pa, q.a.row, q.a.col, q.m, false}, s.a, ranges, words};
  const Panels b{s, {q.pb, q.b.col, q.b.row, q.n, true}, s.b, ranges + panels_a, words + panels_a * words_of_panel(s)};
  for (int64_t js = 0; js < q.n; js += kSuper) {
    const int64_t ns = min(kSuper, q.n - js), col_tiles = ceil_div(ns, s.tile_cols);
    for (int64_t is = 0; is < q.m; is += kSuper) {
      const int64_t ms = min(kSuper, q.m - is), row_tiles = ceil_div(ms, s.tile_rows);
      for (int64_t ps = 0; ps < q.k; ps += s.piece) {
        const int64_t depth = min(s.piece, q.k - ps), blocks = blocks_of(depth), panel = blocks * s.terms * kTileWords;
        const int64_t chunks_a = a.chunks(ms);
        team.each(chunks_a + b.chunks(ns), [&](int64_t t) {
          if (t < chunks_a) a.pack(t, is, is + ms, ps, depth);
          else b.pack(t - chunks_a, js, js + ns, ps, depth);
        });
        const uint16_t *const words_a = a.words(is, ps, depth), *const words_b = b.words(js, ps, depth);
        team.each(row_tiles * col_tiles, [&](int64_t t) {
          const int64_t i = t % row_tiles * s.tile_rows, j = t / row_tiles * s.tile_cols;
          const int64_t rows = min(s.tile_rows, ms - i), cols = min(s.tile_cols, ns - j);
          float* const c = q.pc + (is + i) * q.c.row + js + j;
          unit_begin();
          split_tile(s.terms, words_a + i / kTile * panel, words_b + j / kTile * panel, blocks, c, q.c.row, rows, cols,
                     ps > 0);
          unit_end();
          if (ps + depth < q.k) return;
          const Range in_a = a.range(is, i, rows), in_b = b.range(js, j, cols);
          const Verdict verdict = judge(in_a, in_b);
          if (verdict == Verdict::wrong ||
              (verdict == Verdict::doubtful && loses(c, q.c.row, rows, cols, q.k, in_a, in_b))) {
            const Product<float> part = part_of(q, is + i, rows, js + j, cols);
            const Scratch own(fma_bytes(part));
            Team single = team.single();
            run_fma<float>(part, nullptr, own, single);
          }
          if (bias)
            for (int64_t r = 0; r < rows; ++r)
              for (int64_t x = 0; x < cols; ++x) c[r * q.c.row + x] += bias[js + j + x];
        });
      }
    }
  }
}

#else  // no unit: always by FMA

int64_t Split::ahead_bytes(int64_t, int64_t) const { return 0; }
void split_ahead(const Split&, const SplitSide&, int64_t, std::byte*, Team&) {}
int64_t split_bytes(const Split&, const Shape&) { return 0; }
void run_split(const Split&, const Product<float>&, const float*, std::byte*, Team&) {}

#endif

}  // namespace rv::RV_ISA::gemm
