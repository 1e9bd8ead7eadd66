// SPDX-License-Identifier: Apache-2.0
// Multi-tensor norm and scaling: what clipping the gradients of a whole model needs, in two instructions.
#include "cpu/optim/optim.h"

namespace rv::RV_ISA {
namespace {

constexpr int kLanes = 64;  // partial sums of a chunk; a fixed tree whatever the vector length

enum Power { kSum1, kSum2, kSumP, kMax, kMin, kCount };

// |x|^p summed (or the largest, the smallest, the number of nonzeros) over x[0, n).
template <class T, Power kPower> double span_norm(const T* x, int64_t n, double p) {
  constexpr bool kExtreme = kPower == kMax || kPower == kMin;
  const T start = kPower == kMin ? T(HUGE_VAL) : T(0);
  T lane[kLanes];
  for (int j = 0; j < kLanes; ++j) lane[j] = start;
  const auto take = [&](T& s, T value) {
    const T v = value < 0 ? -value : value;
    if constexpr (kPower == kSum1) s += v;
    if constexpr (kPower == kSum2) s += v * v;
    if constexpr (kPower == kSumP) s += static_cast<T>(pow(static_cast<double>(v), p));
    if constexpr (kPower == kCount) s += v != 0 ? T(1) : T(0);
    if constexpr (kPower == kMax) s = v > s || v != v ? v : s;  // nan stays: nothing is larger than it
    if constexpr (kPower == kMin) s = v < s || v != v ? v : s;
  };
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int j = 0; j < kLanes; ++j) take(lane[j], x[i + j]);
  for (int64_t i = whole; i < n; ++i) take(lane[i - whole], x[i]);
  double total = lane[0];
  for (int j = 1; j < kLanes; ++j) {
    const double v = lane[j];
    if constexpr (!kExtreme) total += v;
    else if (v != v || (kPower == kMax ? v > total : v < total)) total = v;
  }
  return total;
}

// ---- total_norm(*tensors; p): (sum |x|^p)^(1/p) over all elements of all tensors

RV_ATTRS(NormAttrs, (double, p));

template <class T, Power kPower> void total_norm_as(const Args& a, Team& team) {
  const double p = attrs<NormAttrs>(a).p;
  double* part = reinterpret_cast<double*>(a.shared);
  each_span(a.in, a.n_in, team, [&](int t, int64_t begin, int64_t end, int64_t chunk) {
    const Span<T> x(a.in[t], begin, end);
    part[chunk] = span_norm<T, kPower>(x.data, end - begin, p);
  });
  const int64_t chunks = span_count(a.in, a.n_in);
  double total = kPower == kMin ? HUGE_VAL : 0;
  for (int64_t i = 0; i < chunks; ++i) {
    const double v = part[i];
    if constexpr (kPower == kMax) total = v > total || v != v ? v : total;
    else if constexpr (kPower == kMin) total = v < total || v != v ? v : total;
    else total += v;
  }
  if constexpr (kPower == kSum2) total = sqrt(total);
  if constexpr (kPower == kSumP) total = pow(total, 1 / p);
  a.out[0].ptr<T>()[0] = static_cast<T>(total);
}

template <class T> void total_norm_of(const Args& a, Team& team) {
  const double p = attrs<NormAttrs>(a).p;
  if (p == 2) total_norm_as<T, kSum2>(a, team);
  else if (p == 1) total_norm_as<T, kSum1>(a, team);
  else if (p == HUGE_VAL) total_norm_as<T, kMax>(a, team);
  else if (p == -HUGE_VAL) total_norm_as<T, kMin>(a, team);
  else if (p == 0) total_norm_as<T, kCount>(a, team);
  else total_norm_as<T, kSumP>(a, team);
}

void total_norm_run(const Args& a, Team& team) {
  if (a.out[0].dtype == DType::f64) total_norm_of<double>(a, team);
  else total_norm_of<float>(a, team);
}

double total_norm_cost(const Args& a) {
  const double p = attrs<NormAttrs>(a).p;
  const bool plain = p == 1 || p == 2 || p == 0 || p == HUGE_VAL || p == -HUGE_VAL;
  return 50 + 8 * a.n_in + total_size(a.in, a.n_in) * (plain ? 0.06 : 20);
}

int64_t total_norm_shared(const Args& a) { return 8 * span_count(a.in, a.n_in); }

const char* total_norm_check(const Args& a) {
  if (a.n_out != 1 || a.out[0].size() != 1) return "takes tensors, gives one number";
  if (a.out[0].dtype != DType::f32 && a.out[0].dtype != DType::f64) return "out must be float32 or float64";
  for (int i = 0; i < a.n_in; ++i)
    if (a.in[i].dtype != a.out[0].dtype) return "tensors must all have out's dtype";
  return nullptr;
}

// ---- scale_all(factor, *tensors): each tensor times factor

template <class T> void scale_all_as(const Args& a, Team& team) {
  const T factor = a.in[0].ptr<T>()[0];
  each_span(a.in + 1, a.n_out, team, [&](int t, int64_t begin, int64_t end, int64_t) {
    const Span<T> span(a.in[1 + t], begin, end);
    const T* x = span.data;
    T* y = a.out[t].ptr<T>() + begin;
    if (x == y && factor == 1) return;  // gradients that need no clipping
#pragma omp simd                        // y is x, or apart from it
    for (int64_t i = 0; i < end - begin; ++i) y[i] = x[i] * factor;
  });
}

void scale_all_run(const Args& a, Team& team) {
  if (a.in[0].dtype == DType::f64) scale_all_as<double>(a, team);
  else scale_all_as<float>(a, team);
}

double scale_all_cost(const Args& a) { return 50 + 8 * a.n_in + total_size(a.out, a.n_out) * 0.08; }

const char* scale_all_check(const Args& a) {
  if (a.n_in != a.n_out + 1 || a.in[0].size() != 1) return "takes a factor and tensors, gives as many tensors";
  if (a.in[0].dtype != DType::f32 && a.in[0].dtype != DType::f64) return "factor must be float32 or float64";
  for (int i = 0; i < a.n_out; ++i) {
    const View &x = a.in[1 + i], &y = a.out[i];
    if (x.dtype != a.in[0].dtype || y.dtype != x.dtype || !same_shape(x, y)) return "tensors must have factor's dtype";
    if (!y.contiguous()) return "results must be contiguous";
  }
  return nullptr;
}

}  // namespace

extern const Kernel k_total_norm = {.attrs = NormAttrs::schema,
                                    .run = total_norm_run,
                                    .cost = total_norm_cost,
                                    .shared = total_norm_shared,
                                    .check = total_norm_check};
extern const Kernel k_scale_all = {.run = scale_all_run, .cost = scale_all_cost, .check = scale_all_check};

}  // namespace rv::RV_ISA
