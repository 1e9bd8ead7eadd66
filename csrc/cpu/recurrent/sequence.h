// SPDX-License-Identifier: Apache-2.0
// What all recurrent kernels share: which rows the steps of a batch have, matrices laid out for many small products,
// and the loop over slices of the batch. A sequence depends on no other one, so a slice runs all steps by itself, and a
// row's sums are the same in a slice of any size: neither threads nor neighbours change a bit.
#pragma once
#include "core/kernel.h"
#include "cpu/gemm/api.h"
#include "cpu/gemm/micro.h"
#include "cpu/gemm/operand.h"
#include "cpu/move/packed.h"
#include "cpu/simd/vmath.h"

namespace rv::RV_ISA::recurrent {

inline constexpr int64_t kSliceRows = 8;  // sequences of one slice

// Pieces of memory one after the other. With no memory to begin with it counts the bytes.
class Room {
 public:
  explicit Room(std::byte* begin) : begin_(begin) {}
  template <class T> T* take(int64_t count) {
    T* const p = begin_ ? reinterpret_cast<T*>(begin_ + bytes_) : nullptr;
    bytes_ += ceil_div(count * static_cast<int64_t>(sizeof(T)), 64) * 64;
    return p;
  }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* begin_;
  int64_t bytes_ = 0;
};

// How the rows of a (T, N, ...), (N, T, ...) or packed array belong to steps.
struct Steps {
  int64_t steps, batch, rows, apart;  // `apart`: rows from one sequence to the next, in a step
  const View* sizes;                  // of packed rows
  bool batch_first, reverse;
  int64_t *begin = nullptr, *count = nullptr;  // of each step: its first row, its sequences

