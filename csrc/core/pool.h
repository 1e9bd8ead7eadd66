// SPDX-License-Identifier: Apache-2.0
// The helper threads, and what they share with the thread that runs a plan.
//
// A phase is one loop that is shared out. Its chunks form units, and each member has a range of these: it takes them
// from the front, and when they are gone, units of the others from the far end. A range is one word, phase | next |
// end, and taking is a compare-and-exchange of it, so a unit can only be taken of the phase that is going on. Whoever
// takes one has read a loop that stays valid until the unit is done; whoever takes none touches nothing of it. Hence
// threads need not enter or leave, and the caller goes on as soon as all units are done.
#pragma once
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>

#include "core/team.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rv {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

inline constexpr int kMostMembers = 256;
inline constexpr int kUnitBits = 12;
inline constexpr uint64_t kUnitMask = (1 << kUnitBits) - 1;
inline constexpr int kMostUnitsOfAll = kUnitMask;

inline constexpr double kLeastWork = 2e3;  // nanoseconds, of a member of a team

struct alignas(128) Range {
  std::atomic<uint64_t> word{0};
};

enum Waking : uint32_t { awake, asleep, woken };  // woken: and not on a CPU yet

struct alignas(128) Helper {
  std::atomic<uint32_t> state{awake};
  pthread_t thread{};
  std::atomic<int64_t> since{0};  // woken; of the clock
  bool guest = false;             // kept on the caller's CPU
  uint64_t seen_before = 0;       // at the last look
  // Going round: written by the caller, and back
  alignas(64) std::atomic<uint32_t> ping{0};
  alignas(64) std::atomic<uint32_t> pong{0};
  // Written by the helper
  std::atomic<bool> working{false};
  std::atomic<bool> lent{false};  // the caller's CPU
  std::atomic<uint64_t> seen{0};  // phase
};

struct Pool {
  // Of the phase; `number` is written last, and read first
  alignas(128) std::atomic<uint64_t> number{0};
  std::atomic<void (*)(void*, Share&)> work{nullptr};
  std::atomic<void*> context{nullptr};
  std::atomic<int64_t> chunks{0};
  std::atomic<int> units{0}, members{0};

  alignas(128) std::atomic<int> left{0};  // units that are not done
  Range range[kMostMembers];
  Helper helper[kMostMembers];

  std::atomic<bool> thrown{false};  // by a member of this phase
  std::exception_ptr error;         // what the first one threw

  alignas(128) std::mutex mutex;  // held by the Crew that has the helpers
  int helpers = 0;
  uint64_t last = 0;            // phase
  std::atomic<int> to_wake{0};  // helpers

  // Called by whoever holds the mutex
  void grow(int n);                     // to n helpers, or to as many as the system grants
  void begin(int n, double cost);       // a run of so much work in instructions that are shared out, by up to n helpers
  int members_for(int n, double cost);  // of an instruction: 1 to n + 1; wakes helpers where that pays
  void finish(int members);             // waits until no unit is left

  // By all
  void report(int done) {
    if (left.fetch_sub(done, std::memory_order_acq_rel) == done) left.notify_one();  // no system call if nobody sleeps
  }
  void give_up(Share& s);  // after an exception, which the caller of the loop throws again

 private:
  void help(int member);
  bool rests() { return resting && (resting = Clock::now() < rest_until); }
  double far() const { return least_work < 4 * kLeastWork ? least_work / kLeastWork : 4; }
  void wake(int n, int at_most);
  bool worth_waking(double cost);
  bool late(Helper& h);
  void measure(Helper& h);
  void look(int members);
  void rescue(int members);

  uint64_t teams = 0, next_measure = 0;  // instructions so far
  double least_work = kLeastWork;        // of a member
  double missed = 0;                     // nanoseconds of work that was done alone because helpers slept
  Clock::time_point missed_since{}, next_move{};
  // Where a stall eats up what helpers gained, the CPUs are busy with something else: work alone, kRestPerStall times
  // as long
  bool resting = false;
  Clock::time_point resumed{}, rest_until{};
};

Pool& pool();

inline void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// True as soon as done(), false after `limit`.
template <class F>
bool spin(nanoseconds limit, F&& done) {
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
