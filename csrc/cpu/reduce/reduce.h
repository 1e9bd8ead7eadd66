// SPDX-License-Identifier: Apache-2.0
// Reductions over any set of axes. reduce.cpp walks axes, tiles and chunks; a Reducer says what one kind of
// reduction does with a small block of rows.
//
#pragma once
#include "core/kernel.h"
#include "core/team.h"

namespace rv::RV_ISA {

// Of every reduction, whose own attributes follow. `dim`: axes, ascending and distinct.
RV_ATTRS(ReduceAttrs, (Ints, dim), (bool, keepdim));

// A state holds the accumulators of up to `plane` neighbouring outputs side by side: an array of `plane` elements, or
// several one after the other. Joining and finishing are then loops over contiguous memory.
struct Reducer {
  int in_bytes;        // of one element in memory
  int item;            // of one element as the functions below take it
  int state_bytes;     // of one accumulator
  int block_rows;      // terms that `columns` gets at a time: bounds the length of plain sums, and cache use
  bool ordered;        // axes must be walked in logical order (positions matter)
  double ns_per_item;  // for the cost estimate
  // Copies n elements `stride` apart and converts them; nullptr: memory already holds items.
  void (*gather)(const void* from, int64_t stride, void* to, int64_t n);
  // state[i] = reduction of x[i*pitch .. i*pitch + n), whose first term has position `first`; i < width.
  void (*rows)(const void* x, int64_t pitch, int64_t n, int64_t width, int64_t first, void* state, int64_t plane);
  // state[i] = reduction of x[i], x[pitch+i], ...: n terms; i < width.
  void (*columns)(const void* x, int64_t pitch, int64_t n, int64_t width, int64_t first, void* state, int64_t plane);
  // state[i] = state[i] joined by later[i], whose terms come after
  void (*join)(void* state, const void* later, int64_t width, int64_t plane);
  // state[i] = reduction of nothing; nullptr where the record's shape rule forbids it
  void (*empty)(void* state, int64_t width, int64_t plane);
  // writes element i of each output at `out[k] + i * stride` elements; `terms` were reduced
  void (*finish)(const void* state, int64_t width, int64_t plane, int64_t terms, const Args& args,
                 std::byte* const* out, int64_t stride);
};

void reduce_all(const Args& args, Team& team, const Reducer& r);
int64_t reduce_shared(const Args& args, const Reducer& r);
double reduce_cost(const Args& args, const Reducer& r);
// What is wrong with operands or attributes of a reduction into `outputs` arrays, or nullptr.
const char* reduce_check(const Args& args, int outputs);

// The four functions of a Kernel for `find(args)`, which gives the Reducer for its dtypes or nullptr. Attrs begins with
// ReduceAttrs.
template <const Reducer* (*find)(const Args&), class Attrs = ReduceAttrs, int outputs = 1> struct ReduceKernel {
  static void run(const Args& args, Team& team) { reduce_all(args, team, *find(args)); }
  static double cost(const Args& args) { return reduce_cost(args, *find(args)); }
  static int64_t shared(const Args& args) { return reduce_shared(args, *find(args)); }
  static const char* check(const Args& args) {
    if (const char* wrong = reduce_check(args, outputs)) return wrong;
    return find(args) ? nullptr : "these dtypes are not supported";
  }
  static constexpr Kernel kernel{.attrs = Attrs::schema, .run = run, .cost = cost, .shared = shared, .check = check};
};

}  // namespace rv::RV_ISA
