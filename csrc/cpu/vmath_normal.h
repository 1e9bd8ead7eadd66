// SPDX-License-Identifier: Apache-2.0
// The normal distribution: erf, its tail, gelu.
#pragma once
#include "cpu/vmath_exp.h"

namespace rv::RV_ISA {

inline constexpr double kSqrtHalf = 0.7071067811865476;
inline constexpr double kInvSqrt2Pi = 0.3989422804014327;

// density = exp(-z^2/2), tail = the integral of density / sqrt(2 pi) from z to infinity, for z >= 0.
// tail = density * M(z), where M(z) (z + 3) is smooth and bounded: a polynomial of t = (z - 3) / (z + 3).
template <class T> struct NormalTail { Vec<T> density, tail; };
RV_INLINE NormalTail<float> normal_tail(Vec<float> z) {
  using V = Vec<float>;
  z = min(z, V(15.0f));  // from 14.5 on the result is 0
  const V w = V(1.0f) / (z + V(3.0f)), t = fma(w, V(-6.0f), V(1.0f));
  const V m = w * polynomial(t, 0.729083717f, -0.50933224f, 0.230016068f, -0.0472569466f, -0.0104456935f, 0.00693675177f,
                             0.000960334553f, -0.000968527631f, -0.000142163641f, 9.32967741e-05f);
  // z^2 = high^2 + (z - high)(z + high), of which the first is exact
  const V high = bitcast<float>(bitcast<int32_t>(z) & Vec<int32_t>(-4096));
  const V density = exp_sum(V(-0.5f) * high * high, V(-0.5f) * (z - high) * (z + high));
  return {density, density * m};
}
RV_INLINE NormalTail<double> normal_tail(Vec<double> z) {
  const Vec<double> density = exp(Vec<double>(-0.5) * z * z);
  return {density, map(z, [](double a) { return 0.5 * __builtin_erfc(a * kSqrtHalf); })};
}

// 2 ULP.
RV_INLINE Vec<float> erf(Vec<float> x) {
  using V = Vec<float>;
  const V size = abs(x), z = size * size;
  const V near = fma(x, polynomial(z, 0.128379166f, -0.376125902f, 0.11282865f, -0.0268072877f, 0.0050577037f,
                                   -0.000634851865f), x);
  const V far = copysign(fma(V(-2.0f), normal_tail(size * V(1.41421356f)).tail, V(1.0f)), x);
  return select(size < V(0.84f), near, far);
}
RV_INLINE Vec<double> erf(Vec<double> x) { return map(x, [](double a) { return __builtin_erf(a); }); }

// x Phi(x) with Phi the normal distribution function. 4 ULP.
template <class T> RV_INLINE Vec<T> gelu(Vec<T> x) {
  using V = Vec<T>;
  const V tail = normal_tail(abs(x)).tail;
  return x * select(x < V(0), tail, V(1) - tail);
}
// Phi(x) + x Phi'(x)
template <class T> RV_INLINE Vec<T> gelu_grad(Vec<T> x) {
  using V = Vec<T>;
  const NormalTail<T> at = normal_tail(abs(x));
  return fma(min(max(x, V(-40)), V(40)) * V(kInvSqrt2Pi), at.density, select(x < V(0), at.tail, V(1) - at.tail));
}

}  // namespace rv::RV_ISA
