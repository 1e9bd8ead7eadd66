// SPDX-License-Identifier: Apache-2.0
// Products of rows along places: sums[i, q] += the sum over places of g[i, place] times what tap q meets there. Vectors
// run along places in both, as they lie, and lanes are summed last.
#pragma once
#include "cpu/conv/frame.h"

namespace rv::RV_ISA::conv {

// Rows and taps whose sums fit the registers.
#if defined(RV_AVX512)
inline constexpr int kSumRows = 4, kSumTaps = 4, kSumTapsOfTwo = 8, kSumTapsOfOne = 12;
#else
inline constexpr int kSumRows = 2, kSumTaps = 4, kSumTapsOfTwo = 4, kSumTapsOfOne = 10;
#endif

template <class T> struct LaneSums {
  const T *g, *frame;
  int64_t g_row, g_image, frame_image;  // elements from one to the next
  int64_t images, vectors;
  const Lanes<T>* lanes;

  // sums: `rows` of them, `row` elements apart.
  void run(int64_t rows, const int32_t* taps, int64_t count, T* sums, int64_t row) const {
    LaneSums at = *this;
    int64_t i = 0;
    for (; rows - i >= 3 && kSumRows == 4; i += 4, at.g += 4 * g_row)
      at.template columns<kSumRows, kSumTaps>(min(4, rows - i), taps, count, sums + i * row, row);
    for (; rows - i >= 2; i += 2, at.g += 2 * g_row)
      at.template columns<2, kSumTapsOfTwo>(2, taps, count, sums + i * row, row);
    if (i < rows) at.row_of_taps(taps, count, sums + i * row);
  }

 private:
  template <int R, int Q> void columns(int64_t rows, const int32_t* taps, int64_t count, T* sums, int64_t row) const {
    for (int64_t q = 0; q < count; q += Q) block<R, Q>(rows, taps + q, min(Q, count - q), sums + q, row);
  }
  // One row: as many taps as there are, in groups of about the same size.
  void row_of_taps(const int32_t* taps, int64_t count, T* sums) const {
    const int64_t groups = ceil_div(count, kSumTapsOfOne);
    for (int64_t n = 0, q = 0; n < groups; ++n) {
      const int64_t end = count * (n + 1) / groups;
      exactly<kSumTapsOfOne>(taps + q, end - q, sums + q);
      q = end;
    }
  }
  template <int Q> void exactly(const int32_t* taps, int64_t count, T* sums) const {
    if constexpr (Q > 0) return count == Q ? block<1, Q>(1, taps, count, sums, 0) : exactly<Q - 1>(taps, count, sums);
  }

  template <int R, int Q> void block(int64_t rows, const int32_t* taps, int64_t count, T* sums, int64_t row) const {
    constexpr int L = kLanes<T>, N = R * Q, groups = (N + L - 1) / L;
    vec<T> acc[groups * L] = {};
    int64_t at[Q], lines[R];
#pragma GCC unroll 16
    for (int q = 0; q < Q; ++q) at[q] = taps[q < count ? q : count - 1];
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) lines[i] = (i < rows ? i : rows - 1) * g_row;
    for (int64_t image = 0; image < images; ++image) {
      const T *const of_g = g + image * g_image, *const seen = frame + image * frame_image;
      for (int64_t v = 0; v < vectors; ++v) {
        const Lanes<T>& places = lanes[v];
        const T* const from = of_g + v * L;
        auto add = [&](auto load) __attribute__((always_inline)) {
          vec<T> x[R];
#pragma GCC unroll 4
          for (int i = 0; i < R; ++i)
            x[i] = places.count == L ? gemm::load(from + lines[i]) : gemm::load_n(from + lines[i], places.count);
#pragma GCC unroll 16
          for (int q = 0; q < Q; ++q) {
            const vec<T> met = load(seen + at[q]);
#pragma GCC unroll 4
            for (int i = 0; i < R; ++i) acc[i * Q + q] = gemm::multiply_add<T>(x[i], met, acc[i * Q + q]);
          }
        };
        if (places.kind == Lanes<T>::row)
          add([&](const T* p) __attribute__((always_inline)) { return gemm::load(p + places.first); });
        else if (places.kind == Lanes<T>::near)
          add([&](const T* p)
                  __attribute__((always_inline)) { return pick<T>(p + places.first, places.at, places.count); });
        else add([&](const T* p) { return places.load(p); });
      }
    }
    alignas(kVecBytes) T total[groups * L];
#pragma GCC unroll 8
    for (int n = 0; n < groups; ++n) gemm::store(total + n * L, gemm::sums<T>(acc + n * L));
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t q = 0; q < count; ++q) sums[i * row + q] += total[i * Q + q];
  }
};

}  // namespace rv::RV_ISA::conv
