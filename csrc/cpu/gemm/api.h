// SPDX-License-Identifier: Apache-2.0
// Matrix products for kernels: matmul, and all that multiplies in between. Which algorithm and which unit follow from
// the shape, the precision and what is made ahead alone.
//
//   Task<float> task = plan<float>(shape, Precision::highest);
//   task.q.place(a, b, c);
//   run(task, bias, shared, team);  // `shared` has bytes(task)
//
// Operands that lie in no memory, such as the patches of an image: `blocked` (algorithms/outer.h).
#pragma once
#include "cpu/gemm/epilogue.h"
#include "cpu/gemm/split.h"

namespace rv::RV_ISA::gemm {

// How one product is computed.
template <class T> struct Task {
  Product<T> q;
  Split split;  // with terms: by bf16 units
};

// Which operands were packed ahead: A by pack_a, B by pack_b. Rows of C must then have unit stride.
struct Ahead {
  const std::byte *a = nullptr, *b = nullptr;

  Source from_a() const { return a ? Source::ahead : Source::copied; }
  Source from_b() const { return b ? Source::ahead : Source::copied; }
};

// A product by its shape: to be placed, as often as there are operands of that shape.
template <class T> Task<T> plan(const Shape& shape, [[maybe_unused]] Precision precision, Ahead ahead = {}) {
  Task<T> task{Product<T>(shape), {}};
  Product<T>& q = task.q;
  if constexpr (same_type<T, float>) task.split = Split::of(precision, q, ahead.from_a(), ahead.from_b());
  if (task.split) {
    task.split.a = ahead.a, task.split.b = ahead.b;
  } else if (ahead.a || ahead.b) {
    q.choose(choose_ahead<T>(q, ahead.from_a(), ahead.from_b()));
    if (ahead.a) q.pa = reinterpret_cast<const T*>(ahead.a);
    if (ahead.b) q.pb = reinterpret_cast<const T*>(ahead.b);
  } else {
    q.choose(choose<T>(q));
  }
  return task;
}

// One operand packed ahead of products of this shape; the other one never is.
template <class T> class Packer {
 public:
  enum Side : uint8_t { a, b };
  Packer(Side, const Shape&, Precision);

  int64_t bytes() const;
  int64_t layout() const { return split_.terms * 2 + side_; }  // of the same operand, equal packings have equal ones
  void pack(const T* operand, std::byte* to, Team&) const;

 private:
  Side side_;
  Shape shape_;
  Split split_;
};

// Scratch common to all threads.
template <class T> int64_t bytes(const Task<T>& task) {
  return task.split ? split_bytes(task.split, task.q) : fma_bytes(task.q);
}

// Where k > 0 and C is not empty; bias is contiguous along the rows of q.c, or null.
template <class T> void multiply(const Task<T>& task, const T* bias, std::byte* shared, Team& team) {
  if constexpr (same_type<T, float>)
    if (task.split) return run_split(task.split, task.q, bias, shared, team);
  run_fma(task.q, bias, shared, team);
}
// C = A B + bias, whatever its shape.
template <class T> void run(const Task<T>& task, const Bias<T>& bias, std::byte* shared, Team& team) {
  const Product<T>& q = task.q;
  if (q.m == 0 || q.n == 0) return;
  const bool inside = bias.p && !q.exchanged && bias.step == 1;
  const T* const add = inside ? bias.p : nullptr;
  if (q.k == 0) {
    team.each(ceil_div(q.m, 64), [&](int64_t t) {
      for (int64_t i = t * 64; i < min(q.m, t * 64 + 64); ++i)
        for (int64_t j = 0; j < q.n; ++j) q.pc[i * q.c.row + j] = add ? add[j] : T(0);
    });
  } else {
    multiply(task, add, shared, team);
  }
  if (bias.p && !inside) add_bias(bias, q.exchanged, q.pc, q.c.row, q.m, q.n, team);
}

}  // namespace rv::RV_ISA::gemm
