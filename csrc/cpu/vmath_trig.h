// SPDX-License-Identifier: Apache-2.0
// sin, cos.
#pragma once
#include "cpu/vmath_exp.h"

namespace rv::RV_ISA {

// x = quarter * pi/2 + rest with |rest| <= pi/4, for |x| <= 1e6.
struct Quarter { Vec<int32_t> quarter; Vec<float> rest; };
RV_INLINE Quarter reduce_quarter(Vec<float> x) {
  using V = Vec<double>;
  const auto count = [](V a) __attribute__((always_inline)) { return nearest(a * V(0.6366197723675814)); };
  const auto rest = [](V a, V n) __attribute__((always_inline)) {  // pi/2 in parts of 33 and 53 bits
    return fma(n, V(-6.07710050650619224932e-11), fma(n, V(-1.57079632673412561417), a));
  };
  const Doubles d = widen(x), n = {count(d.lo), count(d.hi)};
  return {convert<int32_t>(narrow(n)), narrow({rest(d.lo, n.lo), rest(d.hi, n.hi)})};
}

// sin(rest + quarter * pi/2)
RV_INLINE Vec<float> sin_quarter(Vec<float> r, Vec<int32_t> quarter) {
  using V = Vec<float>;
  using I = Vec<int32_t>;
  const V z = r * r;
  const V s = fma(r * z, polynomial(z, -0.166666538f, 0.00833210628f, -0.000195078843f), r);
  const V c = fma(z * z, polynomial(z, 0.0416666456f, -0.00138872978f, 2.44300882e-05f), fma(z, V(-0.5f), V(1.0f)));
  const I sign = (quarter & I(2)) << 30;
  const Mask<float> odd{((quarter & I(1)) == I(1)).m};
  return bitcast<float>(bitcast<int32_t>(select(odd, c, s)) ^ sign);
}

// 2 ULP; huge arguments go to C's function, lane by lane.
RV_INLINE Vec<float> sin(Vec<float> x) {
  if (any(~(abs(x) <= Vec<float>(1e6f)))) return map(x, [](float a) { return __builtin_sinf(a); });
  const Quarter q = reduce_quarter(x);
  return select(abs(x) < Vec<float>(1e-8f), x, sin_quarter(q.rest, q.quarter));
}
RV_INLINE Vec<float> cos(Vec<float> x) {
  if (any(~(abs(x) <= Vec<float>(1e6f)))) return map(x, [](float a) { return __builtin_cosf(a); });
  const Quarter q = reduce_quarter(x);
  return sin_quarter(q.rest, q.quarter + Vec<int32_t>(1));
}
RV_INLINE Vec<double> sin(Vec<double> x) { return map(x, [](double a) { return __builtin_sin(a); }); }
RV_INLINE Vec<double> cos(Vec<double> x) { return map(x, [](double a) { return __builtin_cos(a); }); }

}  // namespace rv::RV_ISA
