// SPDX-License-Identifier: Apache-2.0
// Links of chains, for the light rows of ops.def on float dtypes. Each ends with a call of the next in tail position, which passes the block on in registers.
#include "cpu/chain.h"

#include "cpu/simd.h"
#include "cpu/vmath.h"

namespace rv::RV_ISA {
namespace {

template <class T> using Native = typename Vec<T>::Native;
template <class T>
using ChainFn = void (*)(const Link*, int64_t, Native<T>, Native<T>, Native<T>, Native<T>, Native<T>, Native<T>, Native<T>,
                         Native<T>);

#define BLOCK Native<T> x0, Native<T> x1, Native<T> x2, Native<T> x3, Native<T> x4, Native<T> x5, Native<T> x6, Native<T> x7
#define NEXT(...) return reinterpret_cast<ChainFn<T>>(l[1].fn)(l + 1, at, __VA_ARGS__)
#define EACH(f) f(x0, 0), f(x1, 1), f(x2, 2), f(x3, 3), f(x4, 4), f(x5, 5), f(x6, 6), f(x7, 7)

template <class T> RV_INLINE const T* first_of(const Link* l, int64_t at) {
  return reinterpret_cast<const T*>(l->p + (at & l->p_mask));
}
template <class T> RV_INLINE const T* second_of(const Link* l, int64_t at) {
  return reinterpret_cast<const T*>(l->q + (at & l->q_mask));
}

// The formula on operands a, b, c, which are the block's vector x or vector k of p or q.
template <class T, class F, LinkKind kind> void step(const Link* l, int64_t at, BLOCK) {
  constexpr int N = Vec<T>::N;
  const T* p = kind == LinkKind::unary || kind == LinkKind::block_both ? nullptr : first_of<T>(l, at);
  const T* q = kind == LinkKind::ternary ? second_of<T>(l, at) : nullptr;
  auto f = [&](Native<T> x, int k) __attribute__((always_inline)) {
    const Vec<T> v(x), none{};
    if constexpr (kind == LinkKind::unary) return F::apply(v, none, none, none).v;
    if constexpr (kind == LinkKind::block_first) return F::apply(v, load(p + k * N), none, none).v;
    if constexpr (kind == LinkKind::block_second) return F::apply(load(p + k * N), v, none, none).v;
    if constexpr (kind == LinkKind::block_both) return F::apply(v, v, none, none).v;
    if constexpr (kind == LinkKind::ternary) return F::apply(v, load(p + k * N), load(q + k * N), none).v;
  };
  NEXT(EACH(f));
}

template <class T> void load_block(const Link* l, int64_t at, BLOCK) {
  const T* p = first_of<T>(l, at);
  // Between two loads of an array other code runs: the machine's own prefetch misses the pattern.
  for (int k = 0; k < kChainVectors; ++k) __builtin_prefetch(p + (2 * kChainVectors + k) * Vec<T>::N);
  auto f = [&](Native<T>, int k) __attribute__((always_inline)) { return load(p + k * Vec<T>::N).v; };
  NEXT(EACH(f));
}
template <class T> void store_block(const Link* l, int64_t at, BLOCK) {
  T* p = reinterpret_cast<T*>(l->p + at);
  auto f = [&](Native<T> x, int k) __attribute__((always_inline)) { store(p + k * Vec<T>::N, Vec<T>(x)); return x; };
  NEXT(EACH(f));
}
template <class T> void end(const Link*, int64_t, Native<T>, Native<T>, Native<T>, Native<T>, Native<T>, Native<T>, Native<T>, Native<T>) {}

#undef NEXT
#undef EACH
#undef BLOCK

#define EW(name, arity, types, ...)
#define EWL(name, arity, types, ...)                                                    \
  struct light_##name {                                                                 \
    static constexpr int kArity = arity;                                                \
    template <class V>                                                                  \
    static RV_INLINE V apply([[maybe_unused]] V a, [[maybe_unused]] V b,                \
                             [[maybe_unused]] V c, [[maybe_unused]] V d) {              \
      return __VA_ARGS__;                                                               \
    }                                                                                   \
  };
#include "ops.def"

using Any = void (*)();

template <class T, class F> Any fn_of(LinkKind kind) {
  auto any = [](ChainFn<T> f) { return reinterpret_cast<Any>(f); };
  if constexpr (F::kArity == 1) return kind == LinkKind::unary ? any(step<T, F, LinkKind::unary>) : nullptr;
  if constexpr (F::kArity == 3) return kind == LinkKind::ternary ? any(step<T, F, LinkKind::ternary>) : nullptr;
  if constexpr (F::kArity == 2) {
    if (kind == LinkKind::block_first) return any(step<T, F, LinkKind::block_first>);
    if (kind == LinkKind::block_second) return any(step<T, F, LinkKind::block_second>);
    return kind == LinkKind::block_both ? any(step<T, F, LinkKind::block_both>) : nullptr;
  }
}

enum : int {  // row_add, row_sub, ...
#define EW(name, ...) row_##name,
#define EWP(name, ...) row_##name,
#define EWX(name, ...) row_##name,
#include "ops.def"
};

template <class T> Any find(int row, LinkKind kind) {
  switch (row) {
#define EW(name, ...)
#define EWL(name, ...) \
  case row_##name: return fn_of<T, light_##name>(kind);
#include "ops.def"
    default: return nullptr;
  }
}

template <class F> auto by_code(int dtype_code, F f) { return dtype_code == 0 ? f(float{}) : f(double{}); }

}  // namespace

Any link_fn(int row, int dtype_code, LinkKind kind) {
  if (dtype_code > 1) return nullptr;
  return dtype_code == 0 ? find<float>(row, kind) : find<double>(row, kind);
}
Any link_load(int code) {
  return by_code(code, [](auto t) { return reinterpret_cast<Any>(static_cast<ChainFn<decltype(t)>>(load_block<decltype(t)>)); });
}
Any link_store(int code) {
  return by_code(code, [](auto t) { return reinterpret_cast<Any>(static_cast<ChainFn<decltype(t)>>(store_block<decltype(t)>)); });
}
Any link_end(int code) {
  return by_code(code, [](auto t) { return reinterpret_cast<Any>(static_cast<ChainFn<decltype(t)>>(end<decltype(t)>)); });
}

int64_t chain_block(int dtype_code) { return kChainVectors * kVecBytes / (dtype_code == 0 ? 4 : 8); }

void run_chain(const Link* links, int dtype_code, int64_t n) {
  by_code(dtype_code, [&](auto t) {
    using T = decltype(t);
    const Native<T> none{};
    const int64_t bytes = n * static_cast<int64_t>(sizeof(T));
    for (int64_t at = 0; at < bytes; at += kChainVectors * kVecBytes)
      reinterpret_cast<ChainFn<T>>(links->fn)(links, at, none, none, none, none, none, none, none, none);
  });
}

}  // namespace rv::RV_ISA
