// SPDX-License-Identifier: Apache-2.0
#include "core/threads.h"

#include <pthread.h>

#include <algorithm>
#include <mutex>

#include "core/loop.h"

namespace rv {
namespace {

std::atomic<int> wanted_threads{1};
std::atomic<uint32_t> forks{0};
std::mutex region_mutex;  // held by the run that has the workers

constexpr double kMinShare = 1e3;  // nanoseconds of work that are taken at a time
constexpr double kMinShares = 4, kMaxSharesOfThread = 64;

}  // namespace

uint32_t fork_depth() { return forks.load(std::memory_order_relaxed); }
int num_threads() { return fork_depth() ? 1 : wanted_threads.load(std::memory_order_relaxed); }
void set_num_threads(int n) { wanted_threads.store(std::clamp(n, 1, 1024)); }

void init_threads(int default_threads) {
  set_num_threads(default_threads);
  // A forked child has only the calling thread, and one for each of many
  // workers is what it needs.
  pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });
}

void enter_region(double cost, workers::Body body, void* context) {
  const int n = std::min(num_threads(), kMaxThreads) - 1;
  std::unique_lock lock(region_mutex, std::defer_lock);
  if (n < 1 || !lock.try_lock()) return body(context, 0);
  workers::run(n, cost, body, context);
}

Team Region::team(TeamState& state, double cost) const {
  const int threads = workers_ > 0 ? workers::threads_for(workers_, cost) : 1;
  if (threads < 2) return Team(&state);
  const double shares = std::clamp(cost / (kMinShare * threads), kMinShares, kMaxSharesOfThread);
  return Team(&state, threads, static_cast<int>(shares));
}

static void report_first(TeamState& state, const FaultReport& fault) {
  std::lock_guard lock(state.mutex);
  if (!state.failed.load(std::memory_order_relaxed) || fault.where < state.report.where) state.report = fault;
  state.failed.store(true, std::memory_order_relaxed);
}

void Team::fail(int64_t where, int64_t value, int64_t low, int64_t high) {
  report_first(*state_, {where, value, low, high});
}

void Team::refuse(int64_t where, double value, bool index) {
  report_first(*state_, {.where = where, .number = value, .has_range = false, .index = index});
}

FlushDenormals::FlushDenormals() {
#if defined(__x86_64__)
  saved_ = _mm_getcsr();
  _mm_setcsr(static_cast<unsigned>(saved_) | 0x8040);  // FTZ, DAZ
#elif defined(__aarch64__)
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  asm volatile("msr fpcr, %0" ::"r"(saved_ | uint64_t{1} << 24));  // FZ
#else
  saved_ = 0;
#endif
}

FlushDenormals::~FlushDenormals() {
#if defined(__x86_64__)
  _mm_setcsr(static_cast<unsigned>(saved_));
#elif defined(__aarch64__)
  asm volatile("msr fpcr, %0" ::"r"(saved_));
#endif
}

}  // namespace rv
