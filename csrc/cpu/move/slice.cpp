// SPDX-License-Identifier: Apache-2.0
// Writing into slices. slice_put: x with the slice start : : step replaced by values. embed: zeros with a slice of each
// of several parts; the slices do not meet, and several parts are added to the zeros, so that -0 becomes 0 as in the
// sum of what each part alone gives.
#include "cpu/move/walk.h"

namespace rv::RV_ISA {
namespace {

RV_ATTRS(SliceAttrs, (Ints, start), (Ints, step));  // of each axis, of each part

// f(to, to_step, from, from_step, n) for runs of `from` and of where they go in `to`, whose slice has these steps.
template <class T, class F>
void each_run(const View& to, int64_t offset, const int64_t* step, const View& from, Team& team, F&& f) {
  Walk<2> walk;
  for (int d = 0; d < from.ndim; ++d) walk.axis(from.shape[d], from.stride[d], step[d] * to.stride[d]);
  const int64_t size = walk.size();
  team.each(ceil_div(size, kMove), [&](int64_t chunk) {
    walk.rows(chunk * kMove, min(size, (chunk + 1) * kMove), [&](const int64_t* at, int64_t n, int64_t) {
      f(to.ptr<T>() + offset + at[1], walk.step(1), from.ptr<T>() + at[0], walk.step(0), n);
    });
  });
}

// Part `part` of the slices.
template <class T, bool kAdd> void put(const Args& a, const View& values, int part, Team& team) {
  const View& out = a.out[0];
  const auto& attributes = attrs<SliceAttrs>(a);
  const int64_t *start = attributes.start.data + part * out.ndim, *step = attributes.step.data + part * out.ndim;
  if (values.size() == 0) return;
  int64_t offset = 0;
  for (int d = 0; d < out.ndim; ++d) offset += start[d] * out.stride[d];
  each_run<T>(out, offset, step, values, team, [](T* to, int64_t to_step, const T* from, int64_t from_step, int64_t n) {
    if constexpr (kAdd) {
      if (to_step == 1 && from_step == 1)
        for (int64_t i = 0; i < n; ++i) to[i] = from[i] + T(0);
      else
        for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step] + T(0);
    } else {
      copy_row(to, to_step, from, from_step, n);
    }
  });
}

constexpr int64_t kOnes[kMaxDims] = {1, 1, 1, 1, 1, 1, 1, 1};

void slice_put_run(const Args& a, Team& team) {
  by_size(a.out[0].dtype, [&](auto u) {
    using U = decltype(u);
    if (a.in[0].data != a.out[0].data)
      each_run<U>(a.out[0], 0, kOnes, a.in[0], team,
                  [](U* to, int64_t to_step, const U* from, int64_t from_step, int64_t n) {
                    copy_row(to, to_step, from, from_step, n);
                  });
    put<U, false>(a, a.in[1], 0, team);
  });
}

void embed_run(const Args& a, Team& team) {
  const View& out = a.out[0];
  int64_t filled = 0;
  for (int k = 0; k < a.n_in; ++k) filled += a.in[k].size();
  by_size(out.dtype, [&](auto u) {
    using U = decltype(u);
    if (filled < out.size()) {
      View zero = out;
      U nothing = 0;
      zero.data = &nothing;
      for (int d = 0; d < zero.ndim; ++d) zero.stride[d] = 0;
      each_run<U>(out, 0, kOnes, zero, team, [](U* to, int64_t to_step, const U*, int64_t, int64_t n) {
        for (int64_t i = 0; i < n; ++i) to[i * to_step] = 0;
      });
    }
    if (a.n_in == 1) put<U, false>(a, a.in[0], 0, team);
  });
  if (a.n_in > 1)
    by_dtype(out.dtype, [&](auto t) {
      for (int k = 0; k < a.n_in; ++k) put<decltype(t), true>(a, a.in[k], k, team);
    });
}

double cost(const Args& a) {
  double elements = static_cast<double>(a.out[0].size());
  for (int k = 0; k < a.n_in; ++k) elements += static_cast<double>(a.in[k].size());
  return 40 + 0.2 * elements;
}

// What is wrong with the slice of `values`, part `part`.
const char* slice_fits(const Args& a, const View& values, int part) {
  const View& out = a.out[0];
  const auto& [starts, steps] = attrs<SliceAttrs>(a);
  if (values.ndim != out.ndim) return "values must have as many axes as the result";
  if (values.dtype != out.dtype) return "operands must have the same dtype";
  for (int d = 0; d < out.ndim; ++d) {
    const int64_t n = values.shape[d], start = starts[part * out.ndim + d], step = steps[part * out.ndim + d];
    if (n == 0) continue;
    int64_t end;
    const bool beyond = __builtin_mul_overflow(n - 1, step, &end) || __builtin_add_overflow(start, end, &end);
    if (beyond || start < 0 || start >= out.shape[d] || end < 0 || end >= out.shape[d])
      return "the slice must lie within the result";
    if (n > 1 && step == 0) return "a step must not be 0";
  }
  return nullptr;
}

const char* slices_fit(const Args& a, const View* values, int parts) {
  const auto& [starts, steps] = attrs<SliceAttrs>(a);
  const int64_t wanted = static_cast<int64_t>(parts) * a.out[0].ndim;
  if (starts.size != wanted || steps.size != wanted) return "there must be a start and a step for each axis";
  for (int k = 0; k < parts; ++k)
    if (const char* wrong = slice_fits(a, values[k], k)) return wrong;
  return nullptr;
}

const char* embed_check(const Args& a) {
  if (a.n_in < 1 || a.n_out != 1) return "wrong number of operands";
  return slices_fit(a, a.in, a.n_in);
}
const char* slice_put_check(const Args& a) {
  if (a.n_in != 2 || a.n_out != 1) return "wrong number of operands";
  if (!same_shape(a.in[0], a.out[0])) return "the array must have the result's shape";
  if (a.in[0].dtype != a.out[0].dtype) return "operands must have the same dtype";
  return slices_fit(a, a.in + 1, 1);
}

}  // namespace

extern const Kernel k_embed = {.attrs = SliceAttrs::schema, .run = embed_run, .cost = cost, .check = embed_check};
extern const Kernel k_slice_put = {
    .attrs = SliceAttrs::schema, .run = slice_put_run, .cost = cost, .check = slice_put_check};

}  // namespace rv::RV_ISA
