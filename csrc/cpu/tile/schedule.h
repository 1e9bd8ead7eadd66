// SPDX-License-Identifier: Apache-2.0
// A tile program as it is run: chains and tile functions, found once an instruction.
#pragma once
#include "cpu/tile/chain.h"
#include "cpu/tile/program.h"

namespace rv::RV_ISA {

// Hands out pieces of a block of memory; without one it only counts.
struct Carver {
  std::byte* memory;
  int64_t used = 0;

  template <class T> RV_INLINE T* take(int64_t n) {
    used = (used + 15) & ~int64_t{15};
    T* p = memory ? reinterpret_cast<T*>(memory + used) : nullptr;
    used += n * static_cast<int64_t>(sizeof(T));
    return p;
  }
};

struct Schedule {
  static constexpr int8_t kNone = -1;
  struct Stage {  // steps [begin, end): a chain of links [first, first + count), or one step for its tile function
    int16_t begin, end, first, count;
    TileFn fn;
    int code;  // dtype of the chain
  };
  struct Use {
    int8_t operand[3], out;
  };                // registers of a link's operands; the step whose result it stores
  struct Result {   // where a step's value may go
    int8_t output;  // straight into this output
    bool made;      // memory holds it, there or in its register's tile
  };

  Program p;
  uint32_t ones;  // inputs of which a tile needs one element
  int registers, stages = 0, links = 0;
  int64_t item = 4;  // of the widest register
  Stage* stage;      // (n_steps)
  Link* link;        // with the addresses of constants
  Use* use;
  Result* result;       // (n_steps)
  uint32_t* conflicts;  // (n_out) inputs: an output that has the same memory must not be written straight
  bool* filled;         // (n_in + n_const) whether tile functions read it: single elements then need a tile
  uint64_t* value;      // (n_const) in the constant's dtype

  // `single`: inputs of which a tile needs one element only; `total`: elements, or 0 where that is not known, but few.
  Schedule(const Program& program, uint32_t single, int64_t total, Carver& memory);

  // Input k is `one` for chains, and nothing else reads it.
  bool lone(int k) const { return (ones >> k & 1) && !filled[k]; }

  static int most_links(const Program& p) { return 3 * p.n_steps; }  // a load, itself, an end

 private:
  const int64_t* step(int i) const { return p.steps + i * Program::kStep; }
  bool light(int i) const;
  bool stored(int i, int end) const;
  From beside(int64_t r) const;  // where a chain finds a register that is not its block
  void find_outputs();
  void chain(int begin, int end);
};

}  // namespace rv::RV_ISA
