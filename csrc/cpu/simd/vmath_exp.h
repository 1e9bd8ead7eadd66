// SPDX-License-Identifier: Apache-2.0
// exp, expm1, sigmoid, tanh.
#pragma once
#include "cpu/simd/simd.h"

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

// What differs between float and double.
template <class T> struct Float;
template <> struct Float<float> {
  using Int = int32_t;
  static constexpr int kMantissa = 23;
  static constexpr Int kBias = 127, kSqrtHalfBits = 0x3f3504f3;
  static constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: from there on floats are integers
  static constexpr float kSmallest = 1.17549435e-38f, kTinyArgument = 1e-8f;
  static constexpr float kExpLow = -104.0f, kExpHigh = 89.0f, kExpm1Low = -20.0f;
  static constexpr float kLn2Hi = 0.693359375f, kLn2Lo = -2.12194440e-4f;  // n * kLn2Hi is exact
  // (exp(r) - 1 - r) / r^2 for |r| <= log(2) / 2, by absolute error; and for expm1 by relative error
  static RV_INLINE Vec<float> exp_rest(Vec<float> r) {
    return polynomial(r, 0.49999994f, 0.166665092f, 0.041668009f, 0.00837008841f, 0.00138500589f);
  }
  static RV_INLINE Vec<float> expm1_rest(Vec<float> r) {
    return polynomial(r, 0.5f, 0.166666344f, 0.041666504f, 0.0083418563f, 0.00139315147f, 0.000148759762f);
  }
};
template <> struct Float<double> {
  using Int = int64_t;
  static constexpr int kMantissa = 52;
  static constexpr Int kBias = 1023, kSqrtHalfBits = 0x3fe6a09e667f3bcd;
  static constexpr double kMagic = 6755399441055744.0;
  static constexpr double kSmallest = 2.2250738585072014e-308, kTinyArgument = 1e-17;
  static constexpr double kExpLow = -746.0, kExpHigh = 710.0, kExpm1Low = -40.0;
  static constexpr double kLn2Hi = 6.93147180369123816490e-01, kLn2Lo = 1.90821492927058770002e-10;
  static RV_INLINE Vec<double> exp_rest(Vec<double> r) {
    return polynomial(r, 0.5000000000000011, 0.16666666666665872, 0.04166666666652061, 0.008333333333526675,
                      0.0013888888948825474, 0.00019841269931465452, 2.480148519125694e-05, 2.755687020714908e-06,
                      2.7633792813819787e-07, 2.5310354995608197e-08);
  }
  static RV_INLINE Vec<double> expm1_rest(Vec<double> r) {
    return polynomial(r, 0.5, 0.1666666666666668, 0.04166666666666672, 0.00833333333331894, 0.001388888888884259,
                      0.000198412698933103, 2.4801587426283562e-05, 2.755723680699094e-06, 2.755717999629772e-07,
                      2.511163464035054e-08, 2.094393179585218e-09);
  }
};

// The nearest integer to x, |x| < 2^22 (double: 2^51). The low bits of nearest_sum are that integer.
template <class T> RV_INLINE Vec<T> nearest_sum(Vec<T> x) { return x + Vec<T>(Float<T>::kMagic); }
template <class T> RV_INLINE Vec<T> nearest(Vec<T> x) { return nearest_sum(x) - Vec<T>(Float<T>::kMagic); }

// 2^n for integers n in [-126, 127] (double: [-1022, 1023]), and 2^(n + more) of n's nearest_sum.
template <class T> RV_INLINE Vec<T> power_of_two_of(Vec<T> sum, int more) {
  using F = Float<T>;
  using I = Vec<typename F::Int>;
  return bitcast<T>((bitcast<typename F::Int>(sum) + I(F::kBias + more)) << F::kMantissa);
}
template <class T> RV_INLINE Vec<T> power_of_two(Vec<T> n) { return power_of_two_of(nearest_sum(n), 0); }

// p * 2^n for integers n that may leave that range to about twice its size, rounded once.
template <class T> RV_INLINE Vec<T> scale(Vec<T> p, Vec<T> n) {
#ifdef RV_AVX512
  if constexpr (same_type<T, float>) return Vec<T>((typename Vec<T>::Native)_mm512_scalef_ps((__m512)p.v, (__m512)n.v));
  else return Vec<T>((typename Vec<T>::Native)_mm512_scalef_pd((__m512d)p.v, (__m512d)n.v));
#else
  const Vec<T> half = nearest(n * Vec<T>(0.5));
  return p * power_of_two(half) * power_of_two(n - half);
#endif
}

// n log(2) + r = x with an integer n and |r| <= log(2) / 2; sum is nearest_sum of n.
template <class T> struct ExpArgument { Vec<T> sum, n, r; };
template <class T> RV_INLINE ExpArgument<T> reduce_exp(Vec<T> x) {
  using F = Float<T>;
  using V = Vec<T>;
  const V sum = nearest_sum(x * V(1.4426950408889634)), n = sum - V(F::kMagic);
  return {sum, n, fma(n, V(-F::kLn2Lo), fma(n, V(-F::kLn2Hi), x))};
}

// exp(x + tail) for |tail| << 1 and x between -1.5 |Float::kExpLow| and kExpHigh. 1.1 ULP.
template <class T> RV_INLINE Vec<T> exp_sum(Vec<T> x, Vec<T> tail) {
  const ExpArgument<T> a = reduce_exp(x);
  const Vec<T> r = a.r + tail;
  return scale(fma(r * r, Float<T>::exp_rest(r), r) + Vec<T>(1), a.n);
}

// 1.1 ULP.
template <class T> RV_INLINE Vec<T> exp(Vec<T> x) {
  using V = Vec<T>;
  return exp_sum(max(min(x, V(Float<T>::kExpHigh)), V(Float<T>::kExpLow)), V(-0.0));  // beyond, it is inf or 0
}

// (exp(x) - 1) / 2, which does not overflow while it is computed, but for the sign of zero and denormals. 2 ULP.
template <class T> RV_INLINE Vec<T> half_expm1(Vec<T> x) {
  using F = Float<T>;
  using V = Vec<T>;
  const ExpArgument<T> a = reduce_exp(max(x, V(F::kExpm1Low)));  // beyond, it is -1/2
  const V p = fma(a.r * a.r, F::expm1_rest(a.r), a.r), s = power_of_two_of(a.sum, -1);
  return fma(s, p, s - V(0.5));
}

// 2 ULP.
template <class T> RV_INLINE Vec<T> expm1(Vec<T> x) {
  using V = Vec<T>;
  const V r = V(2) * half_expm1(min(x, V(Float<T>::kExpHigh)));  // beyond, it is inf
  return select(abs(x) < V(Float<T>::kTinyArgument), x, r);
}

// 1 / (1 + exp(-x)). 3 ULP.
template <class T> RV_INLINE Vec<T> sigmoid(Vec<T> x) {
  using V = Vec<T>;
  const V e = exp(-abs(x));  // never overflows, and small results keep their precision
  return select(x < V(0), e, V(1)) / (V(1) + e);
}

// e / (2 + e), e = exp(-2 |x|) - 1, with the sign of x. 3 ULP.
template <class T> RV_INLINE Vec<T> tanh(Vec<T> x) {
  const Vec<T> e = half_expm1(Vec<T>(-2) * abs(x));
  return copysign(e / (Vec<T>(1) + e), x);
}

}  // namespace rv::RV_ISA
