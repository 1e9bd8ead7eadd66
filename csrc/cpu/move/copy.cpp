// SPDX-License-Identifier: Apache-2.0
// The `copy` kernel: any strided view to any strided view of the same shape and dtype.
#include <cstring>

#include "cpu/move/bytes.h"
#include "core/kernel.h"
#include "cpu/simd/simd.h"
#include "cpu/simd/ints.h"

namespace rv::RV_ISA {
namespace {

constexpr int64_t kChunkBytes = 64 << 10;  // that one member copies at a time

int64_t magnitude(int64_t n) { return n < 0 ? -n : n; }

// The axes that matter, outermost first; strides in elements.
struct Axes {
  int n = 0;
  int64_t shape[kMaxDims], from[kMaxDims], to[kMaxDims];

  // In the order in which the output lies in memory, neighbours merged.
  Axes(const View& in, const View& out) {
    int order[kMaxDims], count = 0;
    for (int d = 0; d < out.ndim; ++d) {
      if (out.shape[d] == 1) continue;
      int at = count++;
      for (; at > 0 && magnitude(out.stride[order[at - 1]]) < magnitude(out.stride[d]); --at) order[at] = order[at - 1];
      order[at] = d;
    }
    for (int i = 0; i < count; ++i) {
      const int d = order[i];
      const int64_t size = out.shape[d], f = in.stride[d], t = out.stride[d];
      if (n > 0 && from[n - 1] == f * size && to[n - 1] == t * size) --n, shape[n] *= size;
      else shape[n] = size;
      from[n] = f;
      to[n++] = t;
    }
    if (n == 0) shape[0] = from[0] = to[0] = 1, n = 1;
  }

  int64_t outer(int inner) const {  // product of the axes before the `inner` last ones
    int64_t size = 1;
    for (int d = 0; d < n - inner; ++d) size *= shape[d];
    return size;
  }
  void locate(int64_t index, int inner, int64_t& f, int64_t& t) const {
    f = t = 0;
    for (int d = n - inner - 1; d >= 0; --d) {
      const int64_t i = index % shape[d];
      index /= shape[d];
      f += i * from[d];
      t += i * to[d];
    }
  }
};

// ---- rows

template <class T> RV_INLINE void copy_row(const T* src, int64_t from, T* dst, int64_t to, int64_t n) {
  if (to == 1 && from == 1) {
    copy_bytes(dst, src, n * static_cast<int64_t>(sizeof(T)));
  } else if (to == 1 && from == 0) {
    const T v = *src;
    for (int64_t i = 0; i < n; ++i) dst[i] = v;
  } else if (to == 1) {
    for (int64_t i = 0; i < n; ++i) dst[i] = src[i * from];
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i * to] = src[i * from];
  }
}

template <class T> void copy_rows(const Axes& x, const T* src, T* dst, Team& team) {
  const int last = x.n - 1;
  const int64_t rows = x.outer(1), width = x.shape[last];
  const int64_t chunk = kChunkBytes / static_cast<int64_t>(sizeof(T));
  if (width >= chunk || rows == 1) {  // cut long rows
    const int64_t pieces = (width + chunk - 1) / chunk;
    team.each(rows * pieces, [&](int64_t i) {
      int64_t f, t;
      x.locate(i / pieces, 1, f, t);
      const int64_t c = i % pieces * chunk;
      copy_row(src + f + c * x.from[last], x.from[last], dst + t + c * x.to[last], x.to[last], min(chunk, width - c));
    });
    return;
  }
  const int64_t per = chunk / width;
  team.each((rows + per - 1) / per, [&](int64_t i) {
    int64_t f, t, at[kMaxDims], row = i * per;
    x.locate(row, 1, f, t);
    for (int64_t rest = row, d = last - 1; d >= 0; --d) {
      at[d] = rest % x.shape[d];
      rest /= x.shape[d];
    }
    for (const int64_t end = min(rows, row + per);;) {
      copy_row(src + f, x.from[last], dst + t, x.to[last], width);
      if (++row == end) break;
      int d = last - 1;
      f += x.from[d];
      t += x.to[d];
      while (++at[d] == x.shape[d]) {
        at[d] = 0;
        f += x.from[d - 1] - x.shape[d] * x.from[d];
        t += x.to[d - 1] - x.shape[d] * x.to[d];
        --d;
      }
    }
  });
}

// ---- rows in another order, such as (B, T, H, D) -> (B, H, T, D)
//
// Written in order, neighbours in the output would be rows of the input that lie far apart, and of each page that is
// touched one row is read. So blocks: the input is read along its own nearest axis, the output gets kRun bytes in a
// row.

constexpr int64_t kRun = 4096;

// n rows of kBytes (0: `bytes`), stepping by from and to
template <int64_t kBytes>
void copy_steps(const char* src, int64_t from, char* dst, int64_t to, int64_t n, int64_t bytes) {
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (kBytes > 0) __builtin_memcpy(dst + i * to, src + i * from, kBytes);
    else copy_bytes(dst + i * to, src + i * from, bytes);
  }
}

