// SPDX-License-Identifier: Apache-2.0
// One matrix product C = A B + bias: which way to compute it (by shape and strides alone), and doing so.
#pragma once
#include "cpu/gemm/blocked.h"
#include "cpu/gemm/thin.h"

namespace rv::RV_ISA::gemm {

template <class T>
struct Matrix {
  T* p;
  int64_t row, col;  // strides in elements

  Matrix transposed() const { return {p, col, row}; }
};

enum class Way : uint8_t {
  outer,   // tiles of C by the micro-kernel `outer`, operands packed or as they lie
  inner,   // dot products along k: few rows, both operands contiguous along k; or few columns, for which B is turned
  turned,  // tiles of C^T: A^T is copied and not the larger B, both contiguous along k; or C has few columns
  slices,  // k in slices, one partial product each: small C, long k
  strips,  // row by row of C: one row, or hardly any k (thin.h)
  lines    // one row, large B contiguous along k (thin.h)
};

// What a measurement may ask for instead of what is chosen.
enum class Variant : uint8_t { chosen, outer, outer_packed, inner, slices, turned, strips, lines, outer_packed_b };

// C (rows x cols of it may be exchanged against the caller's) has unit column stride.
template <class T>
struct Product {
  int64_t m, n, k;
  Matrix<const T> a, b;  // [m, k], [k, n]
  Matrix<T> c;           // [m, n]
  bool swapped;          // computed as C^T = B^T A^T
  Way way;
  bool pack_a, pack_b;
  int64_t slices;
  const T* ahead = nullptr;  // B's panels, made before

  static Product of(int64_t m, int64_t n, int64_t k, Matrix<const T> a, Matrix<const T> b, Matrix<T> c) {
    Product q{m, n, k, a, b, c, false, Way::outer, false, false, 1};
    // A product of one column is one row of the transposed product; C must end with unit stride along its rows.
    if (n == 1 ? m > 1 && c.row == 1 : c.col != 1) {
      q = Product{n, m, k, b.transposed(), a.transposed(), c.transposed(), true, Way::outer, false, false, 1};
    }
    q.choose();
    return q;
  }

