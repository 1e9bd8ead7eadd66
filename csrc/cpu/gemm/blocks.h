// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/gemm/constants.h"
#include "cpu/gemm/pack.h"
#include "cpu/gemm/shape.h"

namespace rv::RV_ISA::gemm {

// How a product is cut, by its shape alone.
struct Blocks {
  int64_t k, rows, cols;         // a piece of k, and the rows of A and columns of B that are copied at once
  int64_t tile_rows, tile_cols;  // of C: a chunk of work
  bool runs;  // short k: C is most of the traffic, and rows of a tile are written in long runs, a few at a time

  // Small tiles are whole panels of A. So are those of an A in panels made ahead, whatever n.
  static constexpr int64_t kSmallRows = kRows * max(1, policy::small_tile_rows / kRows);

  // `deep`: bytes of k in a piece.
  template <class T> static int64_t piece(int64_t k, int64_t deep = policy::piece_bytes) {
    deep /= static_cast<int64_t>(sizeof(T));
    return k <= deep + deep / policy::piece_slack ? k : ceil_div(ceil_div(k, ceil_div(k, deep)), 8) * 8;
  }
  template <class T> static Blocks of(int64_t m, int64_t n, int64_t k, Source from_a, Source from_b) {
    constexpr int64_t nr = kCols<T>, item = sizeof(T);
    const bool panels_a = from_a != Source::in_place;
    const bool few = m <= policy::few_rows && from_a != Source::ahead && from_b != Source::ahead;
    Blocks b;
    b.runs = k > 0 && k <= policy::runs_k && !few && !panels_a;  // its groups are others than panels have
    b.tile_rows = kRows * max(1, policy::tile_rows / kRows);
    b.k = few && is_far<T>(n, k) ? piece<T>(k, policy::far_piece_bytes) : piece<T>(k);
    b.tile_cols = nr * max(1, (few || panels_a ? policy::wide_tile_bytes : policy::tile_bytes) / item / nr);
    const int64_t small_cols = nr * max(1, policy::small_tile_cols / nr);
    auto few_tiles = [&] { return ceil_div(m, b.tile_rows) * ceil_div(n, b.tile_cols) < policy::enough_tiles; };
    if (from_a == Source::ahead || few_tiles()) b.tile_rows = min(b.tile_rows, kSmallRows);
    if (!few && few_tiles()) b.tile_cols = panels_a ? b.tile_cols / 2 : small_cols;
    const bool copy_a = from_a == Source::copied, copy_b = from_b == Source::copied;
    b.rows = copy_a ? ceil_div(ceil_div(m, max(1, ceil_div(m, policy::copied_rows))), b.tile_rows) * b.tile_rows : m;
    b.cols = copy_a && copy_b          ? policy::copied_bytes / item
             : copy_b && !b.streams(m) ? policy::copied_alone_bytes / item
                                       : policy::block_cols;
    if (b.runs) {  // B in L1
      b.tile_rows = policy::small_tile_rows / kRows * kRows;
      b.tile_cols =
          nr * max(policy::small_tile_cols / nr, min(policy::runs_most_cols, policy::runs_bytes / (k * item)) / nr);
    }
    return b;
  }
  // Where one row of tiles is all of C, nobody else needs a panel of B: it is packed right before its use.
  bool streams(int64_t m) const { return m <= tile_rows; }

  // Elements of the copies of A's rows and of B's columns, common to all threads. The former end at a cache line, where
  // the others begin.
  int64_t a_elements(int64_t m, Source from_a) const {
    return from_a == Source::copied ? ceil_div(panel_elements(min(m, rows), kRows, k), 16) * 16 : 0;
  }
  template <class T> int64_t bytes(int64_t m, int64_t n, Source from_a, Source from_b) const {
    const bool common = from_b == Source::copied && !streams(m);
    const int64_t b_elements = common ? panel_elements(min(n, cols), kCols<T>, k) : 0;
    return (a_elements(m, from_a) + b_elements) * static_cast<int64_t>(sizeof(T));
  }
  // Of each thread's panels of B.
  template <class T> int64_t local_bytes(int64_t m, Source from_b) const {
    const bool own = from_b == Source::copied && streams(m);
    return own ? panel_elements(policy::stream_panels * kCols<T>, kCols<T>, k) * static_cast<int64_t>(sizeof(T)) : 0;
  }
};

}  // namespace rv::RV_ISA::gemm
