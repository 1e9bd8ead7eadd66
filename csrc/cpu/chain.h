// SPDX-License-Identifier: Apache-2.0
// Chains: consecutive light steps of a tile program, run on blocks that stay in registers. Between two steps of a tile
// program values go through L1, one store a vector and step; in a chain a step only loads what it joins to the block.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rv::RV_ISA {

inline constexpr int kChainVectors = 8;  // of a block: as many as functions take in registers

// One move of a chain. `fn` is a ChainFn of its dtype.
struct Link {
  void (*fn)();
  std::byte* p;         // operand in memory, or where to store
  std::byte* q;         // the third operand of an op that has one
  int64_t p_mask, q_mask;  // -1, or 0 for an operand whose block is the same everywhere
};

enum class LinkKind { unary, block_first, block_second, block_both, ternary };

// The function for elementwise row `row` on dtype code 0 or 1; nullptr where the row is not light.
// unary: f(block); block_first: f(block, p); block_second: f(p, block); block_both: f(block, block); ternary: f(block, p, q).
void (*link_fn(int row, int dtype_code, LinkKind kind))();
void (*link_load(int dtype_code))();
void (*link_store(int dtype_code))();
void (*link_end(int dtype_code))();

// Runs the links, ended by link_end, on elements [0, n) of all operands, n a multiple of chain_block.
int64_t chain_block(int dtype_code);
void run_chain(const Link* links, int dtype_code, int64_t n);

}  // namespace rv::RV_ISA
