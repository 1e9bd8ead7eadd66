// SPDX-License-Identifier: Apache-2.0
// The executor's side of a team: starting it, its shared state, its scratch memory and its floating-point mode.
#pragma once
#include <atomic>
#include <mutex>

#include "core/kernel.h"

namespace rv {

struct FaultReport {
  int32_t fault = 0;
  int64_t where = 0, value = 0;
};

struct TeamState {
  alignas(64) std::atomic<int32_t> arrived{0};
  alignas(64) std::atomic<uint32_t> generation{0};
  // The instruction that failed. Members compare it with their own: one that has left the barrier first may already
  // fail in the next instruction while others still check this one, and all must leave at the same place.
  alignas(64) std::atomic<int32_t> failed_at{kNone};
  static constexpr int32_t kNone = INT32_MAX;
  std::mutex mutex;
  FaultReport report;
};

int num_threads();              // what set_num_threads or the environment asks for; 1 in a forked child
void set_num_threads(int n);    // n >= 1
void init_threads(int default_threads);
bool has_openmp();

// body(context, team) on up to n threads, on the calling thread alone if n is 1.
void run_team(TeamState& state, int n, void (*body)(void*, Team&), void* context);

// Scratch of the calling thread for Args::shared of an eager call; 64-byte aligned.
std::byte* shared_scratch(size_t bytes);

// While it lives, this thread flushes denormals to zero; afterwards its floating-point mode and flags are as before.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;

 private:
  uint64_t saved_;
};

}  // namespace rv
