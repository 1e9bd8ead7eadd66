// SPDX-License-Identifier: Apache-2.0
// C = A B + bias by blocks: the loops around the micro-kernel `outer`. Operands are packed into panels or read as they
// lie; both are parameters, so that convolution passes a packer that gathers image patches.
//
// Blocks (float32, AVX-512): k in pieces of 512 (a panel of A is 14 x 512 x 4 = 28 KB: L1), tiles of C of 112 x 128
// (their B is 512 x 128 x 4 = 256 KB: L2), packed super-blocks of at most 2016 x 2048 x 512 (L3).
// The micro-kernel reaches 99 % of the FMA peak (Zen 5: 234 GF/s a core), products of 256 to 512 cubed 87-97 %,
// 1024 cubed 80-83 %; with k in pieces of 256 it was 72 %, for C is read and written once a piece.
#pragma once
#include "core/team.h"
#include "cpu/gemm/micro.h"

namespace rv::RV_ISA::gemm {

inline constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline constexpr int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
inline constexpr int64_t pieces(int64_t n, int64_t size) { return (n + size - 1) / size; }

// dst[p * width + i] = src[i * stride + p] for i < rows, 0 for rows <= i < lanes; p < k. The transpose of rows.
template <class T> void pack_rows(T* dst, int width, int lanes, const T* src, int rows, int64_t stride, int64_t k) {
  constexpr int L = kLanes<T>, E = kBlock<T>;
  vec<T> v[E];
  int64_t p = 0;
  if (rows == L && k >= E) {
    for (; p < k; p += E) {
      p = least(p, k - E);  // the last step may overlap the one before it
#pragma GCC unroll 4
      for (int g = 0; g < E; ++g) v[g] = load_blocks(src + g * stride + p, E * stride);
      transpose_blocks<T>(v);
#pragma GCC unroll 4
      for (int j = 0; j < E; ++j) {
        if (lanes == L) store(dst + (p + j) * width, v[j]);
        else store_n(dst + (p + j) * width, v[j], lanes);
      }
    }
  }
  alignas(16) T block[L * E] = {};  // rows that are not there stay zero
  for (; p < k; p += E) {
    const int steps = static_cast<int>(least(E, k - p));
    for (int i = 0; i < rows; ++i) {
      if (steps == E) memcpy(block + i * E, src + i * stride + p, 16);
      else
        for (int j = 0; j < steps; ++j) block[i * E + j] = src[i * stride + p + j];
    }
#pragma GCC unroll 4
    for (int g = 0; g < E; ++g) v[g] = load_blocks(block + g * E, E * E);
    transpose_blocks<T>(v);
#pragma GCC unroll 4
    for (int j = 0; j < E; ++j)
      if (j < steps) store_n(dst + (p + j) * width, v[j], lanes);
  }
}

// dst[p * width + i] = src[i * s_i + p * s_p] for i < count, 0 for count <= i < width; p < k.
template <class T>
[[gnu::noinline]] void pack_panel(T* dst, int width, int count, const T* src, int64_t s_i, int64_t s_p, int64_t k) {
  constexpr int L = kLanes<T>;
  if (s_i == 1) {
    if (count == width && width % L == 0) {
      for (int64_t p = 0; p < k; ++p, dst += width, src += s_p)
        for (int i = 0; i < width; i += L) store(dst + i, load(src + i));
    } else {
      for (int64_t p = 0; p < k; ++p, dst += width, src += s_p)
        for (int i = 0; i < width; i += L) {
          const int have = static_cast<int>(most(0, least(L, count - i)));
          store_n(dst + i, load_n(src + i, have), static_cast<int>(least(L, width - i)));
        }
    }
  } else if (s_p == 1) {
    for (int i = 0; i < width; i += L)
      pack_rows(dst + i, width, static_cast<int>(least(L, width - i)), src + i * s_i,
                static_cast<int>(most(0, least(L, count - i))), s_i, k);
  } else {
    for (int64_t p = 0; p < k; ++p)
      for (int i = 0; i < width; ++i) dst[p * width + i] = i < count ? src[i * s_i + p * s_p] : T(0);
  }
}

// An operand as it lies in memory. `outer` counts rows of A or columns of B.
// A packer of another kind has the same two members, with direct() false.
template <class T> struct Strided {
  const T* p;
  int64_t s_outer, s_k;
  bool packs;

  bool direct() const { return !packs; }
  void pack(T* dst, int width, int64_t i0, int count, int64_t p0, int64_t k) const {
    pack_panel(dst, width, count, p + i0 * s_outer + p0 * s_k, s_outer, s_k, k);
  }
};

template <class T> inline constexpr int kCols = 2 * kLanes<T>;  // columns of a panel of B

// How a product is cut, by its shape alone.
struct Blocks {
  int64_t k, rows, cols, tile_rows, tile_cols;

