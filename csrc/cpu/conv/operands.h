// SPDX-License-Identifier: Apache-2.0
// The operands of a correlation as a matrix product (cpu/gemm/operand.h). Patches lie nowhere: they are copied from a
// frame into the panels that the product reads.
#pragma once
#include "cpu/conv/frame.h"
#include "cpu/gemm/operand.h"

namespace rv::RV_ISA::conv {

using gemm::kCols;
using gemm::kRows;
using gemm::Source;

// B[(channel, tap), place]: what each tap meets at each place of a run.
template <class T> struct Patches {
  const T* frame;
  const int32_t* taps;    // where each (channel, tap) begins
  const Lanes<T>* lanes;  // of all places, whole panels
  Source source = Source::copied;

  void panels(T* to, int64_t j, int64_t columns, int64_t p, int64_t k) const {
    constexpr int64_t W = kCols<T>, L = kLanes<T>;
    for (int64_t q = 0; q < columns; q += W, to += W * k) panel(to, lanes + (j + q) / L, p, k);
  }

 private:
  using Kind = typename Lanes<T>::Kind;

  void panel(T* to, const Lanes<T>* two, int64_t p, int64_t k) const {
    constexpr int L = kLanes<T>;
    if (two[0].kind == Kind::row && two[1].kind == Kind::row) {
      const T *const a = frame + two[0].first, *const b = frame + two[1].first;
      for (int64_t q = 0; q < k; ++q, to += 2 * L) {
        gemm::store(to, gemm::load(a + taps[p + q])), gemm::store(to + L, gemm::load(b + taps[p + q]));
      }
    } else if (two[0].kind != Kind::far && two[1].kind != Kind::far) {
      const T *const a = frame + two[0].first, *const b = frame + two[1].first;
      for (int64_t q = 0; q < k; ++q, to += 2 * L) {
        gemm::store(to, pick<T>(a + taps[p + q], two[0].at, two[0].count));
        gemm::store(to + L, pick<T>(b + taps[p + q], two[1].at, two[1].count));
      }
    } else {
      for (int64_t q = 0; q < k; ++q, to += 2 * L)
        gemm::store(to, two[0].load(frame + taps[p + q])), gemm::store(to + L, two[1].load(frame + taps[p + q]));
    }
  }
};

// The weights of one group of the correlation that gives x of y, in the order of its terms: to[channel, (kernel, tap)].
template <class T> void back_weights(const Correlation& c, const Space& s, const T* w, int64_t channel, T* to) {
  const Axis* const a = c.of;
  for (int64_t o = 0; o < c.channels; ++o) {
    const T* const from = w + (o * s.c + channel) * s.k.count();
    for (int64_t i = 0; i < a[0].taps; ++i)
      for (int64_t j = 0; j < a[1].taps; ++j) {
        const T* const row =
            from + ((a[0].first_tap + i * a[0].tap_step) * s.k.of[1] + a[1].first_tap + j * a[1].tap_step) * s.k.of[2] +
            a[2].first_tap;
        for (int64_t n = 0; n < a[2].taps; ++n) *to++ = row[n * a[2].tap_step];
      }
  }
}

}  // namespace rv::RV_ISA::conv
