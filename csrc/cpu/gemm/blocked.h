// SPDX-License-Identifier: Apache-2.0
// C = A B + bias by blocks: the loops around the micro-kernel `outer`. Operands are copied (pack.h) or read as they
// lie; both are parameters, so that convolution passes a packer that gathers image patches.
//
// float32, AVX-512 (1 MB of L2): k in pieces of 512, tiles of C of 112 x 128, whose part of B stays in L2; 112 x 256
// where both are copied. AVX2 (32 KB, 512 KB) and less: pieces of 384, so that a panel of B, 24 KB, stays in L1 while
// all rows of a tile use it; tiles of 72 x 256 where both are copied (A 108 KB: L2).
#pragma once
#include "core/team.h"
#include "cpu/gemm/pack.h"

namespace rv::RV_ISA::gemm {

// How a product is cut, by its shape alone.
struct Blocks {
  int64_t k, rows, cols;         // a piece of k, and the rows of A and columns of B that are copied at once
  int64_t tile_rows, tile_cols;  // of C: a chunk of work
  bool runs;  // short k: C is most of the traffic, and rows of a tile are written in long runs, a few at a time

  // `deep`: bytes of a column in a piece of k.
  template <class T>
  static int64_t piece(int64_t k, int64_t deep = kDeep) {
    deep /= static_cast<int64_t>(sizeof(T));
    return k <= deep + deep / kSlack ? k : ceil_div(ceil_div(k, ceil_div(k, deep)), 8) * 8;
  }
  // ahead: B is in panels already, whatever m.
  template <class T>
  static Blocks of(int64_t m, int64_t n, int64_t k, bool pack_a, bool pack_b, bool ahead = false) {
    constexpr int64_t nr = kCols<T>, item = sizeof(T);
    const bool few = m <= 3 && !ahead;  // B is used once: it is read in long runs along its rows
    Blocks b;
    b.runs = k > 0 && k <= 16 && !few && !pack_a;  // its groups are others than copies have
    b.tile_rows = kRows * max(1, kTileRows / kRows);
    b.k = few && is_far<T>(n, k) ? piece<T>(k, 128) : piece<T>(k);
    b.tile_cols = nr * max(1, (few || pack_a ? 1024 : 512) / item / nr);
    // Small products still give a few tiles to share out.
    const int64_t small_rows = kRows * max(1, 56 / kRows), small_cols = nr * max(1, 64 / nr);
    auto tiles = [&] { return ceil_div(m, b.tile_rows) * ceil_div(n, b.tile_cols); };
    if (tiles() < 12) b.tile_rows = min(b.tile_rows, small_rows);
    if (!few && tiles() < 12) b.tile_cols = pack_a ? b.tile_cols / 2 : small_cols;
    b.rows = pack_a ? ceil_div(ceil_div(m, max(1, ceil_div(m, 2048))), b.tile_rows) * b.tile_rows : m;
    b.cols = pack_a && pack_b ? 8192 / item : pack_b && !b.streams(m) ? 1024 / item : 2048;
    if (b.runs) {  // B in L1
      b.tile_rows = 56 / kRows * kRows;
      b.tile_cols = nr * max(64 / nr, min(1024, (16 << 10) / (k * item)) / nr);
    }
    return b;
  }
  // Where one row of tiles is all of C, nobody else needs a panel of B: it is packed right before its use.
  bool streams(int64_t m) const { return m <= tile_rows; }

