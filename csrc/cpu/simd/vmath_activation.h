// SPDX-License-Identifier: Apache-2.0
// Activations, and those derivatives that are worth a pass of their own.
#pragma once
#include "cpu/simd/vmath_exp.h"
#include "cpu/simd/vmath_log.h"

namespace rv::RV_ISA {

// x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): the tanh approximation of gelu. 16 ULP for x > -3; below, the
// rounding of u counts |2 u|-fold.
template <class T> RV_INLINE Vec<T> gelu_tanh(Vec<T> x) {
  using V = Vec<T>;
  return x * sigmoid(x * fma(x * x, V(0.07135481627260025), V(1.5957691216057308)));
}
template <class T> RV_INLINE Vec<T> gelu_tanh_grad(Vec<T> x) {
  using V = Vec<T>;
  const V z = min(x * x, V(1e4));  // farther out s is 0 or 1
  const V s = sigmoid(x * fma(z, V(0.07135481627260025), V(1.5957691216057308)));
  return s + s * sigmoid(-x * fma(z, V(0.07135481627260025), V(1.5957691216057308))) *
                 (min(max(x, V(-100)), V(100)) * fma(z, V(3 * 0.07135481627260025), V(1.5957691216057308)));
}

// 4 ULP.
template <class T> RV_INLINE Vec<T> silu(Vec<T> x) { return x * sigmoid(x); }
// s (1 + x (1 - s)), s = sigmoid(x)
template <class T> RV_INLINE Vec<T> silu_grad(Vec<T> x) {
  using V = Vec<T>;
  const V e = exp(-abs(x)), w = V(1) / (V(1) + e), small = e * w;
  const Mask<T> negative = x < V(0);
  const V s = select(negative, small, w), rest = select(negative, w, small);
  return s * fma(min(max(x, V(-1e4)), V(1e4)), rest, V(1));
}

// x tanh(log(1 + e^x)) = x n / (n + 2), n = e^x (e^x + 2). 5 ULP.
template <class T> RV_INLINE Vec<T> mish(Vec<T> x) {
  using V = Vec<T>;
  const V e = exp(min(x, V(40))), n = e * (e + V(2));
  return x * (n / (n + V(2)));
}
// n / (n + 2) + 4 x e (1 + e) / (n + 2)^2
template <class T> RV_INLINE Vec<T> mish_grad(Vec<T> x) {
  using V = Vec<T>;
  const V e = exp(min(x, V(40))), n = e * (e + V(2)), w = V(1) / (n + V(2));
  return fma(V(4) * min(max(x, V(-1e4)), V(1e4)) * e * w, (V(1) + e) * w, n * w);
}

// log(1 + e^x). 2 ULP.
template <class T> RV_INLINE Vec<T> softplus(Vec<T> x) {
  using V = Vec<T>;
  return max(x, V(0)) + log1p_unit(exp(-abs(x)));
}
template <class T> RV_INLINE Vec<T> softplus(Vec<T> x, Vec<T> beta, Vec<T> threshold) {
  const Vec<T> z = x * beta;
  return select(z > threshold, x, softplus(z) / beta);
}

}  // namespace rv::RV_ISA
