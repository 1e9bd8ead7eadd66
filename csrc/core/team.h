// SPDX-License-Identifier: Apache-2.0
// What a kernel sees of the threads: loops whose chunks they share out.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/scratch.h"
#include "core/view.h"

namespace rv {

struct Loop;       // one that is shared out (loop.h)
struct TeamState;  // faults of a run (threads.h)

// A thread's share of a loop: chunks [begin, end), then the next ones until
// none are left.
struct Share {
  int64_t begin, end;
  Loop* loop = nullptr;  // if it is shared out
  uint64_t number = 0;   // of the loop
  int64_t chunks = 0;
  int shares = 0, threads = 1, thread = 0, victim = 0, done = 0;

  RV_INLINE bool next() { return loop && more(); }
  bool more();
};

// Static, for each instruction set needs its own (see view.h).
template <class F> static void run_loop(void* f, Share& s) {
  do {
    for (int64_t i = s.begin; i < s.end; ++i) (*static_cast<F*>(f))(i);
  } while (s.next());
}
template <class Own, class Make, class F> struct OwnLoop {
  Own& own;
  Make& make;
  F& f;
};
template <class Own, class F> static void run_with(Own& own, F& f, Share& s) {
  do {
    for (int64_t i = s.begin; i < s.end; ++i) f(own, i);
  } while (s.next());
}
template <class Own, class Make, class F> static void run_own_loop(void* context, Share& s) {
  auto& loop = *static_cast<OwnLoop<Own, Make, F>*>(context);
  if (s.thread == 0) return run_with(loop.own, loop.f, s);
  auto own = loop.make();
  run_with(own, loop.f, s);
}

// The threads that an instruction may use. A kernel's body runs on the calling
// thread alone. Only the chunks of its loops run on other threads too: they may
// read what the body's variables hold, and must write nothing but their own
// part of the result.
class Team {
 public:
  RV_INLINE explicit Team(TeamState* state, int threads = 1, int shares = 0)
      : state_(state), threads_(threads), shares_(shares) {}

  // Whether the calling thread is the only one.
  RV_INLINE bool alone() const { return threads_ < 2; }
  // The calling thread alone, for a kernel that is called within a chunk.
  RV_INLINE Team single() const { return Team(state_); }

  // f(i) for i in [0, chunks), in any order, on any thread; returns when all
  // are done, and their writes are visible. `chunks` must follow from shapes
  // alone.
  template <class F> RV_INLINE void each(int64_t chunks, F&& f) {
    using Body = std::remove_reference_t<F>;
    go(chunks, &run_loop<Body>, const_cast<void*>(static_cast<const void*>(&f)));
  }

  // f(own, i): `own` on the calling thread, on each other thread that takes
  // part an object made there by make().
  template <class Own, class Make, class F> RV_INLINE void each(int64_t chunks, Own& own, Make&& make, F&& f) {
    using M = std::remove_reference_t<Make>;
    using Body = std::remove_reference_t<F>;
    OwnLoop<Own, M, Body> loop{own, make, f};
    go(chunks, &run_own_loop<Own, M, Body>, &loop);
  }

  // Report an index outside [low, high], at flat position `where`: of several
  // the lowest position, so that the report does not depend on the number of
  // threads. The executor stops before the next instruction and raises
  // IndexError.
  void fail(int64_t where, int64_t value, int64_t low, int64_t high);
  // The same for a value that breaks the rule which the instruction's label says; `index`: IndexError, else ValueError.
  void refuse(int64_t where, double value, bool index);

 private:
  using Work = void (*)(void* context, Share&);

  RV_INLINE void go(int64_t chunks, Work work, void* context) {
    if (threads_ > 1 && chunks > 1) return share_out(chunks, work, context);
    Share all{0, chunks};
    if (chunks > 0) work(context, all);
  }
  void share_out(int64_t chunks, Work work, void* context);

  TeamState* state_;
  int threads_, shares_;  // shares of a loop for each thread
};

}  // namespace rv
