// SPDX-License-Identifier: Apache-2.0
// The threads alone, also for ThreadSanitizer (test_team.py compiles and runs it): loops of all lengths, several
// callers, workers that fall asleep in between, or must not, exceptions, kernels that call kernels. Exits with 1 where
// a chunk was not done exactly once, an exception got lost, scratch was written over, or a worker was not there.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "core/threads.h"

using namespace rv;

namespace {

struct Own {
  long at = -1;
};

bool loops(int rounds, unsigned seed) {
  TeamState state;
  std::vector<long> a(4096), b(4096);
  bool good = true;
  for (int round = 0; round < rounds; ++round) {
    seed = seed * 1664525 + 1013904223;
    const long chunks = seed >> 8 & 1 ? seed >> 20 : seed >> 28;
    parallel(seed >> 13 & 1 ? 100e3 : 10e3, [&](const Region& region) {
      for (int instruction = 0; instruction < 3; ++instruction) {
        Team team = region.team(state, 10e3 * (1 + (seed >> 12 & 15)));
        team.each(chunks, [&](int64_t i) {
          const Scratch scratch(64);
          std::memset(scratch, static_cast<int>(i), 64);
          a[i] = i + round;  // plain memory: handing it over is what is under test
        });
        Own own;
        team.each(
            chunks, own, [] { return Own{}; },
            [&](Own& mine, int64_t i) {
              mine.at = i;
              b[i] = a[chunks - 1 - i] + 1;
              if (i == 5) team.fail(i, round, 0, 0);
            });
        for (long i = 0; i < chunks; ++i) good = good && b[i] == chunks - i + round, b[i] = -1;
        good = good && (chunks <= 5 || state.report.where == 5);
      }
    });
    if ((seed >> 16) % 64 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return good;
}

// What a thread throws comes out of the loop, on the calling thread, when nobody is at it any more; and out of a
// region.
bool throws(int rounds) {
  TeamState state;
  bool good = true;
  long thrown = 0, elsewhere = 0;
  const auto caller = std::this_thread::get_id();
  for (int round = 0; round < rounds; ++round) {
    std::vector<long> a(512);
    const bool workers_only = round % 3 == 0, all = round % 3 == 1;
    std::atomic<bool> other{false}, any{false};
    try {
      parallel(1e6, [&](const Region& region) {
        Team team = region.team(state, 1e6);
        team.each(512, [&](int64_t i) {
          for (volatile int k = 0; k < 200;) k = k + 1;
          a[i] = i;
          const bool worker = std::this_thread::get_id() != caller;
          if (all || (workers_only ? worker : i == round % 512)) {
            any = true;
            if (worker) other = true;
            throw std::bad_alloc();
          }
        });
      });
      good = good && !any;
    } catch (const std::bad_alloc&) {
      good = good && any;
      ++thrown;
      elsewhere += other;
    }
    long sum = 0;
    parallel(1e6, [&](const Region& region) {  // the threads are as before
      Team team = region.team(state, 1e6);
      team.each(512, [&](int64_t i) { a[i] = 1; });
    });
    for (long v : a) sum += v;
    good = good && sum == 512;
  }
  std::fprintf(stderr, "%ld thrown, %ld of them on workers\n", thrown, elsewhere);
  return good && thrown > rounds / 2;
}

// A worker that has done its part of a loop is there for the next one, though the caller is at its last chunk for half
// a millisecond.
bool stays(int rounds) {
  using Clock = std::chrono::steady_clock;
  auto busy = [](int microseconds) {
    for (const auto end = Clock::now() + std::chrono::microseconds(microseconds); Clock::now() < end;) {}
  };
  TeamState state;
  const auto caller = std::this_thread::get_id();
  int awake = 0, there = 0;
  for (int round = 0; round < rounds; ++round) {
    std::atomic<bool> first{false}, second{false};
    parallel(2e6, [&](const Region& region) {
      Team team = region.team(state, 2e6);
      team.each(2, [&](int64_t) {
        if (std::this_thread::get_id() == caller) busy(500);
        else first = true;
      });
      team.each(32, [&](int64_t) {
        if (std::this_thread::get_id() != caller) second = true;
        busy(20);
      });
    });
    awake += first;
    there += first && second;
  }
  std::fprintf(stderr, "%d of %d times a worker was there for the second loop\n", there, awake);
  double load = 0;  // on a busy machine workers wait for a CPU, too
  const bool busy_machine = getloadavg(&load, 1) < 1 || load > std::thread::hardware_concurrency();
  return busy_machine || awake < 20 || there > 0;
}

// Scratch is a stack: what is held stays where it is, and what was given back is taken again.
bool stacks() {
  bool good = true;
  for (int round = 0; round < 3; ++round) {
    const Scratch a(100);
    std::memset(a, 1, 100);
    std::byte* at = nullptr;
    for (int64_t size : {64, 1 << 12, 1 << 20}) {  // more blocks, the first time
      const Scratch b(size), none(0);
      std::memset(b, 2, static_cast<size_t>(size));
      good = good && reinterpret_cast<uintptr_t>(b.as<char>()) % 64 == 0 && !none && a.as<char>()[99] == 1;
      if (round > 0) good = good && b == a + 128 && (!at || b == at);  // one block now, and nothing moves
      at = b;
    }
  }
  return good;
}

// A kernel that calls others within its chunks and between its loops, each with scratch of its own, while some of them
// run out of memory.
struct Sums {
  int64_t* out;
  int64_t n, fail_at;
};
void inner(const Sums& s, Team& team, int64_t* shared) {  // out[i] = sum of 0..i
  team.each(s.n, [&](int64_t i) {
    const Scratch scratch((1 + i) * 8);
    int64_t* terms = scratch.as<int64_t>();
    for (int64_t k = 0; k <= i; ++k) terms[k] = k;
    if (i == s.fail_at) throw std::bad_alloc();
    shared[i] = 0;
    for (int64_t k = 0; k <= i; ++k) shared[i] += terms[k];
  });
  for (int64_t i = 0; i < s.n; ++i) s.out[i] = shared[i];
}
void outer(int64_t* out, int64_t rows, int64_t cols, int64_t fail_at, Team& team) {
  const Scratch shared((rows + 1) * cols * 8);
  int64_t *const results = shared.as<int64_t>(), *const piece = results + rows * cols;
  team.each(rows, [&](int64_t row) {
    const Scratch mine(cols * 8), pieces(cols * 8);
    for (int64_t i = 0; i < cols; ++i) mine.as<int64_t>()[i] = row;
    Team single = team.single();
    inner({results + row * cols, cols, row == fail_at ? cols / 2 : -1}, single, pieces.as<int64_t>());
    for (int64_t i = 0; i < cols; ++i) results[row * cols + i] += mine.as<int64_t>()[i];
  });
  inner({out + rows * cols, cols, -1}, team, piece);
  for (int64_t i = 0; i < rows * cols; ++i) out[i] = results[i];
}
bool nests(int rounds) {
  TeamState state;
  bool good = true;
  std::byte* at = nullptr;
  for (int round = 0; round < rounds; ++round) {
    constexpr int64_t rows = 24, cols = 40;
    std::vector<int64_t> out((rows + 1) * cols);
    const bool fails = round % 3 == 1;
    bool failed = false;
    try {
      parallel(1e6, [&](const Region& region) {
        Team team = region.team(state, 1e6);
        outer(out.data(), rows, cols, fails ? round % rows : -1, team);
      });
    } catch (const std::bad_alloc&) { failed = true; }
    good = good && failed == fails;
    for (int64_t i = 0; !failed && i < (rows + 1) * cols; ++i) {
      const int64_t row = i / cols, col = i % cols;
      good = good && out[i] == col * (col + 1) / 2 + (row < rows ? row : 0);
    }
    const Scratch probe(64);  // all was given back
    if (round > 2) good = good && probe == at;
    at = probe;
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 2000;
  init_threads(4);
  std::vector<std::thread> callers;
  bool good[3] = {};
  for (int k = 0; k < 3; ++k) callers.emplace_back([&, k] { good[k] = loops(rounds, 7u * k + 1); });
  for (std::thread& t : callers) t.join();
  const bool alone = loops(rounds, 99);
  const bool thrown = throws(rounds);
  const bool scratch = stacks() && nests(rounds);
  const bool all = good[0] && good[1] && good[2] && alone && thrown && scratch && stays(rounds);
  std::puts(all ? "good" : "wrong");
  return all ? 0 : 1;
}
