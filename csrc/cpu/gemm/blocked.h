// SPDX-License-Identifier: Apache-2.0
// C = A B + bias by blocks: the loops around the micro-kernel `outer`. Operands are copied (pack.h) or read as they
// lie; both are parameters, so that convolution passes a packer that gathers image patches.
//
// Blocks (float32, AVX-512): k in pieces of 512, tiles of C of 112 x 128 (B 512 x 128 x 4 = 256 KB: L2) or, where A
// is copied, of 112 rows by many columns (A 112 x 512 x 4 = 230 KB: L2); packed panels of B for 256 columns (512 KB: L2; 256 x 1024 x 4096
// in L3's panels of 2048 columns took 4 % longer).
#pragma once
#include "core/team.h"
#include "cpu/gemm/pack.h"

namespace rv::RV_ISA::gemm {

// How a product is cut, by its shape alone.
struct Blocks {
  int64_t k, cols, tile_rows, tile_cols;
  bool runs;  // short k: C is most of the traffic, and rows of a tile are written in long runs, a few at a time

  template <class T> static Blocks of(int64_t m, int64_t n, int64_t k, bool pack_a, bool pack_b) {
    constexpr int64_t nr = kCols<T>, item = sizeof(T);
    const bool few = m <= 3 && n > 256;  // B is used once: it is read in long runs along its rows
    Blocks b;
    b.runs = k > 0 && k <= 16 && !few && !pack_a;
    b.tile_rows = kRows * most(1, 112 / kRows);
    const int64_t deep = (few ? 128 : 2048) / item;
    b.k = k <= deep * 3 / 2 ? k : pieces(pieces(k, pieces(k, deep)), 8) * 8;
    b.tile_cols = nr * most(1, (few || pack_a ? 2048 : 512) / item / nr);
    // Small products still give a few tiles to share out.
    const int64_t small_rows = kRows * most(1, 56 / kRows), small_cols = nr * most(1, 64 / nr);
    if (!few && pieces(m, b.tile_rows) * pieces(n, b.tile_cols) < 16) b.tile_cols = pack_a ? b.tile_cols / 2 : small_cols;
    if (pieces(m, b.tile_rows) * pieces(n, b.tile_cols) < 16) b.tile_rows = least(b.tile_rows, small_rows);
    b.cols = pack_b && !b.streams(m) ? 1024 / item : 2048;
    if (b.runs) {  // B in L1
      b.tile_rows = 56 / kRows * kRows;
      b.tile_cols = nr * most(64 / nr, least(1024, (16 << 10) / (k * item)) / nr);
    }
    return b;
  }
  // Where one row of tiles is all of C, nobody else needs a panel of B: it is packed right before its use.
  bool streams(int64_t m) const { return m <= tile_rows; }
  // Scratch common to the crew, and of each member: a tile of A and a panel of B.
  template <class T> int64_t bytes(int64_t m, int64_t n, bool pack_b) const {
    return pack_b && !streams(m) ? pieces(least(n, cols), kCols<T>) * kCols<T> * k * static_cast<int64_t>(sizeof(T)) : 0;
  }
  template <class T> int64_t a_elements(int64_t m, bool pack_a) const {
    return pack_a ? Strided<T>::tile_elements(least(m, tile_rows), k) : 0;
  }
  template <class T> int64_t local_bytes(int64_t m, bool pack_a, bool pack_b) const {
    return (a_elements<T>(m, pack_a) + (pack_b && streams(m) ? kCols<T> * k : 0)) * static_cast<int64_t>(sizeof(T));
  }
};

// C tile [rows, cols] (+)= A B for one piece of k.
template <class T> struct TileJob {
  TileA<T> a;
  const T *b, *bias;
  int64_t b_row, b_panel;  // element strides inside a panel of kCols columns, and from one to the next
  T* c;
  int64_t c_row, rows, cols, k;
  bool accumulate, runs;
};

template <class T> [[gnu::noinline]] void run_tile(const TileJob<T>& t) {
  constexpr int L = kLanes<T>, nr = kCols<T>;
  int64_t j = 0;
  const T* b = t.b;
  if (t.b_panel == nr && wide(1) > 2 && t.rows <= 3) {  // B as it lies: few rows take wider vectors
    const int rows = static_cast<int>(t.rows), step = wide(rows) * L;
    const auto fn = pick_outer<T>(rows, wide(rows), false);
    for (; j + step <= t.cols; j += step, b += step)
      fn(t.k, t.a.p, t.a.row, t.a.col, b, t.b_row, t.c + j, t.c_row, t.bias ? t.bias + j : nullptr, t.accumulate, L);
  }
  if (t.runs) {
    const int64_t groups = pieces(t.rows, least(8, kRows));
    for (int64_t g = 0, i = 0; g < groups; ++g) {
      const int64_t end = t.rows * (g + 1) / groups;
      const auto whole = pick_outer<T>(static_cast<int>(end - i), 2, false);
      int64_t at = j;
      const T* from = b;
      for (; at + nr <= t.cols; at += nr, from += t.b_panel)
        whole(t.k, t.a.p + i * t.a.row, t.a.row, t.a.col, from, t.b_row, t.c + i * t.c_row + at, t.c_row,
              t.bias ? t.bias + at : nullptr, t.accumulate, L);
      if (at < t.cols) {
        const int cols = static_cast<int>(t.cols - at), vectors = cols > L ? 2 : 1, tail = cols - (vectors - 1) * L;
        pick_outer<T>(static_cast<int>(end - i), vectors, tail < L)(t.k, t.a.p + i * t.a.row, t.a.row, t.a.col, from, t.b_row,
                                                                     t.c + i * t.c_row + at, t.c_row,
                                                                     t.bias ? t.bias + at : nullptr, t.accumulate, tail);
      }
      i = end;
    }
    return;
  }
  const int64_t groups = pieces(t.rows, kRows);  // of about the same number of rows each
  for (; j < t.cols; j += nr, b += t.b_panel) {
    const int cols = static_cast<int>(least(nr, t.cols - j)), vectors = cols > L ? 2 : 1;
    const int tail = cols - (vectors - 1) * L;
    const T* bias = t.bias ? t.bias + j : nullptr;
    for (int64_t g = 0, i = 0; g < groups; ++g) {
      const int64_t end = t.rows * (g + 1) / groups;
      pick_outer<T>(static_cast<int>(end - i), vectors, tail < L)(t.k, t.a.p + i * t.a.row, t.a.row, t.a.col, b, t.b_row,
                                                                   t.c + i * t.c_row + j, t.c_row, bias, t.accumulate, tail);
      i = end;
    }
  }
}

// C[m, n] = A[m, k] B[k, n] + bias[n] (bias may be null), rows of C `c_row` apart, k > 0.
// done(i, rows, j, cols) is called once for each finished tile of C, by the member that made it.
// `blocks` are of this product or of one with a larger k; `scratch` has Blocks::bytes, common to the crew (a Team, or Solo); `local` gives each thread Blocks::local_bytes.
template <class T, class A, class B, class Done, class Local, class Crew>
void blocked(const Blocks& blocks, int64_t m, int64_t n, int64_t k, const A& a, const B& b, T* c, int64_t c_row,
             const T* bias, Done&& done, std::byte* scratch, const Local& local, Crew& crew) {
  constexpr int nr = kCols<T>;
  const bool stream_b = b.packs && blocks.streams(m), pack_b = b.packs && !stream_b;
  T* const panels = reinterpret_cast<T*>(scratch);
  const int64_t a_elements = blocks.a_elements<T>(m, a.packs);
  for (int64_t js = 0; js < n; js += blocks.cols) {
    const int64_t ns = least(blocks.cols, n - js);
    const int64_t row_tiles = pieces(m, blocks.tile_rows), col_tiles = pieces(ns, blocks.tile_cols);
    for (int64_t ps = 0; ps < k; ps += blocks.k) {
      const int64_t kc = least(blocks.k, k - ps);
      const bool last = ps + kc == k;
      if (pack_b) {
        crew.each(pieces(ns, kPanelGroup * nr), [&](int64_t q) {
          const int64_t j = q * kPanelGroup * nr;
          b.panels(panels + j * kc, js + j, least(kPanelGroup * nr, ns - j), ps, kc);
        });
      }
      crew.each(row_tiles * col_tiles, [&](int64_t t) {
        const int64_t i = t % row_tiles * blocks.tile_rows, j = t / row_tiles * blocks.tile_cols;
        const int64_t rows = least(blocks.tile_rows, m - i), cols = least(blocks.tile_cols, ns - j);
        T* const own = a.packs || stream_b ? reinterpret_cast<T*>(local()) : nullptr;
        TileJob<T> job{a.tile(own, i, rows, ps, kc), nullptr, last && bias ? bias + js + j : nullptr, nr, nr * kc,
                       c + i * c_row + js + j, c_row, rows, cols, kc, ps > 0, blocks.runs};
        if (stream_b) {
          T* const panel = own + a_elements;
          job.b = panel;
          for (int64_t done_cols = 0; done_cols < cols; done_cols += nr) {
            job.cols = least(nr, cols - done_cols);
            b.panels(panel, js + j + done_cols, job.cols, ps, kc);
            run_tile(job);
            job.c += nr;
            if (job.bias) job.bias += nr;
          }
        } else if (pack_b) {
          job.b = panels + j * kc;
          run_tile(job);
        } else if constexpr (requires { b.s_outer; }) {
          job.b = b.p + (js + j) + ps * b.s_k, job.b_row = b.s_k, job.b_panel = nr;
          run_tile(job);
        }
        if (last) done(i, rows, js + j, cols);
      });
    }
  }
}

// A crew of one.
struct Solo {
  template <class F> void each(int64_t chunks, F&& f) {
    for (int64_t i = 0; i < chunks; ++i) f(i);
  }
};

}  // namespace rv::RV_ISA::gemm