  // Elements of the copies: of A's rows and of B's columns, common to the crew; of each member's panels of B.
  // The former end at a cache line, where the others begin.
  int64_t a_elements(int64_t m, bool pack_a) const {
    return pack_a ? ceil_div(ceil_div(min(m, rows), kRows) * kRows * k, 16) * 16 : 0;
  }
  template <class T>
  int64_t b_elements(int64_t m, int64_t n, bool pack_b) const {
    return pack_b && !streams(m) ? ceil_div(min(n, cols), kCols<T>) * kCols<T> * k : 0;
  }
  template <class T>
  int64_t local_bytes(int64_t m, bool pack_b) const {
    return pack_b && streams(m) ? kStream * kCols<T> * k * static_cast<int64_t>(sizeof(T)) : 0;
  }
  template <class T>
  int64_t bytes(int64_t m, int64_t n, bool pack_a, bool pack_b) const {
    return (a_elements(m, pack_a) + b_elements<T>(m, n, pack_b)) * static_cast<int64_t>(sizeof(T));
  }
};

// C tile [rows, cols] (+)= A B for one piece of k.
template <class T>
struct TileJob {
  TileA<T> a;
  const T *b, *bias;
  int64_t b_row, b_panel;  // element strides inside a panel of kCols columns, and from one to the next
  T* c;
  int64_t c_row, rows, cols, k;
  bool accumulate, runs, far;
};

template <class T>
[[gnu::noinline]] void run_tile(const TileJob<T>& t) {
  constexpr int L = kLanes<T>, nr = kCols<T>;
  int64_t j = 0;
  const T* b = t.b;
  auto call = [&](Outer<T> fn, const T* a, int64_t i, int64_t at, const T* from, int tail)
      __attribute__((always_inline)) {
    fn(t.k, a, t.a.step, from, t.b_row, t.c + i * t.c_row + at, t.c_row, t.bias ? t.bias + at : nullptr, t.accumulate,
       tail, t.far, nullptr);
  };
  if (t.b_panel == nr && t.rows <= kWideRows && t.a.lie != Lie::packed) {  // B as it lies: few rows take wider vectors
    const int rows = static_cast<int>(t.rows), step = wide(rows) * L;
    const auto fn = pick_outer<T>(t.a.lie, rows, wide(rows), false);
    for (; j + step <= t.cols; j += step, b += step) call(fn, t.a.p, 0, j, b, L);
  }
  // Columns from `at` on, two vectors of them or what is left.
  auto some = [&](const T* a, int64_t i, int64_t end, int64_t at, const T* from) __attribute__((always_inline)) {
    const int cols = static_cast<int>(min(nr, t.cols - at)), vectors = cols > L ? 2 : 1,
              tail = cols - (vectors - 1) * L;
    call(pick_outer<T>(t.a.lie, static_cast<int>(end - i), vectors, tail < L), a, i, at, from, tail);
  };
  if (t.runs) {
    each_group(t.rows, t.cols <= nr ? kRows : min(8, kRows), [&](int64_t g, int64_t i, int64_t end) {
      const T* const a = t.a.group(g, i);
      const auto whole = pick_outer<T>(t.a.lie, static_cast<int>(end - i), 2, false);
      int64_t at = j;
      const T* from = b;
      for (; at + nr <= t.cols; at += nr, from += t.b_panel) call(whole, a, i, at, from, L);
      if (at < t.cols) some(a, i, end, at, from);
    });
    return;
  }
  for (; j < t.cols; j += nr, b += t.b_panel)
    each_group(t.rows, kRows, [&](int64_t g, int64_t i, int64_t end) { some(t.a.group(g, i), i, end, j, b); });
}

// C[m, n] = A[m, k] B[k, n] + bias[n] (bias may be null), rows of C `c_row` apart, k > 0.
// done(i, rows, j, cols) is called once for each finished tile of C, by the member that made it.
// `blocks` are of this product or of one with a larger k; `scratch` has Blocks::bytes, common to the crew (a Team, or
// Solo); `local` gives each thread Blocks::local_bytes.
template <class T, class A, class B, class Done, class Local, class Crew>
void blocked(const Blocks& blocks, int64_t m, int64_t n, int64_t k, const A& a, const B& b, T* c, int64_t c_row,
             const T* bias, Done&& done, std::byte* scratch, const Local& local, Crew& crew) {
  constexpr int nr = kCols<T>;
  const bool stream_b = b.packs && blocks.streams(m), pack_b = b.packs && !stream_b;
  T* const a_panels = reinterpret_cast<T*>(scratch);
  T* const b_panels = a_panels + blocks.a_elements(m, a.packs);
  for (int64_t js = 0; js < n; js += blocks.cols) {
    const int64_t ns = min(blocks.cols, n - js), col_tiles = ceil_div(ns, blocks.tile_cols);
    for (int64_t is = 0; is < m; is += blocks.rows) {
      const int64_t ms = min(blocks.rows, m - is), row_tiles = ceil_div(ms, blocks.tile_rows);
      for (int64_t ps = 0; ps < k; ps += blocks.k) {
        const int64_t kc = min(blocks.k, k - ps);
        const bool last = ps + kc == k;
        const int64_t a_chunks = a.packs ? row_tiles : 0, b_chunks = pack_b ? ceil_div(ns, kPanelGroup * nr) : 0;
        if (a_chunks + b_chunks > 0)
          crew.each(a_chunks + b_chunks, [&](int64_t q) {
            if (q < a_chunks) {
              const int64_t i = q * blocks.tile_rows;
              return a.pack(a_panels + i * kc, is + i, min(blocks.tile_rows, ms - i), ps, kc);
            }
            const int64_t j = (q - a_chunks) * kPanelGroup * nr;
            b.panels(b_panels + j * kc, js + j, min(kPanelGroup * nr, ns - j), ps, kc);
          });
        crew.each(row_tiles * col_tiles, [&](int64_t t) {
          const int64_t i = t % row_tiles * blocks.tile_rows, j = t / row_tiles * blocks.tile_cols;
          const int64_t rows = min(blocks.tile_rows, ms - i), cols = min(blocks.tile_cols, ns - j);
          bool in_panels = b.packs;
          if constexpr (requires { b.ahead; }) in_panels = in_panels || b.ahead;
          TileJob<T> job{{},
                         nullptr,
                         last && bias ? bias + js + j : nullptr,
                         nr,
                         nr * kc,
                         c + (is + i) * c_row + js + j,
                         c_row,
                         rows,
                         cols,
                         kc,
                         ps > 0,
                         blocks.runs,
                         !in_panels && is_far<T>(n, k)};
          job.a = a.packs ? TileA<T>::copied(a_panels + i * kc, kc, in_panels) : a.tile(is + i, ps);
          if (stream_b) {
            auto&& own = local();
            T* const panels = reinterpret_cast<T*>(static_cast<std::byte*>(own));
            job.b = panels;
            for (int64_t at = 0; at < cols; at += kStream * nr) {
              job.cols = min(kStream * nr, cols - at);
              b.panels(panels, js + j + at, job.cols, ps, kc);
              run_tile(job);
              job.c += kStream * nr;
              if (job.bias) job.bias += kStream * nr;
            }
          } else if (pack_b) {
            job.b = b_panels + j * kc;
            run_tile(job);
          } else if constexpr (requires { b.ahead; }) {
            if (in_panels) job.b = b.ahead + ps * ceil_div(n, nr) * nr + (js + j) * kc;
            else job.b = b.p + (js + j) + ps * b.s_k, job.b_row = b.s_k, job.b_panel = nr;
            run_tile(job);
          }
          if (last) done(is + i, rows, js + j, cols);
        });
      }
    }
  }
}

// B[k, n] in panels for any `blocked` with Blocks of `ahead`: pieces of k one after the other, in each the panels of
// all columns.
template <class T>
int64_t ahead_bytes(int64_t n, int64_t k) {
  return ceil_div(n, kCols<T>) * kCols<T> * k * static_cast<int64_t>(sizeof(T));
}
template <class T, class B, class Crew>
void pack_ahead(T* panels, const B& b, int64_t n, int64_t k, Crew& crew) {
  constexpr int64_t group = kPanelGroup * kCols<T>;
  const int64_t piece = Blocks::piece<T>(k), groups = ceil_div(n, group);
  crew.each(groups * ceil_div(k, piece), [&](int64_t t) {
    const int64_t j = t % groups * group, ps = t / groups * piece, kc = min(piece, k - ps);
    b.panels(panels + ps * ceil_div(n, kCols<T>) * kCols<T> + j * kc, j, min(group, n - j), ps, kc);
  });
}

// A crew of one.
struct Solo {
  template <class F>
  void each(int64_t chunks, F&& f) {
    for (int64_t i = 0; i < chunks; ++i) f(i);
  }
};

}  // namespace rv::RV_ISA::gemm
