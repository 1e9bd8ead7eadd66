// SPDX-License-Identifier: Apache-2.0
// The life of helper threads: where they run, when they sleep and wake, and what becomes of one that is not scheduled.
#include "core/pool.h"

#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <system_error>
#include <thread>
#include <utility>

#include "core/threads.h"

namespace rv {
namespace {

constexpr nanoseconds kIdleSpin{50'000};  // a helper without work stays awake: the gap between two steps is shorter
// Nor does it sleep while others are still at units of a loop, for 5 ms: the next loop of the same instruction wakes
// nobody (2048 cubed on two threads: 81 ms, 81 to 147 where helpers fell asleep).
constexpr int kLoopSpins = 100;

// Work of each member, at least: 2 us where a cache line goes to the other CPU and back in 120 ns (they have one L3
// cache), 10 us where it takes 500 (they have not). With members of 2 us, a training step 32x128x128x10 takes 36 us on
// one thread, and on two 27 in the first case, 65 in the second: what is shared out has to move between the caches.
constexpr double kShortTrip = 120, kWorkPerTrip = 20, kMostWork = 20e3;  // nanoseconds
constexpr uint32_t kMeasureEvery = 256, kMeasureAgain = 16;              // instructions
constexpr int kTrips = 4;
constexpr nanoseconds kLostTrip{5'000};

// Work that is worth waking a sleeping helper for. In a virtual machine that takes the caller 8 us, and the helper
// takes its first unit 17 us later: 25 us of work break even, if the costs were exact.
// In a run, or in small pieces, it is up to four times as much where helpers are far away.
constexpr double kWakeFor = 60e3;
constexpr double kDense = 100e3;  // so much work in instructions that are not, within four times that time, is

constexpr uint32_t kLookEvery = 16;  // instructions
constexpr nanoseconds kSlowWake{200'000}, kMoveEvery{2'000'000}, kShortRest{2'000'000};

constexpr nanoseconds kFinishSpin{20'000};  // for units under way
constexpr nanoseconds kClockSpin{3'000};    // in which the clock of a thread on a CPU goes on
constexpr int kFinishSpins = 10;            // then sleep
constexpr nanoseconds kStall{300'000};
constexpr int kRestPerStall = 16;  // so that stalls take a sixteenth of the time at most

// ---- where helpers run
//
// The system likes to wake a helper on the caller's CPU, where it would wait for the caller, and takes it off its CPU
// for another program's sake while it is at a unit, which the caller then waits for: some milliseconds each time.

// Lets the helper run on the caller's CPU alone, or on all others.
void place(const Helper& h, bool here) {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return;  // what could not be undone is not done either
  const int cpu = sched_getcpu();
  if (here) {
    if (cpu < 0) return;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
  } else if (cpu >= 0 && CPU_COUNT(&set) > 1) {
    CPU_CLR(cpu, &set);
  }
  pthread_setaffinity_np(h.thread, sizeof set, &set);
#else
  (void)h, (void)here;
#endif
}

// Nanoseconds that the helper has been on a CPU, or -1.
int64_t cpu_time(const Helper& h) {
#if defined(__linux__)
  clockid_t clock;
  timespec t;
  if (pthread_getcpuclockid(h.thread, &clock) == 0 && clock_gettime(clock, &t) == 0)
    return t.tv_sec * 1'000'000'000 + t.tv_nsec;
#else
  (void)h;
#endif
  return -1;
}

}  // namespace

Pool& pool() {  // never destroyed: helpers live as long as the process
  static Pool* p = new Pool;
  return *p;
}

void Pool::help(int member) {
  const FlushDenormals flush;  // this thread runs nothing but kernels
  Helper& own = helper[member];
  std::atomic<uint32_t>& state = own.state;
  uint64_t seen = 0;
  uint32_t pong = 0;
  for (;;) {
    auto changed = [&] {
      if (const uint32_t ping = own.ping.load(std::memory_order_relaxed); ping != pong)
        own.pong.store(pong = ping, std::memory_order_relaxed);
      return number.load(std::memory_order_acquire) != seen;
    };
    bool more, going_on;
    int spins = 0;
    do {
      if (spins > 0) sched_yield();  // to a helper that is at a unit and has no CPU of its own
      going_on = left.load(std::memory_order_relaxed) != 0;
      more = spin(kIdleSpin, changed);
    } while (!more && going_on && ++spins < kLoopSpins);
    if (!more) {
      // Where the caller does not see this in time, the phase goes on without the helper
      state.store(asleep, std::memory_order_seq_cst);
      if (number.load(std::memory_order_seq_cst) == seen) state.wait(asleep);
      state.store(awake, std::memory_order_relaxed);
      wake(members.load(std::memory_order_relaxed) - 1, 2);
      if (!changed()) continue;
    }
    seen = number.load(std::memory_order_acquire);
    own.seen.store(seen, std::memory_order_relaxed);
    Share s{0, 0, this, seen};
    // These may be of a later phase: then there is nothing to take of this one
    auto* const work = this->work.load(std::memory_order_acquire);
    void* const context = this->context.load(std::memory_order_acquire);
    s.chunks = chunks.load(std::memory_order_acquire);
    s.units = units.load(std::memory_order_acquire);
    s.members = members.load(std::memory_order_acquire);
    s.member = s.victim = member;
    if (member >= s.members) continue;
    own.working.store(true, std::memory_order_relaxed);
    try {
      if (s.next()) work(context, s);
    } catch (...) {  // no memory
      give_up(s);
    }
    own.working.store(false, std::memory_order_relaxed);
    if (own.lent.exchange(false, std::memory_order_relaxed)) sched_yield();
  }
}

void Pool::grow(int n) {
  sigset_t all, before;  // signals are for Python's threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (helpers < n) {
    try {
      std::thread thread(&Pool::help, this, helpers + 1);
      helper[helpers + 1].thread = thread.native_handle();
      thread.detach();
    } catch (const std::system_error&) { break; }
    ++helpers;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Pool::begin(int n, double cost) {
  const double each = kWakeFor * far();
  if (cost < each || rests()) return;
  n = static_cast<int>(std::min<double>(n, cost / each));
  to_wake.store(n, std::memory_order_relaxed);
  wake(n, 1);
}

int Pool::members_for(int n, double cost) {
  if (++teams >= next_measure) {
    Helper& h = helper[1 + teams % static_cast<uint64_t>(n)];
    if (h.state.load(std::memory_order_relaxed) == awake) measure(h);
  }
  const int wanted = static_cast<int>(std::min<double>(n + 1, cost / least_work));
  if (wanted < 2 || rests()) return 1;
  if (teams % kLookEvery == 0) look(wanted);
  bool any = false, sleeps = false;
  for (int k = 1; k < wanted; ++k) {
    const uint32_t state = helper[k].state.load(std::memory_order_relaxed);
    sleeps |= state == asleep;
    any |= state == awake || (state == woken && !late(helper[k]));
  }
  if (sleeps && worth_waking(cost)) {
    to_wake.store(wanted - 1, std::memory_order_relaxed);
    wake(wanted - 1, 1);
    any = true;
  }
  return any ? wanted : 1;
}

// Wakes up to `at_most` of the first n helpers; each of them wakes two more, as long as `to_wake` says so.
void Pool::wake(int n, int at_most) {
  for (int k = 1; k <= n && at_most > 0; ++k) {
    Helper& h = helper[k];
    uint32_t state = asleep;
    if (h.state.load(std::memory_order_relaxed) != asleep) continue;
    if (to_wake.fetch_sub(1, std::memory_order_relaxed) <= 0) return;
    if (!h.state.compare_exchange_strong(state, woken, std::memory_order_relaxed)) continue;
    h.since.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
    h.state.notify_one();
    --at_most;
  }
}

bool Pool::worth_waking(double cost) {
  if (cost >= kWakeFor) return true;
  if ((missed += cost) < kDense * far()) return false;
  const auto now = Clock::now(), since = std::exchange(missed_since, now);
  return now - since < nanoseconds(static_cast<int64_t>(4 * std::exchange(missed, 0)));
}

// Whether a helper that was woken should have run by now.
bool Pool::late(Helper& h) {
  const auto now = Clock::now();
  if (now.time_since_epoch() - Clock::duration(h.since.load(std::memory_order_relaxed)) < kSlowWake) return false;
  if (now > next_move) {
    place(h, false);
    next_move = now + kMoveEvery;
  }
  return true;
}

// How long a cache line takes to the helper and back.
void Pool::measure(Helper& h) {
  next_measure = teams + kMeasureAgain;
  nanoseconds best = kLostTrip;
  for (int i = 0; i < kTrips; ++i) {
    const uint32_t ping = h.ping.load(std::memory_order_relaxed) + 1;
    const auto start = Clock::now();
    h.ping.store(ping, std::memory_order_relaxed);
    while (h.pong.load(std::memory_order_relaxed) != ping)
      if (Clock::now() - start > kLostTrip) return;  // it is not on a CPU
    best = std::min<nanoseconds>(best, Clock::now() - start);
  }
  next_measure = teams + kMeasureEvery;
  least_work =
      std::clamp(kLeastWork + kWorkPerTrip * (static_cast<double>(best.count()) - kShortTrip), kLeastWork, kMostWork);
}

// Helpers that are awake and have seen no loop since the last look are not on a CPU: perhaps they wait for the
// caller's. With most of them gone it is better to go on alone for a while: data moved from one CPU's cache to
// another's and back costs more than some loops that are shared out between two interruptions gain.
void Pool::look(int members) {
  int gone = 0;
  Clock::time_point now;
  for (int k = 1; k < members; ++k) {
    Helper& h = helper[k];
    const uint64_t seen = h.seen.load(std::memory_order_relaxed);
    if (std::exchange(h.seen_before, seen) != seen || h.state.load(std::memory_order_relaxed) != awake) continue;
    if (gone++ == 0) now = Clock::now();
    if (now > next_move) place(h, false);
  }
  if (gone == 0) return;
  if (now > next_move) {  // they have just been moved, perhaps from a CPU that has become the caller's: that may be all
    next_move = now + kMoveEvery;
    return;
  }
  if (2 * gone < members) return;
  resting = true;
  rest_until = now + kShortRest;
}

void Pool::finish(int members) {
  if (!spin(kFinishSpin, [&] { return left.load(std::memory_order_acquire) == 0; })) rescue(members);
}

// Units are still under way: a helper that was taken off its CPU is lent the caller's until they are done.
void Pool::rescue(int members) {
  const auto start = Clock::now();
  auto finished = [&] { return left.load(std::memory_order_acquire) == 0; };
  bool lent = false;
  int64_t before[kMostMembers];
  for (int i = 0; i < kFinishSpins && !lent && !finished(); ++i) {
    for (int k = 1; k < members; ++k)
      before[k] = helper[k].working.load(std::memory_order_relaxed) ? cpu_time(helper[k]) : -1;
    spin(kClockSpin, finished);
    for (int k = 1; k < members && !finished(); ++k) {
      Helper& h = helper[k];
      if (before[k] < 0 || cpu_time(h) != before[k]) continue;  // not at work, or on a CPU
      h.lent.store(true, std::memory_order_relaxed);
      place(h, true);
      h.guest = lent = true;
    }
    if (!lent) spin(kFinishSpin, finished);
  }
  for (int n; (n = left.load(std::memory_order_acquire)) != 0;) left.wait(n, std::memory_order_acquire);
  for (int k = 1; k < members && lent; ++k)
    if (std::exchange(helper[k].guest, false)) place(helper[k], false);
  const auto now = Clock::now();
  if (now - start < kStall) return;
  // Alone, the work since the last stall would have taken `members` times as long, without this one
  const auto since = now - std::exchange(resumed, now);
  if (now - start < since * (5 * members - 6) / (5 * members)) return;
  resting = true;
  resumed = rest_until = now + kRestPerStall * (now - start);
}

}  // namespace rv
