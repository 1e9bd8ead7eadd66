// SPDX-License-Identifier: Apache-2.0
// Workers of our own: where they run, when they sleep and wake, and what becomes of one that is not scheduled.
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <system_error>
#include <thread>
#include <utility>

#include "core/loop.h"
#include "core/threads.h"

namespace rv {
namespace {

// A worker without work stays awake for longer than the gap between two steps, and as long as others are at shares of a
// loop, within reason: the next loop of the same instruction wakes nobody.
constexpr nanoseconds kIdleSpin{50'000};
constexpr int kLoopSpins = 100;

// The work of a thread that pays, by how long a cache line takes to another CPU and back, for data has to move as well:
// kMinWork where the two have one L3 cache, up to kMaxWork where they have not. All in nanoseconds.
constexpr double kShortTrip = 120, kWorkPerTrip = 20, kMaxWork = 20e3;
constexpr uint32_t kMeasureEvery = 256, kMeasureAgain = 16;  // instructions
constexpr int kTrips = 4;
constexpr nanoseconds kLostTrip{5'000};

// The work that pays for waking a worker: twice what it breaks even at, since costs are estimates. In a run, or in
// small pieces, it is up to four times as much where workers are far away.
constexpr double kWakeFor = 60e3;
constexpr double kDense = 100e3;  // of small pieces, within four times that time

constexpr uint32_t kLookEvery = 16;  // instructions
constexpr nanoseconds kSlowWake{200'000}, kMoveEvery{2'000'000}, kShortRest{2'000'000};

constexpr nanoseconds kFinishSpin{20'000};  // for shares under way
constexpr nanoseconds kClockSpin{3'000};    // in which the clock of a thread on a CPU goes on
constexpr int kFinishSpins = 10;            // then sleep
constexpr nanoseconds kStall{300'000};
constexpr int kRestPerStall = 16;  // so that stalls take a sixteenth of the time at most

enum Waking : uint32_t { awake, asleep, woken };  // woken: and not on a CPU yet

struct alignas(128) Worker {
  std::atomic<uint32_t> state{awake};
  pthread_t thread{};
  std::atomic<int64_t> since{0};  // woken; of the clock
  bool guest = false;             // kept on the caller's CPU
  uint64_t seen_before = 0;       // at the last look
  // Going round: written by the caller, and back
  alignas(64) std::atomic<uint32_t> ping{0};
  alignas(64) std::atomic<uint32_t> pong{0};
  // Written by the worker
  std::atomic<bool> working{false};
  std::atomic<bool> lent{false};  // the caller's CPU
  std::atomic<uint64_t> seen{0};  // number of the loop
};

class Pool {
 public:
  // Called by whoever has the workers
  int grow(int n);                 // to n workers, or to as many as the system grants
  void begin(int n, double cost);  // a region
  void end() { to_wake.store(0, std::memory_order_relaxed); }
  int threads_for(int n, double cost);
  void rescue(int threads);

 private:
  void help(int k);
  bool rests() { return resting && (resting = Clock::now() < rest_until); }
  double far() const { return min_work < 4 * kMinWork ? min_work / kMinWork : 4; }
  void wake(int n, int at_most);
  bool worth_waking(double cost);
  bool late(Worker& w);
  void measure(Worker& w);
  void look(int threads);

  Worker worker[kMaxThreads];  // from 1 on: 0 is the caller
  int workers = 0;
  std::atomic<int> to_wake{0};

  uint64_t teams = 0, next_measure = 0;  // instructions so far
  double min_work = kMinWork;            // of a thread
  double missed = 0;                     // nanoseconds of work that was done alone because workers slept
  Clock::time_point missed_since{}, next_move{};
  // Where a stall eats up what workers gained, the CPUs are busy with something else: work alone, kRestPerStall times
  // as long
  bool resting = false;
  Clock::time_point resumed{}, rest_until{};
};

// ---- where workers run
//
// The system likes to wake a worker on the caller's CPU, where it would wait for the caller, and takes it off its CPU
// for another program's sake while it is at a share, which the caller then waits for: some milliseconds each time.

// Lets the worker run on the caller's CPU alone, or on all others.
void place(const Worker& w, bool here) {
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
  pthread_setaffinity_np(w.thread, sizeof set, &set);
#else
  (void)w, (void)here;
#endif
}

// Nanoseconds that the worker has been on a CPU, or -1.
int64_t cpu_time(const Worker& w) {
#if defined(__linux__)
  clockid_t clock;
  timespec t;
  if (pthread_getcpuclockid(w.thread, &clock) == 0 && clock_gettime(clock, &t) == 0)
    return t.tv_sec * 1'000'000'000 + t.tv_nsec;
#else
  (void)w;
#endif
  return -1;
}

Pool& pool() {  // never destroyed: workers live as long as the process
  static Pool* p = new Pool;
  return *p;
}

void Pool::help(int k) {
  const FlushDenormals flush;  // this thread runs nothing but kernels
  Loop& loop = current_loop;
  Worker& own = worker[k];
  uint64_t seen = 0;
  uint32_t pong = 0;
  for (;;) {
    auto changed = [&] {
      if (const uint32_t ping = own.ping.load(std::memory_order_relaxed); ping != pong)
        own.pong.store(pong = ping, std::memory_order_relaxed);
      return loop.number.load(std::memory_order_acquire) != seen;
    };
    bool more, going_on;
    int spins = 0;
    do {
      if (spins > 0) sched_yield();  // to a worker that is at a share and has no CPU of its own
      going_on = loop.left.load(std::memory_order_relaxed) != 0;
      more = spin(kIdleSpin, changed);
    } while (!more && going_on && ++spins < kLoopSpins);
    if (!more) {
      // Where the caller does not see this in time, the loop goes on without this worker
      own.state.store(asleep, std::memory_order_seq_cst);
      if (loop.number.load(std::memory_order_seq_cst) == seen) own.state.wait(asleep);
      own.state.store(awake, std::memory_order_relaxed);
      wake(loop.threads.load(std::memory_order_relaxed) - 1, 2);
      if (!changed()) continue;
    }
    seen = loop.number.load(std::memory_order_acquire);
    own.seen.store(seen, std::memory_order_relaxed);
    own.working.store(true, std::memory_order_relaxed);
    loop.join(k, seen);
    own.working.store(false, std::memory_order_relaxed);
    if (own.lent.exchange(false, std::memory_order_relaxed)) sched_yield();
  }
}

int Pool::grow(int n) {
  if (workers >= n) return n;
  sigset_t all, before;  // signals are for Python's threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (workers < n) {
    try {
      std::thread thread(&Pool::help, this, workers + 1);
      worker[workers + 1].thread = thread.native_handle();
      thread.detach();
    } catch (const std::system_error&) { break; }
    ++workers;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return workers;
}

void Pool::begin(int n, double cost) {
  const double each = kWakeFor * far();
  if (cost < each || rests()) return;
  n = static_cast<int>(std::min<double>(n, cost / each));
  to_wake.store(n, std::memory_order_relaxed);
  wake(n, 1);
}

int Pool::threads_for(int n, double cost) {
  if (++teams >= next_measure) {
    Worker& w = worker[1 + teams % static_cast<uint64_t>(n)];
    if (w.state.load(std::memory_order_relaxed) == awake) measure(w);
  }
  const int wanted = static_cast<int>(std::min<double>(n + 1, cost / min_work));
  if (wanted < 2 || rests()) return 1;
  if (teams % kLookEvery == 0) look(wanted);
  bool any = false, sleeps = false;
  for (int k = 1; k < wanted; ++k) {
    const uint32_t state = worker[k].state.load(std::memory_order_relaxed);
    sleeps |= state == asleep;
    any |= state == awake || (state == woken && !late(worker[k]));
  }
  if (sleeps && worth_waking(cost)) {
    to_wake.store(wanted - 1, std::memory_order_relaxed);
    wake(wanted - 1, 1);
    any = true;
  }
  return any ? wanted : 1;
}

// Wakes up to `at_most` of the first n workers; each of them wakes two more, as long as `to_wake` says so.
void Pool::wake(int n, int at_most) {
  for (int k = 1; k <= n && at_most > 0; ++k) {
    Worker& w = worker[k];
    uint32_t state = asleep;
    if (w.state.load(std::memory_order_relaxed) != asleep) continue;
    if (to_wake.fetch_sub(1, std::memory_order_relaxed) <= 0) return;
    if (!w.state.compare_exchange_strong(state, woken, std::memory_order_relaxed)) continue;
    w.since.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
    w.state.notify_one();
    --at_most;
  }
}

bool Pool::worth_waking(double cost) {
  if (cost >= kWakeFor) return true;
  if ((missed += cost) < kDense * far()) return false;
  const auto now = Clock::now(), since = std::exchange(missed_since, now);
  return now - since < nanoseconds(static_cast<int64_t>(4 * std::exchange(missed, 0)));
}

// Whether a worker that was woken should have run by now.
bool Pool::late(Worker& w) {
  const auto now = Clock::now();
  if (now.time_since_epoch() - Clock::duration(w.since.load(std::memory_order_relaxed)) < kSlowWake) return false;
  if (now > next_move) {
    place(w, false);
    next_move = now + kMoveEvery;
  }
  return true;
}

// How long a cache line takes to the worker and back.
void Pool::measure(Worker& w) {
  next_measure = teams + kMeasureAgain;
  nanoseconds best = kLostTrip;
  for (int i = 0; i < kTrips; ++i) {
    const uint32_t ping = w.ping.load(std::memory_order_relaxed) + 1;
    const auto start = Clock::now();
    w.ping.store(ping, std::memory_order_relaxed);
    while (w.pong.load(std::memory_order_relaxed) != ping)
      if (Clock::now() - start > kLostTrip) return;  // it is not on a CPU
    best = std::min<nanoseconds>(best, Clock::now() - start);
  }
  next_measure = teams + kMeasureEvery;
  min_work = std::clamp(kMinWork + kWorkPerTrip * (static_cast<double>(best.count()) - kShortTrip), kMinWork, kMaxWork);
}

// Workers that are awake and have seen no loop since the last look are not on a CPU: perhaps they wait for the
// caller's. With most of them gone it is better to go on alone for a while: data moved from one CPU's cache to
// another's and back costs more than some loops that are shared out between two interruptions gain.
void Pool::look(int threads) {
  int gone = 0;
  Clock::time_point now;
  for (int k = 1; k < threads; ++k) {
    Worker& w = worker[k];
    const uint64_t seen = w.seen.load(std::memory_order_relaxed);
    if (std::exchange(w.seen_before, seen) != seen || w.state.load(std::memory_order_relaxed) != awake) continue;
    if (gone++ == 0) now = Clock::now();
    if (now > next_move) place(w, false);
  }
  if (gone == 0) return;
  if (now > next_move) {  // they have just been moved, perhaps from a CPU that has become the caller's: that may be all
    next_move = now + kMoveEvery;
    return;
  }
  if (2 * gone < threads) return;
  resting = true;
  rest_until = now + kShortRest;
}

// Shares are still under way: a worker that was taken off its CPU is lent the caller's until they are done.
void Pool::rescue(int threads) {
  const auto start = Clock::now();
  auto finished = [&] { return current_loop.done(); };
  bool lent = false;
  int64_t before[kMaxThreads];
  for (int i = 0; i < kFinishSpins && !lent && !finished(); ++i) {
    for (int k = 1; k < threads; ++k)
      before[k] = worker[k].working.load(std::memory_order_relaxed) ? cpu_time(worker[k]) : -1;
    spin(kClockSpin, finished);
    for (int k = 1; k < threads && !finished(); ++k) {
      Worker& w = worker[k];
      if (before[k] < 0 || cpu_time(w) != before[k]) continue;  // not at work, or on a CPU
      w.lent.store(true, std::memory_order_relaxed);
      place(w, true);
      w.guest = lent = true;
    }
    if (!lent) spin(kFinishSpin, finished);
  }
  for (int n; (n = current_loop.left.load(std::memory_order_acquire)) != 0;)
    current_loop.left.wait(n, std::memory_order_acquire);
  for (int k = 1; k < threads && lent; ++k)
    if (std::exchange(worker[k].guest, false)) place(worker[k], false);
  const auto now = Clock::now();
  if (now - start < kStall) return;
  // Alone, the work since the last stall would have taken `threads` times as
  // long, without this one
  const auto since = now - std::exchange(resumed, now);
  if (now - start < since * (5 * threads - 6) / (5 * threads)) return;
  resting = true;
  resumed = rest_until = now + kRestPerStall * (now - start);
}

}  // namespace

namespace workers {

const char* const kind = "pool";

void run(int n, double cost, Body body, void* context) {
  Pool& p = pool();
  n = p.grow(n);
  if (n < 1) return body(context, 0);
  struct Visit {
    Pool& pool;
    ~Visit() { pool.end(); }
  } const visit{p};
  p.begin(n, cost);
  body(context, n);
}

int threads_for(int workers, double cost) { return pool().threads_for(workers, cost); }

void finish(int threads) {
  if (!spin(kFinishSpin, [] { return current_loop.done(); })) pool().rescue(threads);
}

}  // namespace workers
}  // namespace rv
