// SPDX-License-Identifier: Apache-2.0
// The operands of a convolution as a matrix product (cpu/gemm/operand.h). Patches lie nowhere: they are gathered into
// the panels that the product reads.
#pragma once
#include "cpu/conv/space.h"
#include "cpu/gemm/operand.h"

namespace rv::RV_ISA::conv {

using gemm::kCols;
using gemm::kRows;
using gemm::Source;

// B[(channel, tap), place]: what each tap of the kernel meets at each place. Forward: of an image x for the places of
// y; back: of a gradient y for the places of x.
template <class T, bool back> struct Patches {
  const Space* space;
  const T* image;  // of one image and group
  int64_t first;   // place of column 0
  Source source = Source::copied;

  const Extent& places() const { return back ? space->x : space->y; }
  const Extent& seen() const { return back ? space->y : space->x; }

  void panels(T* to, int64_t j, int64_t columns, int64_t p, int64_t k) const {
    constexpr int64_t W = kCols<T>;
    for (int64_t q = 0; q < columns; q += W, to += W * k) panel(to, first + j + q, min(W, columns - q), p, k);
  }

 private:
  // One row of places within a panel.
  struct Row {
    int64_t column, length, at[kAxes];
  };

  void panel(T* to, int64_t place, int64_t width, int64_t p, int64_t k) const {
    constexpr int64_t W = kCols<T>;
    const Extent &whole = places(), &from = seen();
    Row rows[W];
    int count = 0;
    for (int64_t c = 0; c < width; ++count) {
      const int64_t at = place + c, line = at / whole.of[2], x = at % whole.of[2];
      const int64_t length = min(width - c, whole.of[2] - x);
      rows[count] = {c, length, {line / whole.of[1], line % whole.of[1], x}};
      c += length;
    }
    const Extent& kernel = space->k;
    for (int64_t q = p; q < p + k; ++q, to += W) {
      const int64_t t2 = q % kernel.of[2], t1 = q / kernel.of[2] % kernel.of[1],
                    t0 = q / (kernel.of[2] * kernel.of[1]) % kernel.of[0], channel = q / kernel.count();
      const T* const plane = image + channel * from.count();
      for (int64_t c = width; c < W; ++c) to[c] = T(0);
      for (int r = 0; r < count; ++r) {
        const Row& row = rows[r];
        T* const line = to + row.column;
        int64_t a0, a1;
        Run run{};
        if (meets<back>(*space, 0, row.at[0], t0, a0) && meets<back>(*space, 1, row.at[1], t1, a1)) {
          run = meets_along<back>(*space, row.at[2], row.length, t2);
          if (run.count < row.length)
            for (int64_t i = 0; i < row.length; ++i) line[i] = T(0);
          const T* const src = plane + (a0 * from.of[1] + a1) * from.of[2] + run.from;
          if (run.step == 1 && run.jump == 1)
            for (int64_t i = 0; i < run.count; ++i) line[run.first + i] = src[i];
          else
            for (int64_t i = 0; i < run.count; ++i) line[run.first + i * run.step] = src[i * run.jump];
        } else {
          for (int64_t i = 0; i < row.length; ++i) line[i] = T(0);
        }
      }
    }
  }
};

// B[(image, place of y), (channel, tap)]: the same patches, transposed, of all images from `image` on.
template <class T> struct TransposedPatches {
  const Space* space;
  const T* x;  // of the group in the first image
  Source source = Source::copied;

  void panels(T* to, int64_t j, int64_t columns, int64_t p, int64_t k) const {
    constexpr int64_t W = kCols<T>;
    for (int64_t q = 0; q < columns; q += W, to += W * k) {
      const int64_t width = min(W, columns - q);
      for (int64_t c = 0; c < W; ++c) column(to + c, c < width ? j + q + c : -1, p, k);
    }
  }

 private:
  void column(T* to, int64_t j, int64_t p, int64_t k) const {
    constexpr int64_t W = kCols<T>;
    if (j < 0) {
      for (int64_t i = 0; i < k; ++i) to[i * W] = T(0);
      return;
    }
    const Extent &kernel = space->k, &y = space->y, &from = space->x;
    const int64_t t2 = j % kernel.of[2], t1 = j / kernel.of[2] % kernel.of[1],
                  t0 = j / (kernel.of[2] * kernel.of[1]) % kernel.of[0], channel = j / kernel.count();
    const int64_t image_step = space->groups * space->c * from.count();
    for (int64_t i = 0; i < k;) {
      const int64_t at = p + i, image = at / y.count(), place = at % y.count(), line = place / y.of[2],
                    x0 = place % y.of[2], length = min(k - i, y.of[2] - x0);
      const T* const plane = x + image * image_step + channel * from.count();
      T* const row = to + i * W;
      int64_t a0, a1;
      Run run{};
      const bool inside =
          meets<false>(*space, 0, line / y.of[1], t0, a0) && meets<false>(*space, 1, line % y.of[1], t1, a1);
      if (inside) run = meets_along<false>(*space, x0, length, t2);
      if (run.count < length)
        for (int64_t n = 0; n < length; ++n) row[n * W] = T(0);
      if (inside) {
        const T* const src = plane + (a0 * from.of[1] + a1) * from.of[2] + run.from;
        for (int64_t n = 0; n < run.count; ++n) row[(run.first + n) * W] = src[n * run.jump];
      }
      i += length;
    }
  }
};

// Rows of A, given by f(row, first value of k, how many, to, step): in panels of kRows, as the product reads them.
template <class T, class F> void pack_rows(T* to, int64_t i0, int64_t rows, int64_t p, int64_t k, F&& f) {
  gemm::each_group(rows, kRows, [&](int64_t g, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i0 + i, p, k, to + g * kRows * k + (i - begin), kRows);
  });
}

// A[channel of x, (kernel, tap)] of one group: its weights with the channels exchanged.
template <class T> struct TransposedWeights {
  const Space* space;
  const T* w;
  Source source = Source::copied;

  void pack(T* to, int64_t i, int64_t rows, int64_t p, int64_t k) const {
    const int64_t taps = space->taps(), c = space->c;
    pack_rows(to, i, rows, p, k, [&](int64_t row, int64_t first, int64_t n, T* at, int64_t step) {
      for (int64_t q = 0; q < n; ++q) {
        const int64_t o = (first + q) / taps, tap = (first + q) % taps;
        at[q * step] = w[(o * c + row) * taps + tap];
      }
    });
  }
};

// A[kernel, (image, place of y)] of one group: gradients of y, of all images.
template <class T> struct Gradients {
  const Space* space;
  const T* g;
  Source source = Source::copied;

  void pack(T* to, int64_t i, int64_t rows, int64_t p, int64_t k) const {
    const int64_t places = space->y.count(), image_step = space->groups * space->o * places;
    pack_rows(to, i, rows, p, k, [&](int64_t row, int64_t first, int64_t n, T* at, int64_t step) {
      for (int64_t q = 0; q < n;) {
        const int64_t image = (first + q) / places, place = (first + q) % places, length = min(n - q, places - place);
        const T* const src = g + image * image_step + row * places + place;
        for (int64_t j = 0; j < length; ++j) at[(q + j) * step] = src[j];
        q += length;
      }
    });
  }
};

}  // namespace rv::RV_ISA::conv
