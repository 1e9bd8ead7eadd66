// SPDX-License-Identifier: Apache-2.0
// Links of chains, for the light rows of elementwise.def on float dtypes. Each ends with a call of the next in tail
// position, which passes the block on in registers. The jump costs about as much as the arithmetic: what counts is the
// number of links, so each loads its operands and stores its result itself, and takes two steps where that is frequent.
#include "cpu/tile/chain.h"

#include "cpu/tile/formulas.h"

namespace rv::RV_ISA {
namespace {

constexpr int64_t kBlockBytes = kChainVectors * kVecBytes;
constexpr int64_t kBlocksInRow = 16;  // bounds the stack where a compiler does not make calls jumps

template <class T> using Native = typename Vec<T>::Native;
template <class T>
using Wide = void (*)(const Link*, int64_t, Native<T>, Native<T>, Native<T>, Native<T>, Native<T>, Native<T>, Native<T>,
                      Native<T>);
template <class T> using Narrow = void (*)(const Link*, int64_t, int64_t, Native<T>);
using Any = void (*)();

#define BLOCK \
  Native<T> x0, Native<T> x1, Native<T> x2, Native<T> x3, Native<T> x4, Native<T> x5, Native<T> x6, Native<T> x7
#define NEXT(...) return reinterpret_cast<Wide<T>>(l[1].wide)(l + 1, at, __VA_ARGS__)
#define NEXT_NARROW(...) return reinterpret_cast<Narrow<T>>(l[1].narrow)(l + 1, at, lanes, __VA_ARGS__)
#define EACH(f)                                                                                             \
  const Native<T> y0 = f(x0, 0), y1 = f(x1, 1), y2 = f(x2, 2), y3 = f(x3, 3), y4 = f(x4, 4), y5 = f(x5, 5), \
                  y6 = f(x6, 6), y7 = f(x7, 7)

template <class T> RV_INLINE T* place(std::byte* p, int64_t at) { return reinterpret_cast<T*>(p + at); }
// A masked store cannot be forwarded to a load: whole vectors go without.
template <class T> RV_INLINE Vec<T> load_some(const T* p, int64_t lanes) {
  return lanes == Vec<T>::N ? load(p) : load_partial(p, lanes);
}
template <class T> RV_INLINE void store_some(T* p, Vec<T> a, int64_t lanes) {
  if (lanes == Vec<T>::N) store(p, a);
  else store_partial(p, a, lanes);
}

// Both functions of a link that has apply(take) and, if `stored`, out.
#define WIDE_AND_NARROW(Self)                                                                                         \
  static void wide(const Link* l, int64_t at, BLOCK) {                                                                \
    const Self s(l, at);                                                                                              \
    auto f = [&](Native<T> x, int k) __attribute__((always_inline)) {                                                 \
      const Vec<T> r = s.apply([&](const auto& from) __attribute__((always_inline)) { return from.wide(x, k); });     \
      if constexpr (stored) store(s.out + k * Vec<T>::N, r);                                                          \
      return in_turn(r).v;                                                                                            \
    };                                                                                                                \
    EACH(f);                                                                                                          \
    NEXT(y0, y1, y2, y3, y4, y5, y6, y7);                                                                             \
  }                                                                                                                   \
  static void narrow(const Link* l, int64_t at, int64_t lanes, Native<T> x) {                                         \
    const Self s(l, at);                                                                                              \
    const Vec<T> r = s.apply([&](const auto& from) __attribute__((always_inline)) { return from.narrow(x, lanes); }); \
    if constexpr (stored) store_some(s.out, r, lanes);                                                                \
    NEXT_NARROW(r.v);                                                                                                 \
  }

// The operands of a form: each has its pointer, if it needs one, and gives vector k.
template <class T, From from> struct Source {
  const T* p = nullptr;
  Vec<T> all{};
  RV_INLINE Source(std::byte* operand, int64_t at) {
    if constexpr (from == From::memory) p = place<T>(operand, at);
    if constexpr (from == From::one) all = Vec<T>(*place<T>(operand, 0));
  }
  RV_INLINE Vec<T> wide(Native<T> x, int k) const {
    if constexpr (from == From::block) return Vec<T>(x);
    else if constexpr (from == From::memory) return load(p + k * Vec<T>::N);
    else return all;
  }
  RV_INLINE Vec<T> narrow(Native<T> x, int64_t lanes) const {
    if constexpr (from == From::block) return Vec<T>(x);
    else if constexpr (from == From::memory) return load_some(p, lanes);
    else return all;
  }
};
constexpr int given(From f) { return f == From::memory || f == From::one; }
template <class... More> constexpr int given(From f, More... more) { return given(f) + given(more...); }

#if defined(__x86_64__)
#define IN_REGISTER "+v"
#elif defined(__aarch64__)
#define IN_REGISTER "+w"
#else
#define IN_REGISTER "+m"
#endif
// Rounds: the compiler must not contract what two steps compute into one operation.
template <class T> RV_INLINE Vec<T> rounded(Vec<T> a) {
  asm("" : IN_REGISTER(a.v));
  return a;
}
// After what came before it: vectors are to be read upwards. The compiler likes to begin with the last argument of a
// call, and where memory is read downwards in pieces of eight lines, machines do not fetch ahead.
template <class T> RV_INLINE Vec<T> in_turn(Vec<T> a) {
  asm volatile("" : IN_REGISTER(a.v));
  return a;
}
#undef IN_REGISTER

// Three operands at most, those that are not the block in the link's order, and where the result goes.
template <class T, From A, From B, From C, bool stored> struct Operands {
  Source<T, A> a;
  Source<T, B> b;
  Source<T, C> c;
  T* out;
  RV_INLINE Operands(const Link* l, int64_t at)
      : a(l->operand[0], at),
        b(l->operand[given(A)], at),
        c(l->operand[given(A, B)], at),
        out(stored ? place<T>(l->out, at) : nullptr) {}
};
template <class T, class F, From A, From B, From C, bool stored> struct Step : Operands<T, A, B, C, stored> {
  using Operands<T, A, B, C, stored>::Operands;
  template <class Take> RV_INLINE Vec<T> apply(Take take) const {
    return F::apply(take(this->a), take(this->b), take(this->c), Vec<T>{});
  }
  WIDE_AND_NARROW(Step)
};
template <class T, class F, From A, From B, class G, From D, bool stored> struct Pair : Operands<T, A, B, D, stored> {
  using Operands<T, A, B, D, stored>::Operands;
  template <class Take> RV_INLINE Vec<T> apply(Take take) const {
    return G::apply(rounded(F::apply(take(this->a), take(this->b), Vec<T>{}, Vec<T>{})), take(this->c), Vec<T>{},
                    Vec<T>{});
  }
  WIDE_AND_NARROW(Pair)
};
#undef WIDE_AND_NARROW

// Goes on with the next block: operand 0 is the first link, 1 the end in bytes.
template <class T> struct End {
  static void wide(const Link* l, int64_t at, BLOCK) {
    at += kBlockBytes;
    if (at >= reinterpret_cast<intptr_t>(l->operand[1])) return;
    l = reinterpret_cast<const Link*>(l->operand[0]) - 1;
    NEXT(x0, x1, x2, x3, x4, x5, x6, x7);
  }
  static void narrow(const Link*, int64_t, int64_t, Native<T>) {}
};

#undef NEXT
#undef NEXT_NARROW
#undef EACH
#undef BLOCK

struct Same {
  template <class V> static RV_INLINE V apply(V a, V, V, V) { return a; }
};

template <class L> Link link_of() {
  return {reinterpret_cast<Any>(&L::wide), reinterpret_cast<Any>(&L::narrow), {}, nullptr};
}
template <class T, class F, From A, From B = From::none, From C = From::none> Link with(bool stored) {
  return stored ? link_of<Step<T, F, A, B, C, true>>() : link_of<Step<T, F, A, B, C, false>>();
}
constexpr int key(From a, From b = From::none, From c = From::none) {
  return static_cast<int>(a) | static_cast<int>(b) << 2 | static_cast<int>(c) << 4;
}

template <class T, class F> Link pick(Form form) {
  using enum From;
#define FORM(...) \
  case key(__VA_ARGS__): return with<T, F, __VA_ARGS__>(form.stored);
  const int k = key(form.a, form.b, form.c);
  if constexpr (F::kArity == 1) {
    switch (k) { FORM(block) FORM(memory) }
  } else if constexpr (F::kArity == 2) {
    switch (k) { FORM(block, memory) FORM(block, one) FORM(block, block) FORM(memory, memory) FORM(memory, one) }
    if constexpr (F::kLinks != Links::commuting) switch (k) {
        FORM(memory, block) FORM(one, block) FORM(one, memory)
      }
  } else {
    switch (k) { FORM(block, memory, memory) FORM(block, memory, one) FORM(block, one, memory) FORM(block, one, one) }
  }
#undef FORM
  return {};
}

template <class T, class F, From A, From B, class G> Link pair_with(From d, bool stored) {
  using enum From;
  if (d == memory)
    return stored ? link_of<Pair<T, F, A, B, G, memory, true>>() : link_of<Pair<T, F, A, B, G, memory, false>>();
  if (d == one) return stored ? link_of<Pair<T, F, A, B, G, one, true>>() : link_of<Pair<T, F, A, B, G, one, false>>();
  return {};
}
template <class T, class F, class G> Link pick_pair(Form form, From d, bool stored) {
  using enum From;
#define FORM(...) \
  case key(__VA_ARGS__): return pair_with<T, F, __VA_ARGS__, G>(d, stored);
  switch (key(form.a, form.b)) {
    FORM(block, memory) FORM(block, one) FORM(block, block) FORM(memory, memory) FORM(memory, one)
  }
#undef FORM
  return {};
}

// It would take the #include into the macro before it
// clang-format off
template <class T>
Link find(int row, Form form) {
  switch (row) {
#define EW(name, ...)
#define EWL(name, ...) \
  case row_##name: return pick<T, formula_##name>(form);
#include "core/elementwise.def"
    default: return {};
  }
}

// f(formula) for the row, if it commutes.
template <class R, class F>
R by_commuting(int row, F f) {
  switch (row) {
#define EW(name, ...)
#define EWC(name, ...) \
  case row_##name: return f(formula_##name{});
#include "core/elementwise.def"
    default: return {};
  }
}

// clang-format on

template <class F> auto by_code(int dtype_code, F f) { return dtype_code == 0 ? f(float{}) : f(double{}); }

}  // namespace

Link link_step(int row, int dtype_code, Form form) {
  if (dtype_code > 1) return {};
  return by_code(dtype_code, [&](auto t) { return find<decltype(t)>(row, form); });
}
bool commutes(int row) {
  return by_commuting<bool>(row, [](auto) { return true; });
}
Link link_pair(int row, Form form, int row2, Form form2, int dtype_code) {
  if (dtype_code > 1 || form.stored || form2.a != From::block) return {};
  return by_code(dtype_code, [&](auto t) {
    return by_commuting<Link>(row, [&](auto f) {
      return by_commuting<Link>(
          row2, [&](auto g) { return pick_pair<decltype(t), decltype(f), decltype(g)>(form, form2.b, form2.stored); });
    });
  });
}
Link link_load(int dtype_code, From from) {
  return by_code(dtype_code, [&](auto t) {
    return from == From::one ? with<decltype(t), Same, From::one>(false) : with<decltype(t), Same, From::memory>(false);
  });
}
Link link_end(int dtype_code) {
  return by_code(dtype_code, [](auto t) { return link_of<End<decltype(t)>>(); });
}

void run_chain(Link* links, int count, int dtype_code, int64_t n) {
  by_code(dtype_code, [&](auto t) {
    using T = decltype(t);
    const Native<T> none{};
    const int64_t bytes = n * static_cast<int64_t>(sizeof(T)), whole = bytes & -kBlockBytes;
    Link& last = links[count - 1];
    last.operand[0] = reinterpret_cast<std::byte*>(links);
    int64_t at = 0;
    while (at < whole) {
      const int64_t end = whole - at > kBlocksInRow * kBlockBytes ? at + kBlocksInRow * kBlockBytes : whole;
      last.operand[1] = reinterpret_cast<std::byte*>(end);
      reinterpret_cast<Wide<T>>(links->wide)(links, at, none, none, none, none, none, none, none, none);
      at = end;
    }
    for (; at < bytes; at += kVecBytes) {
      const int64_t lanes = bytes - at >= kVecBytes ? Vec<T>::N : (bytes - at) / static_cast<int64_t>(sizeof(T));
      reinterpret_cast<Narrow<T>>(links->narrow)(links, at, lanes, none);
    }
  });
}

}  // namespace rv::RV_ISA
