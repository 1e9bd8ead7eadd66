// SPDX-License-Identifier: Apache-2.0
#include "core/team.h"

#include <pthread.h>
#include <sched.h>

#include "core/memory.h"
#include "core/threads.h"
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rv {
namespace {

std::atomic<int> wanted_threads{1};
std::atomic<bool> forked{false};

constexpr int kSpins = 1000;  // of about 10-40 ns: about what a futex sleep and wake-up cost
constexpr int kYields = 10;

inline void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct Scratch {
  Buffer buffer;
  size_t bytes = 0;

  std::byte* get(size_t wanted) {
    if (wanted > bytes) {
      buffer.reset();
      bytes = wanted + wanted / 4;
      buffer = make_buffer(bytes);
    }
    return buffer.get();
  }
};
thread_local Scratch local_scratch, eager_scratch;

}  // namespace

int num_threads() { return forked.load(std::memory_order_relaxed) ? 1 : wanted_threads.load(std::memory_order_relaxed); }
void set_num_threads(int n) { wanted_threads.store(n < 1 ? 1 : n); }

bool has_openmp() {
#ifdef _OPENMP
  return true;
#else
  return false;
#endif
}

void init_threads(int default_threads) {
  set_num_threads(has_openmp() ? default_threads : 1);
  // A forked child has only the calling thread; OpenMP's pool would wait for the others for ever.
  pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
}

void run_team(TeamState& state, int n, void (*body)(void*, Team&), void* context) {
#ifdef _OPENMP
  if (n > 1 && !omp_in_parallel()) {
#pragma omp parallel num_threads(n)
    {
      Team team(&state, omp_get_thread_num(), omp_get_num_threads());
      body(context, team);
    }
    return;
  }
#endif
  (void)n;
  Team team(&state, 0, 1);
  body(context, team);
}

std::byte* shared_scratch(size_t bytes) { return eager_scratch.get(bytes); }

std::byte* Team::local(size_t bytes) { return local_scratch.get(bytes); }

void Team::fail(int32_t fault, int64_t where, int64_t value) {
  std::lock_guard lock(state_->mutex);
  FaultReport& r = state_->report;
  if (state_->failed_at.load(std::memory_order_relaxed) == TeamState::kNone || where < r.where) r = {fault, where, value};
  state_->failed_at.store(instruction_, std::memory_order_release);
}

void Team::barrier_slow() {
  TeamState& s = *state_;
  const uint32_t generation = s.generation.load(std::memory_order_relaxed);
  if (s.arrived.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
    s.arrived.store(0, std::memory_order_relaxed);
    s.generation.store(generation + 1, std::memory_order_seq_cst);
    s.generation.notify_all();  // no system call where nobody sleeps
    return;
  }
  for (int i = 0; i < kSpins; ++i) {
    if (s.generation.load(std::memory_order_acquire) != generation) return;
    pause_cpu();
  }
  for (int i = 0; i < kYields; ++i) {
    if (s.generation.load(std::memory_order_acquire) != generation) return;
    sched_yield();
  }
  s.generation.wait(generation, std::memory_order_acquire);
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
