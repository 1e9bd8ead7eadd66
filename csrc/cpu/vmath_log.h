// SPDX-License-Identifier: Apache-2.0
// log, log2, log1p, pow.
#pragma once
#include "cpu/vmath_exp.h"

namespace rv::RV_ISA {

// log(1 + f) - f for f in [sqrt(1/2) - 1, sqrt(2) - 1].
RV_INLINE Vec<float> log1p_tail(Vec<float> f) {
  const Vec<float> p = polynomial(f, 0.333333313f, -0.250008225f, 0.200012594f, -0.16623342f, 0.142010525f,
                                  -0.13159588f, 0.127661929f, -0.07641913f);
  return f * f * fma(f, p, Vec<float>(-0.5f));
}

// x = 2^exponent * fraction with fraction in [sqrt(1/2), sqrt(2)), for normal x > 0.
struct Split { Vec<int32_t> exponent; Vec<float> fraction; };
RV_INLINE Split split(Vec<float> x) {
  const Vec<int32_t> bits = bitcast<int32_t>(x);
  const Vec<int32_t> exponent = (bits - Vec<int32_t>(0x3f3504f3)) >> 23;
  return {exponent, bitcast<float>(bits - (exponent << 23))};
}

// `normal` where 0 < x < inf; else what a logarithm is at 0, below, at inf and NaN.
RV_INLINE Vec<float> log_edges(Vec<float> x, Vec<float> normal) {
  using V = Vec<float>;
  const V infinity(__builtin_inff());
  const V r = select(x < infinity, normal, x);  // also NaN
  return select(x > V(0.0f), r, select(x == V(0.0f), -infinity, V(__builtin_nanf(""))));
}

// 1 ULP.
RV_INLINE Vec<float> log(Vec<float> x) {
  using V = Vec<float>;
  const Mask<float> small = x < V(1.17549435e-38f);
  const Split s = split(select(small, x * V(8388608.0f), x));
  const V e = convert<float>(s.exponent) - select(small, V(23.0f), V(0.0f)), f = s.fraction - V(1.0f);
  return log_edges(x, fma(e, V(kLn2Hi), fma(e, V(kLn2Lo), log1p_tail(f)) + f));
}

// 2 ULP.
RV_INLINE Vec<float> log2(Vec<float> x) {
  using V = Vec<float>;
  const Mask<float> small = x < V(1.17549435e-38f);
  const Split s = split(select(small, x * V(8388608.0f), x));
  const V e = convert<float>(s.exponent) - select(small, V(23.0f), V(0.0f)), f = s.fraction - V(1.0f);
  // f * log2(e) with the factor in two parts, of which the first has 9 bits
  const V tail = log1p_tail(f);
  const V high = bitcast<float>(bitcast<int32_t>(f) & Vec<int32_t>(-4096)), low = f - high;
  const V sum = fma(tail, V(1.44269504f), fma(f, V(1.28879089e-3f), low * V(1.44140625f)));
  return log_edges(x, high * V(1.44140625f) + sum + e);
}

// 2 ULP.
RV_INLINE Vec<float> log1p(Vec<float> x) {
  using V = Vec<float>;
  const V u = V(1.0f) + x;
  // what the sum lost: x - (u - 1), or 1 - (u - x) where x is the greater
  const V lost = select(x > V(1.0f), V(1.0f) - (u - x), x - (u - V(1.0f)));
  const Split s = split(u);
  const V e = convert<float>(s.exponent);
  const V f = (s.fraction - V(1.0f)) + lost * power_of_two(max(Vec<int32_t>(0) - s.exponent, Vec<int32_t>(-126)));
  const V r = fma(e, V(kLn2Hi), fma(e, V(kLn2Lo), log1p_tail(f)) + f);
  return select(abs(x) < V(1e-8f), x, log_edges(u, r));
}

RV_INLINE Vec<double> log(Vec<double> x) { return map(x, [](double a) { return __builtin_log(a); }); }
RV_INLINE Vec<double> log2(Vec<double> x) { return map(x, [](double a) { return __builtin_log2(a); }); }
RV_INLINE Vec<double> log1p(Vec<double> x) { return map(x, [](double a) { return __builtin_log1p(a); }); }

// ---------------------------------------------------------------- pow

// |x|^y to 2^-36 for normal x, in double precision: 2^(y log2|x|).
RV_INLINE Vec<double> pow_normal(Vec<double> x, Vec<double> y) {
  using V = Vec<double>;
  using I = Vec<int64_t>;
  const I bits = bitcast<int64_t>(abs(x));
  const I above = bits - I(0x3fe6a09e667f3bcd);  // of sqrt(1/2)
  const V m = bitcast<double>(bits - (above & I(static_cast<int64_t>(0xfff0000000000000))));
  // the exponent as a double: biased to be positive, then as the mantissa of a number in [2^52, 2^53)
  const I biased = shift_right(above + I(int64_t{1023} << 52), 52);
  const V e = bitcast<double>(biased | I(0x4330000000000000)) - V(4503599627370496.0 + 1023.0);
  const V magic(6755399441055744.0);  // 1.5 * 2^52
  const V s = (m - V(1.0)) / (m + V(1.0));
  const V p = polynomial(s * s, 2.885390081777849, 0.9617966941152266, 0.577077941769627, 0.4122093169647844,
                         0.31990287955975016, 0.2829426508101301);
  const V t = max(min(y * fma(s, p, e), V(1000.0)), V(-1000.0));
  const V whole = t + magic, n = whole - magic;
  const V q = polynomial(t - n, 0.9999999999997622, 0.693147180546516, 0.24022650698881137, 0.055504109393344166,
                         0.009618128542743316, 0.0013333452068522431, 0.00015403851883300613, 1.530973601186105e-05,
                         1.3175814632436565e-06);
  return bitcast<double>(bitcast<int64_t>(q) + (bitcast<int64_t>(whole) << 52));
}

// 1 ULP.
RV_INLINE Vec<float> pow(Vec<float> x, Vec<float> y) {
  using V = Vec<float>;
  const V size = abs(x), infinity(__builtin_inff());
  const Mask<float> normal = (size >= V(1.17549435e-38f)) & (size < infinity) & (abs(y) < infinity);
  if (any(~normal)) return map(x, y, [](float a, float b) { return __builtin_powf(a, b); });
  const Doubles dx = widen(x), dy = widen(y);
  const V r = narrow({pow_normal(dx.lo, dy.lo), pow_normal(dx.hi, dy.hi)});
  const V half = y * V(0.5f);
  const V negative = select(y != trunc(y), V(__builtin_nanf("")), select(half != trunc(half), -r, r));
  return select(x < V(0.0f), negative, r);
}
RV_INLINE Vec<double> pow(Vec<double> x, Vec<double> y) {
  return map(x, y, [](double a, double b) { return __builtin_pow(a, b); });
}

// Integers: exact modulo 2^bits; 0 for negative exponents, but of 1 and -1.
template <class T> RV_INLINE Vec<T> pow(Vec<T> x, Vec<T> y) {
  return map(x, y, [](T base, T exponent) {
    using Bits = uint64_t;
    if constexpr (T(-1) < T(0))
      if (exponent < 0) return static_cast<T>(base == 1 ? 1 : base == -1 ? (exponent & 1 ? -1 : 1) : 0);
    Bits result = 1, square = static_cast<Bits>(base);
    for (Bits left = static_cast<Bits>(exponent); left; left >>= 1, square *= square)
      if (left & 1) result *= square;
    return static_cast<T>(result);
  });
}

}  // namespace rv::RV_ISA