  template <class T> static Blocks of(int64_t m, int64_t n, int64_t k) {
    constexpr int64_t nr = kCols<T>, item = sizeof(T);
    const bool few = m <= 3 && n > 256;  // B is used once: it is read in long runs along its rows
    Blocks b;
    b.tile_rows = kRows * most(1, 112 / kRows);
    const int64_t deep = (few ? 128 : m <= b.tile_rows ? 1024 : 2048) / item;
    b.k = k <= deep * 3 / 2 ? k : pieces(pieces(k, pieces(k, deep)), 8) * 8;
    b.rows = 2016 / kRows * kRows;
    b.cols = 2048;
    b.tile_cols = nr * most(1, (few ? 2048 : 512) / item / nr);
    // Small products still give a few tiles to share out.
    const int64_t small_rows = kRows * most(1, 56 / kRows), small_cols = nr * most(1, 64 / nr);
    if (!few && pieces(m, b.tile_rows) * pieces(n, b.tile_cols) < 16) b.tile_cols = small_cols;
    if (pieces(m, b.tile_rows) * pieces(n, b.tile_cols) < 16) b.tile_rows = least(b.tile_rows, small_rows);
    return b;
  }
  template <class T> int64_t a_bytes(int64_t m) const {
    return pieces(pieces(least(m, rows), kRows) * kRows * k * static_cast<int64_t>(sizeof(T)), 64) * 64;
  }
  template <class T> int64_t b_bytes(int64_t n) const {
    return pieces(least(n, cols), kCols<T>) * kCols<T> * k * static_cast<int64_t>(sizeof(T));
  }
  // Where one row of tiles is all of C, nobody else needs a panel of B: it is packed right before its use, and stays
  // in L1.
  bool streams(int64_t m) const { return m <= tile_rows; }
  // Scratch common to the crew, and of each member.
  template <class T> int64_t bytes(int64_t m, int64_t n, bool pack_a, bool pack_b) const {
    return (pack_a ? a_bytes<T>(m) : 0) + (pack_b && !streams(m) ? b_bytes<T>(n) : 0);
  }
  template <class T> int64_t local_bytes(int64_t m, bool pack_b) const {
    return pack_b && streams(m) ? kCols<T> * k * static_cast<int64_t>(sizeof(T)) : 0;
  }
};

// C tile [rows, cols] (+)= A B for one piece of k; panels of A are kRows * k apart when packed, and so on.
template <class T> struct TileJob {
  const T *a, *b, *bias;
  int64_t a_row, a_col, a_panel;  // element strides inside a panel, and from one panel to the next
  int64_t b_row, b_panel;         // likewise for B, whose panels have kCols columns
  T* c;
  int64_t c_row, rows, cols, k;
  bool accumulate;
};

template <class T> [[gnu::noinline]] void run_tile(const TileJob<T>& t) {
  constexpr int L = kLanes<T>, nr = kCols<T>;
  int64_t j = 0;
  const T* b = t.b;
  if (t.b_panel == nr && wide(1) > 2 && t.rows <= 3) {  // B as it lies: few rows take wider vectors
    const int rows = static_cast<int>(t.rows), step = wide(rows) * L;
    const auto fn = pick_outer<T>(rows, wide(rows), false);
    for (; j + step <= t.cols; j += step, b += step)
      fn(t.k, t.a, t.a_row, t.a_col, b, t.b_row, t.c + j, t.c_row, t.bias ? t.bias + j : nullptr, t.accumulate, L);
  }
  for (; j < t.cols; j += nr, b += t.b_panel) {
    const int cols = static_cast<int>(least(nr, t.cols - j)), vectors = cols > L ? 2 : 1;
    const int tail = cols - (vectors - 1) * L;
    const T* bias = t.bias ? t.bias + j : nullptr;
    const T* a = t.a;
    int64_t i = 0;
    if (t.rows >= kRows) {
      const auto fn = pick_outer<T>(kRows, vectors, tail < L);
      for (; i + kRows <= t.rows; i += kRows, a += t.a_panel)
        fn(t.k, a, t.a_row, t.a_col, b, t.b_row, t.c + i * t.c_row + j, t.c_row, bias, t.accumulate, tail);
    }
    if (i < t.rows)
      pick_outer<T>(static_cast<int>(t.rows - i), vectors, tail < L)(t.k, a, t.a_row, t.a_col, b, t.b_row,
                                                                     t.c + i * t.c_row + j, t.c_row, bias,
                                                                     t.accumulate, tail);
  }
}

// C[m, n] = A[m, k] B[k, n] + bias[n] (bias may be null), rows of C `c_row` apart, k > 0.
// done(i, rows, j, cols) is called once for each finished tile of C, by the member that made it.
// `scratch` has Blocks::bytes, common to the crew (a Team, or Solo); `local` gives each thread Blocks::local_bytes.
template <class T, class A, class B, class Done, class Local, class Crew>
void blocked(int64_t m, int64_t n, int64_t k, const A& a, const B& b, T* c, int64_t c_row, const T* bias, Done&& done,
             std::byte* scratch, const Local& local, Crew& crew) {
  constexpr int nr = kCols<T>;
  const Blocks blocks = Blocks::of<T>(m, n, k);
  const bool pack_a = !a.direct(), stream_b = !b.direct() && blocks.streams(m), pack_b = !b.direct() && !stream_b;
  T* const packed_a = reinterpret_cast<T*>(scratch);
  T* const packed_b = reinterpret_cast<T*>(scratch + (pack_a ? blocks.a_bytes<T>(m) : 0));
  for (int64_t js = 0; js < n; js += blocks.cols) {
    const int64_t ns = least(blocks.cols, n - js), col_tiles = pieces(ns, blocks.tile_cols);
    for (int64_t is = 0; is < m; is += blocks.rows) {
      const int64_t ms = least(blocks.rows, m - is), row_tiles = pieces(ms, blocks.tile_rows);
      for (int64_t ps = 0; ps < k; ps += blocks.k) {
        const int64_t kc = least(blocks.k, k - ps);
        if (pack_b)
          crew.each(pieces(ns, nr), [&](int64_t q) {
            b.pack(packed_b + q * nr * kc, nr, js + q * nr, static_cast<int>(least(nr, ns - q * nr)), ps, kc);
          });
        if (pack_a)
          crew.each(pieces(ms, kRows), [&](int64_t q) {
            a.pack(packed_a + q * kRows * kc, kRows, is + q * kRows, static_cast<int>(least(kRows, ms - q * kRows)), ps,
                   kc);
          });
        crew.each(row_tiles * col_tiles, [&](int64_t t) {
          const int64_t i = t % row_tiles * blocks.tile_rows, j = t / row_tiles * blocks.tile_cols;
          T* const panel_b = stream_b ? reinterpret_cast<T*>(local()) : nullptr;
          TileJob<T> job;
          if (pack_a) {
            job.a = packed_a + i * kc, job.a_row = 1, job.a_col = kRows, job.a_panel = kRows * kc;
          } else {
            if constexpr (requires { a.s_outer; }) {
              job.a = a.p + (is + i) * a.s_outer + ps * a.s_k, job.a_row = a.s_outer, job.a_col = a.s_k;
              job.a_panel = kRows * a.s_outer;
            }
          }
          if (stream_b) {
            job.b = panel_b, job.b_row = nr, job.b_panel = 0;
          } else if (pack_b) {
            job.b = packed_b + j * kc, job.b_row = nr, job.b_panel = nr * kc;
          } else {
            if constexpr (requires { b.s_outer; }) {
              job.b = b.p + (js + j) + ps * b.s_k, job.b_row = b.s_k, job.b_panel = nr;
            }
          }
          job.rows = least(blocks.tile_rows, ms - i), job.cols = least(blocks.tile_cols, ns - j), job.k = kc;
          job.c = c + (is + i) * c_row + js + j, job.c_row = c_row;
          const bool last = ps + kc == k;
          job.bias = last && bias ? bias + js + j : nullptr, job.accumulate = ps > 0;
          if (stream_b) {
            for (const int64_t end = j + job.cols; job.cols > 0; job.cols -= nr) {
              TileJob<T> panel = job;
              panel.cols = least(nr, job.cols);
              b.pack(panel_b, nr, js + end - job.cols, static_cast<int>(panel.cols), ps, kc);
              run_tile(panel);
              job.c += nr;
              if (job.bias) job.bias += nr;
            }
            job.cols = least(blocks.tile_cols, ns - j);
          } else {
            run_tile(job);
          }
          if (last) done(is + i, job.rows, js + j, job.cols);
        });
      }
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
