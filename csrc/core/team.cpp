// SPDX-License-Identifier: Apache-2.0
#include "core/team.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include "core/memory.h"
#include "core/threads.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rv {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

constexpr nanoseconds kIdleSpin{50'000};     // a helper without work stays awake: the gap between two steps is shorter
constexpr nanoseconds kBarrierSpin{20'000};  // then yield, then sleep: threads may outnumber CPUs
constexpr int kYields = 10;
constexpr double kWorkPerMember = 10e3;      // nanoseconds
constexpr nanoseconds kLongestWindow{100'000};  // to accept an offer
constexpr nanoseconds kStall{300'000};       // waiting for a member that the system has taken off its CPU
constexpr nanoseconds kMoveEvery{2'000'000};  // at most
constexpr nanoseconds kFirstRest{4'000'000}, kLongestRest{512'000'000};

std::atomic<int> wanted_threads{1};
std::atomic<uint32_t> forks{0};

inline void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// True as soon as done(), false after `limit`.
template <class F> bool spin(nanoseconds limit, F&& done) {
  for (int i = 0; i < 64; ++i) {
    if (done()) return true;
    pause_cpu();
  }
  const auto end = Clock::now() + limit;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause_cpu();
    }
  } while (Clock::now() < end);
  return false;
}

thread_local nanoseconds waited{0};  // by this thread beyond spinning

// The value of `word` once it is no longer `old`.
uint32_t await_change(std::atomic<uint32_t>& word, uint32_t old, nanoseconds limit) {
  auto changed = [&] { return word.load(std::memory_order_acquire) != old; };
  if (!spin(limit, changed)) {
    const auto start = Clock::now();
    for (int i = 0; i < kYields && !changed(); ++i) sched_yield();
    word.wait(old, std::memory_order_acquire);
    waited += Clock::now() - start;
  }
  return word.load(std::memory_order_acquire);
}

// ---------------------------------------------------------------- helpers

enum Kind : uint32_t { withdrawn, offer, accepted, go };  // low bits of Helper::state; above them, the job's number

struct alignas(128) Helper {
  std::atomic<uint32_t> state{withdrawn};
  int rank = 0;
  // Since the last offer; one that has not is not being scheduled and gets no further offers until it has
  std::atomic<bool> woke{true};
  pthread_t thread{};
};

struct Pool {
  std::mutex mutex;  // held by the Crew that has the helpers
  std::vector<std::unique_ptr<Helper>> helpers;
  std::vector<Helper*> asked;  // to join in the instruction at hand; then those that have
  uint32_t number = 0;
  TeamBody body = nullptr;
  void* context = nullptr;
  TeamState* team = nullptr;
  int size = 1;
  // After a stall the CPUs are busy with something else: work alone for a while, longer after each stall in a row
  Clock::time_point rest_until{};
  nanoseconds rest = kFirstRest;
  Clock::time_point next_move{};
  alignas(128) std::atomic<uint32_t> working{0};
};
Pool& pool() {  // never destroyed: helpers live as long as the process
  static Pool* p = new Pool;
  return *p;
}

void help(Pool& p, Helper& h) {
  const FlushDenormals flush;  // this thread runs nothing but kernels
  uint32_t seen = withdrawn;
  for (;;) {
    seen = await_change(h.state, seen, kIdleSpin);
    h.woke.store(true, std::memory_order_relaxed);
    if ((seen & 3) != offer) continue;
    const uint32_t yes = seen - offer + accepted;
    if (!h.state.compare_exchange_strong(seen, yes, std::memory_order_acq_rel)) continue;
    seen = await_change(h.state, yes, kIdleSpin);
    Team team(p.team, h.rank, p.size);
    p.body(p.context, team);
    h.woke.store(true, std::memory_order_relaxed);
    if (p.working.fetch_sub(1, std::memory_order_acq_rel) == 1) p.working.notify_one();
  }
}

// Grows the pool to n helpers, or to as many as the system grants.
void grow(Pool& p, int n) {
  sigset_t all, before;  // signals are for Python's threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (static_cast<int>(p.helpers.size()) < n) {
    auto h = std::make_unique<Helper>();
    try {
      std::thread thread(help, std::ref(p), std::ref(*h));
      h->thread = thread.native_handle();
      thread.detach();
    } catch (const std::system_error&) {
      break;
    }
    p.helpers.push_back(std::move(h));
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// Moves a helper that does not get to run off the caller's CPU: the system likes to wake it there, where it would wait
// for the caller, while other CPUs are taken by something else that it may share with or outrank.
void move_away(const Helper& h) {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  const int here = sched_getcpu();
  if (here < 0 || sched_getaffinity(0, sizeof set, &set) != 0) return;
  CPU_CLR(here, &set);
  if (CPU_COUNT(&set) > 0) pthread_setaffinity_np(h.thread, sizeof set, &set);
#else
  (void)h;
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

uint32_t fork_depth() { return forks.load(std::memory_order_relaxed); }
int num_threads() { return fork_depth() ? 1 : wanted_threads.load(std::memory_order_relaxed); }
void set_num_threads(int n) { wanted_threads.store(std::clamp(n, 1, 1024)); }

void init_threads(int default_threads) {
  set_num_threads(default_threads);
  // A forked child has only the calling thread, and one for each of many workers is what it needs.
  pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });
}

Crew::Crew(bool wanted) {
  const int n = wanted ? num_threads() - 1 : 0;
  if (n < 1 || !pool().mutex.try_lock()) return;
  if (static_cast<int>(pool().helpers.size()) < n) grow(pool(), n);
  helpers_ = std::min(n, static_cast<int>(pool().helpers.size()));
  if (helpers_ == 0) pool().mutex.unlock();
}

Crew::~Crew() {
  if (helpers_ > 0) pool().mutex.unlock();
}

void Crew::run(TeamState& state, double cost, TeamBody body, void* context) {
  Pool& p = pool();
  const auto now = Clock::now();
  const bool resting = now < p.rest_until;
  const int wanted = resting ? 0 : static_cast<int>(std::min<double>(helpers_, cost / kWorkPerMember));
  p.number += 4;
  const uint32_t offered = p.number + offer;
  p.asked.clear();
  for (int k = 0; k < helpers_ && static_cast<int>(p.asked.size()) < wanted; ++k) {
    Helper& h = *p.helpers[k];
    if (!h.woke.exchange(false, std::memory_order_relaxed)) {
      if (now > p.next_move) move_away(h), p.next_move = now + kMoveEvery;
      continue;
    }
    h.state.store(offered, std::memory_order_seq_cst);
    h.state.notify_one();
    p.asked.push_back(&h);
  }
  // Waiting for a part of the work pays where a sleeping helper wakes up meanwhile
  const nanoseconds window = std::min(kLongestWindow, nanoseconds(static_cast<int64_t>(cost / 4)));
  if (!p.asked.empty())
    spin(window, [&] {
      for (const Helper* h : p.asked)
        if (h->state.load(std::memory_order_acquire) == offered) return false;
      return true;
    });
  size_t members = 0;
  for (Helper* h : p.asked) {
    uint32_t expected = offered;
    if (h->state.compare_exchange_strong(expected, p.number + withdrawn, std::memory_order_acq_rel)) continue;
    p.asked[members++] = h;
    h->rank = static_cast<int>(members);
  }
  p.asked.resize(members);
  const int size = static_cast<int>(members) + 1;
  Team team(&state, 0, size);
  if (size > 1) {
    p.body = body;
    p.context = context;
    p.team = &state;
    p.size = size;
    p.working.store(static_cast<uint32_t>(size - 1), std::memory_order_relaxed);
    for (Helper* h : p.asked) {
      h->state.store(p.number + go, std::memory_order_release);
      h->state.notify_one();
    }
  }
  waited = nanoseconds{0};
  const auto start = Clock::now();
  body(context, team);
  if (size == 1) return;
  for (uint32_t left; (left = p.working.load(std::memory_order_acquire)) != 0;) await_change(p.working, left, kBarrierSpin);
  const auto end = Clock::now();
  if (waited > kStall && end - start > nanoseconds(static_cast<int64_t>(2 * cost))) {
    p.rest_until = end + p.rest;
    p.rest = std::min(p.rest * 2, kLongestRest);
  } else if (p.rest > kFirstRest) {
    p.rest -= p.rest / 8;
  }
}

std::byte* shared_scratch(size_t bytes) { return eager_scratch.get(bytes); }

std::byte* Team::local(size_t bytes) { return local_scratch.get(bytes); }

void Team::fail(int32_t fault, int64_t where, int64_t value) {
  std::lock_guard lock(state_->mutex);
  FaultReport& r = state_->report;
  if (!state_->failed.load(std::memory_order_relaxed) || where < r.where) r = {fault, where, value};
  state_->failed.store(true, std::memory_order_relaxed);
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
  await_change(s.generation, generation, kBarrierSpin);
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
