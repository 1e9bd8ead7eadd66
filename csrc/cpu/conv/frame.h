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

  // Of `channels` channels of all images; two vectors may be read from each value.
  template <class T> int64_t elements(int64_t channels) const { return images * channels * channel + 2 * kLanes<T>; }

  // Where place j of the run lies beyond the first one; a frame has `channels`.
  int64_t offset(int64_t j, int64_t channels) const {
    int64_t at[kAxes];
    place(first + (images > 1 ? j % count : j), at);
    const int64_t image = images > 1 ? j / count : 0;
    return image * channels * channel + ((at[0] - low[0]) * size[1] + at[1] - low[1]) * size[2] + at[2] - low[2];
  }
  // All places, in vectors: to[j / L] are places j to j + L - 1.
  template <class T> void lanes(Lanes<T>* to, int64_t vectors, int64_t channels) const {
    constexpr int L = kLanes<T>;
    const int64_t all = images * count;
    for (int64_t j = 0; j < vectors; ++j)
      to[j] =
          Lanes<T>(static_cast<int>(max(0, min(L, all - j * L))), [&](int i) { return offset(j * L + i, channels); });
  }
  // Where the first place of a frame meets each (channel, tap).
  void taps(int32_t* to, int64_t channels) const {
    const Axis* const a = c->of;
    for (int64_t n = 0; n < channels; ++n)
      for (int64_t t0 = 0; t0 < a[0].taps; ++t0)
        for (int64_t t1 = 0; t1 < a[1].taps; ++t1)
          for (int64_t t2 = 0; t2 < a[2].taps; ++t2) {
            const int64_t t[] = {t0, t1, t2};
            int64_t which = 0, at = 0;
            for (int d = 0; d < kAxes; ++d) {
              const int64_t beyond = a[d].shift + t[d] * a[d].shift_step - a[d].least_shift();
              which = which * a[d].step + beyond % a[d].step, at = at * size[d] + beyond / a[d].step;
            }
            *to++ = static_cast<int32_t>(n * channel + which * part + at);
          }
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
  void place(int64_t at, int64_t* to) const {
    const int64_t row = c->of[2].places, line = at / row, lines = c->of[1].places;
    to[0] = line / lines, to[1] = line % lines, to[2] = at % row;
  }
  // Whether a tap meets what lies r beyond a multiple of the step.
  bool met(int axis, int64_t r) const {
    const Axis& a = c->of[axis];
    if (a.step == 1) return true;
    for (int64_t t = 0; t < a.taps; ++t)
      if ((a.shift + t * a.shift_step - a.least_shift()) % a.step == r) return true;
    return false;
  }
  template <class T> void fill_part(T* to, const T* from, int64_t r0, int64_t r1, int64_t r2) const {
    const Axis* const a = c->of;
    const int64_t x = begin[2] + r2, step = a[2].step, n = size[2];
    // Places [inside, end) of a row exist.
    const int64_t inside = min(n, x < 0 ? ceil_div(-x, step) : 0),
                  end = max(inside, min(n, a[2].seen > x ? ceil_div(a[2].seen - x, step) : 0));
    for (int64_t i = 0; i < size[0]; ++i)
      for (int64_t j = 0; j < size[1]; ++j, to += n) {
        const int64_t y0 = begin[0] + r0 + i * a[0].step, y1 = begin[1] + r1 + j * a[1].step;
        if (y0 < 0 || y0 >= a[0].seen || y1 < 0 || y1 >= a[1].seen) {
          for (int64_t q = 0; q < n; ++q) to[q] = T(0);
          continue;
        }
        const T* const row = from + (y0 * a[1].seen + y1) * a[2].seen + x;
        for (int64_t q = 0; q < inside; ++q) to[q] = T(0);
        if (step == 1)
          for (int64_t q = inside; q < end; ++q) to[q] = row[q];
        else if (step == 2)
          for (int64_t q = inside; q < end; ++q) to[q] = row[2 * q];
        else
          for (int64_t q = inside; q < end; ++q) to[q] = row[q * step];
        for (int64_t q = end; q < n; ++q) to[q] = T(0);
      }
  }
};

}  // namespace rv::RV_ISA::conv