// The axis whose rows are nearest in the input, if it is not the innermost one of rows: else -1.
int near_axis(const Axes& x) {
  const int last = x.n - 1;
  if (last < 2 || x.to[last] != 1 || x.from[last] != 1) return -1;
  int near = last - 1;
  for (int d = 0; d < last; ++d)
    if (x.from[d] != 0 && magnitude(x.from[d]) < magnitude(x.from[near])) near = d;
  return near < last - 1 ? near : -1;
}

void exchange(Axes& x, int a, int b) {
  const auto swap = [=](int64_t* v) {
    const int64_t t = v[a];
    v[a] = v[b], v[b] = t;
  };
  swap(x.shape), swap(x.from), swap(x.to);
}

template <class T> void copy_blocks(Axes x, int axis, const T* src, T* dst, Team& team) {
  constexpr int64_t kItem = sizeof(T);
  const int far = x.n - 2, near = x.n - 3;
  exchange(x, axis, near);
  const int64_t bytes = x.shape[x.n - 1] * kItem;
  const auto cut = [](int64_t most, int64_t size) { return min(most > 1 ? most : 1, size); };
  const int64_t fars = cut(kRun / bytes, x.shape[far]), nears = cut(kChunkBytes / (fars * bytes), x.shape[near]);
  const int64_t across = (x.shape[far] + fars - 1) / fars, along = (x.shape[near] + nears - 1) / nears;
  const auto steps = bytes == 64    ? copy_steps<64>
                     : bytes == 128 ? copy_steps<128>
                     : bytes == 256 ? copy_steps<256>
                                    : copy_steps<0>;
  team.each(x.outer(3) * across * along, [&](int64_t i) {
    int64_t f, t;
    x.locate(i / (across * along), 3, f, t);
    const int64_t first = i / along % across * fars, begin = i % along * nears, n = min(nears, x.shape[near] - begin);
    for (int64_t j = first; j < min(first + fars, x.shape[far]); ++j)
      steps(reinterpret_cast<const char*>(src + f + j * x.from[far] + begin * x.from[near]), x.from[near] * kItem,
            reinterpret_cast<char*>(dst + t + j * x.to[far] + begin * x.to[near]), x.to[near] * kItem, n, bytes);
  });
}

// ---- transposes