  void choose() {
    if (b.col == 1 && pays_strips()) {
      way = Way::strips;
      if (m == 1) slices = row_slices();
      return;
    }
    if (a.col == 1 && b.row == 1 && n > 0) {
      if (pays_lines()) way = Way::lines;
      else if (pays_inner()) way = Way::inner;
      else if (pays_turned()) way = Way::turned;
      if (way != Way::outer) return;
    }
    if (pays_inner_turned()) {
      way = Way::inner;
      return;
    }
    if (pays_turned_narrow()) {
      way = Way::turned;
      return;
    }
    pack_b = n > 1 && (b.col != 1 || pays_copy_b());
    pack_a = !lies(a.row, a.col) || (pack_b && pays_copy_a());
    const bool few_tiles = m * n <= (1 << 14) && ceil_div(m, 56) * ceil_div(n, 64) < 8;
    if (few_tiles && k >= 1024 && k >= 2 * max(m, n)) way = Way::slices, slices = min(8, k / 256);
  }
  // The product by B's panels, which were made before (`pack_ahead`).
  void take(const T* panels) {
    way = Way::outer, slices = 1, ahead = panels;
    pack_b = false, pack_a = !lies(a.row, a.col) || pays_copy_a();
  }
  static bool lies(int64_t row, int64_t col) { return row == 1 || col == 1; }
  static constexpr int64_t kPage = 4096 / static_cast<int64_t>(sizeof(T));
  // Rows so far apart of which a micro-tile reads more than a set of L1 has lines.
  static bool collide(int64_t row) { return kRows > 8 && row != 0 && row % kPage == 0; }
#if defined(RV_AVX512)
  // Mostly operands are read as they lie, except B along k (columns must be vectors) and A along neither axis. What a
  // copy brought, of the speed without: Rows of B a multiple of 4 KB apart, so that a panel of it falls into a set of
  // L1 and L2 (Zen 5, B alone): 128 x 1000 x 4096 1.8, 256 x 1000 x 1024 1.3, 64 x 1000 x 1024 1.12, 45 x 1000 x 4096
  // 0.93. Large products (Zen 5, B alone): 512 x 500 x 1536 1.02. Both, with such rows of A, 14 of which fall into the
  // 8 lines of a set of L1 (Zen 4): 96 x 1024 x 777 1.3, 384 x 1024 x 1024 1.2, 1024 x 1024 x 300 along k 1.7; but 48 x
  // 1024 x 256 0.9; 12 lines (Zen 5): 1024 cubed 1.06, 96 x 1024 x 777 0.94, 200 x 1024 x 64 0.84. A^T, whose rows are
  // pages apart (Zen 4): 1000 x 1500 x 777 1.14, 1024 x 1500 x 96 1.27; but 1000 x 1024 x 96 0.8.
  bool pays_copy_b() const {
    return pays_copy_a() || (collide(b.row) && m >= 64 && is_far<T>(n, k)) || (m >= 384 && n >= 512 && k >= 64);
  }
  bool pays_copy_a() const {
    if (a.col == 1)
      return collide(a.row) && k > 16 && (b.col == 1 ? m > 4 * kRows && n >= 256 : m >= 2 * kRows && n > kCols<T>);
    return a.col >= kPage * 3 / 4 && m >= 2 * kRows &&
           ((n >= 256 && k >= 512) || (collide(a.col) && n >= 96 && k >= 1024));
  }
#else
  // With 32 KB of L1 a copy of both pays early, and of B alone where A's would be used for few columns. Measured (Zen
  // 3, AVX2, against OpenBLAS, both copied and none): 128 cubed 1.08 and 1.03, 512 cubed 1.06 and 0.77, 64 x 784 x
  // 512 1.02 and 0.99, 512 x 16 x 512 1.20 and 0.96; 64 cubed 1.07 and 1.12, 32 x 784 x 128 0.99 and 1.12. A^T whose
  // rows are far apart: 4096 x 64 x 64 0.92 and 0.61. Few rows, B in L3: 8 x 1024 x 1024 1.23 and 0.70, but 16 x 600 x
  // 600 1.09 and 1.18. Long rows, or ragged ones: 20 x 105 x 1977 1.16 and 0.93, 1546 x 154 x 61 1.15 and 0.95.
  bool pays_copy_b() const { return k > kStripRows && ((m >= 96 && (n >= 64 || b.row >= kPage / 2)) || pays_copy_a()); }
  bool pays_copy_a() const {
    const bool far = m >= 4 && n * k * static_cast<int64_t>(sizeof(T)) > (2 << 20), long_rows = m >= 16 && n >= 512;
    const int64_t least_cols = a.col >= kPage / 2 ? 48 : n % kLanes<T> ? 32 : 96;
    return k > kStripRows && (far || long_rows || (m >= 48 && n >= least_cols));
  }
#endif
  bool pays_strips() const {
    constexpr int64_t L = kLanes<T>;
    if (m == 1) return n > kNarrow * L || (n > 1 && k >= 16);
    // Two rows of C at a time beat `outer` (Zen 5: 1000 x 4 x 2000 1.5 times, 300 x 4 x 300 1.22, 48 x 4 x 213 1.13,
    // 300 x 2 x 32 1.26, 1000 x 8 x 2000 1.3, 300 x 6 x 300 1.11, 48 x 6 x 213 0.96; float64: 300 x 4 x 300 1.6, 300 x
    // 8 x 300 1.3, 48 x 6 x 213 1.17).
    return n >= L * 2 && (k <= 4 || (k <= kStripRows && m >= 8 && n >= (k <= 6 ? 2 : 8) * L));
  }
  int64_t row_slices() const {
    const bool small = n <= kNarrow * kLanes<T> || n * k * static_cast<int64_t>(sizeof(T)) < (128 << 10);
    return small ? 1 : max(1, min(8, k / 32));
  }
  bool pays_lines() const {
    constexpr int64_t L = kLanes<T>;
    return b.col != 1 && m == 1 && n >= L && k >= 4 * L && n * k * static_cast<int64_t>(sizeof(T)) > (32 << 10);
  }
  // `inner` pays a sum over lanes for each element of C, `outer` the transpose of B, worth it for many rows.
  // Measured crossings (Zen 5, float32, AVX-512): k = 64 for 4 rows, 128 for 8, 256 for 24; for n = 10, k = 128. Zen 3,
  // AVX2: for n = 4, k = 64; for n = 8 to 12, k = 128.
  bool pays_inner() const {
    constexpr int64_t L = kLanes<T>;
    if (m == 1) return b.col != 1 || n == 1 || k == 1;
    if (b.col == 1) return false;
    if (kVecBytes == 64 ? n <= L : n * 2 <= L) return k >= 8 * L;
    if (kVecBytes < 64 && n * 2 <= L * 3) return k >= 16 * L;
    return m <= 8 ? k >= 4 * L && k >= 16 * m : m <= 6 * kInnerRows && k >= 16 * L;
  }

