// SPDX-License-Identifier: Apache-2.0
// The loop that is being shared out, of which there is one at a time, and how
// threads take shares of it.
//
// Each thread has a queue of shares: it takes them from the front, and when
// they are gone, those of the others from the far end. A queue is one word,
// number of the loop | next | end, and taking is a compare-and-exchange of it,
// so a share can only be taken of the loop that is going on. Whoever takes one
// has read a description that stays valid until the share is done; whoever
// takes none touches nothing of it. Hence threads need not enter or leave, and
// the caller goes on as soon as all shares are done: nothing ever waits for a
// thread that holds no work.
#pragma once
#include <atomic>
#include <chrono>
#include <exception>

#include "core/team.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rv {

inline constexpr int kMaxThreads = 256;
inline constexpr int kShareBits = 12;
inline constexpr uint64_t kShareMask = (1 << kShareBits) - 1;
inline constexpr int kMaxShares = kShareMask;

inline constexpr double kMinWork = 2e3;  // nanoseconds, of a thread of a team

struct Loop {
  // `number` is written last, and read first
  alignas(128) std::atomic<uint64_t> number{0};
  std::atomic<void (*)(void*, Share&)> work{nullptr};
  std::atomic<void*> context{nullptr};
  std::atomic<int64_t> chunks{0};
  std::atomic<int> shares{0}, threads{0};

  alignas(128) std::atomic<int> left{0};  // shares that are not done
  struct alignas(128) Queue {
    std::atomic<uint64_t> word{0};
  } queue[kMaxThreads];

  std::atomic<bool> thrown{false};  // by a thread at this loop
  std::exception_ptr error;         // what the first one threw

  bool done() const { return left.load(std::memory_order_acquire) == 0; }
  // Worker `thread` takes shares of loop `seen`, which was read from `number`,
  // until none is left.
  void join(int thread, uint64_t seen);
  void report(int shares_done) {
    // no system call if nobody sleeps
    if (left.fetch_sub(shares_done, std::memory_order_acq_rel) == shares_done) left.notify_one();
  }
  // A share from the queue of `thread`, if one is left of loop `of`: else -1.
  int take(int thread, uint64_t of, bool front);
  void give_up(const Share& s);  // after an exception, which the caller of the
                                 // loop throws again
};
extern Loop current_loop;

inline void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

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

}  // namespace rv
