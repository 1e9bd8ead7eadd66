// SPDX-License-Identifier: Apache-2.0
// One correlation: which way it goes and how it is cut, by its shape alone, and the work of one piece.
#pragma once
#include "cpu/conv/direct.h"
#include "cpu/conv/operands.h"
#include "cpu/gemm/algorithms/outer.h"
#include "cpu/move/packed.h"

namespace rv::RV_ISA::conv {

using gemm::Blocks;
using gemm::Strided;

template <class T> class Correlator {
 public:
  // `whole`: one task makes all of an image.
  Correlator(const Correlation& c, bool whole)
      : c_(c),
        m_(c.rows),
        n_(c.places()),
        k_(c.terms()),
        direct_(m_ <= kDirectRows),
        plain_(!direct_ && is_plain(c)),
        in_place_(c.of[0].apart * c.of[1].apart * c.of[2].apart == 1),
        together_(whole ? 1 : together()),
        runs_(c, columns(), kCols<T>),
        runs_of_task_(whole ? max(1, runs()) : 1),
        groups_of_task_(whole ? c.groups : groups()) {}

  // ---- weights
  int64_t rows_elements() const { return c_.groups * m_ * k_; }
  // Few columns read weights as they lie.
  bool in_panels() const { return !direct_ && k_ > 0 && c_.images * n_ >= gemm::policy::weights_in_place_columns; }
  int64_t panels_bytes() const { return in_panels() ? line_up(c_.groups * panels_elements() * item) : 0; }
  void pack(const T* rows, T* panels, Team& team) const {
    for (int64_t g = 0; g < c_.groups && in_panels(); ++g)
      gemm::pack_rows_ahead(panels + g * panels_elements(), Strided<T>{rows + g * m_ * k_, k_, 1, Source::copied}, m_,
                            k_, team);
  }

  struct Operands {
    const T* seen;    // all images
    const T* rows;    // weights [group, rows, terms]
    const T* panels;  // the same packed, if in_panels()
    const T* bias;    // or null
  };

  // ---- tasks
  int64_t images_of_task() const { return together_; }
  int64_t tasks() const {
    return n_ * m_ == 0 ? 0
                        : ceil_div(c_.images, together_) * ceil_div(c_.groups, groups_of_task_) *
                              ceil_div(runs(), runs_of_task_);
  }
  // Few tasks are shared out themselves.
  bool shared_out() const { return tasks() < kFewTasks && !direct_; }

  // `result`: of the first image of the task, planes of `plane` elements.
  // `near`: the result is in a near cache. A product writes many rows at once, which is slow where none of them is.
  void run(int64_t task, const Operands& in, T* result, int64_t plane, const int64_t* result_size, bool near,
           Team& team) const {
    const int64_t run_tasks = ceil_div(runs(), runs_of_task_), group_tasks = ceil_div(c_.groups, groups_of_task_);
    const int64_t run0 = task % run_tasks * runs_of_task_, group0 = task / run_tasks % group_tasks * groups_of_task_,
                  image0 = image_of(task);
    const int64_t run_end = min(runs(), run0 + runs_of_task_), group_end = min(c_.groups, group0 + groups_of_task_);
    for (int64_t r = run0; r < run_end; ++r)
      run_piece(in, image0, min(together_, c_.images - image0), group0, group_end, r, result, plane, result_size, near,
                team);
  }
  int64_t image_of(int64_t task) const {
    return task / (ceil_div(runs(), runs_of_task_) * ceil_div(c_.groups, groups_of_task_)) * together_;
  }

 private:
  static constexpr int64_t item = sizeof(T), kFewTasks = 4;

  // The result is a plain product: each value that is seen meets one tap, at its own place.
  static bool is_plain(const Correlation& c) {
    for (const Axis& a : c.of)
      if (a.taps != 1 || a.step != 1 || a.shift != 0 || a.places != a.seen || a.apart != 1) return false;
    return c.places() >= gemm::policy::enough_columns;
  }
  int64_t panels_elements() const { return gemm::panel_elements(m_, kRows, k_); }
  int64_t runs() const { return runs_.count(n_); }
  // Images whose places are columns of one product, where one has few.
  int64_t together() const {
    if (direct_ || n_ == 0) return 1;
    return max(1, min(c_.images, ceil_div(gemm::policy::enough_columns, n_)));
  }
  // Places of a run: what it sees and its result stay near, and there are tasks for all threads.
  int64_t columns() const {
    if (together_ > 1) return n_;
    constexpr int64_t W = kCols<T>, near = gemm::policy::near_bytes / item;
    const int64_t per_place = direct_ ? 1 + c_.channels : m_ + c_.channels;
    const int64_t tasks = ceil_div(n_ * c_.images * (direct_ ? c_.groups : 1), kTasks);
    return max(min(8 * W, tasks), max(4 * W, min(near / max(per_place, 1), tasks)));
  }
  int64_t groups() const {
    const double work = static_cast<double>(m_ * max(k_, 1)) * static_cast<double>(runs_.length);
    const int64_t enough = static_cast<int64_t>(gemm::policy::task_products / max_of(work, 1.0)) + 1;
    return max(1, min(min(c_.groups, enough), ceil_div(c_.groups * c_.images * runs(), kTasks)));
  }
  static double max_of(double a, double b) { return a > b ? a : b; }
  static constexpr int64_t kTasks = 16;

  void run_piece(const Operands& in, int64_t image0, int64_t images, int64_t group0, int64_t group_end, int64_t r,
                 T* result, int64_t plane, const int64_t* size, bool near, Team& team) const {
    const int64_t first = runs_.begin(r), count = runs_.size(r), columns = images * count;
    const bool direct_store = in_place_ && images == 1 && (direct_ || near);
    const Scratch tile_scratch(direct_store ? 0 : m_ * columns * item);
    T* const tile = tile_scratch.as<T>();
    const int64_t c_row = direct_store ? n_ : columns;
    auto place = [&](int64_t g) { return direct_store ? result + g * m_ * plane + first : tile; };
    auto finish = [&](int64_t g) {
      if (!direct_store) scatter(tile, columns, images, first, count, result + g * m_ * plane, plane, size);
    };
    if (k_ == 0) {
      for (int64_t g = group0; g < group_end; ++g) begin(place(g), c_row, columns, in, g), finish(g);
      return;
    }
    const int64_t seen = c_.channels * c_.seen();
    if (plain_ && images == 1) {
      for (int64_t g = group0; g < group_end; ++g) {
        product(in, g, columns, Strided<T>{in.seen + (image0 * c_.groups + g) * seen + first, 1, n_, Source::copied},
                place(g), c_row, team);
        finish(g);
      }
      return;
    }
    const Frame frame(c_, images, first, count);
    const int64_t vectors = ceil_div(columns, kCols<T>) * (kCols<T> / kLanes<T>);
    const int64_t lanes_bytes = line_up(vectors * static_cast<int64_t>(sizeof(Lanes<T>))),
                  taps_bytes = line_up(k_ * static_cast<int64_t>(sizeof(int32_t)));
    const Scratch scratch(lanes_bytes + taps_bytes + frame.template elements<T>(c_.channels) * item);
    Lanes<T>* const lanes = scratch.as<Lanes<T>>();
    int32_t* const taps = reinterpret_cast<int32_t*>(scratch.as<std::byte>() + lanes_bytes);
    T* const values = reinterpret_cast<T*>(scratch.as<std::byte>() + lanes_bytes + taps_bytes);
    frame.lanes(lanes, vectors, c_.channels);
    frame.taps(taps, c_.channels);
    frame.clear(values, c_.channels);
    for (int64_t g = group0; g < group_end; ++g) {
      team.each(images * c_.channels, [&](int64_t q) {
        const int64_t image = image0 + q / c_.channels, channel = q % c_.channels;
        frame.fill(values + q * frame.channel, in.seen + (image * c_.groups + g) * seen + channel * c_.seen(), 1);
      });
      if (direct_) {
        const Direct<T> direct{values,   taps, k_, in.rows + g * m_ * k_, in.bias ? in.bias + g * m_ : nullptr,
                               place(g), c_row};
        direct.run(m_, lanes, ceil_div(columns, kLanes<T>));
      } else {
        product(in, g, columns, Patches<T>{values, taps, lanes}, place(g), c_row, team);
      }
      finish(g);
    }
  }

  // c[rows, columns] = bias
  void begin(T* c, int64_t c_row, int64_t columns, const Operands& in, int64_t g) const {
    for (int64_t i = 0; i < m_; ++i) {
      const T value = in.bias ? in.bias[g * m_ + i] : T(0);
      for (int64_t j = 0; j < columns; ++j) c[i * c_row + j] = value;
    }
  }
  template <class B>
  void product(const Operands& in, int64_t g, int64_t columns, const B& b, T* c, int64_t c_row, Team& team) const {
    if (in.bias) begin(c, c_row, columns, in, g);
    const bool panels = in_panels();
    const Strided<T> a = panels ? Strided<T>{in.panels + g * panels_elements(), 0, 0, Source::ahead}
                                : Strided<T>{in.rows + g * m_ * k_, k_, 1, Source::in_place};
    const Blocks blocks = Blocks::of<T>(m_, columns, k_, a.source, b.source);
    const Scratch own(blocks.template bytes<T>(m_, columns, a.source, b.source));
    gemm::blocked<T>(blocks, m_, columns, k_, a, b, c, c_row, nullptr, own, team, in.bias != nullptr);
  }
  // Places [first, first + count) of some images, from a tile to where they are in the result.
  void scatter(const T* tile, int64_t columns, int64_t images, int64_t first, int64_t count, T* result, int64_t plane,
               const int64_t* size) const {
    const Axis* const a = c_.of;
    for (int64_t image = 0; image < images; ++image)
      for (int64_t i = 0; i < m_; ++i) {
        const T* from = tile + i * columns + image * count;
        T* const to = result + (image * c_.groups * m_ + i) * plane;
        for (int64_t q = first; q < first + count;) {
          const int64_t line = q / a[2].places, x = q % a[2].places, length = min(first + count - q, a[2].places - x);
          const int64_t y0 = a[0].first + line / a[1].places * a[0].apart,
                        y1 = a[1].first + line % a[1].places * a[1].apart;
          T* const row = to + (y0 * size[1] + y1) * size[2] + a[2].first + x * a[2].apart;
          if (a[2].apart == 1)
            for (int64_t j = 0; j < length; ++j) row[j] = from[j];
          else
            for (int64_t j = 0; j < length; ++j) row[j * a[2].apart] = from[j];
          q += length, from += length;
        }
      }
  }

  Correlation c_;
  int64_t m_, n_, k_;  // rows and places of the result, terms
  bool direct_, plain_, in_place_;
  int64_t together_;
  Runs runs_;
  int64_t runs_of_task_, groups_of_task_;
};

}  // namespace rv::RV_ISA::conv