  // Of a few columns vectors of C are mostly empty: B is turned for `inner` (Zen 3: 286 x 478 x 2 and x 4 twice as
  // fast; Zen 4, AVX-512: 286 x 478 x 2 and 2179 x 932 x 2 4 times, 61 x 334 x 6 1.8 times, 318 x 38 x 2 twice, 1684 x
  // 83 x 4 2.3 times).
  bool pays_inner_turned() const {
    if (a.col != 1 || n < 2 || m < 8 || is_far<T>(n, k)) return false;
    if (kVecBytes == 64) return n == 2 ? k >= 8 : n <= 7 && k >= (n <= 4 ? 24 : 48);
    return n <= 4 && k >= 8 * kLanes<T> && (m > 64 || k < 1024);  // few rows and a long k are work for `slices`
  }

  // Packing A^T takes m k moves and turning C m n, where `outer` packs all of B: n k. Measured against it (Zen 5): 32 x
  // 784 x 128 in 28.6 us, not 33.8; 64 x 784 x 512 in 224, not 252; 128 x 512 x 512 in 298, not 307. With AVX2 `outer`
  // copies A, too (Zen 3): 32 x 784 x 128 1.08 times as fast, 64 x 784 x 512 1.08, but 128 x 512 x 512 0.97 and 32 x
  // 128 x 784 0.87.
  bool pays_turned() const {
    constexpr int64_t L = kLanes<T>, deep = kVecBytes == 64 ? 2 : 8;
    return b.col != 1 && !collide(b.col) && m > L && n >= m && k >= 16 * L && k >= deep * m &&
           turned_bytes() <= (512 << 10) && ceil_div(m, L) * L * 4 <= m * 5;
  }
  // Vectors of C with few columns are mostly empty, those of C^T are full where A^T lies in rows: 64 x 32 x 10 in 0.29
  // us, not 0.43; 512 x 512 x 10 in 26, not 79 (gradients of the weights of few inputs).
  bool pays_turned_narrow() const {
    constexpr int64_t L = kLanes<T>, widest = kVecBytes == 64 ? L * 3 / 4 : L * 3 / 2;
    return a.row == 1 && lies(b.row, b.col) && n > 1 && n <= widest && n != L && m >= 2 * L && k >= 16 && k < 1024;
  }
  bool can(Variant v) const {
    const bool along_k = a.col == 1 && (b.row == 1 || k == 1) && n > 0;
    if (v == Variant::turned) return n > 0 && (a.row == 1 || along_k) && lies(b.row, b.col);
    if (v == Variant::strips) return b.col == 1;
    if (v == Variant::lines) return along_k && m == 1;
    return v == Variant::inner ? along_k : v == Variant::slices ? k >= 512 : true;
  }
  void force(Variant v) {
    if (!can(v)) return;
    static constexpr Way ways[] = {Way::outer,  Way::outer,  Way::outer, Way::inner, Way::slices,
                                   Way::turned, Way::strips, Way::lines, Way::outer};
    way = ways[static_cast<int>(v)];
    slices = way == Way::slices ? min(8, k / 256) : way == Way::strips && m == 1 ? row_slices() : 1;
    pack_a = v == Variant::outer_packed || !lies(a.row, a.col);
    pack_b = n > 1 && (b.col != 1 || v == Variant::outer_packed || v == Variant::outer_packed_b);
  }

