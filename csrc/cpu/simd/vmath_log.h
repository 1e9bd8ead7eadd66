// SPDX-License-Identifier: Apache-2.0
// log, log2, log1p, pow.
#pragma once
#include "cpu/simd/vmath_exp.h"

namespace rv::RV_ISA {

// log(1 + f) - f for f in [sqrt(1/2) - 1, sqrt(2) - 1].
RV_INLINE Vec<float> log1p_tail(Vec<float> f) {
  const Vec<float> p = polynomial(f, 0.333333313f, -0.250008225f, 0.200012594f, -0.16623342f, 0.142010525f,
                                  -0.13159588f, 0.127661929f, -0.07641913f);
  return f * f * fma(f, p, Vec<float>(-0.5f));
}
RV_INLINE Vec<double> log1p_tail(Vec<double> f) {  // s (f^2/2 + R(s^2)) - f^2/2, s = f / (2 + f)
  using V = Vec<double>;
  const V s = f / (V(2.0) + f), z = s * s, half = V(0.5) * f * f;
  const V r = z * polynomial(z, 0.6666666666666735, 0.39999999999408736, 0.28571428744003496, 0.2222219837886132,
                             0.18183575342075053, 0.153137638549053, 0.14798699371901172);
  return fma(s, half + r, -half);
}

// x = 2^exponent (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), for normal x > 0.
template <class T> struct Split { Vec<T> exponent, fraction; };
RV_INLINE Split<float> split(Vec<float> x) {
  using I = Vec<int32_t>;
  const I bits = bitcast<int32_t>(x), above = bits - I(Float<float>::kSqrtHalfBits);
  const I exponent = above >> 23;
  return {convert<float>(exponent), bitcast<float>(bits - (exponent << 23)) - Vec<float>(1.0f)};
}
RV_INLINE Split<double> split(Vec<double> x) {
  using I = Vec<int64_t>;
  const I bits = bitcast<int64_t>(x), above = bits - I(Float<double>::kSqrtHalfBits);
  // the exponent as a double: biased to be positive, then as the mantissa of a number in [2^52, 2^53)
  const I biased = shift_right(above + I(int64_t{1023} << 52), 52);
  return {bitcast<double>(biased | I(0x4330000000000000)) - Vec<double>(4503599627370496.0 + 1023.0),
          bitcast<double>(bits - (above & I(static_cast<int64_t>(0xfff0000000000000)))) - Vec<double>(1.0)};
}
// Also where x is denormal.
template <class T> RV_INLINE Split<T> split_any(Vec<T> x) {
  using V = Vec<T>;
  const Mask<T> small = x < V(Float<T>::kSmallest);
  constexpr double kUp = static_cast<double>(uint64_t{1} << Float<T>::kMantissa);
  const Split<T> s = split(select(small, x * V(kUp), x));
  return {s.exponent - select(small, V(Float<T>::kMantissa), V(0)), s.fraction};
}
#ifdef RV_AVX512
RV_INLINE Split<float> split_any(Vec<float> x) {
  const __m512 a = (__m512)x.v, mantissa = _mm512_getmant_ps(a, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
  const __m512 one = _mm512_set1_ps(1.0f), exponent = _mm512_getexp_ps(a);
  const __mmask16 upper = _mm512_cmp_ps_mask(mantissa, _mm512_set1_ps(1.41421354f), _CMP_GE_OQ);
  const __m512 near = _mm512_mask_mul_ps(mantissa, upper, mantissa, _mm512_set1_ps(0.5f));
  return {Vec<float>((Vec<float>::Native)_mm512_mask_add_ps(exponent, upper, exponent, one)),
          Vec<float>((Vec<float>::Native)_mm512_sub_ps(near, one))};
}
#endif

// `normal` where 0 < x < inf; else what a logarithm is at 0, below, at inf and NaN.
template <class T> RV_INLINE Vec<T> log_edges(Vec<T> x, Vec<T> normal) {
  using V = Vec<T>;
  const V infinity(__builtin_inf());
  const V r = select(x < infinity, normal, x);  // also NaN
  return select(x > V(0), r, select(x == V(0), -infinity, V(__builtin_nan(""))));
}
#ifdef RV_AVX512
RV_INLINE Vec<float> log_edges(Vec<float> x, Vec<float> normal) {
  // what replaces it, from the lowest digit on, where x is: NaN (2: x) twice, 0 (4: -inf), 1 (0: nothing),
  // -inf (3: NaN), inf (5), another negative number (3), a positive one (0)
  const __m512i rule = _mm512_set1_epi32(0x03530422);
  return Vec<float>((Vec<float>::Native)_mm512_fixupimm_ps((__m512)normal.v, (__m512)x.v, rule, 0));
}
#endif

// log(1 + f) + e log(2)
template <class T> RV_INLINE Vec<T> log_sum(Vec<T> e, Vec<T> f) {
  using F = Float<T>;
  return fma(e, Vec<T>(F::kLn2Hi), fma(e, Vec<T>(F::kLn2Lo), log1p_tail(f)) + f);
}

// 1 ULP.
template <class T> RV_INLINE Vec<T> log(Vec<T> x) {
  const Split<T> s = split_any(x);
  return log_edges(x, log_sum(s.exponent, s.fraction));
}

// 2 ULP.
RV_INLINE Vec<float> log2(Vec<float> x) {
  using V = Vec<float>;
  const Split<float> s = split_any(x);
  const V f = s.fraction;  // times log2(1 + f) / f, whose rounding counts in full where the exponent is 0
  const V p = fma(f,
                  polynomial(f, -0.721347272f, 0.480904639f, -0.360707253f, 0.288235933f, -0.239108577f, 0.210144833f,
                             -0.20054245f, 0.156791791f, -0.052810479f),
                  V(1.44269502f));
  return log_edges(x, fma(f, p, s.exponent));
}
RV_INLINE Vec<double> log2(Vec<double> x) {
  return map(x, [](double a) { return __builtin_log2(a); });
}

// 2 ULP.
template <class T> RV_INLINE Vec<T> log1p(Vec<T> x) {
  using V = Vec<T>;
  const V u = V(1) + x;
  // what the sum lost: x - (u - 1), or 1 - (u - x) where x is the greater
  const V lost = select(x > V(1), V(1) - (u - x), x - (u - V(1)));
  const Split<T> s = split(u);
  const V f = fma(lost, power_of_two(max(-s.exponent, V(1 - Float<T>::kBias))), s.fraction);
  return select(abs(x) < V(Float<T>::kTinyArgument), x, log_edges(u, log_sum(s.exponent, f)));
}

// log1p for 0 <= x <= 1, or NaN. 1 ULP.
template <class T> RV_INLINE Vec<T> log1p_unit(Vec<T> x) {
  using V = Vec<T>;
  const Mask<T> upper = x > V(0.41421356237309503);  // there 1 + x = 2 (1 + f), f = (x - 1) / 2
  const V f = select(upper, (x - V(1)) * V(0.5), x);
  return log1p_tail(f) + f + select(upper, V(0.6931471805599453), V(0));
}

// ---------------------------------------------------------------- pow

// |x| = 2^exponent z with z in [0.7, 1.4), of which interval i of 16 has inverse[i] z = 1 + r, |r| < 0.0317. The
// inverses are floats whose logarithms lie within 2^-39 of floats; where 1 is in the interval, both are exact.
inline constexpr float kPowInverse[16] = {
    1.39668f,    1.3368243f, 1.28616989f,  1.23999858f,  1.19470215f,  1.14956033f,  1.10464072f,  1.06877553f,
    1.03944373f, 1.0f,       0.946181476f, 0.892826021f, 0.847839594f, 0.806267858f, 0.767860174f, 0.729388773f};
inline constexpr float kPowLog2[16] = {  // -log2(inverse)
    -0.482001513f, -0.418809861f,  -0.363081217f,  -0.310338467f, -0.256650984f, -0.201082185f,
    -0.143577218f, -0.0959588885f, -0.0558116622f, 0.0f,          0.0798111781f, 0.163549021f,
    0.238136753f,  0.310668886f,   0.381084472f,   0.455240101f};

// 2^(y (base + log2(1 + r))) to 2^-28, r = z inverse - 1: in double precision.
RV_INLINE Vec<double> pow_normal(Vec<double> base, Vec<double> z, Vec<double> inverse, Vec<double> y) {
  using V = Vec<double>;
  const V r = fma(z, inverse, V(-1.0));
  const V p = polynomial(r, 1.4426950408955077, -0.7213475204624369, 0.4808982297555193, -0.36067360885082383,
                         0.28884994903510625, -0.24076014885267646);
#ifdef RV_AVX512
  const V t = y * fma(r, p, base), n = round(t);  // `scale` takes any n
#else
  const V t = max(min(y * fma(r, p, base), V(1000.0)), V(-1000.0)), n = nearest(t);
#endif
  const V q = polynomial(t - n, 1.0000000005548466, 0.6931472057680731, 0.24022646887566712, 0.0555032871093062,
                         0.009618489099907833, 0.00133999577151251, 0.0001534582388873255);
  return scale(q, n);
}

// 1 ULP.
RV_INLINE Vec<float> pow(Vec<float> x, Vec<float> y) {
  using V = Vec<float>;
  using I = Vec<int32_t>;
  const V size = abs(x), infinity(__builtin_inff());
  const Mask<float> normal = (size >= V(1.17549435e-38f)) & (size < infinity) & (abs(y) < infinity);
  const I bits = bitcast<int32_t>(size), above = bits - I(0x3f330000), exponent = above >> 23, interval = above >> 19;
  const Doubles z = widen(bitcast<float>(bits - (exponent << 23))), inverse = widen(lookup(kPowInverse, interval)),
                log2 = widen(lookup(kPowLog2, interval)), n = widen(convert<float>(exponent)), dy = widen(y);
  V r = narrow(
      {pow_normal(n.lo + log2.lo, z.lo, inverse.lo, dy.lo), pow_normal(n.hi + log2.hi, z.hi, inverse.hi, dy.hi)});
  const Mask<float> below = x < V(0.0f);
  if (any(below)) {
    const V half = y * V(0.5f);
    r = select(below, select(y != trunc(y), V(__builtin_nanf("")), select(half != trunc(half), -r, r)), r);
  }
  return map_where(~normal, r, x, y, [](float a, float b) { return __builtin_powf(a, b); });
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
