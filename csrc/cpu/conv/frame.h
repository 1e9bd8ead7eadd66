// SPDX-License-Identifier: Apache-2.0
// What a run of places sees of some channels: a copy with the zeros that lie around it. There each tap meets
// neighbouring places side by side: along an axis with a step, values are in as many parts, by their place modulo the
// step.
#pragma once
#include "cpu/conv/lanes.h"
#include "cpu/conv/space.h"

namespace rv::RV_ISA::conv {

// The places of a result in runs of about `columns`: rows of places, or parts of one, so that a run sees a box.
struct Runs {
  int64_t unit, pieces, length;  // a run is one piece of a unit

  Runs(const Correlation& c, int64_t columns, int64_t align) {
    const int64_t row = c.of[2].places, plane = row * c.of[1].places;
    int64_t step = row;
    unit = c.places();
    if (unit <= columns) step = unit;
    else if (plane <= columns) step = plane;
    else if (row <= columns) unit = plane;
    else unit = row, step = align;
    pieces = max(1, ceil_div(unit, max(1, columns / max(step, 1)) * max(step, 1)));
    length = ceil_div(ceil_div(unit, pieces), max(step, 1)) * max(step, 1);
    pieces = max(1, ceil_div(unit, max(length, 1)));
  }
  int64_t count(int64_t places) const { return unit == 0 ? 0 : places / unit * pieces; }
  int64_t begin(int64_t run) const { return run / pieces * unit + run % pieces * length; }
  int64_t size(int64_t run) const { return min(length, unit - run % pieces * length); }
};

struct Frame {
  const Correlation* c;
  int64_t images, first, count;  // places [first, first + count) of some images; all places of several ones
  int64_t low[kAxes];            // the run's box of places
  int64_t begin[kAxes];          // of what is seen, where the frame begins
  int64_t size[kAxes];           // of a part of the frame
  int64_t part, channel;         // elements of a part, of a channel

  Frame(const Correlation& of, int64_t images_, int64_t first_, int64_t count_)
      : c(&of), images(images_), first(first_), count(count_), part(1), channel(1) {
    const int64_t row = of.of[2].places, last = first + count - 1;
    int64_t to[kAxes];
    place(first, low);
    place(last, to);
    if (first / row != last / row) low[2] = 0, to[2] = row - 1;
    if (first / row / of.of[1].places != last / row / of.of[1].places) low[1] = 0, to[1] = of.of[1].places - 1;
    for (int d = 0; d < kAxes; ++d) {
      const Axis& a = of.of[d];
      begin[d] = low[d] * a.step + a.least_shift();
      size[d] = to[d] - low[d] + (a.taps - 1) * (a.shift_step < 0 ? -a.shift_step : a.shift_step) / a.step + 1;
      part *= size[d], channel *= size[d] * a.step;
    }
  }

  // The coordinates of a place.
  void place(int64_t at, int64_t* to) const {
    const int64_t row = c->of[2].places, line = at / row, lines = c->of[1].places;
    to[0] = line / lines, to[1] = line % lines, to[2] = at % row;
  }
  // Of `channels` channels of all images; two vectors may be read from each value.
  template <class T> int64_t elements(int64_t channels) const { return images * channels * channel + 2 * kLanes<T>; }