  int64_t slice_k() const { return ceil_div(ceil_div(k, slices), 16) * 16; }
  int64_t inner_bytes() const {
    return b.row == 1 || k == 1 ? 0 : ceil_div(n * k * static_cast<int64_t>(sizeof(T)), 64) * 64;
  }
  int64_t turned_bytes() const {
    return a.row == 1 ? 0 : ceil_div(m, kCols<T>) * kCols<T> * k * static_cast<int64_t>(sizeof(T));
  }
  // Of the whole product, or of its slices: the last of them, which may be shorter, is cut like the others.
  Blocks blocks() const {
    return Blocks::of<T>(m, n, way == Way::slices ? slice_k() : k, pack_a, pack_b, ahead != nullptr);
  }
  int64_t packed_bytes() const {
    const Blocks blocks = this->blocks();
    const int64_t local = way == Way::slices ? blocks.template local_bytes<T>(m, pack_b) : 0;
    return blocks.template bytes<T>(m, n, pack_a, pack_b) + local;
  }
  // Scratch of each member of the crew.
  int64_t local_bytes() const { return way == Way::outer ? blocks().template local_bytes<T>(m, pack_b) : 0; }
  int64_t partial_bytes() const { return ceil_div(m * n * static_cast<int64_t>(sizeof(T)), 64) * 64; }
  // Scratch common to the crew: packed panels, or for each slice its partial product and panels.
  int64_t bytes() const {
    if (way == Way::inner) return inner_bytes();
    if (way == Way::turned) return turned_bytes();
    if (way == Way::slices) return slices * (partial_bytes() + packed_bytes());
    if (way == Way::strips && slices > 1) return slices * partial_bytes();
    return way == Way::outer ? packed_bytes() : 0;
  }
};

// Tiles of 64 x 64, or 16 x 8. Within one, as many columns at a time as stay in L1 beside the rows of A at hand: those
// come from L2 at half the rate at which 4 x 4 sums would use them up (64 x 512 x 512: 165 us with 4 columns at a time,
// 154 with 16).
template <class T, class Done, class Crew>
void run_inner(const Product<T>& q, const T* bias, Done&& done, std::byte* scratch, Crew& crew) {
  constexpr int64_t tile = 64;
  const T* b = q.b.p;
  int64_t b_col = q.b.col;
  if (q.inner_bytes() > 0) {
    T* const turned = reinterpret_cast<T*>(scratch);
    turn_columns(turned, static_cast<int>(q.n), b, b_col, q.b.row, q.k);
    b = turned, b_col = q.k;
  }
  const int64_t rows_of_tile = q.n <= 8 ? 16 : tile, col_tiles = ceil_div(q.n, tile);
  const int step = inner_cols<T>(q.m, q.k);
  const int64_t fit = (40 << 10) / (q.k * static_cast<int64_t>(sizeof(T))) - kInnerRows,
                block = max(1, fit / step) * step;
  crew.each(ceil_div(q.m, rows_of_tile) * col_tiles, [&](int64_t t) {
    const int64_t i0 = t / col_tiles * rows_of_tile, i1 = min(q.m, i0 + rows_of_tile);
    const int64_t j0 = t % col_tiles * tile, j1 = min(q.n, j0 + tile);
    for (int64_t jb = j0; jb < j1; jb += block)
      for (int64_t i = i0; i < i1; i += kInnerRows) {
        const int rows = static_cast<int>(min(kInnerRows, i1 - i));
        for (int64_t j = jb; j < min(j1, jb + block); j += step) {
          const int cols = static_cast<int>(min(step, j1 - j));
          pick_inner<T>(step, cols, rows)(q.k, q.a.p + i * q.a.row, q.a.row, b + j * b_col, b_col, cols,
                                          q.c.p + i * q.c.row + j, q.c.row, bias ? bias + j : nullptr);
        }
      }
    done(i0, i1 - i0, j0, j1 - j0);
  });
}

// Row i of C: the sum of `count` partial products, each `part` elements behind the one before it, in the order of k.
template <class T>
void sum_slices(const Product<T>& q, int64_t i, int64_t count, const T* partial, int64_t part, const T* bias) {
  T* const c = q.c.p + i * q.c.row;
  const T* from = partial + i * q.n;
  for (int64_t j = 0; j < q.n; ++j) c[j] = from[j];
  for (int64_t s = 1; s < count; ++s) {
    from += part;
    for (int64_t j = 0; j < q.n; ++j) c[j] += from[j];
  }
  if (bias)
    for (int64_t j = 0; j < q.n; ++j) c[j] += bias[j];
}

// One row: k in slices, so that each is read from end to end (1 x 1000 x 1000 in 45 us, by columns 62), summed in
// order.
template <class T, class Done, class Crew>
void run_row(const Product<T>& q, const T* bias, Done&& done, std::byte* scratch, Crew& crew) {
  constexpr int64_t widest = (16 << 10) / sizeof(T);  // C stays in L1
  if (q.n <= kNarrow * kLanes<T>) {
    pick_narrow<T>(q.n)(q.k, q.a.p, q.a.col, q.b.p, q.b.row, q.n, q.c.p, bias);
    return done(0, 1, 0, q.n);
  }
  const int64_t part = q.partial_bytes() / static_cast<int64_t>(sizeof(T)), col_tiles = ceil_div(q.n, widest);
  T* const partial = reinterpret_cast<T*>(scratch);
  crew.each(q.slices * col_tiles, [&](int64_t t) {
    const int64_t s = t / col_tiles, j = t % col_tiles * widest, p0 = q.k * s / q.slices, p1 = q.k * (s + 1) / q.slices;
    strips(1, min(widest, q.n - j), p1 - p0, q.a.p + p0 * q.a.col, 0, q.a.col, q.b.p + p0 * q.b.row + j, q.b.row,
           q.slices == 1 ? q.c.p + j : partial + s * part + j, 0, q.slices == 1 && bias ? bias + j : nullptr);
  });
  if (q.slices > 1) sum_slices(q, 0, q.slices, partial, part, bias);
  done(0, 1, 0, q.n);
}

// Hardly any k: rows of C in long runs, B in L1.
template <class T, class Done, class Crew>
void run_strips(const Product<T>& q, const T* bias, Done&& done, Crew& crew) {
  const int64_t cols = max(1024, min(8192, (24 << 10) / q.k / 64 * 64)) / static_cast<int64_t>(sizeof(T));
  const int64_t rows = min(64, ceil_div(q.m, 4)), col_tiles = ceil_div(q.n, cols);
  crew.each(ceil_div(q.m, rows) * col_tiles, [&](int64_t t) {
    const int64_t i = t / col_tiles * rows, j = t % col_tiles * cols;
    const int64_t tile_rows = min(rows, q.m - i), tile_cols = min(cols, q.n - j);
    strips(tile_rows, tile_cols, q.k, q.a.p + i * q.a.row, q.a.row, q.a.col, q.b.p + j, q.b.row,
           q.c.p + i * q.c.row + j, q.c.row, bias ? bias + j : nullptr);
    done(i, tile_rows, j, tile_cols);
  });
}

template <class T, class Done, class Crew>
void run_lines(const Product<T>& q, const T* bias, Done&& done, Crew& crew) {
  const int64_t tiles = ceil_div(q.n, 4 * kLanes<T>);
  crew.each(tiles, [&](int64_t t) {
    const int64_t j = q.n * t / tiles, cols = q.n * (t + 1) / tiles - j;
    // A is read once for two columns: where its vectors lie across lines of the cache, a copy takes 1 % and saves 30.
    constexpr int64_t room = (16 << 10) / sizeof(T);
    alignas(64) T copy[room];
    const bool across = reinterpret_cast<uintptr_t>(q.a.p) % kVecBytes != 0 && q.k <= room;
    if (across) memcpy(copy, q.a.p, static_cast<size_t>(q.k) * sizeof(T));
    lines(q.k, across ? copy : q.a.p, q.b.p + j * q.b.col, q.b.col, cols, q.c.p + j, bias ? bias + j : nullptr);
    done(0, 1, j, cols);
  });
}

// C^T = B^T A^T by panels of A^T, a group of B's columns (rows of B^T) at a time over all of k; tiles are turned on
// their way to C.
template <class T, class Done, class Crew>
void run_turned(const Product<T>& q, const T* bias, Done&& done, std::byte* scratch, Crew& crew) {
  constexpr int L = kLanes<T>, W = kCols<T>;
  const int64_t groups = ceil_div(q.n, kRows * max(1, min(4, q.n / (8 * kRows))));
  T* const panels = reinterpret_cast<T*>(scratch);
  const bool lies = q.a.row == 1;                                        // A^T in rows: read as it lies
  const int64_t panel_row = lies ? q.a.col : W, panel = lies ? 1 : q.k;  // from one row to the next; from one column
  const int64_t strip = lies ? 8 * W : q.m, strips = ceil_div(q.m, strip);
  if (!lies)
    crew.each(ceil_div(q.m, L), [&](int64_t t) {
      const int64_t i = t * L;
      T* const to = panels + i / W * W * q.k + i % W;
      pack_rows(to, W, L, q.a.p + i * q.a.row, static_cast<int>(min(L, q.m - i)), q.a.row, q.k);
    });
  crew.each(groups * strips, [&](int64_t t) {
    const int64_t group = t / strips, i0 = t % strips * strip, i1 = min(q.m, i0 + strip);
    const int64_t j0 = q.n * group / groups, j1 = q.n * (group + 1) / groups, parts = ceil_div(j1 - j0, kRows);
    alignas(64) T tile[(kRows + L - 1) / L * L * W] = {};
    for (int64_t g = 0, j = j0; g < parts; ++g) {
      const int64_t end = j0 + (j1 - j0) * (g + 1) / parts;
      const int rows = static_cast<int>(end - j);
      for (int64_t i = i0; i < i1; i += W) {
        const int count = static_cast<int>(min(W, i1 - i)), vectors = count > L ? 2 : 1;
        const int tail = lies ? count - (vectors - 1) * L : L;
        const auto b = TileA<T>::as_it_lies(q.b.p + j * q.b.col, q.b.col, q.b.row);
        // the next rows of a large B^T, while these ones meet the last of A's columns
        const bool fetch = b.lie == Lie::rows && i + W >= i1 && end + rows <= q.n && is_far<T>(q.n, q.k);
        pick_outer<T>(b.lie, rows, vectors, tail < L)(q.k, b.p, b.step, (lies ? q.a.p : panels) + i * panel, panel_row,
                                                      tile, W, nullptr, false, tail, false,
                                                      fetch ? b.p + rows * b.step : nullptr);
        if (bias)
          for (int r = 0; r < rows; ++r)
            for (int v = 0; v < W; v += L) store(tile + r * W + v, load(tile + r * W + v) + splat(bias[j + r]));
        for (int r = 0; r < rows; r += L) {
          const int lanes = static_cast<int>(min(L, rows - r));
          pack_rows(q.c.p + i * q.c.row + j + r, q.c.row, lanes, tile + r * W, L, W, count);
        }
      }
      j = end;
    }
    done(i0, i1 - i0, j0, j1 - j0);
  });
}

template <class T, class Done, class Local, class Crew>
void run_outer(const Product<T>& q, int64_t k0, int64_t k, T* c, int64_t c_row, const T* bias, Done&& done,
               std::byte* scratch, const Local& local, Crew& crew) {
  const Strided<T> a{q.a.p + k0 * q.a.col, q.a.row, q.a.col, q.pack_a};
  const Strided<T> b{q.b.p + k0 * q.b.row, q.b.col, q.b.row, q.pack_b, q.ahead};
  blocked<T>(q.blocks(), q.m, q.n, k, a, b, c, c_row, bias, done, scratch, local, crew);
}

// Partial products of the slices, then their sum in the order of k.
template <class T, class Done, class Crew>
void run_slices(const Product<T>& q, const T* bias, Done&& done, std::byte* scratch, Crew& crew) {
  const int64_t part = q.partial_bytes(), panels = q.packed_bytes(), step = q.slice_k(), count = ceil_div(q.k, step);
  std::byte* const packed = scratch + q.slices * part;
  crew.each(count, [&](int64_t s) {
    Solo solo;
    const auto local = [&] { return packed + (s + 1) * panels - q.blocks().template local_bytes<T>(q.m, q.pack_b); };
    run_outer(
        q, s * step, min(step, q.k - s * step), reinterpret_cast<T*>(scratch + s * part), q.n,
        static_cast<const T*>(nullptr), [](int64_t, int64_t, int64_t, int64_t) {}, packed + s * panels, local, solo);
  });
  constexpr int64_t rows = 16;
  crew.each(ceil_div(q.m, rows), [&](int64_t t) {
    const int64_t i0 = t * rows, i1 = min(q.m, i0 + rows);
    for (int64_t i = i0; i < i1; ++i)
      sum_slices(q, i, count, reinterpret_cast<const T*>(scratch), part / static_cast<int64_t>(sizeof(T)), bias);
    done(i0, i1 - i0, 0, q.n);
  });
}

// Everything but k = 0 and empty C. bias: one value a column of q.c, or null. done: see `blocked`.
template <class T, class Done, class Local, class Crew>
void run(const Product<T>& q, const T* bias, Done&& done, std::byte* scratch, const Local& local, Crew& crew) {
  switch (q.way) {
    case Way::inner: return run_inner(q, bias, done, scratch, crew);
    case Way::turned: return run_turned(q, bias, done, scratch, crew);
    case Way::slices: return run_slices(q, bias, done, scratch, crew);
    case Way::strips: return q.m == 1 ? run_row(q, bias, done, scratch, crew) : run_strips(q, bias, done, crew);
    case Way::lines: return run_lines(q, bias, done, crew);
    case Way::outer: return run_outer(q, 0, q.k, q.c.p, q.c.row, bias, done, scratch, local, crew);
  }
}

}  // namespace rv::RV_ISA::gemm
