// SPDX-License-Identifier: Apache-2.0
// The executor's side of the threads: how many there are, the parallel region
// of a run, its state and the floating-point mode.
#pragma once
#include <atomic>
#include <mutex>
#include <type_traits>

#include "core/kernel.h"
#include "core/workers.h"

namespace rv {

// What breaks its rule at flat position `where`: an index `value` that must be in
// [low, high], or a `number`.
struct FaultReport {
  int64_t where = 0, value = 0, low = 0, high = 0;
  double number = 0;
  bool has_range = true, index = true;
};

struct TeamState {
  std::atomic<bool> failed{false};
  std::mutex mutex;  // of report
  FaultReport report;
};

int num_threads();  // what set_num_threads or the environment asks for; 1 in a
                    // forked child
void set_num_threads(int n);
void init_threads(int default_threads);
uint32_t fork_depth();  // how many forks lie between the first process and this one

// The part of a run in which worker threads take shares of its loops.
class Region {
 public:
  explicit Region(int workers = 0) : workers_(workers) {}
  // For an instruction of `cost` nanoseconds: as many threads as that is worth.
  Team team(TeamState& state, double cost) const;

 private:
  int workers_;
};

void enter_region(double cost, workers::Body body, void* context);

// body(region) on the calling thread, with workers for instructions of `cost`
// nanoseconds in total. At most one region at a time has any: a run that finds
// them taken works alone.
template <class F> void parallel(double cost, F&& body) {
  if (cost <= 0) return body(Region());
  const auto call = [](void* f, int workers) { (*static_cast<std::remove_reference_t<F>*>(f))(Region(workers)); };
  enter_region(cost, call, &body);
}

// While it lives, this thread flushes denormals to zero; afterwards its
// floating-point mode and flags are as before.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;

 private:
  uint64_t saved_;
};

}  // namespace rv