  // All places, in vectors: to[j] are places j L to j L + L - 1; a frame has `channels`.
  template <class T> void lanes(Lanes<T>* to, int64_t vectors, int64_t channels) const {
    constexpr int L = kLanes<T>;
    const int64_t row = c->of[2].places, lines = c->of[1].places;
    int64_t at[kAxes], left = images * count, image = 0;
    place(first, at);
    auto here = [&] {
      return image * channels * channel + ((at[0] - low[0]) * size[1] + at[1] - low[1]) * size[2] + at[2] - low[2];
    };
    auto next_line = [&] {
      at[2] = 0;
      if (++at[1] == lines) at[1] = 0, ++at[0];
      if (at[0] == c->of[0].places) at[0] = 0, ++image;
    };
    for (int64_t j = 0; j < vectors; ++j, left -= L) {
      if (left >= L && row - at[2] >= L) {
        to[j].set_row(here());
        if ((at[2] += L) == row) next_line();
      } else {
        to[j].set(static_cast<int>(max(0, min(L, left))), [&] {
          const int64_t place = here();
          if (++at[2] == row) next_line();
          return place;
        });
      }
    }
  }
  // Where the first place of a frame meets each (channel, tap).
  void taps(int32_t* to, int64_t channels) const {
    const Axis* const a = c->of;
    // What a tap of an axis adds.
    auto shift = [&](int d, int64_t t) {
      const int64_t beyond = a[d].shift + t * a[d].shift_step - a[d].least_shift();
      int64_t part_step = part, place_step = 1;
      for (int e = d + 1; e < kAxes; ++e) part_step *= a[e].step, place_step *= size[e];
      return beyond % a[d].step * part_step + beyond / a[d].step * place_step;
    };
    const int64_t count = c->taps();
    int32_t* at = to;
    for (int64_t t0 = 0; t0 < a[0].taps; ++t0)
      for (int64_t t1 = 0; t1 < a[1].taps; ++t1) {
        const int64_t line = shift(0, t0) + shift(1, t1);
        for (int64_t t2 = 0; t2 < a[2].taps; ++t2) *at++ = static_cast<int32_t>(line + shift(2, t2));
      }
    for (int64_t n = 1; n < channels; ++n)
      for (int64_t t = 0; t < count; ++t) *at++ = static_cast<int32_t>(to[t] + n * channel);
  }
  // Zeros around what `fill` copies.
  template <class T> void clear(T* to, int64_t channels) const {
    memset(to, 0, static_cast<size_t>(elements<T>(channels)) * sizeof(T));
  }
  // The frame of `channels` channels of an image, which begin at `from`.
  template <class T> void fill(T* to, const T* from, int64_t channels) const {
    const Axis* const a = c->of;
    for (int64_t n = 0; n < channels; ++n, from += c->seen())
      for (int64_t r0 = 0; r0 < a[0].step; ++r0)
        for (int64_t r1 = 0; r1 < a[1].step; ++r1)
          for (int64_t r2 = 0; r2 < a[2].step; ++r2, to += part)
            if (met(0, r0) && met(1, r1) && met(2, r2)) fill_part(to, from, r0, r1, r2);
  }

 private:
  // Whether a tap meets what lies r beyond a multiple of the step.
  bool met(int axis, int64_t r) const {
    const Axis& a = c->of[axis];
    if (a.step == 1) return true;
    for (int64_t t = 0; t < a.taps; ++t)
      if ((a.shift + t * a.shift_step - a.least_shift()) % a.step == r) return true;
    return false;
  }
  // Places of a part that exist along an axis, for what lies r beyond a multiple of the step.
  struct Inside {
    int64_t from, begin, end;  // where the first place of the part lies

    Inside(const Axis& a, int64_t begin_, int64_t size, int64_t r)
        : from(begin_ + r),
          begin(min(size, from < 0 ? ceil_div(-from, a.step) : 0)),
          end(max(begin, min(size, a.seen > from ? ceil_div(a.seen - from, a.step) : 0))) {}
  };
  template <class T> void fill_part(T* to, const T* from, int64_t r0, int64_t r1, int64_t r2) const {
    const Axis* const a = c->of;
    const Inside x(a[0], begin[0], size[0], r0), y(a[1], begin[1], size[1], r1), z(a[2], begin[2], size[2], r2);
    const int64_t step = a[2].step, n = z.end - z.begin;
    for (int64_t i = x.begin; i < x.end; ++i)
      for (int64_t j = y.begin; j < y.end; ++j) {
        const T* const row = from + ((x.from + i * a[0].step) * a[1].seen + y.from + j * a[1].step) * a[2].seen +
                             z.from + z.begin * step;
        T* const line = to + (i * size[1] + j) * size[2] + z.begin;
        if (step == 1) copy(line, row, n);
        else if (step == 2)
          for (int64_t q = 0; q < n; ++q) line[q] = row[2 * q];
        else
          for (int64_t q = 0; q < n; ++q) line[q] = row[q * step];
      }
  }
  template <class T> RV_INLINE static void copy(T* to, const T* from, int64_t n) {
    constexpr int L = kLanes<T>;
    int64_t q = 0;
    for (; q + L <= n; q += L) gemm::store(to + q, gemm::load(from + q));
    if (q < n) gemm::store_n(to + q, gemm::load_n(from + q, static_cast<int>(n - q)), static_cast<int>(n - q));
  }
};

}  // namespace rv::RV_ISA::conv
