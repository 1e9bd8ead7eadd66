// SPDX-License-Identifier: Apache-2.0
// Division as Python has it: floor_divide rounds down, remainder has the divisor's sign.
#pragma once
#include "cpu/simd/simd.h"

namespace rv::RV_ISA {

RV_INLINE float fmod_scalar(float a, float b) { return __builtin_fmodf(a, b); }
RV_INLINE double fmod_scalar(double a, double b) { return __builtin_fmod(a, b); }

template <class T> inline T remainder_scalar(T a, T b) {
  if constexpr (is_float<T>) {
    const T r = fmod_scalar(a, b);
    if (r == 0) return static_cast<T>(__builtin_copysign(0.0, b));
    return (r < 0) != (b < 0) ? r + b : r;
  } else {
    if (b == 0 || (T(-1) < T(0) && b == T(-1))) return 0;  // the machine traps on both
    const T r = static_cast<T>(a % b);
    return r != 0 && (r < 0) != (b < 0) ? static_cast<T>(r + b) : r;
  }
}

template <class T> inline T floor_divide_scalar(T a, T b) {
  if constexpr (is_float<T>) {
    if (b == 0) return a / b;
    const T r = fmod_scalar(a, b);
    T q = (a - r) / b;
    if (r != 0 && (r < 0) != (b < 0)) q -= 1;
    if (q == 0) return static_cast<T>(__builtin_copysign(0.0, static_cast<double>(a) / b));
    const T whole = static_cast<T>(__builtin_floor(q));
    return q - whole > T(0.5) ? whole + 1 : whole;
  } else {
    if (b == 0) return 0;
    if (T(-1) < T(0) && b == T(-1)) return static_cast<T>(0 - static_cast<uint64_t>(a));
    const T q = static_cast<T>(a / b);
    return q * b != a && (a < 0) != (b < 0) ? static_cast<T>(q - 1) : q;
  }
}

template <class T> RV_INLINE Vec<T> remainder(Vec<T> a, Vec<T> b) {
  return map(a, b, [](T x, T y) { return remainder_scalar(x, y); });
}
template <class T> RV_INLINE Vec<T> floor_divide(Vec<T> a, Vec<T> b) {
  return map(a, b, [](T x, T y) { return floor_divide_scalar(x, y); });
}

// In double precision floor(a / b) and a - floor(a / b) b are exact, as long as the quotient has few bits.
RV_INLINE Doubles floor_quotient(Doubles a, Doubles b) { return {floor(a.lo / b.lo), floor(a.hi / b.hi)}; }
RV_INLINE Mask<float> quotient_exact(Vec<float> a, Vec<float> b) {
  using V = Vec<float>;
  const V size = abs(b);
  return (abs(a) < size * V(6.7e7f)) & (size < V(1e30f)) & (size > V(1e-30f));
}

// Exact but for one rounding where the signs differ, as in NumPy.
RV_INLINE Vec<float> remainder(Vec<float> a, Vec<float> b) {
  const Doubles x = widen(a), y = widen(b), q = floor_quotient(x, y);
  const Vec<float> r = narrow({x.lo - q.lo * y.lo, x.hi - q.hi * y.hi});
  return map_where(~quotient_exact(a, b), select(r == Vec<float>(0.0f), copysign(r, b), r), a, b,
                   [](float u, float v) { return remainder_scalar(u, v); });
}
RV_INLINE Vec<float> floor_divide(Vec<float> a, Vec<float> b) {
  return map_where(~quotient_exact(a, b), narrow(floor_quotient(widen(a), widen(b))), a, b,
                   [](float u, float v) { return floor_divide_scalar(u, v); });
}

}  // namespace rv::RV_ISA
