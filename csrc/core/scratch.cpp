// SPDX-License-Identifier: Apache-2.0
#include "core/scratch.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/memory.h"

namespace rv {

// Blocks one above the other: what does not fit into the uppermost one opens another, since memory in use must not
// move. Once all is given back, one block takes the place of as many as there were at most.
class ScratchStack {
 public:
  std::byte* take(int64_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    if (end_ - top_ < bytes) add_block(bytes);
    return std::exchange(top_, top_ + bytes);
  }

  void give_back(std::byte* data) {
    top_ = data;
    const bool opened_block = data == blocks_.back().memory.get();
    if (opened_block && (blocks_.size() > 1 || held_ < peak_)) drop_block();
  }

 private:
  struct Block {
    Buffer memory;
    int64_t bytes;
    std::byte *top, *end;  // of the block below
  };

  void add_block(int64_t bytes) {
    if (!blocks_.empty() && top_ == blocks_[0].memory.get()) drop_block();
    bytes += bytes / 4;
    if (blocks_.empty()) bytes = std::max(bytes, peak_);
    Block block{make_buffer(static_cast<size_t>(bytes)), bytes, top_, end_};
    std::byte* const memory = block.memory.get();
    blocks_.push_back(std::move(block));
    top_ = memory;
    end_ = memory + bytes;
    held_ += bytes;
    peak_ = std::max(peak_, held_);
  }

  void drop_block() {
    const Block& block = blocks_.back();
    top_ = block.top;
    end_ = block.end;
    held_ -= block.bytes;
    blocks_.pop_back();
  }

  std::byte *top_ = nullptr, *end_ = nullptr;  // what is free of the uppermost block
  std::vector<Block> blocks_;
  int64_t held_ = 0, peak_ = 0;  // bytes of all blocks, now and at most
};

namespace {
thread_local ScratchStack own_stack;
}  // namespace

void Scratch::take(int64_t bytes) {
  stack_ = &own_stack;
  data_ = stack_->take(bytes);
}

void Scratch::give_back() noexcept { stack_->give_back(data_); }

}  // namespace rv
