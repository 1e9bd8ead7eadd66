// SPDX-License-Identifier: Apache-2.0
// sin, cos.
#pragma once
#include "cpu/simd/vmath_exp.h"

namespace rv::RV_ISA {

inline constexpr float kLargestAngle = 1e6f;  // beyond, angles go to C's functions, lane by lane

// x = quarter * pi/2 + rest with |rest| <= pi/4, for |x| <= kLargestAngle; pi/2 in parts of 33 bits, and the rest.
template <class T> struct Quarter {
  Vec<typename Float<T>::Int> quarter;
  Vec<T> rest;
};
inline constexpr double kHalfPi1 = 1.57079632673412561417e+00, kHalfPi2 = 6.07710050630396597660e-11,
                        kHalfPi3 = 2.02226624879595063154e-21;
RV_INLINE Quarter<double> reduce_quarter(Vec<double> x) {
  using V = Vec<double>;
  const V sum = nearest_sum(x * V(0.6366197723675814)), n = sum - V(Float<double>::kMagic);
  return {bitcast<int64_t>(sum), fma(n, V(-kHalfPi3), fma(n, V(-kHalfPi2), fma(n, V(-kHalfPi1), x)))};
}
RV_INLINE Quarter<float> reduce_quarter(Vec<float> x) {  // in double precision
  using V = Vec<double>;
  const auto count = [](V a) __attribute__((always_inline)) { return nearest(a * V(0.6366197723675814)); };
  const auto rest = [](V a, V n) __attribute__((always_inline)) {
    return fma(n, V(-kHalfPi2), fma(n, V(-kHalfPi1), a));
  };
  const Doubles d = widen(x), n = {count(d.lo), count(d.hi)};
  return {convert<int32_t>(narrow(n)), narrow({rest(d.lo, n.lo), rest(d.hi, n.hi)})};
}

// (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 of z = r^2
RV_INLINE Vec<float> sin_rest(Vec<float> z) { return polynomial(z, -0.166666538f, 0.00833210628f, -0.000195078843f); }
RV_INLINE Vec<float> cos_rest(Vec<float> z) { return polynomial(z, 0.0416666456f, -0.00138872978f, 2.44300882e-05f); }
RV_INLINE Vec<double> sin_rest(Vec<double> z) {
  return polynomial(z, -0.16666666666666632, 0.008333333333322418, -0.00019841269829755457, 2.7557313659040157e-06,
                    -2.5050751206043018e-08, 1.5896315772072406e-10);
}
RV_INLINE Vec<double> cos_rest(Vec<double> z) {
  return polynomial(z, 0.04166666666666659, -0.0013888888888872186, 2.4801587288295705e-05, -2.755731401532464e-07,
                    2.087567813776149e-09, -1.1357341703814243e-11);
}

// sin(rest + quarter * pi/2)
template <class T> RV_INLINE Vec<T> sin_quarter(Vec<T> r, Vec<typename Float<T>::Int> quarter) {
  using V = Vec<T>;
  using Int = typename Float<T>::Int;
  using I = Vec<Int>;
  const V z = r * r;
  const V s = fma(r * z, sin_rest(z), r), c = fma(z * z, cos_rest(z), fma(z, V(-0.5), V(1)));
  const I sign = (quarter & I(2)) << (8 * static_cast<int>(sizeof(T)) - 2);
  const Mask<T> odd{((quarter & I(1)) == I(1)).m};
  return bitcast<T>(bitcast<Int>(select(odd, c, s)) ^ sign);
}

// 2 ULP.
template <class T> RV_INLINE Vec<T> sin(Vec<T> x) {
  const Quarter<T> q = reduce_quarter(x);
  const Vec<T> r = select(abs(x) < Vec<T>(Float<T>::kTinyArgument), x, sin_quarter(q.rest, q.quarter));
  return map_where(abs(x) > Vec<T>(kLargestAngle), r, x, [](T a) { return static_cast<T>(__builtin_sin(a)); });
}
template <class T> RV_INLINE Vec<T> cos(Vec<T> x) {
  const Quarter<T> q = reduce_quarter(x);
  const Vec<T> r = sin_quarter(q.rest, q.quarter + Vec<typename Float<T>::Int>(1));
  return map_where(abs(x) > Vec<T>(kLargestAngle), r, x, [](T a) { return static_cast<T>(__builtin_cos(a)); });
}

}  // namespace rv::RV_ISA
