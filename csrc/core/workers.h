// SPDX-License-Identifier: Apache-2.0
// The worker threads, which take shares of the caller's loops: threads of our
// own (pool.cpp) or OpenMP's (openmp.cpp), as the build says.
#pragma once

namespace rv::workers {

extern const char* const kind;

using Body = void (*)(void* context, int workers);
// body(context, workers) on the calling thread, while so many workers, at most
// n, are at its service. `cost`: nanoseconds of work in instructions that are
// shared out. One caller at a time.
void run(int n, double cost, Body body, void* context);

// Called by the body. How many threads an instruction of `cost` nanoseconds
// gets: 1 to workers + 1.
int threads_for(int workers, double cost);
// Waits until no share of the loop is left, which goes on on so many threads.
void finish(int threads);

}  // namespace rv::workers
