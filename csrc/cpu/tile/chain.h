// SPDX-License-Identifier: Apache-2.0
// Chains: consecutive light steps of a tile program, run on blocks that stay in registers. Between two steps of a tile
// program values go through L1, one store a vector and step; in a chain a step only loads what it joins to the block.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rv::RV_ISA {

inline constexpr int kChainVectors = 8;  // of a block: as many as functions take in registers

// Where a link finds an operand: in the block's registers, in memory beside the block, or as one value for all
// elements.
enum class From : uint8_t { none, block, memory, one };
struct Form {
  From a = From::none, b = From::none, c = From::none;
  bool stored = false;  // the result goes to memory too
};

// One move of a chain, on a block of kChainVectors vectors or on a single vector, which may be partial.
struct Link {
  void (*wide)();
  void (*narrow)();
  std::byte* operand[3];  // those that are not the block, in order
  std::byte* out;
};

// The link for elementwise row `row` on dtype code 0 or 1; null functions where the row is not light or lacks this
// form: ternary rows have a = block, binary ones at most one operand that is `one`.
Link link_step(int row, int dtype_code, Form form);
// Rows whose operands may be exchanged: for them forms name the block first, then memory.
bool commutes(int row);
// Two steps in one link, both of rows that commute: the second is (block, memory) or (block, one).
Link link_pair(int row, Form form, int row2, Form form2, int dtype_code);
Link link_load(int dtype_code, From from);  // memory or one
Link link_end(int dtype_code);

// Runs the links, the last one link_end, on elements [0, n) of all operands; writes into the last link.
void run_chain(Link* links, int count, int dtype_code, int64_t n);

}  // namespace rv::RV_ISA
