// SPDX-License-Identifier: Apache-2.0
// The executor's side of a team: helper threads, a run's state and the floating-point mode.
//
// A pool of our own instead of OpenMP's, because a run must not wait for a thread that holds no work. A loop is
// published and the calling thread starts at once; a helper that is awake takes chunks of it, one that the system has
// not scheduled takes none, and its part is taken by the others. So the only thing ever waited for is a chunk that
// somebody is at. Who computes a chunk never changes the bits of a result. Measured with a busy neighbour on a 2-core
// machine: 7 ms a call with an OpenMP region, which waits for all of its threads.
#pragma once
#include <atomic>
#include <mutex>

#include "core/kernel.h"

namespace rv {

// An index that breaks its rule: `value` at flat position `where` must be in [low, high].
struct FaultReport {
  int64_t where = 0, value = 0, low = 0, high = 0;
};

struct TeamState {
  std::atomic<bool> failed{false};
  std::mutex mutex;  // of report
  FaultReport report;
};

int num_threads();  // what set_num_threads or the environment asks for; 1 in a forked child
void set_num_threads(int n);
void init_threads(int default_threads);
uint32_t fork_depth();  // how many forks lie between the first process and this one

// The helpers of one run. At most one Crew at a time has any: a run that finds them taken works alone.
class Crew {
 public:
  explicit Crew(double cost);  // nanoseconds of work in the run's instructions that are shared out
  ~Crew();
  Crew(const Crew&) = delete;

  bool alone() const { return helpers_ == 0; }
  // For an instruction of `cost` nanoseconds: with as many helpers as that is worth.
  Team team(TeamState& state, double cost) const;

 private:
  int helpers_ = 0;
};

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
