// SPDX-License-Identifier: Apache-2.0
// Elementary functions of vectors, correct over the whole range of floats: zeros keep their sign, infinities and
// NaN give what C's functions give, and so do denormals where the thread does not flush them to zero (plans do).
// Beside each function stands its largest error in units in the last place of the float32 result, with and without
// fused multiply-add; tests/test_vmath.py asserts these numbers. float64 results err by at most one unit more.
// Polynomials are minimax fits: Remez exchange, one coefficient rounded after the other.
#pragma once
#include "cpu/simd/vmath_exp.h"
#include "cpu/simd/vmath_log.h"
#include "cpu/simd/vmath_trig.h"
#include "cpu/simd/vmath_angle.h"
#include "cpu/simd/vmath_normal.h"
#include "cpu/simd/vmath_activation.h"
#include "cpu/simd/vmath_divide.h"
