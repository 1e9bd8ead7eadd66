// SPDX-License-Identifier: Apache-2.0
// The operands of a product along places, which gives the gradient of weights. What a run of places sees is copied with
// channels side by side, so that rows of B are vectors of channels.
#pragma once
#include "cpu/conv/frame.h"
#include "cpu/gemm/operand.h"

namespace rv::RV_ISA::conv {

using gemm::kCols;
using gemm::kRows;
using gemm::Source;

// A frame with channels side by side, `channels` of them, filled up to whole vectors.
template <class T> struct TransposedFrame {
  const Frame* frame;
  int64_t channels, width;     // of a place: channels, and elements
  int64_t size[kAxes], image;  // places along the axes, elements of an image

  TransposedFrame(const Frame& f, int64_t channels_)
      : frame(&f), channels(channels_), width(ceil_div(channels_, kLanes<T>) * kLanes<T>), image(width) {
    for (int d = 0; d < kAxes; ++d) size[d] = f.size[d] * f.c->of[d].step, image *= size[d];
  }
  int64_t vectors() const { return width / kLanes<T>; }

  // Where each place of the run lies, for `images` of them.
  void places(int32_t* to, int64_t images) const {
    const Axis* const a = frame->c->of;
    int64_t at[kAxes];
    for (int64_t j = 0; j < frame->count; ++j) {
      frame->place(frame->first + j, at);
      int64_t where = 0;
      for (int d = 0; d < kAxes; ++d) where = where * size[d] + (at[d] - frame->low[d]) * a[d].step;
      to[j] = static_cast<int32_t>(where * width);
    }
    for (int64_t j = frame->count; j < images * frame->count; ++j)
      to[j] = static_cast<int32_t>(to[j - frame->count] + image);
  }
  // Where the first place of a frame meets each (tap, vector of channels); as many again as fill a panel.
  void taps(int32_t* to) const {
    const Axis* const a = frame->c->of;
    for (int64_t t0 = 0; t0 < a[0].taps; ++t0)
      for (int64_t t1 = 0; t1 < a[1].taps; ++t1)
        for (int64_t t2 = 0; t2 < a[2].taps; ++t2) {
          const int64_t t[] = {t0, t1, t2};
          int64_t where = 0;
          for (int d = 0; d < kAxes; ++d)
            where = where * size[d] + a[d].shift + t[d] * a[d].shift_step - a[d].least_shift();
          for (int64_t v = 0; v < vectors(); ++v) *to++ = static_cast<int32_t>(where * width + v * kLanes<T>);
        }
    *to = to[-1];
  }
  // One image, of which zeros around what exists are there already.
  void fill(T* to, const T* from) const {
    constexpr int L = kLanes<T>;
    const Axis* const a = frame->c->of;
    int64_t begin[kAxes], end[kAxes];  // of the places that exist
    for (int d = 0; d < kAxes; ++d) {
      begin[d] = max(0, -frame->begin[d]);
      end[d] = max(begin[d], min(size[d], a[d].seen - frame->begin[d]));
    }
    for (int64_t i = begin[0]; i < end[0]; ++i)
      for (int64_t j = begin[1]; j < end[1]; ++j)
        for (int64_t n = 0; n < channels; n += L)
          gemm::pack_rows(to + ((i * size[1] + j) * size[2] + begin[2]) * width + n, width, L,
                          from + n * frame->c->seen() +
                              ((frame->begin[0] + i) * a[1].seen + frame->begin[1] + j) * a[2].seen + frame->begin[2] +
                              begin[2],
                          static_cast<int>(min(L, channels - n)), frame->c->seen(), end[2] - begin[2]);
  }
};

// B[(image, place), (tap, channel)].
template <class T> struct TransposedPatches {
  const T* frames;
  const int32_t *places, *taps;  // of vectors of columns
  Source source = Source::copied;

  void panels(T* to, int64_t j, int64_t columns, int64_t p, int64_t k) const {
    constexpr int64_t W = kCols<T>, L = kLanes<T>;
    for (int64_t q = 0; q < columns; q += W) {
      const T *const a = frames + taps[(j + q) / L], *const b = frames + taps[(j + q) / L + 1];
      for (int64_t i = 0; i < k; ++i, to += W) {
        const int32_t at = places[p + i];
        gemm::store(to, gemm::load(a + at)), gemm::store(to + L, gemm::load(b + at));
      }
    }
  }
};

// A[row, (image, place)]: gradients of y at a run of places.
template <class T> struct Gradients {
  const T* g;
  int64_t row, image, count;  // elements from one to the next; places of an image
  Source source = Source::copied;

  void pack(T* to, int64_t i0, int64_t rows, int64_t p, int64_t k) const {
    gemm::each_group(rows, kRows, [&](int64_t group, int64_t i, int64_t end) {
      for (int64_t q = 0; q < k;) {
        const int64_t place = (p + q) % count, length = min(k - q, count - place);
        const gemm::Strided<T> one{g + (p + q) / count * image, row, 1, Source::copied};
        one.pack(to + (group * k + q) * kRows, i0 + i, end - i, place, length);
        q += length;
      }
    });
  }
};

}  // namespace rv::RV_ISA::conv
