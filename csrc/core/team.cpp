// SPDX-License-Identifier: Apache-2.0
#include "core/team.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <utility>

#include "core/pool.h"
#include "core/threads.h"

namespace rv {
namespace {

std::atomic<int> wanted_threads{1};
std::atomic<uint32_t> forks{0};

}  // namespace

uint32_t fork_depth() { return forks.load(std::memory_order_relaxed); }
int num_threads() { return fork_depth() ? 1 : wanted_threads.load(std::memory_order_relaxed); }
void set_num_threads(int n) { wanted_threads.store(std::clamp(n, 1, 1024)); }

void init_threads(int default_threads) {
  set_num_threads(default_threads);
  // A forked child has only the calling thread, and one for each of many workers is what it needs.
  pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });
}

// ---- loops

namespace {

constexpr double kUnit = 1e3;                    // nanoseconds of work that are taken at a time, at least
constexpr int kLeastUnits = 4, kMostUnits = 64;  // of each member

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

}  // namespace

Crew::Crew(double cost) {
  const int n = cost > 0 ? std::min(num_threads(), kMostMembers) - 1 : 0;
  if (n < 1 || !pool().mutex.try_lock()) return;
  Pool& p = pool();
  if (p.helpers < n) p.grow(n);
  helpers_ = std::min(n, p.helpers);
  if (helpers_ > 0) p.begin(helpers_, cost);
  else p.mutex.unlock();
}

Crew::~Crew() {
  if (helpers_ == 0) return;
  pool().to_wake.store(0, std::memory_order_relaxed);
  pool().mutex.unlock();
}

Team Crew::team(TeamState& state, double cost) const {
  const int members = helpers_ > 0 ? pool().members_for(helpers_, cost) : 1;
  if (members < 2) return Team(&state);
  const double units = cost / (kUnit * members);
  return Team(&state, &pool(), members, static_cast<int>(std::clamp<double>(units, kLeastUnits, kMostUnits)));
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
    p.range[k].word.store(pack(s.phase, units * k / members + (k == 0), units * (k + 1) / members),
                          std::memory_order_release);
  p.number.store(s.phase, std::memory_order_release);
  point(s, 0);
  try {
    work(context, s);
  } catch (...) {  // the others still use `context`: nothing may unwind before they are done
    p.give_up(s);
    int rest = 0;
    for (int k = 0; k < members; ++k)
      while (take(p.range[k], s.phase, true) >= 0) ++rest;
    if (rest > 0) p.report(rest);
  }
  p.finish(members);
  if (p.thrown.load(std::memory_order_relaxed)) [[unlikely]] {
    p.thrown.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(p.error, nullptr));
  }
}

void Pool::give_up(Share& s) {
  if (!thrown.exchange(true, std::memory_order_relaxed)) error = std::current_exception();
  report(s.done + 1);  // units done, and the one under way
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

// ---- faults, floating-point mode

void Team::fail(int64_t where, int64_t value, int64_t low, int64_t high) {
  std::lock_guard lock(state_->mutex);
  FaultReport& r = state_->report;
  if (!state_->failed.load(std::memory_order_relaxed) || where < r.where) r = {where, value, low, high};
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
