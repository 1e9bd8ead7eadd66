// SPDX-License-Identifier: Apache-2.0
// C = A B + bias by blocks: the loops around the micro-kernel `outer`, on any operands (operand.h).
#pragma once
#include "core/team.h"
#include "cpu/gemm/blocks.h"
#include "cpu/gemm/tile.h"

namespace rv::RV_ISA::gemm {

// C[m, n] = A[m, k] B[k, n] + bias[n] (bias may be null), rows of C `c_row` apart, k > 0. `blocks` are of this product
// or of one with a larger k; `scratch` has Blocks::bytes, common to the threads. `accumulate`: the product is added to
// C.
template <class T, PacksRows<T> A, PacksColumns<T> B>
void blocked(const Blocks& blocks, int64_t m, int64_t n, int64_t k, const A& a, const B& b, T* c, int64_t c_row,
             const T* bias, std::byte* scratch, Team& team, bool accumulate = false) {
  constexpr int64_t nr = kCols<T>, group = kPanelGroup * nr, stream = policy::stream_panels * nr;
  const bool copy_a = a.source == Source::copied, panels_b = b.source != Source::in_place;
  const bool stream_b = b.source == Source::copied && blocks.streams(m);
  const bool copy_b = b.source == Source::copied && !stream_b;
  T* const a_panels = reinterpret_cast<T*>(scratch);
  T* const b_panels = a_panels + blocks.a_elements(m, a.source);
  for (int64_t js = 0; js < n; js += blocks.cols) {
    const int64_t ns = min(blocks.cols, n - js), col_tiles = ceil_div(ns, blocks.tile_cols);
    for (int64_t is = 0; is < m; is += blocks.rows) {
      const int64_t ms = min(blocks.rows, m - is), row_tiles = ceil_div(ms, blocks.tile_rows);
      for (int64_t ps = 0; ps < k; ps += blocks.k) {
        const int64_t kc = min(blocks.k, k - ps);
        const bool last = ps + kc == k;
        const int64_t a_chunks = copy_a ? row_tiles : 0, b_chunks = copy_b ? ceil_div(ns, group) : 0;
        if (a_chunks + b_chunks > 0)
          team.each(a_chunks + b_chunks, [&](int64_t q) {
            if (q < a_chunks) {
              const int64_t i = q * blocks.tile_rows;
              return a.pack(a_panels + panel_place(ms, kRows, 0, i, kc), is + i, min(blocks.tile_rows, ms - i), ps, kc);
            }
            const int64_t j = (q - a_chunks) * group;
            b.panels(b_panels + panel_place(ns, nr, 0, j, kc), js + j, min(group, ns - j), ps, kc);
          });
        team.each(row_tiles * col_tiles, [&](int64_t t) {
          const int64_t i = t % row_tiles * blocks.tile_rows, j = t / row_tiles * blocks.tile_cols;
          TileJob<T> job;
          job.rows = min(blocks.tile_rows, ms - i), job.cols = min(blocks.tile_cols, ns - j), job.k = kc;
          job.c = c + (is + i) * c_row + js + j, job.c_row = c_row;
          job.bias = last && bias ? bias + js + j : nullptr;
          job.accumulate = accumulate || ps > 0, job.runs = blocks.runs, job.far = !panels_b && is_far<T>(n, k);
          job.b_row = nr, job.b_panel = nr * kc;
          if (copy_a) job.a = TileA<T>::copied(a_panels + panel_place(ms, kRows, 0, i, kc), kc, panels_b);
          else if constexpr (InMemory<A, T>)
            job.a = a.source == Source::ahead
                        ? TileA<T>::copied(a.p + panel_place(m, kRows, ps, is + i, kc), kc, panels_b)
                        : TileA<T>::in_place(a.p + (is + i) * a.s_outer + ps * a.s_k, a.s_outer, a.s_k);
          if (stream_b) {
            const Scratch own(blocks.local_bytes<T>(m, b.source));
            T* const panels = own.as<T>();
            const int64_t cols = job.cols;
            job.b = panels;
            for (int64_t at = 0; at < cols; at += stream) {
              job.cols = min(stream, cols - at);
              b.panels(panels, js + j + at, job.cols, ps, kc);
              run_tile(job);
              job.c += stream;
              if (job.bias) job.bias += stream;
            }
            return;
          }
          if (copy_b) job.b = b_panels + panel_place(ns, nr, 0, j, kc);
          else if constexpr (InMemory<B, T>) {
            if (b.source == Source::ahead) job.b = b.p + panel_place(n, nr, ps, js + j, kc);
            else job.b = b.p + (js + j) + ps * b.s_k, job.b_row = b.s_k, job.b_panel = nr;
          }
          run_tile(job);
        });
      }
    }
  }
}

// Panels of A, or of B, as any `blocked` finds them where its source is Source::ahead.
template <class T, PacksRows<T> A> void pack_rows_ahead(T* panels, const A& a, int64_t m, int64_t k, Team& team) {
  const int64_t piece = Blocks::piece<T>(k), tiles = ceil_div(m, Blocks::kSmallRows);
  team.each(tiles * ceil_div(k, piece), [&](int64_t t) {
    const int64_t i = t % tiles * Blocks::kSmallRows, ps = t / tiles * piece, kc = min(piece, k - ps);
    a.pack(panels + panel_place(m, kRows, ps, i, kc), i, min(Blocks::kSmallRows, m - i), ps, kc);
  });
}
template <class T, PacksColumns<T> B> void pack_columns_ahead(T* panels, const B& b, int64_t n, int64_t k, Team& team) {
  constexpr int64_t group = kPanelGroup * kCols<T>;
  const int64_t piece = Blocks::piece<T>(k), groups = ceil_div(n, group);
  team.each(groups * ceil_div(k, piece), [&](int64_t t) {
    const int64_t j = t % groups * group, ps = t / groups * piece, kc = min(piece, k - ps);
    b.panels(panels + panel_place(n, kCols<T>, ps, j, kc), j, min(group, n - j), ps, kc);
  });
}

}  // namespace rv::RV_ISA::gemm
