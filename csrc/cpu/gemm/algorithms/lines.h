// SPDX-License-Identifier: Apache-2.0
// One row by a large B that lies along k, at the speed of L2 or L3: two streams through B, half a tile of columns
// apart.
#pragma once
#include "core/team.h"
#include "cpu/gemm/pack.h"
#include "cpu/gemm/product.h"

namespace rv::RV_ISA::gemm {

// C[cols] = A[k] B[cols, k]^T + bias, A and columns of B contiguous. The second stream begins in the middle.
template <class T> void lines(int64_t k, const T* a, const T* b, int64_t b_col, int64_t cols, T* c, const T* bias) {
  constexpr int L = kLanes<T>;
  const int64_t half = ceil_div(cols, 2), second = cols - half;
  vec<T> part[2][L] = {};  // sums along k of L columns of each stream, lanes apart
  for (int64_t h = 0; h < half; h += L) {
    const int count = static_cast<int>(min(L, half - h));
    for (int g = 0; g < count; ++g) {
      const T* const x = b + (h + g) * b_col;
      const T* const y = x + (h + g < second ? half * b_col : 0);
      vec<T> sum[2][2] = {};
      auto step = [&](int64_t p, int u, auto get) __attribute__((always_inline)) {
        const vec<T> av = loaded<T>(get(a + p));
        sum[0][u] += av * get(x + p), sum[1][u] += av * get(y + p);
      };
      vec<T> before[2] = {};  // of sums that were long enough
      int64_t p = 0;
      for (;;) {
        const int64_t end = min(k, p + kSumAlong);
        for (; p + 2 * L <= end; p += 2 * L) {
          step(p, 0, [](const T* q) { return load(q); });
          step(p + L, 1, [](const T* q) { return load(q); });
        }
        if (end == k) break;
        for (int s = 0; s < 2; ++s) before[s] += sum[s][0] + sum[s][1], sum[s][0] = sum[s][1] = vec<T>{};
      }
      for (; p < k; p += L)
        step(p, 0, [rest = static_cast<int>(min(L, k - p))](const T* q) { return load_n(q, rest); });
      for (int s = 0; s < 2; ++s) part[s][g] = before[s] + (sum[s][0] + sum[s][1]);
    }
    for (int s = 0; s < 2; ++s) {
      const int64_t j = h + s * half;
      const int there = static_cast<int>(s ? min(count, second - h) : count);
      if (there <= 0) continue;
      vec<T> total = sums<T>(part[s]);
      if (bias) total += load_n(bias + j, there);
      store_n(c + j, total, there);
    }
  }
}

template <class T> void run_lines(const Product<T>& q, const T* bias, Team& team) {
  const int64_t tiles = ceil_div(q.n, 4 * kLanes<T>);
  team.each(tiles, [&](int64_t t) {
    const int64_t j = q.n * t / tiles, cols = q.n * (t + 1) / tiles - j;
    // A is read once for two columns: where its vectors lie across lines of the cache, a copy pays.
    constexpr int64_t room = (16 << 10) / sizeof(T);
    alignas(64) T copy[room];
    const bool across = reinterpret_cast<uintptr_t>(q.pa) % kVecBytes != 0 && q.k <= room;
    if (across) memcpy(copy, q.pa, static_cast<size_t>(q.k) * sizeof(T));
    lines(q.k, across ? copy : q.pa, q.pb + j * q.b.col, q.b.col, cols, q.pc + j, bias ? bias + j : nullptr);
  });
}

}  // namespace rv::RV_ISA::gemm
