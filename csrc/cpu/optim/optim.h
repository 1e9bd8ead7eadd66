// SPDX-License-Identifier: Apache-2.0
// Multi-tensor passes: one instruction goes over the elements of many tensors, in chunks of fixed size.
#pragma once
#include <cmath>

#include "cpu/move/walk.h"

namespace rv::RV_ISA {

inline constexpr int64_t kSpan = 8192;  // elements of a chunk

inline int64_t span_count(const View* tensors, int count) {
  int64_t n = 0;
  for (int i = 0; i < count; ++i) n += ceil_div(tensors[i].size(), kSpan);
  return n;
}

inline int64_t total_size(const View* tensors, int count) {
  int64_t n = 0;
  for (int i = 0; i < count; ++i) n += tensors[i].size();
  return n;
}

// f(tensor, begin, end, chunk) for all chunks of `count` tensors, shared out among the team by their overall number.
// From the last tensor to the first: gradients that were written last are still in a cache, and the next forward pass
// begins with the parameters of the first. Each tensor forwards, as the machine fetches ahead: Adam over 10 M
// parameters took up to 1.5 times as long from the end of a tensor to its start.
template <class F> void each_span(const View* tensors, int count, Team& team, F&& f) {
  struct Place {
    int tensor;
    int64_t first, past, size;  // of `tensor`: its chunks, its elements
  };
  const int64_t chunks = span_count(tensors, count);
  const auto end = [=] { return Place{count, chunks, chunks, 0}; };
  Place place = end();
  team.each(chunks, place, end, [&](Place& at, int64_t turn) {
    const int64_t left = chunks - 1 - turn;
    if (left >= at.past) at = end();
    while (left < at.first) {
      at.size = tensors[--at.tensor].size();
      at.past = at.first;
      at.first -= ceil_div(at.size, kSpan);
    }
    const int64_t chunk = at.first + at.past - 1 - left;
    const int64_t begin = (chunk - at.first) * kSpan;
    f(at.tensor, begin, min(at.size, begin + kSpan), chunk);
  });
}

// Elements [begin, end) of a view in C order, at most kSpan: in place where it is contiguous, else copied.
template <class T> class Span {
 public:
  Span(const View& v, int64_t begin, int64_t end) : copy_(v.contiguous() ? 0 : (end - begin) * item_size(v.dtype)) {
    T* const copy = copy_.as<T>();
    data = copy ? copy : v.ptr<T>() + begin;
    if (!copy) return;
    Walk<1> walk;
    for (int d = 0; d < v.ndim; ++d) walk.axis(v.shape[d], v.stride[d]);
    walk.rows(begin, end, [&](const int64_t* at, int64_t n, int64_t flat) {
      copy_row(copy + (flat - begin), 1, v.ptr<T>() + at[0], walk.step(0), n);
    });
  }
  const T* data;

 private:
  const Scratch copy_;
};

}  // namespace rv::RV_ISA
