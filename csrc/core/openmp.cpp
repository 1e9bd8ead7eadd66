// SPDX-License-Identifier: Apache-2.0
// OpenMP's threads as workers: a region is one parallel region, in which thread 0 is the caller and the others wait for
// loops.
#include <omp.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>

#include "core/loop.h"
#include "core/threads.h"

namespace rv::workers {
namespace {

constexpr double kMinRegion = 20e3;       // nanoseconds of work that pay for entering and leaving a region
constexpr double kWakeFor = 60e3;         // in an instruction, for waking those that fell asleep in the region
constexpr nanoseconds kIdleSpin{50'000};  // then they do
constexpr nanoseconds kFinishSpin{20'000};

std::atomic<bool> over{false};   // the region
std::atomic<int> asleep{0};      // workers
std::atomic<uint32_t> alarm{0};  // changes to wake them

void wake_all() {
  alarm.fetch_add(1);
  alarm.notify_all();
}

void block_signals() {  // they are for Python's threads
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

void help(int thread) {
  static thread_local const bool once = (block_signals(), true);
  (void)once;
  const FlushDenormals flush;
  Loop& loop = current_loop;
  uint64_t seen = 0;
  auto changed = [&] { return loop.number.load(std::memory_order_acquire) != seen || over.load(); };
  while (!over.load()) {
    const uint32_t before = alarm.load();
    if (spin(kIdleSpin, changed)) {
      seen = loop.number.load(std::memory_order_acquire);
      loop.join(thread, seen);
    } else if (!loop.done()) {
      sched_yield();  // the next loop of the instruction wakes nobody
    } else {
      ++asleep;
      if (!changed()) alarm.wait(before);
      --asleep;
    }
  }
}

}  // namespace

const char* const kind = "OpenMP";

void run(int n, double cost, Body body, void* context) {
  if (cost < kMinRegion) return body(context, 0);
  std::exception_ptr error;
  over.store(false);
#pragma omp parallel num_threads(n + 1)
  {
    if (const int thread = omp_get_thread_num(); thread > 0) {
      help(thread);
    } else {
      try {
        body(context, omp_get_num_threads() - 1);
      } catch (...) { error = std::current_exception(); }  // none may leave a parallel region
      over.store(true);
      wake_all();
    }
  }
  if (error) std::rethrow_exception(error);
}

int threads_for(int workers, double cost) {
  if (cost >= kWakeFor && asleep.load() > 0) wake_all();
  return static_cast<int>(std::clamp(cost / kMinWork, 1.0, workers + 1.0));
}

void finish(int) {
  std::atomic<int>& left = current_loop.left;
  if (spin(kFinishSpin, [] { return current_loop.done(); })) return;
  for (int n; (n = left.load(std::memory_order_acquire)) != 0;) left.wait(n, std::memory_order_acquire);
}

}  // namespace rv::workers
