// SPDX-License-Identifier: Apache-2.0
// The normal distribution: erf, its tail, gelu.
#pragma once
#include "cpu/simd/vmath_exp.h"

namespace rv::RV_ISA {

inline constexpr double kSqrt2 = 1.4142135623730951, kInvSqrt2Pi = 0.3989422804014327;

// The integral of exp(-t^2/2) / sqrt(2 pi) from z to infinity is exp(-z^2/2) M(z), where M(z) (z + k) is smooth and
// bounded: a polynomial of t = (z - k) / (z + k).
RV_INLINE Vec<float> mills_ratio(Vec<float> z) {
  using V = Vec<float>;
  const V w = V(1.0f) / (z + V(3.0f)), t = (z - V(3.0f)) * w;
  return w * polynomial(t, 0.729083717f, -0.50933224f, 0.230016068f, -0.0472569466f, -0.0104456935f, 0.00693675177f,
                        0.000960334553f, -0.000968527631f, -0.000142163641f, 9.32967741e-05f);
}
RV_INLINE Vec<double> mills_ratio(Vec<double> z) {
  using V = Vec<double>;
  const V w = V(1.0) / (z + V(4.0)), t = (z - V(4.0)) * w;
  return w * polynomial(t, 0.7552851304157515, -0.6078966419718917, 0.3871374007422187, -0.1865218579596944,
                        0.06039657489070879, -0.007540188965582072, -0.003479692362423222, 0.0016308184416757216,
                        0.0001333442557794809, -0.0002310948161145127, -1.9078762382182562e-06, 3.514416799822778e-05,
                        7.15037346304297e-07, -5.91884478718702e-06, -6.25193110588506e-07, 1.019696831151206e-06,
                        2.637443650566312e-07, -1.5411646334002175e-07, -7.63984192563988e-08, 1.4468530167047005e-08,
                        1.390350496575988e-08, 1.0768241006921001e-10, -9.512991024047347e-10);
}

// density = exp(-z^2/2), and that integral, for z >= 0.
template <class T> struct NormalTail { Vec<T> density, tail; };
template <class T> RV_INLINE NormalTail<T> normal_tail(Vec<T> z) {
  using V = Vec<T>;
  z = min(z, V(Float<T>::kMantissa < 30 ? 15.0 : 39.0));  // there the result is 0
  const V h = V(-0.5) * z, square = h * z;
  const V density = exp_sum(square, product_error(h, z, square));
  return {density, density * mills_ratio(z)};
}

// erf(x) / x - 1 of z = x^2, |x| < 0.85
RV_INLINE Vec<float> erf_rest(Vec<float> z) {
  return polynomial(z, 0.128379166f, -0.376125902f, 0.11282865f, -0.0268072877f, 0.0050577037f, -0.000634851865f);
}
RV_INLINE Vec<double> erf_rest(Vec<double> z) {
  return polynomial(z, 0.1283791670955126, -0.3761263890318416, 0.11283791670977152, -0.026866170649760605,
                    0.005223977675211993, -0.0008548330138556507, 0.00012055454213383759, -1.4928666994478534e-05,
                    1.6509930321799696e-06, -1.6827790892638718e-07, 1.7197862447428864e-08, -1.625150511120903e-09);
}

// 2 ULP.
template <class T> RV_INLINE Vec<T> erf(Vec<T> x) {
  using V = Vec<T>;
  const V size = abs(x);
  const V near = fma(x, erf_rest(size * size), x);
  const V far = copysign(fma(V(-2), normal_tail(size * V(kSqrt2)).tail, V(1)), x);
  return select(size < V(0.84), near, far);
}

// x Phi(x) with Phi the normal distribution function. 8 ULP.
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
