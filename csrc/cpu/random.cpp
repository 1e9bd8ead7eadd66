// SPDX-License-Identifier: Apache-2.0
// Random numbers from Philox4x32-10. Block b of a key (seed, offset) is philox(counter = offset + b, key = seed),
// four 32-bit words x0 x1 x2 x3; element i is made from block i / kPer alone. So numbers depend on neither threads nor
// vector length, and a call uses up a number of blocks that follows from its shape and dtype.
//
// The arithmetic below is a fixed sequence of exactly rounded operations (this file is compiled with
// -ffp-contract=off), the same in the NumPy reference: the bits agree on every machine.
#include <cmath>

#include "core/philox.h"
#include "cpu/move/radix.h"
#include "cpu/move/walk.h"
#include "cpu/random.h"
#include "cpu/simd/simd.h"

namespace rv::RV_ISA {
namespace {

constexpr int kBatch = 32;       // blocks made at once, one vector lane each
constexpr int64_t kSpan = 2048;  // blocks of a chunk

struct Words {
  alignas(64) uint32_t x[4][kBatch];
};

#ifdef RV_AVX512
// The halves of c * m of 16 lanes: five instructions, which the compiler does not find by itself.
RV_INLINE void multiply(__m512i c, __m512i m, __m512i& high, __m512i& low) {
  const __m512i even = _mm512_mul_epu32(c, m), odd = _mm512_mul_epu32(_mm512_srli_epi64(c, 32), m);
  high = _mm512_castps_si512(_mm512_mask_movehdup_ps(_mm512_castsi512_ps(odd), 0x5555, _mm512_castsi512_ps(even)));
  low = _mm512_mullo_epi32(c, m);
}

// philox4x32_10 of kBatch counters from `counter` on. A factor of a dropout mask takes 0.30 ns, with the loop below
// 0.74.
void philox_batch(Words& w, uint64_t counter, uint64_t key) {
  constexpr int kVectors = kBatch / 16, kXor = 0x96;
  const __m512i m0 = _mm512_set1_epi32(static_cast<int>(0xD2511F53)),
                m1 = _mm512_set1_epi32(static_cast<int>(0xCD9E8D57));
  __m512i c[kVectors][4];
  for (int v = 0; v < kVectors; ++v) {
    for (int half = 0; half < 2; ++half) {
      const __m512i first = _mm512_set1_epi64(static_cast<int64_t>(counter + v * 16 + half * 8));
      const __m512i n = _mm512_add_epi64(first, _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
      const __m256i low = _mm512_cvtepi64_epi32(n), high = _mm512_cvtepi64_epi32(_mm512_srli_epi64(n, 32));
      c[v][0] = half ? _mm512_inserti64x4(c[v][0], low, 1) : _mm512_castsi256_si512(low);
      c[v][1] = half ? _mm512_inserti64x4(c[v][1], high, 1) : _mm512_castsi256_si512(high);
    }
    c[v][2] = c[v][3] = _mm512_setzero_si512();
  }
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9, k1 += 0xBB67AE85) {
    const __m512i key0 = _mm512_set1_epi32(static_cast<int>(k0)), key1 = _mm512_set1_epi32(static_cast<int>(k1));
    for (int v = 0; v < kVectors; ++v) {
      __m512i h0, l0, h1, l1;
      multiply(c[v][0], m0, h0, l0);
      multiply(c[v][2], m1, h1, l1);
      c[v][0] = _mm512_ternarylogic_epi32(h1, c[v][1], key0, kXor);
      c[v][2] = _mm512_ternarylogic_epi32(h0, c[v][3], key1, kXor);
      c[v][1] = l1, c[v][3] = l0;
    }
  }
  for (int v = 0; v < kVectors; ++v)
    for (int k = 0; k < 4; ++k) _mm512_store_si512(w.x[k] + 16 * v, c[v][k]);
}

// The words in the order of blocks, 0 1 2 3 of each.
RV_INLINE void in_order(const Words& w, uint32_t* to) {
  for (int v = 0; v < kBatch; v += 16) {
    const __m512i a = _mm512_load_si512(w.x[0] + v), b = _mm512_load_si512(w.x[1] + v),
                  c = _mm512_load_si512(w.x[2] + v), d = _mm512_load_si512(w.x[3] + v);
    const __m512i ab0 = _mm512_unpacklo_epi32(a, b), ab1 = _mm512_unpackhi_epi32(a, b),
                  cd0 = _mm512_unpacklo_epi32(c, d), cd1 = _mm512_unpackhi_epi32(c, d);
    // each quarter of these holds block q, q + 4, ... of the vector
    const __m512i q0 = _mm512_unpacklo_epi64(ab0, cd0), q1 = _mm512_unpackhi_epi64(ab0, cd0),
                  q2 = _mm512_unpacklo_epi64(ab1, cd1), q3 = _mm512_unpackhi_epi64(ab1, cd1);
    const __m512i s0 = _mm512_shuffle_i32x4(q0, q1, 0x44), s1 = _mm512_shuffle_i32x4(q0, q1, 0xee),
                  s2 = _mm512_shuffle_i32x4(q2, q3, 0x44), s3 = _mm512_shuffle_i32x4(q2, q3, 0xee);
    _mm512_store_si512(to + 4 * v, _mm512_shuffle_i32x4(s0, s2, 0x88));
    _mm512_store_si512(to + 4 * v + 16, _mm512_shuffle_i32x4(s0, s2, 0xdd));
    _mm512_store_si512(to + 4 * v + 32, _mm512_shuffle_i32x4(s1, s3, 0x88));
    _mm512_store_si512(to + 4 * v + 48, _mm512_shuffle_i32x4(s1, s3, 0xdd));
  }
}
#else
void philox_batch(Words& w, uint64_t counter, uint64_t key) {
  for (int j = 0; j < kBatch; ++j) {
    const Philox4 block = philox4x32_10(counter + j, 0, key);
    for (int k = 0; k < 4; ++k) w.x[k][j] = block.w[k];
  }
}

RV_INLINE void in_order(const Words& w, uint32_t* to) {
  for (int j = 0; j < kBatch; ++j)
    for (int k = 0; k < 4; ++k) to[4 * j + k] = w.x[k][j];
}
#endif

// to[i] = make(word) of a batch's words in order
template <class T, class F> RV_INLINE void each_word(const Words& w, T* to, F&& make) {
  alignas(64) uint32_t word[4 * kBatch];
  in_order(w, word);
  for (int i = 0; i < 4 * kBatch; ++i) to[i] = make(word[i]);
}

// 53 bits of a block's first (half 0) or second pair of words.
inline uint64_t bits53(const Words& w, int half, int j) {
  return (uint64_t{w.x[2 * half][j]} << 32 | w.x[2 * half + 1][j]) >> 11;
}

// out[0, n) from ceil(n / kPer) blocks; make(words, to) writes kPer * kBatch elements.
template <int kPer, class T, class F> void generate(T* out, int64_t n, const View& key, Team& team, F&& make) {
  const uint64_t seed = static_cast<uint64_t>(key.ptr<int64_t>()[0]);
  const uint64_t first = static_cast<uint64_t>(key.ptr<int64_t>()[key.stride[0]]);
  const int64_t blocks = ceil_div(n, kPer);
  team.each(ceil_div(blocks, kSpan), [&](int64_t chunk) {
    Words w;
    const int64_t end = min(blocks, (chunk + 1) * kSpan);
    for (int64_t b = chunk * kSpan; b < end; b += kBatch) {
      philox_batch(w, first + b, seed);
      const int64_t left = n - b * kPer;
      if (left >= kPer * kBatch) {
        make(w, out + b * kPer);
      } else {
        T last[kPer * kBatch];
        make(w, last);
        for (int64_t i = 0; i < left; ++i) out[b * kPer + i] = last[i];
      }
    }
  });
}

RV_ATTRS(UniformAttrs, (double, low), (double, high));
RV_ATTRS(NormalAttrs, (double, mean), (double, std));
RV_ATTRS(BernoulliAttrs, (double, p), (double, value));
RV_ATTRS(RandintAttrs, (int64_t, low), (int64_t, high));

// ---- uniform: low + u (high - low), u = 24 (float32) or 53 (float64) bits of a fraction in [0, 1)

template <class T> void uniform_as(const Args& a, Team& team) {
  const auto& [from, to] = attrs<UniformAttrs>(a);
  const T low = static_cast<T>(from), span = static_cast<T>(to - from);
  T* out = a.out[0].ptr<T>();
  const int64_t n = a.out[0].size();
  if constexpr (sizeof(T) == 4) {
    generate<4>(out, n, a.in[0], team, [=](const Words& w, T* to) {
      each_word(w, to, [=](uint32_t x) { return static_cast<int32_t>(x >> 8) * 0x1p-24f * span + low; });
    });
  } else {
    generate<2>(out, n, a.in[0], team, [=](const Words& w, T* to) {
      for (int j = 0; j < kBatch; ++j)
        for (int k = 0; k < 2; ++k) to[2 * j + k] = static_cast<int64_t>(bits53(w, k, j)) * 0x1p-53 * span + low;
    });
  }
}

void uniform_run(const Args& a, Team& team) {
  if (a.out[0].dtype == DType::f64) uniform_as<double>(a, team);
  else uniform_as<float>(a, team);
}

// ---- normal: Box and Muller's pair sqrt(-2 log u) (cos 2 pi v, sin 2 pi v), in double

constexpr double kLn2 = 0.6931471805599453, kTau = 6.283185307179586, kRootHalf = 0.7071067811865476;

// log of u in (0, 1]: u = 2^e m, m in [sqrt(1/2), sqrt(2)), log m = 2 artanh s, s = (m - 1)/(m + 1); |error| < 1e-15.
inline double log_unit(double u) {
  const uint64_t bits = __builtin_bit_cast(uint64_t, u);
  int32_t e = static_cast<int32_t>(bits >> 52) - 1022;
  double m = __builtin_bit_cast(double, (bits & 0x000fffffffffffff) | 0x3fe0000000000000);
  const bool small = m < kRootHalf;
  m = small ? m + m : m;
  e = small ? e - 1 : e;
  const double f = m - 1, s = f / (f + 2), z = s * s;
  double p = 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  p = p * z + 1.0;
  return e * kLn2 + (s + s) * p;
}

// Taylor series of sin and cos on [-pi/4, pi/4], |error| < 1e-15.
inline double sin_small(double t, double z) {
  double p = -1.0 / 1307674368000.0;  // 15!
  p = p * z + 1.0 / 6227020800.0;
  p = p * z - 1.0 / 39916800.0;
  p = p * z + 1.0 / 362880.0;
  p = p * z - 1.0 / 5040.0;
  p = p * z + 1.0 / 120.0;
  p = p * z - 1.0 / 6.0;
  p = p * z + 1.0;
  return t * p;
}
inline double cos_small(double z) {
  double p = -1.0 / 87178291200.0;  // 14!
  p = p * z + 1.0 / 479001600.0;
  p = p * z - 1.0 / 3628800.0;
  p = p * z + 1.0 / 40320.0;
  p = p * z - 1.0 / 720.0;
  p = p * z + 1.0 / 24.0;
  p = p * z - 0.5;
  return p * z + 1.0;
}

// The pair for u in (0, 1] and the angle 2 pi v / 2^kBits.
template <int kBits> inline void normal_pair(double u, uint64_t v, double& first, double& second) {
  const double radius = __builtin_sqrt(-2.0 * log_unit(u));
  constexpr uint64_t half = uint64_t{1} << (kBits - 3), quarter = half << 1;  // an eighth and a quarter of a turn
  const uint64_t turned = v + half;
  const uint32_t quadrant = static_cast<uint32_t>(turned / quarter) & 3;
  const double t = static_cast<double>(static_cast<int64_t>(turned % quarter) - static_cast<int64_t>(half)) *
                   (kTau / static_cast<double>(uint64_t{1} << kBits));
  const double z = t * t, s = sin_small(t, z), c = cos_small(z);
  const double x = quadrant & 1 ? s : c, y = quadrant & 1 ? c : s;
  first = radius * ((quadrant == 1 || quadrant == 2) ? -x : x);
  second = radius * (quadrant & 2 ? -y : y);
}

template <class T> void normal_as(const Args& a, Team& team) {
  const double mean = attrs<NormalAttrs>(a).mean, std = attrs<NormalAttrs>(a).std;
  T* out = a.out[0].ptr<T>();
  const int64_t n = a.out[0].size();
  constexpr int kPer = sizeof(T) == 4 ? 4 : 2;
  generate<kPer>(out, n, a.in[0], team, [=](const Words& w, T* to) {
    double z[kPer][kBatch];
    for (int j = 0; j < kBatch; ++j) {
      if constexpr (sizeof(T) == 4) {
        normal_pair<32>((static_cast<double>(w.x[0][j]) + 1.0) * 0x1p-32, w.x[1][j], z[0][j], z[1][j]);
        normal_pair<32>((static_cast<double>(w.x[2][j]) + 1.0) * 0x1p-32, w.x[3][j], z[2][j], z[3][j]);
      } else {
        normal_pair<53>(static_cast<double>(static_cast<int64_t>(bits53(w, 0, j) + 1)) * 0x1p-53, bits53(w, 1, j),
                        z[0][j], z[1][j]);
      }
    }
    for (int j = 0; j < kBatch; ++j)
      for (int k = 0; k < kPer; ++k) to[kPer * j + k] = static_cast<T>(z[k][j] * std + mean);
  });
}

void normal_run(const Args& a, Team& team) {
  if (a.out[0].dtype == DType::f64) normal_as<double>(a, team);
  else normal_as<float>(a, team);
}

// ---- bernoulli: `value` with probability p, else 0: a 32-bit word is below p 2^32

void bernoulli_run(const Args& a, Team& team) {
  const uint64_t threshold = threshold_of(attrs<BernoulliAttrs>(a).p);
  const uint32_t last = static_cast<uint32_t>(threshold - 1);  // threshold 0: no word succeeds
  uint64_t bits = 0;                                           // of `value`, in the lowest bytes
  by_dtype(a.out[0].dtype, [&](auto t) {
    t = static_cast<decltype(t)>(attrs<BernoulliAttrs>(a).value);
    std::memcpy(&bits, &t, sizeof t);
  });
  if (threshold == 0) bits = 0;
  by_size(a.out[0].dtype, [&](auto u) {
    using U = decltype(u);
    const U value = static_cast<U>(bits);
    generate<4>(a.out[0].ptr<U>(), a.out[0].size(), a.in[0], team,
                [=](const Words& w, U* to) { each_word(w, to, [=](uint32_t x) { return x <= last ? value : U(0); }); });
  });
}

// ---- randint: low + floor(r range / 2^64) for a 64-bit r; ranges over 2^32 take r mod range

void randint_run(const Args& a, Team& team) {
  const int64_t low = attrs<RandintAttrs>(a).low;
  const uint64_t range = static_cast<uint64_t>(attrs<RandintAttrs>(a).high) - static_cast<uint64_t>(low);
  by_dtype(a.out[0].dtype, [&](auto t) {
    using T = decltype(t);
    generate<2>(a.out[0].ptr<T>(), a.out[0].size(), a.in[0], team, [=](const Words& w, T* to) {
      for (int j = 0; j < kBatch; ++j)
        for (int k = 0; k < 2; ++k) {
          const uint64_t high = w.x[2 * k][j], less = w.x[2 * k + 1][j];
          const uint64_t r = range >> 32 ? (high << 32 | less) % range : (high * range + (less * range >> 32)) >> 32;
          to[2 * j + k] = static_cast<T>(static_cast<int64_t>(static_cast<uint64_t>(low) + r));
        }
    });
  });
}

// ---- randperm: 0..n-1 in the order of n random 32-bit keys (equal keys: in their own order)

void randperm_run(const Args& a, Team& team) {
  const int64_t n = a.out[0].size();
  uint32_t* keys = reinterpret_cast<uint32_t*>(a.shared);
  generate<4>(keys, n, a.in[0], team, [](const Words& w, uint32_t* to) {
    for (int j = 0; j < kBatch; ++j)
      for (int k = 0; k < 4; ++k) to[4 * j + k] = w.x[k][j];
  });
  const Scratch scratch(16 * max(1, n));
  uint64_t* items = scratch.as<uint64_t>();
  for (int64_t i = 0; i < n; ++i) items[i] = uint64_t{keys[i]} << 32 | static_cast<uint64_t>(i);
  items = radix_sort<32, 4>(items, items + n, n, [](uint64_t item) { return item; });
  for (int64_t i = 0; i < n; ++i) a.out[0].ptr<int64_t>()[i] = static_cast<int64_t>(items[i] & 0xffffffff);
}

// ---- costs and checks

#ifdef RV_AVX512
constexpr double kWord = 0.3;  // nanoseconds
#else
constexpr double kWord = 0.7;
#endif
double words_cost(const Args& a) {
  return 50 + kWord * static_cast<double>(item_size(a.out[0].dtype) < 8 ? 1 : 2) * a.out[0].size();
}
double normal_cost(const Args& a) { return 50 + 1.8 * a.out[0].size(); }
double randperm_cost(const Args& a) { return 1000 + 5.0 * a.out[0].size(); }
int64_t randperm_shared(const Args& a) { return 4 * a.out[0].size(); }

const char* key_fits(const Args& a) {
  if (a.n_in != 1 || a.n_out != 1) return "takes a key, gives out";
  const View& s = a.in[0];
  if (s.dtype != DType::i64 || s.ndim != 1 || s.shape[0] != 2) return "key must be int64 of shape (2,)";
  return a.out[0].contiguous() ? nullptr : "out must be contiguous";
}
const char* floats_check(const Args& a) {
  if (const char* wrong = key_fits(a)) return wrong;
  return floating(a.out[0].dtype) ? nullptr : "out must be float32 or float64";
}
const char* bernoulli_check(const Args& a) {
  if (const char* wrong = key_fits(a)) return wrong;
  const double p = attrs<BernoulliAttrs>(a).p;
  return p >= 0 && p <= 1 ? nullptr : "p must be in [0, 1]";
}
const char* randint_check(const Args& a) {
  if (const char* wrong = key_fits(a)) return wrong;
  return attrs<RandintAttrs>(a).low < attrs<RandintAttrs>(a).high ? nullptr : "low must be less than high";
}
const char* randperm_check(const Args& a) {
  if (const char* wrong = key_fits(a)) return wrong;
  const View& out = a.out[0];
  return out.dtype == DType::i64 && out.ndim == 1 && !(out.shape[0] >> 31) ? nullptr : "out must be int64 (n,)";
}

}  // namespace

template <class T> void random_factors(uint64_t seed, uint64_t block, int64_t n, uint64_t threshold, T value, T* to) {
  constexpr int64_t kFactors = 4 * kBatch;
  Words w;
  T last[kFactors];
  for (int64_t i = 0; i < n; i += kFactors, block += kBatch) {
    philox_batch(w, block, seed);
    T* const at = n - i < kFactors ? last : to + i;
    each_word(w, at, [=](uint32_t x) { return x < threshold ? value : T(0); });
    if (at == last)
      for (int64_t j = 0; i + j < n; ++j) to[i + j] = last[j];
  }
}
template void random_factors(uint64_t, uint64_t, int64_t, uint64_t, float, float*);
template void random_factors(uint64_t, uint64_t, int64_t, uint64_t, double, double*);

extern const Kernel k_uniform = {
    .attrs = UniformAttrs::schema, .run = uniform_run, .cost = words_cost, .check = floats_check};
extern const Kernel k_normal = {
    .attrs = NormalAttrs::schema, .run = normal_run, .cost = normal_cost, .check = floats_check};
extern const Kernel k_bernoulli = {
    .attrs = BernoulliAttrs::schema, .run = bernoulli_run, .cost = words_cost, .check = bernoulli_check};
extern const Kernel k_randint = {
    .attrs = RandintAttrs::schema, .run = randint_run, .cost = words_cost, .check = randint_check};
extern const Kernel k_randperm = {
    .run = randperm_run, .cost = randperm_cost, .shared = randperm_shared, .check = randperm_check};

}  // namespace rv::RV_ISA
