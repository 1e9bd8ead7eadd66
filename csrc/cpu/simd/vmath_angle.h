// SPDX-License-Identifier: Apache-2.0
// atan, atan2, asin, acos; sinh, cosh.
#pragma once
#include "cpu/simd/vmath_exp.h"

namespace rv::RV_ISA {

template <class T> inline constexpr T kHalfPi = static_cast<T>(1.5707963267948966);
template <class T>
inline constexpr T kHalfPiRest =  // pi/2 - kHalfPi
    static_cast<T>(sizeof(T) == 4 ? -4.371139000186241e-08 : 6.123233995736766e-17);

// (atan(t) - t) / t^3 of z = t^2, |t| <= tan(pi/8)
RV_INLINE Vec<float> atan_rest(Vec<float> z) {
  return polynomial(z, -0.33333334f, 0.19999976f, -0.14284146f, 0.1107126f, -0.086238965f, 0.05046128f);
}
RV_INLINE Vec<double> atan_rest(Vec<double> z) {
  return polynomial(z, -0.3333333333333333, 0.199999999999998, -0.14285714285659326, 0.11111111105106705,
                    -0.09090908751076636, 0.0769229630497447, -0.06666423628069258, 0.058789145444006215,
                    -0.052303478730160745, 0.04551108126325172, -0.034558092551413795, 0.01627194475162406);
}

// atan(n / d) for n, d >= 0, not both 0 or inf. From tan(pi/8) on it is pi/4 + atan((n - d) / (n + d)), from tan(3
// pi/8) on pi/2 - atan(d / n).
template <class T> RV_INLINE Vec<T> atan_ratio(Vec<T> n, Vec<T> d) {
  using V = Vec<T>;
  const Mask<T> low = n <= d * V(0.41421356237309503), high = n >= d * V(2.414213562373095);
  const V t = select(low, n, select(high, -d, n - d)) / select(low, d, select(high, n, n + d)), z = t * t;
  const V eighths = select(low, V(0), select(high, V(1), V(0.5)));
  return fma(eighths, V(kHalfPi<T>), fma(t * z, atan_rest(z), fma(eighths, V(kHalfPiRest<T>), t)));
}

// 2 ULP.
template <class T> RV_INLINE Vec<T> atan(Vec<T> x) { return copysign(atan_ratio(abs(x), Vec<T>(1)), x); }

// The angle of the point (x, y), from -pi to pi. 3 ULP.
template <class T> RV_INLINE Vec<T> atan2(Vec<T> y, Vec<T> x) {
  using V = Vec<T>;
  V n = abs(y), d = abs(x);
  const Mask<T> infinite = min(n, d) == V(__builtin_inf());
  n = select(infinite, V(1), n);
  d = select(infinite | (n + d == V(0)), V(1), d);
  // n + d must not overflow, n - d not be flushed to 0.
  constexpr T tiny = Float<T>::kSmallest, grow = static_cast<T>(int64_t{1} << 60);
  const V most = max(n, d), unit = select(most > V(1 / tiny), V(0.25), select(most < V(tiny * grow), V(grow), V(1)));
  const V r = atan_ratio(n * unit, d * unit);
  return copysign(select(copysign(V(1), x) < V(0), V(2 * kHalfPi<T>) - (r - V(2 * kHalfPiRest<T>)), r), y);
}

// atan(x / sqrt(1 - x^2)). 4 ULP.
template <class T> RV_INLINE Vec<T> asin(Vec<T> x) {
  using V = Vec<T>;
  return copysign(atan_ratio(abs(x), sqrt((V(1) - x) * (V(1) + x))), x);
}
// 2 atan(sqrt((1 - x) / (1 + x))). 4 ULP.
template <class T> RV_INLINE Vec<T> acos(Vec<T> x) {
  using V = Vec<T>;
  return V(2) * atan_ratio(sqrt(V(1) - x), sqrt(V(1) + x));
}

// (e^x - e^-x) / 2, small x by e^x - 1, large ones as a product that overflows where the result does. 4 ULP.
template <class T> RV_INLINE Vec<T> sinh(Vec<T> x) {
  using V = Vec<T>;
  const V a = abs(x), e = expm1(a), h = exp(V(0.5) * a);
  return copysign(select(a > V(20), V(0.5) * h * h, V(0.5) * (e + e / (e + V(1)))), x);
}
// (e^x + e^-x) / 2. 4 ULP.
template <class T> RV_INLINE Vec<T> cosh(Vec<T> x) {
  using V = Vec<T>;
  const V a = abs(x), e = exp(a), h = exp(V(0.5) * a);
  return select(a > V(20), V(0.5) * h * h, V(0.5) * (e + V(1) / e));
}

}  // namespace rv::RV_ISA
