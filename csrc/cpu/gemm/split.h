// SPDX-License-Identifier: Apache-2.0
// Products of float32 matrices by the sum of products of their bf16 terms, where the CPU has a unit for these:
//
//   "highest"  x = hi + mid + lo, 6 products   leaves out at most 2^-24 |a| |b|: one rounding of float32
//   "high"     x = hi + mid, 3 products        2^-15
//   "medium"   x = hi, 1 product               2^-7
//
// Values that bf16 terms do not hold are found while packing: tiles of C that depend on them are computed by FMA. That
// follows from the data alone, as the choice of the unit follows from shapes: bits do not depend on the team.
#pragma once
#include "core/units.h"
#include "cpu/gemm/gemm.h"
#include "cpu/gemm/split_unit.h"

namespace rv::RV_ISA::gemm {

enum class Precision : uint8_t { highest, high, medium };

#if defined(RV_AVX512)

// Nanoseconds of one thread. Packing: (m + n) k values; the unit: tiles of 16 x 16 x 32; FMA: see blocked.h.
// AMX: from a prototype without cache blocking on one core of a Sapphire Rapids (205 GF/s FMA; 3174 GF/s a term), which
// took 0.05 + 0.12 terms a packed value; this code has not been measured on AMX hardware, hence FMA with a margin.
// vdpbf16ps, measured on a Zen 5: 480 GF/s, twice FMA's, so it pays for one product and not for three. Against FMA,
// with A B and A B^T: 32x512x512 1.14 and 1.69 times as fast, 64 cubed 1.26 and 1.30, 128x512x784 1.61 and 1.72; not
// taken: 16x512x512 0.84 and 0.96.
struct UnitSpeed {
  double per_product, per_value, per_value_and_term, fma;  // of a multiplication and addition; of a packed value
};
inline constexpr UnitSpeed kAmxSpeed{2 / 3174.0, 0.05, 0.12, 2 / 225.0};
inline constexpr UnitSpeed kDotSpeed{2 / 440.0, 0.01, 0.1, 2 / 215.0};

// How a product is cut, by its shape alone: k in pieces whose terms fill 1 KB a row (two panels of B: 32 KB, in L1),
// tiles of C of 128 x 256 (their A: 128 KB, in L2), packed super-blocks of at most 2048 x 2048 (2 MB each).
struct Split {
  int terms = 0;  // 0: by FMA
  int64_t m, n, k, piece, tile_rows, tile_cols;
  const std::byte* ahead = nullptr;  // B's terms, made before (`split_ahead`)
  static constexpr int64_t kSuper = 2048;

  // ahead: B's terms need not be made.
  static Split of(Precision precision, int64_t m, int64_t n, int64_t k, bool ahead = false) {
    Split s;
    s.m = m, s.n = n, s.k = k;
    const bool tiles = matrix_units.tiles != Tiles::none;
    if (!tiles && !(matrix_units.bf16_dot && precision == Precision::medium)) return s;
    s.terms = 3 - static_cast<int>(precision);
    if (!s.pays(tiles ? kAmxSpeed : kDotSpeed, ahead)) s.terms = 0;
    if (!s.terms) return s;
    const int64_t deep = 512 / s.terms / kTileK * kTileK;
    s.piece = ceil_div(ceil_div(k, ceil_div(k, deep)), kTileK) * kTileK;
    s.tile_rows = 128, s.tile_cols = 256;  // small products still give a few tiles to share out
    if (ceil_div(m, s.tile_rows) * ceil_div(n, s.tile_cols) < 16) s.tile_cols = 64;
    if (ceil_div(m, s.tile_rows) * ceil_div(n, s.tile_cols) < 16) s.tile_rows = 64;
    return s;
  }
  explicit operator bool() const { return terms > 0; }