template <class T> struct Block {  // kN x kN elements in kN registers
  static constexpr int kBytes = sizeof(T) == 1 ? 16 : kVecBytes;
  static constexpr int kN = kBytes / static_cast<int>(sizeof(T));
  typedef T Reg __attribute__((vector_size(kBytes)));

  template <int... I> struct Lanes {};
  template <int n, int... I> struct Count : Count<n - 1, n - 1, I...> {};
  template <int... I> struct Count<0, I...> { using Type = Lanes<I...>; };

  // a0 b0 a1 b1 ... from the low or the high halves
  template <bool kHigh, int... I> static RV_INLINE Reg weave(Reg a, Reg b, Lanes<I...>) {
    constexpr int base = kHigh ? kN / 2 : 0;
#if defined(__clang__)
    return __builtin_shufflevector(a, b, (base + I / 2 + (I & 1) * kN)...);
#else
    typedef T Index __attribute__((vector_size(kBytes)));
    return __builtin_shuffle(a, b, Index{static_cast<T>(base + I / 2 + (I & 1) * kN)...});
#endif
  }

  // dst[r * to + c] = src[c * from + r]. Each of log2(kN) rounds weaves row i with row i + kN/2.
  static RV_INLINE void run(const T* src, int64_t from, T* dst, int64_t to) {
    using All = typename Count<kN>::Type;
    Reg a[kN], b[kN];
#pragma GCC unroll 16
    for (int i = 0; i < kN; ++i) memcpy(&a[i], src + i * from, kBytes);
#pragma GCC unroll 4
    for (int round = 1; round < kN; round *= 2) {
#pragma GCC unroll 16
      for (int i = 0; i < kN / 2; ++i) {
        b[2 * i] = weave<false>(a[i], a[i + kN / 2], All{});
        b[2 * i + 1] = weave<true>(a[i], a[i + kN / 2], All{});
      }
#pragma GCC unroll 16
      for (int i = 0; i < kN; ++i) a[i] = b[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < kN; ++i) memcpy(dst + i * to, &a[i], kBytes);
  }
};

// dst[r * to + c] = src[c * from + r] for rows x columns; a cache line's worth of either at a time.
template <class T> void transpose(const T* src, int64_t from, T* dst, int64_t to, int64_t rows, int64_t columns) {
  constexpr int64_t kN = Block<T>::kN, kLine = 64 / static_cast<int64_t>(sizeof(T)) > kN ? 64 / sizeof(T) : kN;
  const int64_t whole_rows = rows / kN * kN, whole_columns = columns / kN * kN;
  for (int64_t c0 = 0; c0 < whole_columns; c0 += kLine)
    for (int64_t r = 0; r < whole_rows; r += kN)
      for (int64_t c = c0; c < min(c0 + kLine, whole_columns); c += kN)
        Block<T>::run(src + c * from + r, from, dst + r * to + c, to);
  for (int64_t r = 0; r < whole_rows; ++r)
    for (int64_t c = whole_columns; c < columns; ++c) dst[r * to + c] = src[c * from + r];
  for (int64_t r = whole_rows; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) dst[r * to + c] = src[c * from + r];
}

// The axis along which the input is contiguous while the output is along another, or -1.
int transposed_axis(const Axes& x) {
  const int last = x.n - 1;
  if (x.to[last] != 1 || x.from[last] == 1 || x.from[last] == 0 || x.shape[last] < 4) return -1;
  for (int d = 0; d < last; ++d)
    if (x.from[d] == 1 && x.shape[d] >= 4) return d;
  return -1;
}

template <class T> void copy_transposed(Axes x, int axis, const T* src, T* dst, Team& team) {
  exchange(x, axis, x.n - 2);
  const int64_t rows = x.shape[x.n - 2], columns = x.shape[x.n - 1], from = x.from[x.n - 1], to = x.to[x.n - 2];
  constexpr int64_t kRows = 256 / sizeof(T);  // of a panel: a few cache lines of the input
  const int64_t width = 4096 / static_cast<int64_t>(sizeof(T));
  const int64_t panels = (rows + kRows - 1) / kRows, pieces = (columns + width - 1) / width;
  team.each(x.outer(2) * panels * pieces, [&](int64_t i) {
    int64_t f, t;
    x.locate(i / (panels * pieces), 2, f, t);
    const int64_t r = i / pieces % panels * kRows, c = i % pieces * width;
    transpose(src + f + r + c * from, from, dst + t + r * to + c, to, min(kRows, rows - r), min(width, columns - c));
  });
}

template <class T> void copy_all(const Args& args, Team& team) {
  const Axes x(args.in[0], args.out[0]);
  const T* src = args.in[0].ptr<const T>();
  T* dst = args.out[0].ptr<T>();
  const int axis = transposed_axis(x);
  const int near = near_axis(x);
  if (axis >= 0) copy_transposed(x, axis, src, dst, team);
  else if (near >= 0) copy_blocks(x, near, src, dst, team);
  else copy_rows(x, src, dst, team);
}

void run_copy(const Args& args, Team& team) {
  if (args.out[0].size() == 0) return;
  const int64_t item = item_size(args.in[0].dtype);
  if (item == 4) copy_all<int32_t>(args, team);
  else if (item == 8) copy_all<int64_t>(args, team);
  else copy_all<int8_t>(args, team);
}

// About 50 GB/s in cache, and half a nanosecond for an element that is picked singly.
double copy_cost(const Args& args) {
  const double size = static_cast<double>(args.out[0].size());
  const bool straight = args.in[0].contiguous() && args.out[0].contiguous();
  return 20 + size * (0.04 * static_cast<double>(item_size(args.out[0].dtype)) + (straight ? 0 : 0.3));
}

const char* check_copy(const Args& a) {
  if (a.n_in != 1 || a.n_out != 1) return "copy takes one input and one output";
  if (a.in[0].dtype != a.out[0].dtype) return "input and output must have the same dtype";
  return same_shape(a.in[0], a.out[0]) ? nullptr : "input and output must have the same shape";
}

}  // namespace

extern const Kernel k_copy = {.run = run_copy, .cost = copy_cost, .check = check_copy};

}  // namespace rv::RV_ISA
