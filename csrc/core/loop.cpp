// SPDX-License-Identifier: Apache-2.0
#include "core/loop.h"

#include <algorithm>
#include <utility>

#include "core/workers.h"

namespace rv {

Loop current_loop;

namespace {

uint64_t pack(uint64_t number, int next, int end) {
  return number << 2 * kShareBits | static_cast<uint64_t>(next) << kShareBits | static_cast<uint64_t>(end);
}

void point(Share& s, int share) {
  s.begin = share * s.chunks / s.shares;
  s.end = (share + 1) * s.chunks / s.shares;
}

}  // namespace

int Loop::take(int thread, uint64_t of, bool front) {
  std::atomic<uint64_t>& word = queue[thread].word;
  uint64_t w = word.load(std::memory_order_acquire);
  for (;;) {
    const int next = static_cast<int>(w >> kShareBits & kShareMask), end = static_cast<int>(w & kShareMask);
    if (w >> 2 * kShareBits != of || next >= end) return -1;
    const uint64_t rest = front ? w + (uint64_t{1} << kShareBits) : w - 1;
    if (word.compare_exchange_weak(w, rest, std::memory_order_acq_rel, std::memory_order_acquire))
      return front ? next : end - 1;
  }
}

bool Share::more() {
  done += end > begin;
  auto get = [&](bool front) {
    const int share = loop->take(victim, number, front);
    if (share >= 0) point(*this, share);
    return share >= 0;
  };
  if (victim == thread) {
    if (get(true)) return true;
    victim = (thread + 1) % threads;
  }
  if (done > 0) loop->report(done), done = 0;
  for (; victim != thread; victim = (victim + 1) % threads)
    if (get(false)) return true;
  return false;
}

void Loop::give_up(const Share& s) {
  if (!thrown.exchange(true, std::memory_order_relaxed)) error = std::current_exception();
  report(s.done + 1);  // shares done, and the one under way
}

void Loop::join(int thread, uint64_t seen) {
  Share s{0, 0, this, seen};
  // These may be of a later loop: then there is nothing to take of this one
  auto* const body = work.load(std::memory_order_acquire);
  void* const on = context.load(std::memory_order_acquire);
  s.chunks = chunks.load(std::memory_order_acquire);
  s.shares = shares.load(std::memory_order_acquire);
  s.threads = threads.load(std::memory_order_acquire);
  s.thread = s.victim = thread;
  if (thread >= s.threads) return;
  try {
    if (s.next()) body(on, s);
  } catch (...) {  // no memory
    give_up(s);
  }
}

void Team::share_out(int64_t chunks, Work work, void* context) {
  Loop& l = current_loop;
  const int threads = static_cast<int>(std::min<int64_t>(threads_, chunks));
  const int shares = static_cast<int>(std::min<int64_t>(chunks, std::min(threads * shares_, kMaxShares)));
  Share s{0, 0, &l, l.number.load(std::memory_order_relaxed) + 1, chunks, shares, threads};
  l.work.store(work, std::memory_order_release);
  l.context.store(context, std::memory_order_release);
  l.chunks.store(chunks, std::memory_order_release);
  l.shares.store(shares, std::memory_order_release);
  l.threads.store(threads, std::memory_order_release);
  l.left.store(shares, std::memory_order_relaxed);
  for (int k = 0; k < threads; ++k)  // the caller has its first share already
    l.queue[k].word.store(pack(s.number, shares * k / threads + (k == 0), shares * (k + 1) / threads),
                          std::memory_order_release);
  l.number.store(s.number, std::memory_order_release);
  point(s, 0);
  try {
    work(context, s);
  } catch (...) {  // the others still use `context`: nothing may unwind before
                   // they are done
    l.give_up(s);
    int rest = 0;
    for (int k = 0; k < threads; ++k)
      while (l.take(k, s.number, true) >= 0) ++rest;
    if (rest > 0) l.report(rest);
  }
  workers::finish(threads);
  if (l.thrown.load(std::memory_order_relaxed)) [[unlikely]] {
    l.thrown.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(l.error, nullptr));
  }
}

}  // namespace rv