  bool pays(const UnitSpeed& speed, bool ahead) const {
    const auto whole = [](int64_t x, int64_t unit) { return static_cast<double>(ceil_div(x, unit) * unit); };
    const double rows = whole(m, kTile), cols = whole(n, kTile), deep = whole(k, kTileK);
    const int products = terms == 3 ? 6 : terms == 2 ? 3 : 1;
    const double unit = rows * cols * deep * products * speed.per_product +
                        (ahead ? rows : rows + cols) * deep * (speed.per_value + terms * speed.per_value_and_term);
    return m >= kTile && n >= kTile &&
           unit < static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) * speed.fma;
  }

  int64_t blocks(int64_t depth) const { return ceil_div(depth, kTileK); }
  int64_t panel_words() const { return blocks(piece) * terms * kTileWords; }
  int64_t panels(int64_t extent) const { return ceil_div(min(extent, kSuper), kTile); }
  static int64_t range_bytes(int64_t panels) { return ceil_div(panels * static_cast<int64_t>(sizeof(Range)), 64) * 64; }
  // Scratch common to the crew: ranges, panels of A, panels of B.
  int64_t scratch_panels() const { return panels(m) + (ahead ? 0 : panels(n)); }
  int64_t bytes() const { return range_bytes(scratch_panels()) + scratch_panels() * panel_words() * 2; }
  // B's terms made before: ranges of panels over all of k, then pieces of k one after the other, in each all panels.
  int64_t all_panels() const { return ceil_div(n, kTile); }
  int64_t ahead_bytes() const { return range_bytes(all_panels()) + all_panels() * blocks(k) * terms * kTileWords * 2; }
  int64_t ahead_word(int64_t ps, int64_t panel) const {
    return (all_panels() * blocks(ps) + panel * blocks(min(piece, k - ps))) * terms * kTileWords;
  }