  // `x`: an array with a row for each step.
  Steps(const View& x, const View& h0, const View* batch_sizes, bool first, bool backwards)
      : sizes(batch_sizes), batch_first(first), reverse(backwards) {
    batch = h0.shape[0];
    rows = sizes ? x.shape[0] : x.shape[0] * x.shape[1];
    steps = sizes ? sizes->shape[0] : x.shape[first ? 1 : 0];
    apart = !sizes && first ? steps : 1;
  }
  void place(Room& room) { begin = room.take<int64_t>(steps), count = room.take<int64_t>(steps); }
  // False where batch_sizes are impossible.
  bool fill(Team& team) {
    int64_t row = 0, before = batch;
    for (int64_t t = 0; t < steps; ++t) {
      const int64_t n = sizes ? sizes->ptr<const int64_t>()[t * sizes->stride[0]] : batch;
      if (sizes && (n < 1 || n > before || (t == 0 && n != batch) || n > rows - row)) {
        team.refuse(t, static_cast<double>(n), false);
        return false;
      }
      begin[t] = !sizes && batch_first ? t : row;
      count[t] = before = n;
      row += n;
    }
    if (row != rows) team.refuse(steps, static_cast<double>(row), false);
    return row == rows;
  }
  int64_t step(int64_t s) const { return reverse ? steps - 1 - s : s; }
  // The step before step t, or -1.
  int64_t before(int64_t t) const { return reverse ? (t + 1 < steps ? t + 1 : -1) : t - 1; }
  int64_t row(int64_t t, int64_t n) const { return begin[t] + n * apart; }
  bool has(int64_t t, int64_t n) const { return t >= 0 && n < count[t]; }
};

// A matrix B[k, n] in panels, for products C[rows, n] = A[rows, k] B of up to `most` rows. C has rows of width(). A
// panel has two vectors, and more where so few rows would leave each sum waiting for the one before it. Sums run in the
// order of k in either case.
template <class T> struct Matrix {
  int64_t k, n, most;
  T* panels = nullptr;

  bool wide() const {
    return most >= 1 && most <= gemm::kWideRows && gemm::wide(static_cast<int>(most)) == gemm::wide(1) &&
           n * 2 >= gemm::wide(1) * gemm::kLanes<T>;
  }
  int64_t columns() const { return wide() ? gemm::wide(1) * gemm::kLanes<T> : gemm::kCols<T>; }  // of a panel
  int64_t width() const { return ceil_div(n, columns()) * columns(); }
  void place(Room& room) { panels = room.take<T>(width() * k); }
  // Of B in memory.
  void fill(const T* b, int64_t row, int64_t col, Team& team) {
    const gemm::Strided<T> from{b, col, row, gemm::Source::copied};
    const int64_t step = columns();
    team.each(width() / step, [&](int64_t j) {
      T* const to = panels + j * step * k;
      if (!wide()) return from.panels(to, j * step, min(step, n - j * step), 0, k);
      for (int64_t i = 0, at = j * step; i < step; i += gemm::kLanes<T>, at += gemm::kLanes<T>) {
        const int have = static_cast<int>(max(0, min(gemm::kLanes<T>, n - at)));
        if (row == 1) {
          gemm::pack_rows(to + i, step, gemm::kLanes<T>, b + at * col, have, col, k);
          continue;
        }
        for (int64_t p = 0; p < k; ++p)
          for (int64_t v = 0; v < gemm::kLanes<T>; ++v)
            to[p * step + i + v] = v < have ? b[p * row + (at + v) * col] : T(0);
      }
    });
  }
  void times(const T* a, int64_t a_row, int64_t rows, T* c) const {
    const int64_t step = columns();
    for (int64_t j = 0; j < width(); j += step)
      gemm::each_group(rows, gemm::kRows, [&](int64_t, int64_t i, int64_t end) {
        const int count = static_cast<int>(end - i);
        const auto outer = wide() ? gemm::pick_wide<T>(gemm::Layout::rows, count)
                                  : gemm::pick_outer<T>(gemm::Layout::rows, count, 2, false);
        outer(k, a + i * a_row, a_row, panels + j * k, step, c + i * width() + j, width(), nullptr, false,
              gemm::kLanes<T>, false, nullptr);
      });
  }
};

// The recurrent weights W[n, k], operand 1 of a forward kernel, for products h W^T; h0 is operand 2. Where they do not
// change from run to run, they are laid out once.
template <class T> Matrix<T> weights_of(const Args& args) {
  Matrix<T> w{args.in[1].shape[1], args.in[1].shape[0], args.in[2].shape[0]};
  w.panels = reinterpret_cast<T*>(const_cast<std::byte*>(args.packed));
  return w;
}
template <class T> void lay_out(const Args& args, Matrix<T>& w, Team& team) {
  w.fill(args.in[1].ptr<const T>(), args.in[1].stride[1], args.in[1].stride[0], team);
}
inline Packing packing(const Args& args) {
  const bool single = args.in[1].dtype == DType::f32;
  const int64_t size = single ? weights_of<float>(args).width() : weights_of<double>(args).width();
  const int64_t step = single ? weights_of<float>(args).columns() : weights_of<double>(args).columns();
  constexpr int64_t ours = 1000;  // beside the layouts of matrix products
  const int64_t values = size * args.in[1].shape[1];
  return {1, values * item_size(args.in[1].dtype), ours + step, static_cast<double>(values)};
}
template <class T> void pack_as(const Args& args, std::byte* packed, Team& team) {
  Matrix<T> w = weights_of<T>(args);
  w.panels = reinterpret_cast<T*>(packed);
  lay_out(args, w, team);
}
inline void pack(const Args& args, std::byte* packed, Team& team) {
  if (args.in[1].dtype == DType::f32) pack_as<float>(args, packed, team);
  else pack_as<double>(args, packed, team);
}

// f(load, store, u) for the units u, u + 1, ... of a row, as many as a vector has: load(p) reads the vector at p + u,
// store(p, v) writes it.
template <class T, class F> RV_INLINE void each_vector(int64_t units, F&& f) {
  int64_t u = 0;
  for (; u + Vec<T>::N <= units; u += Vec<T>::N)
    f(
        [u](const T* p) __attribute__((always_inline)) { return load(p + u); },
        [u](T * p, Vec<T> v) __attribute__((always_inline)) { store(p + u, v); });
  if (u < units)
    f(
        [ u, units ](const T* p) __attribute__((always_inline)) { return load_partial(p + u, units - u); },
        [ u, units ](T * p, Vec<T> v) __attribute__((always_inline)) { store_partial(p + u, v, units - u); });
}

template <class T> RV_INLINE void copy_row(const T* from, T* to, int64_t n) {
  memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
}

// f(first, rows, scratch) for each slice of the batch, `scratch` of `bytes`.
template <class F> void each_slice(int64_t batch, int64_t bytes, Team& team, F&& f) {
  const int64_t slices = ceil_div(batch, kSliceRows);
  team.each(slices, [&](int64_t s) {
    const int64_t first = batch * s / slices;
    const Scratch own(bytes);
    f(first, batch * (s + 1) / slices - first, static_cast<std::byte*>(own));
  });
}

// C[m, n] = the sum over `rows` of the products of a row of A[rows, m] with the row of B[rows, n]: gradients of
// weights.
template <class T> struct Summed {
  gemm::Task<T> task;

  Summed(int64_t m, int64_t n, int64_t rows, int64_t a_row)
      : task(gemm::plan<T>({m, n, rows, {1, a_row}, {n, 1}, {n, 1}}, gemm::Precision::highest)) {}
  int64_t bytes() const { return gemm::bytes(task); }
  void run(const T* a, const T* b, T* c, std::byte* shared, Team& team) {
    task.q.place(a, b, c);
    gemm::run(task, gemm::Bias<T>{}, shared, team);
  }
};

// Nanoseconds: of the products, and of the functions of `units` values.
inline double cost_of(double products, double units) { return 500 + 0.02 * products + 2 * units; }

// Operands but for batch_sizes are of one float dtype.
inline const char* check_dtypes(const Args& args, int floats) {
  for (int k = 0; k < floats; ++k)
    if (args.in[k].dtype != args.out[0].dtype || !floating(args.in[k].dtype)) return "dtypes must be one float dtype";
  if (args.n_in > floats && (args.in[floats].dtype != DType::i64 || args.in[floats].ndim != 1))
    return "batch_sizes must be int64 of one axis";
  for (int k = 0; k < args.n_out; ++k)
    if (!args.out[k].contiguous()) return "results must be in C order";
  return nullptr;
}
inline bool is_matrix(const View& v, int64_t rows, int64_t cols) {
  return v.ndim == 2 && v.shape[0] == rows && v.shape[1] == cols;
}
// Rows of `cols` for each step, of the steps that `x` has.
inline bool has_rows(const View& v, const View& x, int64_t cols) {
  if (v.ndim != x.ndim || v.shape[v.ndim - 1] != cols) return false;
  for (int d = 0; d + 1 < v.ndim; ++d)
    if (v.shape[d] != x.shape[d]) return false;
  return true;
}
// Axes of an array with rows, beside initial states.
inline bool are_steps(const View& x, const View& h0, bool packed, bool batch_first) {
  if (h0.ndim != 2) return false;
  return packed ? x.ndim == 2 : x.ndim == 3 && x.shape[batch_first ? 0 : 1] == h0.shape[0];
}

}  // namespace rv::RV_ISA::recurrent
