// SPDX-License-Identifier: Apache-2.0
// float32 numbers as bytes: q = round(x / scale) + zero, within 0 to 255, and what follows a product of bytes.
#pragma once
#include "cpu/simd/ints.h"
#include "cpu/simd/simd.h"

namespace rv::RV_ISA::int8 {

using V = Vec<float>;
typedef uint8_t ByteLanes __attribute__((vector_size(V::N)));

// How one row of a matrix, or one image, is stored. scale is NaN where a number in it is: then so are its results.
struct Range {
  float scale, inverse;
  int32_t zero;

  static Range fixed(const float* scale_and_zero) {
    return {scale_and_zero[0], 1.0f / scale_and_zero[0], static_cast<int32_t>(scale_and_zero[1])};
  }
  // The numbers between low <= 0 and high >= 0; without any, all are stored as 0.
  static Range between(float low, float high) {
    const float width = high - low, inverse = width > 0 ? 255.0f / width : 0.0f;
    const float zero = __builtin_rintf(-low * inverse);
    return {width / 255.0f, inverse, zero >= 0 && zero <= 255 ? static_cast<int32_t>(zero) : 0};
  }
};

// The least and the greatest of n numbers and 0; NaN where one is.
struct Extremes {
  float low = 0, high = 0;

  void take(const float* x, int64_t n) {
    V l(low), h(high);
    for (int64_t i = 0; i < n; i += V::N) {
      const V v = i + V::N <= n ? load(x + i) : load_partial(x + i, n - i);
      l = min(l, v), h = max(h, v);
    }
    low = reduce(
        l, [](V a, V b) __attribute__((always_inline)) { return min(a, b); });
    high = reduce(
        h, [](V a, V b) __attribute__((always_inline)) { return max(a, b); });
  }
};

RV_INLINE Vec<int32_t> quantized(V x, V inverse, V zero) {
  const V q = less_or_second(greater_or_second(round(x * inverse) + zero, V(0.0f)), V(255.0f));
  return convert<int32_t>(q);
}

// to[i] for n numbers; whether one is NaN.
inline bool quantize(const float* x, int64_t n, const Range& range, uint8_t* to) {
  const V inverse(range.inverse), zero(static_cast<float>(range.zero));
  Mask<float> bad = isnan(V(0.0f));
  for (int64_t i = 0; i < n; i += V::N) {
    const int64_t width = min(V::N, n - i);
    const V v = width == V::N ? load(x + i) : load_partial(x + i, width);
    bad = bad | isnan(v);
    const ByteLanes bytes = __builtin_convertvector(quantized(v, inverse, zero).v, ByteLanes);
    if (width == V::N) memcpy(to + i, &bytes, sizeof bytes);
    else memcpy(to + i, &bytes, static_cast<size_t>(width));
  }
  return any(bad);
}

// What belongs to each column of the weights.
struct Columns {
  const float *scale, *bias;  // bias may be nullptr
  const int32_t* sums;        // of a column's weights: zero * sums is what the offset of A has added
};

}  // namespace rv::RV_ISA::int8
