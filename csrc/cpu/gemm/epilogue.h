// SPDX-License-Identifier: Apache-2.0
// What follows a product: a bias, which the micro-kernels add to the rows that they store where they can, and a tile
// program on the whole result.
#pragma once
#include "cpu/simd/ints.h"
#include "cpu/tile/program.h"

namespace rv::RV_ISA::gemm {

// One value a column of C, `step` elements apart, or none.
template <class T> struct Bias {
  const T* p = nullptr;
  int64_t step = 1;
};

// C[m, n] += bias, of rows or of columns.
template <class T>
void add_bias(const Bias<T>& bias, bool of_rows, T* c, int64_t c_row, int64_t m, int64_t n, Team& team) {
  constexpr int64_t rows = 64, cols = 4096;
  const int64_t col_chunks = ceil_div(n, cols);
  team.each(ceil_div(m, rows) * col_chunks, [&](int64_t t) {
    const int64_t i0 = t / col_chunks * rows, j0 = t % col_chunks * cols;
    for (int64_t i = i0; i < min(m, i0 + rows); ++i)
      for (int64_t j = j0; j < min(n, j0 + cols); ++j) c[i * c_row + j] += bias.p[(of_rows ? i : j) * bias.step];
  });
}

// A tile program after a product, and where the latter is made: in the memory of an output that can hold it, preferably
// the one that it is, or in shared memory.
struct Epilogue {
  const ProgramAttrs* program;  // null: there is none, and the product is the output
  int output;                   // in whose memory the product is made; -1: in shared memory
  View product;                 // [..., m, n]

  Epilogue(const Args& all, const ProgramAttrs& attrs, DType dtype) : program(nullptr), output(0) {
    product = all.out[0];
    if (attrs.outputs.size == 0) return;
    program = &attrs;
    output = -1;
    for (int64_t i = attrs.outputs.size - 1; i >= 0; --i)
      if (attrs.outputs[i] == 0) output = static_cast<int>(i);
    for (int i = 0; i < all.n_out && output < 0; ++i)
      if (all.out[i].dtype == dtype) output = i;
    if (output >= 0) {
      product = all.out[output];
      return;
    }
    make_apart(dtype);
  }
  // The product in shared memory, contiguous, at its start.
  void make_apart(DType dtype) {
    output = -1;
    product.dtype = dtype;
    int64_t stride = 1;
    for (int d = product.ndim - 1; d >= 0; --d) product.stride[d] = stride, stride *= product.shape[d];
  }
  explicit operator bool() const { return program; }
  template <class T> T* ptr(const Args& all) const {
    return output < 0 ? reinterpret_cast<T*>(all.shared) : all.out[output].ptr<T>();
  }
  int64_t shared_bytes() const { return output < 0 ? ceil_div(product.size() * item_size(product.dtype), 64) * 64 : 0; }

  // f(args): those of the `tile` instruction, on the product and all of the kernel's operands from `first` on.
  template <class F> auto with(const Args& all, int first, F&& f) const {
    alignas(View)
        std::byte room[Program::kMaxOperands * sizeof(View)];  // not initialised: mostly two or three are used
    View* const ins = reinterpret_cast<View*>(room);
    Args args = all;
    args.in = ins, args.n_in = 0, args.attrs = program;
    ins[args.n_in] = product;
    ins[args.n_in++].data = ptr<std::byte>(all);
    for (int i = first; i < all.n_in; ++i) ins[args.n_in++] = all.in[i];
    return f(args);
  }
  // `prepared`: what `prepare` made.
  void run(const Args& all, int first, const std::byte* prepared, Team& team) const {
    if (program) with(all, first, [&](Args& args) { args.prepared = prepared, k_tile.run(args, team); });
  }
  double cost(const Args& all, int first) const {
    return program ? with(all, first, [](const Args& args) { return k_tile.cost(args); }) : 0;
  }
  int64_t prepare(const Args& all, int first, std::byte* memory) const {
    return program ? with(all, first, [&](const Args& args) { return k_tile.prepare(args, memory); }) : 0;
  }
};

}  // namespace rv::RV_ISA::gemm