  // Scratch of each member: a tile of C that is not whole, or what FMA needs for a tile.
  int64_t local_bytes(const Product<float>& q) const {
    int64_t most_bytes = 4 * kTile * kTile * 4;
    for (const int64_t rows : {tile_rows, m % tile_rows})
      for (const int64_t cols : {tile_cols, n % tile_cols})
        if (rows > 0 && cols > 0) most_bytes = max(most_bytes, fma_bytes(part(q, 0, rows, 0, cols)));
    return most_bytes;
  }
  static int64_t fma_bytes(const Product<float>& q) { return ceil_div(q.bytes(), 64) * 64 + q.local_bytes(); }
  static Product<float> part(const Product<float>& q, int64_t i, int64_t rows, int64_t j, int64_t cols) {
    return Product<float>::of(rows, cols, q.k, {q.a.p + i * q.a.row, q.a.row, q.a.col},
                              {q.b.p + j * q.b.col, q.b.row, q.b.col}, {q.c.p + i * q.c.row + j, q.c.row, 1});
  }
};

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
template <int kTerms>
void split_tile(const uint16_t* a, const uint16_t* b, int64_t panel, int64_t blocks, float* c, int64_t c_row,
                int64_t rows, int64_t cols, bool accumulate, float* edge) {
  constexpr int64_t step = 2 * kTile;
  for (int64_t j = 0; j < cols; j += step)
    for (int64_t i = 0; i < rows; i += step) {
      const int64_t have_rows = min(step, rows - i), have_cols = min(step, cols - j);
      UnitJob job{
          a + i / kTile * panel, b + j / kTile * panel, panel, panel, blocks, c + i * c_row + j, c_row, accumulate};
      const UnitBlock block = pick_unit<kTerms>(have_rows, have_cols);
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

template <int kTerms>
Range split_columns(uint16_t* to, const Matrix<const float>& b, int64_t j, int64_t n, int64_t ps, int64_t depth) {
  return split_panel<kTerms, true>(to, static_cast<int>(min(kTile, n - j)), b.p + j * b.col + ps * b.row, b.col, b.row,
                                   depth);
}
// B as products with Split::ahead take it.
template <int kTerms, class Crew>
void split_ahead(const Split& s, const Matrix<const float>& b, std::byte* to, Crew& crew) {
  Range* const ranges = reinterpret_cast<Range*>(to);
  uint16_t* const words = reinterpret_cast<uint16_t*>(to + Split::range_bytes(s.all_panels()));
  crew.each(s.all_panels(), [&](int64_t panel) {
    ranges[panel] = kNoRange;
    for (int64_t ps = 0; ps < s.k; ps += s.piece)
      ranges[panel].merge(
          split_columns<kTerms>(words + s.ahead_word(ps, panel), b, panel * kTile, s.n, ps, min(s.piece, s.k - ps)));
  });
}

// As `run` (gemm.h), through kTerms bf16 terms.
template <int kTerms, class Done, class Local, class Crew>
void run_split(const Split& s, const Product<float>& q, const float* bias, Done&& done, std::byte* scratch,
               const Local& local, Crew& crew) {
  Range* const range_a = reinterpret_cast<Range*>(scratch);
  Range* const own_range_b = range_a + s.panels(q.m);
  uint16_t* const packed_a = reinterpret_cast<uint16_t*>(scratch + Split::range_bytes(s.scratch_panels()));
  uint16_t* const own_b = packed_a + s.panels(q.m) * s.panel_words();
  auto tile_range = [](const Range* ranges, int64_t from, int64_t count) {
    Range all = kNoRange;
    for (int64_t i = from / kTile; i < ceil_div(from + count, kTile); ++i) all.merge(ranges[i]);
    return all;
  };
  for (int64_t js = 0; js < q.n; js += Split::kSuper) {
    const int64_t ns = min(Split::kSuper, q.n - js), col_tiles = ceil_div(ns, s.tile_cols);
    for (int64_t is = 0; is < q.m; is += Split::kSuper) {
      const int64_t ms = min(Split::kSuper, q.m - is), row_tiles = ceil_div(ms, s.tile_rows);
      for (int64_t ps = 0; ps < q.k; ps += s.piece) {
        const int64_t depth = min(s.piece, q.k - ps), blocks = s.blocks(depth), panel = blocks * kTerms * kTileWords;
        const int64_t panels_a = ceil_div(ms, kTile), panels_b = s.ahead ? 0 : ceil_div(ns, kTile);
        const Range* const range_b = s.ahead ? reinterpret_cast<const Range*>(s.ahead) + js / kTile : own_range_b;
        const uint16_t* const packed_b =
            s.ahead ? reinterpret_cast<const uint16_t*>(s.ahead + Split::range_bytes(s.all_panels())) +
                          s.ahead_word(ps, js / kTile)
                    : own_b;
        crew.each(panels_a + panels_b, [&](int64_t t) {
          Range found;
          if (t < panels_a) {
            const int64_t i = t * kTile;
            found = split_panel<kTerms, false>(packed_a + t * panel, static_cast<int>(min(kTile, ms - i)),
                                               q.a.p + (is + i) * q.a.row + ps * q.a.col, q.a.row, q.a.col, depth);
          } else {
            const int64_t j = (t - panels_a) * kTile;
            found = split_columns<kTerms>(own_b + (t - panels_a) * panel, q.b, js + j, js + ns, ps, depth);
          }
          Range& range = t < panels_a ? range_a[t] : own_range_b[t - panels_a];
          if (ps == 0) range = found;
          else range.merge(found);
        });
        crew.each(row_tiles * col_tiles, [&](int64_t t) {
          const int64_t i = t % row_tiles * s.tile_rows, j = t / row_tiles * s.tile_cols;
          const int64_t rows = min(s.tile_rows, ms - i), cols = min(s.tile_cols, ns - j);
          float* const c = q.c.p + (is + i) * q.c.row + js + j;
          auto&& own = local();
          unit_begin();
          split_tile<kTerms>(packed_a + i / kTile * panel, packed_b + j / kTile * panel, panel, blocks, c, q.c.row,
                             rows, cols, ps > 0, reinterpret_cast<float*>(static_cast<std::byte*>(own)));
          unit_end();
          if (ps + depth < q.k) return;
          const Range a = tile_range(range_a, i, rows), b = tile_range(range_b, j, cols);
          const Verdict verdict = judge(a, b);
          if (verdict == Verdict::wrong || (verdict == Verdict::doubtful && loses(c, q.c.row, rows, cols, q.k, a, b))) {
            const Product<float> part = Split::part(q, is + i, rows, js + j, cols);
            Solo solo;
            run(
                part, static_cast<const float*>(nullptr), [](int64_t, int64_t, int64_t, int64_t) {}, own,
                [&] { return own + ceil_div(part.bytes(), 64) * 64; }, solo);
          }
          if (bias)
            for (int64_t r = 0; r < rows; ++r)
              for (int64_t x = 0; x < cols; ++x) c[r * q.c.row + x] += bias[js + j + x];
          done(is + i, rows, js + j, cols);
        });
      }
    }
  }
}
template <class Done, class Local, class Crew>
void run_split(const Split& s, const Product<float>& q, const float* bias, Done&& done, std::byte* scratch,
               const Local& local, Crew& crew) {
  switch (s.terms) {
    case 1: return run_split<1>(s, q, bias, done, scratch, local, crew);
    case 2: return run_split<2>(s, q, bias, done, scratch, local, crew);
    default: return run_split<3>(s, q, bias, done, scratch, local, crew);
  }
}
template <class Crew>
void split_ahead(const Split& s, const Matrix<const float>& b, std::byte* to, Crew& crew) {
  switch (s.terms) {
    case 1: return split_ahead<1>(s, b, to, crew);
    case 2: return split_ahead<2>(s, b, to, crew);
    default: return split_ahead<3>(s, b, to, crew);
  }
}
#else

struct Split {  // no unit: always by FMA
  int terms = 0;
  static Split of(Precision, int64_t, int64_t, int64_t, bool = false) { return {}; }
};
#endif

// How B is copied ahead of a call's products, each of m rows: by shapes and the precision alone.
template <class T>
struct Ahead {
  Split split{};
  int64_t n, k;

  Ahead([[maybe_unused]] Precision precision, [[maybe_unused]] int64_t m, int64_t n_, int64_t k_) : n(n_), k(k_) {
    if constexpr (same_type<T, float>) split = Split::of(precision, m, n, k, true);
  }
  int64_t bytes() const {
#if defined(RV_AVX512)
    if (split.terms) return split.ahead_bytes();
#endif
    return ahead_bytes<T>(n, k);
  }
  template <class Crew>
  void pack(const Matrix<const T>& b, std::byte* to, Crew& crew) const {
#if defined(RV_AVX512)
    if constexpr (same_type<T, float>)
      if (split.terms) return split_ahead(split, b, to, crew);
#endif
    pack_ahead(reinterpret_cast<T*>(to), Strided<T>{b.p, b.col, b.row, true}, n, k, crew);
  }
  // The product by it.
  Split take(Product<T>& q, const std::byte* packed) const {
    Split s = split;
#if defined(RV_AVX512)
    s.ahead = packed;
#endif
    if (!s.terms) q.take(reinterpret_cast<const T*>(packed));
    return s;
  }
};

// The product q, split or by FMA: scratch common to the crew and of each member, and the work itself (see `run`).
template <class T>
int64_t bytes_of([[maybe_unused]] const Split& s, const Product<T>& q) {
#if defined(RV_AVX512)
  if (s) return s.bytes();
#endif
  return q.bytes();
}
template <class T>
int64_t local_bytes_of([[maybe_unused]] const Split& s, const Product<T>& q) {
#if defined(RV_AVX512)
  if constexpr (sizeof(T) == 4)
    if (s) return s.local_bytes(q);
#endif
  return q.local_bytes();
}
template <class T, class Done, class Local, class Crew>
void run_either([[maybe_unused]] const Split& s, const Product<T>& q, const T* bias, Done&& done, std::byte* scratch,
                const Local& local, Crew& crew) {
#if defined(RV_AVX512)
  if constexpr (sizeof(T) == 4)
    if (s) return run_split(s, q, bias, done, scratch, local, crew);
#endif
  run(q, bias, done, scratch, local, crew);
}

}  // namespace rv::RV_ISA::gemm
