// SPDX-License-Identifier: Apache-2.0
// Writing into a slice: out = x (slice_put) or zeros (embed), then out[start : : step] = values.
#include <cstring>

#include "core/kernel.h"

namespace rv::RV_ISA {
namespace {

RV_ATTRS(SliceAttrs, (Ints, start), (Ints, step));  // of each axis

constexpr int64_t kRun = 4096;  // elements that one member copies at a time

// f(flat index, out offset) for every element of rows of `shape` that begin at multiples of the last axis
template <class F> void rows_of(const View& v, int64_t begin, int64_t end, F&& f) {
  const int last = v.ndim - 1;
  for (int64_t row = begin; row < end; ++row) {
    int64_t rest = row, index[kMaxDims] = {};
    for (int d = last - 1; d >= 0; --d) {
      index[d] = rest % v.shape[d];
      rest /= v.shape[d];
    }
    f(index);
  }
}

template <class T> void put(const Args& a, Team& team) {
  const View &out = a.out[0], &values = a.in[a.n_in - 1];
  T* const base = out.ptr<T>();
  const int nd = out.ndim, last = nd - 1;
  const int64_t width = nd ? out.shape[last] : 1;
  int64_t rows = 1;
  for (int d = 0; d < last; ++d) rows *= out.shape[d];
  const int64_t per = width ? (kRun + width - 1) / width : 1;

  if (a.n_in == 1 || a.in[0].data != out.data) {
    team.each((rows + per - 1) / per, [&](int64_t chunk) {
      const int64_t end = (chunk + 1) * per < rows ? (chunk + 1) * per : rows;
      rows_of(out, chunk * per, end, [&](const int64_t* index) {
        int64_t to = 0, from = 0;
        for (int d = 0; d < last; ++d) to += index[d] * out.stride[d];
        const int64_t to_step = nd ? out.stride[last] : 1;
        if (a.n_in == 1) {
          for (int64_t i = 0; i < width; ++i) base[to + i * to_step] = T(0);
          return;
        }
        const View& x = a.in[0];
        for (int d = 0; d < last; ++d) from += index[d] * x.stride[d];
        const int64_t from_step = nd ? x.stride[last] : 1;
        const T* source = x.ptr<const T>() + from;
        if (to_step == 1 && from_step == 1) std::memcpy(base + to, source, width * sizeof(T));
        else
          for (int64_t i = 0; i < width; ++i) base[to + i * to_step] = source[i * from_step];
      });
    });
  }

  const auto& [start, step] = attrs<SliceAttrs>(a);
  int64_t offset = 0, stride[kMaxDims];
  for (int d = 0; d < nd; ++d) {
    offset += start[d] * out.stride[d];
    stride[d] = step[d] * out.stride[d];
  }
  const int64_t n = nd ? values.shape[last] : 1;
  int64_t value_rows = 1;
  for (int d = 0; d < last; ++d) value_rows *= values.shape[d];
  if (n == 0 || value_rows == 0) return;
  const int64_t per_value = (kRun + n - 1) / n;
  team.each((value_rows + per_value - 1) / per_value, [&](int64_t chunk) {
    const int64_t end = (chunk + 1) * per_value < value_rows ? (chunk + 1) * per_value : value_rows;
    rows_of(values, chunk * per_value, end, [&](const int64_t* index) {
      int64_t to = offset, from = 0;
      for (int d = 0; d < last; ++d) {
        to += index[d] * stride[d];
        from += index[d] * values.stride[d];
      }
      const int64_t to_step = nd ? stride[last] : 1, from_step = nd ? values.stride[last] : 1;
      const T* source = values.ptr<const T>() + from;
      if (to_step == 1 && from_step == 1) std::memcpy(base + to, source, n * sizeof(T));
      else
        for (int64_t i = 0; i < n; ++i) base[to + i * to_step] = source[i * from_step];
    });
  });
}

void run(const Args& a, Team& team) {
  const int64_t item = item_size(a.out[0].dtype);
  if (item == 4) put<uint32_t>(a, team);
  else if (item == 8) put<uint64_t>(a, team);
  else put<uint8_t>(a, team);
}

double cost(const Args& a) { return 40 + 0.3 * static_cast<double>(a.out[0].size() + a.in[a.n_in - 1].size()); }

const char* check(const Args& a, int n_in) {
  if (a.n_in != n_in || a.n_out != 1) return "wrong number of operands";
  const View &out = a.out[0], &values = a.in[n_in - 1];
  const auto& [starts, steps] = attrs<SliceAttrs>(a);
  if (starts.size != out.ndim || steps.size != out.ndim) return "there must be a start and a step for each axis";
  if (values.ndim != out.ndim) return "values must have as many axes as the result";
  if (n_in == 2 && !same_shape(a.in[0], out)) return "the array must have the result's shape";
  for (int k = 0; k < n_in; ++k)
    if (a.in[k].dtype != out.dtype) return "operands must have the same dtype";
  for (int d = 0; d < out.ndim; ++d) {
    const int64_t n = values.shape[d], start = starts[d], step = steps[d];
    if (n == 0) continue;
    int64_t end;
    const bool beyond = __builtin_mul_overflow(n - 1, step, &end) || __builtin_add_overflow(start, end, &end);
    if (beyond || start < 0 || start >= out.shape[d] || end < 0 || end >= out.shape[d])
      return "the slice must lie within the result";
    if (n > 1 && step == 0) return "a step must not be 0";
  }
  return nullptr;
}
const char* check_embed(const Args& a) { return check(a, 1); }
const char* check_put(const Args& a) { return check(a, 2); }

}  // namespace

extern const Kernel k_embed = {.attrs = SliceAttrs::schema, .run = run, .cost = cost, .check = check_embed};
extern const Kernel k_slice_put = {.attrs = SliceAttrs::schema, .run = run, .cost = cost, .check = check_put};

}  // namespace rv::RV_ISA
