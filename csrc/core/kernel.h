// SPDX-License-Identifier: Apache-2.0
// The one signature of every kernel: void run(const Args&, Team&).
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/attrs.h"
#include "core/team.h"
#include "core/view.h"

namespace rv {

struct Args {
  const View* in = nullptr;
  const View* out = nullptr;
  int n_in = 0, n_out = 0;
  const void* attrs = nullptr;          // the struct of Kernel::attrs
  const std::byte* prepared = nullptr;  // what Kernel::prepare made
  const std::byte* packed = nullptr;    // what Kernel::pack made; nullptr: nothing
  std::byte* shared = nullptr;  // Kernel::shared(args) bytes, 64-byte aligned, common to all threads, not zeroed
};

template <class A> RV_INLINE const A& attrs(const Args& args) { return *static_cast<const A*>(args.attrs); }

// A copy of an operand that does not change from run to run, in the order in which the kernel reads it. Two of one
// operand are the same if they have the same layout.
struct Packing {
  int operand = -1;  // number of the input; -1: no copy pays
  int64_t bytes = 0, layout = 0;
  double cost = 0;  // nanoseconds of one thread to make it
};

struct Kernel {
  Schema (*attrs)() = nullptr;  // of the attributes; nullptr: it has none
  // Called on one thread. Loops are shared out by Team::each and cut by shape alone, so that the bits of the result
  // never depend on the number of threads.
  void (*run)(const Args&, Team&) = nullptr;
  // Estimated single-thread cost in nanoseconds; below the executor's threshold the kernel runs on one thread.
  double (*cost)(const Args&) = nullptr;
  // Bytes of scratch in Args::shared; nullptr: none.
  int64_t (*shared)(const Args&) = nullptr;
  // Says what is wrong with operands or attributes, or nullptr where all is well. Runs once, when a plan is
  // built: after it, `run` may trust shapes, dtypes, operand counts and attributes (never index *values*). Names and
  // types of attributes are right before it.
  const char* (*check)(const Args&) = nullptr;
  // What follows from shapes, strides and attributes, once an instruction, for all its runs: nullptr: nothing. Called
  // after `check`: without memory to say how many bytes it takes, then with as many, 64-byte aligned. Data is not there
  // yet.
  int64_t (*prepare)(const Args&, std::byte* memory) = nullptr;
  // Which copy pays, by shapes, strides and attributes; and making it, in 64-byte aligned memory that `run`, `shared`
  // and `prepare` then find in Args::packed. nullptr: none.
  Packing (*packing)(const Args&) = nullptr;
  void (*pack)(const Args&, std::byte* packed, Team&) = nullptr;
};

// One elementwise op on contiguous vectors of n elements. `out` may be one of `in`.
using TileFn = void (*)(const void* const* in, void* out, int64_t n);

}  // namespace rv
