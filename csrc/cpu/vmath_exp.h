// SPDX-License-Identifier: Apache-2.0
// exp, expm1, sigmoid, tanh.
#pragma once
#include "cpu/simd.h"

namespace rv::RV_ISA {

// c[0] + c[1] x + c[2] x^2 ..., by Horner's rule where it is short; else in pairs (Estrin), since what limits long
// functions is the length of the chain of operations that wait for each other.
template <int n, class T> RV_INLINE Vec<T> polynomial_of(const Vec<T> (&c)[n], Vec<T> x) {
  if constexpr (n == 1) {
    return c[0];
  } else if constexpr (n <= 3) {
    Vec<T> sum = c[n - 1];
    for (int i = n - 2; i >= 0; --i) sum = fma(sum, x, c[i]);
    return sum;
  } else {
    Vec<T> pairs[(n + 1) / 2];
    for (int i = 0; i < n / 2; ++i) pairs[i] = fma(c[2 * i + 1], x, c[2 * i]);
    if (n % 2) pairs[n / 2] = c[n - 1];
    return polynomial_of(pairs, x * x);
  }
}
template <class T, class... C> RV_INLINE Vec<T> polynomial(Vec<T> x, C... c) {
  const Vec<T> coefficients[] = {Vec<T>(c)...};
  return polynomial_of(coefficients, x);
}

// The nearest integer to x, |x| < 2^22.
RV_INLINE Vec<float> nearest(Vec<float> x) {
  const Vec<float> magic(12582912.0f);  // 1.5 * 2^23: from there on floats are integers
  return (x + magic) - magic;
}

// 2^n for integers n in [-126, 127].
RV_INLINE Vec<float> power_of_two(Vec<int32_t> n) { return bitcast<float>((n + Vec<int32_t>(127)) << 23); }

// p * 2^n for integers n in [-252, 254], rounded once also where the result is denormal.
RV_INLINE Vec<float> scale(Vec<float> p, Vec<float> n) {
#ifdef RV_AVX512
  return Vec<float>((Vec<float>::Native)_mm512_scalef_ps((__m512)p.v, (__m512)n.v));
#else
  const Vec<int32_t> i = convert<int32_t>(n), half = i >> 1;
  return p * power_of_two(half) * power_of_two(i - half);
#endif
}

inline constexpr float kLog2e = 1.44269504f;
inline constexpr float kLn2Hi = 0.693359375f;  // 9 bits: n * kLn2Hi is exact
inline constexpr float kLn2Lo = -2.12194440e-4f;

// exp(x + tail) for |tail| << 1. 1 ULP.
RV_INLINE Vec<float> exp_sum(Vec<float> x, Vec<float> tail) {
  using V = Vec<float>;
  x = max(min(x, V(89.0f)), V(-104.0f));  // beyond, the result is inf or 0
  const V n = nearest(x * V(kLog2e));
  const V r = fma(n, V(-kLn2Lo), fma(n, V(-kLn2Hi), x)) + tail;
  const V q = polynomial(r, 0.49999994f, 0.166665092f, 0.041668009f, 0.00837008841f, 0.00138500589f);
  return scale(fma(r * r, q, r) + V(1.0f), n);
}

// 1 ULP.
RV_INLINE Vec<float> exp(Vec<float> x) {
  using V = Vec<float>;
  x = max(min(x, V(89.0f)), V(-104.0f));
  const V n = nearest(x * V(kLog2e));
  const V r = fma(n, V(-kLn2Lo), fma(n, V(-kLn2Hi), x));
  const V q = polynomial(r, 0.49999994f, 0.166665092f, 0.041668009f, 0.00837008841f, 0.00138500589f);
  return scale(fma(r * r, q, r) + V(1.0f), n);
}

// expm1 but for the sign of zero and the last bit of denormals. 2 ULP.
RV_INLINE Vec<float> expm1_normal(Vec<float> x) {
  using V = Vec<float>;
  x = max(min(x, V(89.0f)), V(-20.0f));  // beyond, the result is inf or -1
  const V n = nearest(x * V(kLog2e));
  const V r = fma(n, V(-kLn2Lo), fma(n, V(-kLn2Hi), x));
  const V q = polynomial(r, 0.5f, 0.166666344f, 0.041666504f, 0.0083418563f, 0.00139315147f, 0.000148759762f);
  const V p = fma(r * r, q, r);
  const V s = power_of_two(convert<int32_t>(n) - Vec<int32_t>(1));  // half, since 2^128 is no float
  return V(2.0f) * fma(s, p, s - V(0.5f));
}

// 2 ULP.
RV_INLINE Vec<float> expm1(Vec<float> x) {
  return select(abs(x) < Vec<float>(1e-8f), x, expm1_normal(x));
}

RV_INLINE Vec<double> exp(Vec<double> x) { return map(x, [](double a) { return __builtin_exp(a); }); }
RV_INLINE Vec<double> expm1(Vec<double> x) { return map(x, [](double a) { return __builtin_expm1(a); }); }

// 1 / (1 + exp(-x)). 3 ULP.
template <class T> RV_INLINE Vec<T> sigmoid(Vec<T> x) {
  using V = Vec<T>;
  const V e = exp(-abs(x));  // never overflows, and small results keep their precision
  return select(x < V(0), e, V(1)) / (V(1) + e);
}

// 3 ULP.
RV_INLINE Vec<float> tanh(Vec<float> x) {
  const Vec<float> e = expm1_normal(Vec<float>(-2.0f) * abs(x));
  return copysign(e / (Vec<float>(2.0f) + e), x);
}
RV_INLINE Vec<double> tanh(Vec<double> x) { return map(x, [](double a) { return __builtin_tanh(a); }); }

}  // namespace rv::RV_ISA
