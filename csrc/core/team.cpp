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
#include <utility>

#include "core/memory.h"
#include "core/threads.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rv {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

constexpr nanoseconds kIdleSpin{50'000};   // a helper without work stays awake: the gap between two steps is shorter
constexpr nanoseconds kFinishSpin{20'000};  // for units under way
constexpr int kFinishSpins = 10;           // then sleep
// Work of each member, at least: 2 us where a cache line goes to the other CPU and back in 140 ns (they have one L3 cache),
// 14 us where it takes 570 (they have not). With members of 2 us, a training step 32x128x128x10 takes 36 us on one thread,
// and on two 27 in the first case, 65 in the second: what is shared out has to move between the caches.
constexpr double kShortTrip = 140, kWorkPerTrip = 28, kLeastWork = 2e3, kMostWork = 20e3;  // nanoseconds
constexpr uint32_t kMeasureEvery = 256;    // instructions
constexpr int kTrips = 4;
constexpr nanoseconds kLostTrip{5'000};
// Work that is worth waking a sleeping helper for. In a virtual machine that takes the caller 8 us, and the helper
// takes its first unit 17 us later; with 25 us of work they break even.
constexpr double kWakeFor = 40e3;
constexpr double kDense = 100e3;           // so much work in instructions that are not, within four times that time, is
constexpr double kUnit = 1e3;              // nanoseconds of work that are taken at a time, at least
constexpr int kLeastUnits = 4, kMostUnits = 64;  // of each member
constexpr uint32_t kLookEvery = 16;         // instructions
constexpr nanoseconds kSlowWake{200'000}, kMoveEvery{2'000'000};
constexpr nanoseconds kStall{300'000};     // waiting for a helper that the system has taken off its CPU
constexpr nanoseconds kShortRest{2'000'000}, kFirstRest{4'000'000}, kLongestRest{512'000'000};

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

}  // namespace

// ---------------------------------------------------------------- helpers
//
// A phase is one loop that is shared out. Its chunks form units, and each member has a range of these: it takes them from
// the front, and when they are gone, units of the others from the far end. A range is one word, phase | next | end, and
// taking is a compare-and-exchange of it, so a unit can only be taken of the phase that is going on. Whoever takes one
// has read a loop that stays valid until the unit is done; whoever takes none touches nothing of it. Hence threads
// need not enter or leave, and the caller goes on as soon as all units are done.

constexpr int kMostMembers = 256;
constexpr int kUnitBits = 12;
constexpr uint64_t kUnitMask = (1 << kUnitBits) - 1;
constexpr int kMostUnitsOfAll = kUnitMask;

struct alignas(128) Range {
  std::atomic<uint64_t> word{0};
};

enum Waking : uint32_t { awake, asleep, woken };  // woken: and not on a CPU yet

struct alignas(128) Helper {
  std::atomic<uint32_t> state{awake};
  pthread_t thread{};
  std::atomic<int64_t> since{0};  // woken; of the clock
  bool guest = false;         // kept on the caller's CPU
  uint64_t seen_before = 0;   // at the last look
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

  alignas(128) std::mutex mutex;  // held by the Crew that has the helpers
  int helpers = 0;
  uint64_t last = 0;  // phase
  uint32_t teams = 0;
  double least_work = kLeastWork;  // of a member
  Clock::time_point next_move{};
  std::atomic<int> to_wake{0};  // helpers
  double missed = 0;           // work that was done alone because helpers slept
  Clock::time_point missed_since{};
  // Where stalls eat up what helpers gain, the CPUs are busy with something else: work alone for a while, longer each time
  bool resting = false;
  Clock::time_point resumed{}, rest_until{};
  nanoseconds rest = kFirstRest;

  bool rests() { return resting && (resting = Clock::now() < rest_until); }
  void wake(int n, int at_most);
  bool worth_waking(double cost);
  bool late(Helper& h);
  void measure(Helper& h);
  void look(int members);
  void wait(int members);
  void report(int done) {
    if (left.fetch_sub(done, std::memory_order_acq_rel) == done) left.notify_one();  // no system call if nobody sleeps
  }
};

namespace {

Pool& pool() {  // never destroyed: helpers live as long as the process
  static Pool* p = new Pool;
  return *p;
}

uint64_t pack(uint64_t phase, int next, int end) {
  return phase << 2 * kUnitBits | static_cast<uint64_t>(next) << kUnitBits | static_cast<uint64_t>(end);
}

// A unit of the range, if it has one left of this phase: else -1.
int take(Range& r, uint64_t phase, bool front) {
  uint64_t w = r.word.load(std::memory_order_acquire);
  for (;;) {
    const int next = static_cast<int>(w >> kUnitBits & kUnitMask), end = static_cast<int>(w & kUnitMask);
    if (w >> 2 * kUnitBits != phase || next >= end) return -1;
    const uint64_t rest = front ? w + (uint64_t{1} << kUnitBits) : w - 1;
    if (r.word.compare_exchange_weak(w, rest, std::memory_order_acq_rel, std::memory_order_acquire))
      return front ? next : end - 1;
  }
}

void point(Share& s, int unit) {
  s.begin = unit * s.chunks / s.units;
  s.end = (unit + 1) * s.chunks / s.units;
}

// ---- where helpers run
//
// The system likes to wake a helper on the caller's CPU, where it would wait for the caller, and takes it off its CPU for
// another program's sake while it is at a unit, which the caller then waits for: some milliseconds each time.

// Lets the helper run on the caller's CPU alone, or on all others.
void place(const Helper& h, bool here) {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  const int cpu = sched_getcpu();
  if (cpu < 0) return;
  if (here) {
    CPU_SET(cpu, &set);
  } else {
    if (sched_getaffinity(0, sizeof set, &set) != 0) return;
    CPU_CLR(cpu, &set);
    if (CPU_COUNT(&set) == 0) return;
  }
  pthread_setaffinity_np(h.thread, sizeof set, &set);
#else
  (void)h, (void)here;
#endif
}

// Whether the helper is not on a CPU, by its own clock.
bool off_cpu(const Helper& h) {
#if defined(__linux__)
  clockid_t clock;
  timespec before, after;
  if (pthread_getcpuclockid(h.thread, &clock) != 0 || clock_gettime(clock, &before) != 0) return false;
  spin(nanoseconds{3'000}, [] { return false; });
  return clock_gettime(clock, &after) == 0 && before.tv_sec == after.tv_sec && before.tv_nsec == after.tv_nsec;
#else
  (void)h;
  return false;
#endif
}

void help(Pool& p, int member) {
  const FlushDenormals flush;  // this thread runs nothing but kernels
  Helper& own = p.helper[member];
  std::atomic<uint32_t>& state = own.state;
  uint64_t seen = 0;
  uint32_t pong = 0;
  for (;;) {
    auto changed = [&] {
      if (const uint32_t ping = own.ping.load(std::memory_order_relaxed); ping != pong)
        own.pong.store(pong = ping, std::memory_order_relaxed);
      return p.number.load(std::memory_order_acquire) != seen;
    };
    if (!spin(kIdleSpin, changed)) {
      // Where the caller does not see this in time, the phase goes on without the helper
      state.store(asleep, std::memory_order_seq_cst);
      if (p.number.load(std::memory_order_seq_cst) == seen) state.wait(asleep);
      state.store(awake, std::memory_order_relaxed);
      p.wake(p.members.load(std::memory_order_relaxed) - 1, 2);
      if (!changed()) continue;
    }
    seen = p.number.load(std::memory_order_acquire);
    own.seen.store(seen, std::memory_order_relaxed);
    Share s{0, 0, &p, seen};
    // These may be of a later phase: then there is nothing to take of this one
    auto* const work = p.work.load(std::memory_order_acquire);
    void* const context = p.context.load(std::memory_order_acquire);
    s.chunks = p.chunks.load(std::memory_order_acquire);
    s.units = p.units.load(std::memory_order_acquire);
    s.members = p.members.load(std::memory_order_acquire);
    s.member = s.victim = member;
    if (member >= s.members) continue;
    own.working.store(true, std::memory_order_relaxed);
    if (s.next()) work(context, s);
    own.working.store(false, std::memory_order_relaxed);
    if (own.lent.exchange(false, std::memory_order_relaxed)) sched_yield();
  }
}

// Grows the pool to n helpers, or to as many as the system grants.
void grow(Pool& p, int n) {
  sigset_t all, before;  // signals are for Python's threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (p.helpers < n) {
    try {
      std::thread thread(help, std::ref(p), p.helpers + 1);
      p.helper[p.helpers + 1].thread = thread.native_handle();
      thread.detach();
    } catch (const std::system_error&) {
      break;
    }
    ++p.helpers;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
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
thread_local Scratch own_scratch, eager_scratch;

}  // namespace

uint32_t fork_depth() { return forks.load(std::memory_order_relaxed); }
int num_threads() { return fork_depth() ? 1 : wanted_threads.load(std::memory_order_relaxed); }
void set_num_threads(int n) { wanted_threads.store(std::clamp(n, 1, 1024)); }

void init_threads(int default_threads) {
  set_num_threads(default_threads);
  // A forked child has only the calling thread, and one for each of many workers is what it needs.
  pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });
}

Crew::Crew(double cost) {
  const int n = cost > 0 ? std::min(num_threads(), kMostMembers) - 1 : 0;
  if (n < 1 || !pool().mutex.try_lock()) return;
  Pool& p = pool();
  if (p.helpers < n) grow(p, n);
  helpers_ = std::min(n, p.helpers);
  if (helpers_ == 0) {
    p.mutex.unlock();
    return;
  }
  if (cost >= kWakeFor && !p.rests()) {
    const int n = static_cast<int>(std::min<double>(helpers_, cost / kWakeFor));
    p.to_wake.store(n, std::memory_order_relaxed);
    p.wake(n, 1);
  }
}

Crew::~Crew() {
  if (helpers_ == 0) return;
  pool().to_wake.store(0, std::memory_order_relaxed);
  pool().mutex.unlock();
}

Team Crew::team(TeamState& state, double cost) const {
  if (helpers_ == 0) return Team(&state);
  Pool& p = pool();
  if (++p.teams % kMeasureEvery == 1) {
    if (Helper& h = p.helper[1 + p.teams / kMeasureEvery % helpers_]; h.state.load(std::memory_order_relaxed) == awake) p.measure(h);
  }
  const int members = static_cast<int>(std::min<double>(helpers_ + 1, cost / p.least_work));
  if (members < 2 || p.rests()) return Team(&state);
  if (p.teams % kLookEvery == 0) p.look(members);
  bool any = false, sleeps = false;
  for (int k = 1; k < members; ++k) {
    Helper& h = p.helper[k];
    const uint32_t now = h.state.load(std::memory_order_relaxed);
    sleeps |= now == asleep;
    any |= now == awake || (now == woken && !p.late(h));
  }
  if (sleeps && p.worth_waking(cost)) {
    p.to_wake.store(members - 1, std::memory_order_relaxed);
    p.wake(members - 1, 1);
    any = true;
  }
  if (!any) return Team(&state);
  const double units = cost / (kUnit * members);
  return Team(&state, &p, members, static_cast<int>(std::clamp<double>(units, kLeastUnits, kMostUnits)));
}

void Team::share_out(int64_t chunks, Work work, void* context) {
  Pool& p = *pool_;
  const int members = static_cast<int>(std::min<int64_t>(members_, chunks));
  const int units = static_cast<int>(std::min<int64_t>(chunks, std::min(members * units_, kMostUnitsOfAll)));
  Share s{0, 0, &p, ++p.last, chunks, units, members};
  p.work.store(work, std::memory_order_release);
  p.context.store(context, std::memory_order_release);
  p.chunks.store(chunks, std::memory_order_release);
  p.units.store(units, std::memory_order_release);
  p.members.store(members, std::memory_order_release);
  p.left.store(units, std::memory_order_relaxed);
  for (int k = 0; k < members; ++k)  // the caller has its first unit already
    p.range[k].word.store(pack(s.phase, units * k / members + (k == 0), units * (k + 1) / members), std::memory_order_release);
  p.number.store(s.phase, std::memory_order_release);
  point(s, 0);
  work(context, s);

  auto finished = [&] { return p.left.load(std::memory_order_acquire) == 0; };
  if (!spin(kFinishSpin, finished)) p.wait(members);
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
  if ((missed += cost) < kDense) return false;
  missed = 0;
  const auto now = Clock::now();
  return now - std::exchange(missed_since, now) < nanoseconds(static_cast<int64_t>(4 * kDense));
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
  nanoseconds best = kLostTrip;
  for (int i = 0; i < kTrips; ++i) {
    const uint32_t ping = h.ping.load(std::memory_order_relaxed) + 1;
    const auto start = Clock::now();
    h.ping.store(ping, std::memory_order_relaxed);
    auto now = start;
    while (h.pong.load(std::memory_order_relaxed) != ping && now - start < kLostTrip) now = Clock::now();
    best = std::min<nanoseconds>(best, Clock::now() - start);
  }
  if (best == kLostTrip) return;
  const double longer = static_cast<double>(best.count()) - kShortTrip;
  least_work = std::clamp(kLeastWork + kWorkPerTrip * longer, kLeastWork, kMostWork);
}

// Helpers that are awake and have seen no loop since the last look are not on a CPU: perhaps they wait for the caller's.
// With most of them gone it is better to go on alone for a while: data moved from one CPU's cache to another's and back
// costs more than some loops that are shared out between two interruptions gain.
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
  if (now > next_move) next_move = now + kMoveEvery;
  if (2 * gone < members) return;
  resting = true;
  rest_until = now + kShortRest;
}

// For units that are still under way. A helper that was taken off its CPU is lent the caller's for that long.
void Pool::wait(int members) {
  const auto start = Clock::now();
  auto finished = [&] { return left.load(std::memory_order_acquire) == 0; };
  bool lent = false;
  for (int i = 0; i < kFinishSpins && !lent && !finished(); ++i) {
    for (int k = 1; k < members; ++k) {
      Helper& h = helper[k];
      if (!h.working.load(std::memory_order_relaxed) || !off_cpu(h)) continue;
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
  rest = start - rest_until > 4 * rest ? kFirstRest : std::min(2 * rest, kLongestRest);
  resting = true;
  resumed = rest_until = now + rest;
}

bool Share::more() {
  Pool& p = *pool;
  done += end > begin;
  auto get = [&](bool front) {
    const int unit = take(p.range[victim], phase, front);
    if (unit >= 0) point(*this, unit);
    return unit >= 0;
  };
  if (victim == member) {
    if (get(true)) return true;
    victim = (member + 1) % members;
  }
  if (done > 0) p.report(done), done = 0;
  for (; victim != member; victim = (victim + 1) % members)
    if (get(false)) return true;
  return false;
}

std::byte* shared_scratch(size_t bytes) { return eager_scratch.get(bytes); }

std::byte* local_scratch(size_t bytes) { return own_scratch.get(bytes); }

void Team::fail(int32_t fault, int64_t where, int64_t value) {
  std::lock_guard lock(state_->mutex);
  FaultReport& r = state_->report;
  if (!state_->failed.load(std::memory_order_relaxed) || where < r.where) r = {fault, where, value};
  state_->failed.store(true, std::memory_order_relaxed);
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
