// SPDX-License-Identifier: Apache-2.0
// The threads that step through a plan together.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/view.h"

namespace rv {

struct TeamState;  // what the members share (team.cpp)

class Team {
 public:
  RV_INLINE Team(TeamState* state, int rank, int size) : state_(state), rank_(rank), size_(size) {}

  RV_INLINE int rank() const { return rank_; }
  RV_INLINE int size() const { return size_; }

  // All members meet; everything written before is visible after. Free for a team of one.
  RV_INLINE void barrier() {
    if (size_ > 1) barrier_slow();
  }

  // f(i) for i in [0, chunks), shared out among the members in contiguous runs, the first of them the caller's.
  // `chunks` must follow from shapes alone.
  template <class F> RV_INLINE void each(int64_t chunks, F&& f) {
    const int64_t begin = (chunks * rank_ + size_ - 1) / size_, end = (chunks * (rank_ + 1) + size_ - 1) / size_;
    for (int64_t i = begin; i < end; ++i) f(i);
  }

  // This member's scratch memory: 64-byte aligned, at least `bytes` long, contents undefined, valid until the
  // next call of local() by the same thread.
  std::byte* local(size_t bytes);

  // Report a broken rule at flat position `where` (the lowest one is reported), with the offending value.
  void fail(int32_t fault, int64_t where, int64_t value);

 private:
  void barrier_slow();
  TeamState* state_;
  int rank_, size_;
};

}  // namespace rv
