// SPDX-License-Identifier: Apache-2.0
// sort and topk along one axis: values and their positions. NaN counts as larger than all; -0 equals 0; equal values
// keep their order, so every result is unique.
#include "cpu/move/radix.h"
#include "cpu/move/walk.h"

namespace rv::RV_ISA {
namespace {

// ---- keys: unsigned integers in the order of the values. Floats are looked at as bits, since denormals, which
// count as zero while a plan runs, have to keep their order.

inline uint32_t order_key(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x), magnitude = bits & 0x7fffffff;
  const uint32_t b = magnitude ? bits : 0;
  return magnitude > 0x7f800000 ? ~0u : b ^ (b >> 31 ? ~0u : 0x80000000u);
}
inline uint64_t order_key(double x) {
  const uint64_t bits = __builtin_bit_cast(uint64_t, x), magnitude = bits & ~(uint64_t{1} << 63);
  const uint64_t b = magnitude ? bits : 0;
  return magnitude > 0x7ff0000000000000 ? ~uint64_t{0} : b ^ (b >> 63 ? ~uint64_t{0} : uint64_t{1} << 63);
}
inline uint32_t order_key(int32_t x) { return static_cast<uint32_t>(x) ^ 0x80000000u; }
inline uint64_t order_key(int64_t x) {
  return static_cast<uint64_t>(x) ^ uint64_t { 1 } << 63;
}
inline uint32_t order_key(uint8_t x) { return x; }
struct Bool {
  uint8_t byte;
};
inline uint32_t order_key(Bool x) { return x.byte != 0; }

// A key with the position it came from; positions break ties.
struct Narrow {
  uint64_t item;
  Narrow() = default;
  Narrow(uint32_t key, int64_t at) : item(uint64_t{key} << 32 | static_cast<uint64_t>(at)) {}
  int64_t at() const { return static_cast<int64_t>(item & 0xffffffff); }
  uint64_t order() const { return item >> 32; }
  bool operator<(const Narrow& o) const { return item < o.item; }
};
struct Wide {
  uint64_t key;
  int64_t position;
  Wide() = default;
  Wide(uint64_t key, int64_t at) : key(key), position(at) {}
  int64_t at() const { return position; }
  uint64_t order() const { return key; }
  bool operator<(const Wide& o) const { return key != o.key ? key < o.key : position < o.position; }
};
template <class T> struct ItemOf { using type = Narrow; };
template <> struct ItemOf<double> { using type = Wide; };
template <> struct ItemOf<int64_t> { using type = Wide; };

template <class T, class Item> void load_items(Item* items, const T* x, int64_t step, int64_t n, bool descending) {
  for (int64_t i = 0; i < n; ++i) {
    const auto key = order_key(x[i * step]);
    items[i] = Item(descending ? static_cast<decltype(key)>(~key) : key, i);
  }
}

// ---- sorting

constexpr int64_t kRun = 16, kRadixFrom = 200;

// Returns where the result is: `items` or `spare`.
template <class Item> Item* merge_sort(Item* items, Item* spare, int64_t n) {
  for (int64_t run = 0; run < n; run += kRun) {
    const int64_t end = min(n, run + kRun);
    for (int64_t i = run + 1; i < end; ++i) {
      const Item x = items[i];
      int64_t j = i;
      for (; j > run && x < items[j - 1]; --j) items[j] = items[j - 1];
      items[j] = x;
    }
  }
  Item *from = items, *to = spare;
  for (int64_t width = kRun; width < n; width *= 2) {
    for (int64_t begin = 0; begin < n; begin += 2 * width) {
      const int64_t middle = min(n, begin + width), end = min(n, begin + 2 * width);
      int64_t i = begin, j = middle;
      for (int64_t k = begin; k < end; ++k) {
        const bool right = i == middle || (j < end && from[j] < from[i]);
        to[k] = from[right ? j : i];
        (right ? j : i) += 1;
      }
    }
    Item* t = from;
    from = to, to = t;
  }
  return from;
}

inline Narrow* radix(Narrow* items, Narrow* spare, int64_t n) {
  return radix_sort<32, 4>(items, spare, n, [](const Narrow& x) { return x.item; });
}
inline Wide* radix(Wide* items, Wide* spare, int64_t n) {
  return radix_sort<0, 8>(items, spare, n, [](const Wide& x) { return x.key; });
}

// The k smallest of n items, in order, at the front of `heap`: a heap whose root is the largest kept.
template <class Item> void sift_down(Item* heap, int64_t size, int64_t at) {
  const Item x = heap[at];
  for (;;) {
    int64_t child = 2 * at + 1;
    if (child >= size) break;
    if (child + 1 < size && heap[child] < heap[child + 1]) ++child;
    if (!(x < heap[child])) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = x;
}

template <class T, class Item>
void select_items(Item* heap, const T* x, int64_t step, int64_t n, int64_t k, bool largest) {
  using Key = decltype(order_key(T()));
  if (k == 0) return;
  const Key flip = largest ? static_cast<Key>(~Key{0}) : Key{0};
  load_items(heap, x, step, k, largest);
  for (int64_t i = k / 2 - 1; i >= 0; --i) sift_down(heap, k, i);
  const auto offer = [&](int64_t i) {  // an equal key came earlier: it stays
    const Key key = order_key(x[i * step]) ^ flip;
    if (key < static_cast<Key>(heap[0].order())) {
      heap[0] = Item(key, i);
      sift_down(heap, k, 0);
    }
  };
  constexpr int64_t kBlock = 32;
  int64_t i = k;
  if (step == 1)
    for (; i + kBlock <= n; i += kBlock) {  // most blocks hold nothing that is wanted
      const Key worst = static_cast<Key>(heap[0].order());
      Key any = 0;
      for (int64_t j = 0; j < kBlock; ++j) any |= (order_key(x[i + j]) ^ flip) < worst;
      if (any)
        for (int64_t j = 0; j < kBlock; ++j) offer(i + j);
    }
  for (; i < n; ++i) offer(i);
  for (int64_t size = k - 1; size > 0; --size) {
    const Item last = heap[size];
    heap[size] = heap[0];
    heap[0] = last;
    sift_down(heap, size, 0);
  }
}

// ---- sort(x; dim, descending) and topk(x; k, dim, largest) -> values, indices

// Is it cheaper to sort the line than to keep a heap?
bool sorts(int64_t n, int64_t k) { return k > 64 && k > n / 16; }

RV_ATTRS(SortAttrs, (int64_t, dim), (bool, descending));
RV_ATTRS(TopkAttrs, (int64_t, dim), (bool, largest));

template <class T> void order_lines(const Args& a, int64_t dim, bool reverse, Team& team) {
  using Item = typename ItemOf<T>::type;
  const View &x = a.in[0], &values = a.out[0], &indices = a.out[1];
  const int64_t n = x.ndim ? x.shape[dim] : 1, k = x.ndim ? values.shape[dim] : 1;
  const int64_t step = x.ndim ? x.stride[dim] : 1, out_step = x.ndim ? values.stride[dim] : 1;
  Walk<2> lines;  // x, results
  for (int d = 0; d < x.ndim; ++d)
    if (d != dim) lines.axis(x.shape[d], x.stride[d], values.stride[d]);
  const int64_t size = lines.size(), per_chunk = max(1, 4096 / max(1, n));
  const bool full = k == n || sorts(n, k);
  team.each(ceil_div(size, per_chunk), [&](int64_t chunk) {
    const Scratch scratch(static_cast<int64_t>(sizeof(Item)) * max(1, full ? 2 * n : k));
    Item* items = scratch.as<Item>();
    const int64_t end = min(size, (chunk + 1) * per_chunk);
    for (int64_t line = chunk * per_chunk; line < end; ++line) {
      const T* from = x.ptr<T>() + lines.offset(0, line);
      const int64_t to = lines.offset(1, line);
      Item* sorted = items;
      if (full) {
        load_items(items, from, step, n, reverse);
        sorted = n >= kRadixFrom ? radix(items, items + n, n) : merge_sort(items, items + n, n);
      } else {
        select_items(items, from, step, n, k, reverse);
      }
      T* v = values.ptr<T>() + to;
      int64_t* p = indices.ptr<int64_t>() + to;
      for (int64_t i = 0; i < k; ++i) {
        const int64_t at = sorted[i].at();
        v[i * out_step] = from[at * step];
        p[i * out_step] = at;
      }
    }
  });
}

void order_run(const Args& a, int64_t dim, bool reverse, Team& team) {
  if (a.in[0].dtype == DType::b1) return order_lines<Bool>(a, dim, reverse, team);
  by_dtype(a.in[0].dtype, [&](auto t) { order_lines<decltype(t)>(a, dim, reverse, team); });
}
void sort_run(const Args& a, Team& team) {
  order_run(a, attrs<SortAttrs>(a).dim, attrs<SortAttrs>(a).descending, team);
}
void topk_run(const Args& a, Team& team) { order_run(a, attrs<TopkAttrs>(a).dim, attrs<TopkAttrs>(a).largest, team); }

double sort_cost(const Args& a) { return 100 + 8.0 * a.in[0].size(); }
double topk_cost(const Args& a) { return 100 + 1.5 * a.in[0].size() + 20.0 * a.out[0].size(); }

const char* order_check(const Args& a, int64_t dim) {
  if (a.n_in != 1 || a.n_out != 2) return "takes one input; gives values and indices";
  const View &x = a.in[0], &values = a.out[0], &indices = a.out[1];
  if (dim < 0 || dim >= max(1, x.ndim)) return "dim out of range";
  if (values.dtype != x.dtype || indices.dtype != DType::i64 || !same_shape(values, indices)) return "wrong results";
  if (!values.contiguous() || !indices.contiguous() || values.ndim != x.ndim) return "results must be contiguous";
  for (int d = 0; d < x.ndim; ++d) {
    if (d == dim ? values.shape[d] > x.shape[d] : values.shape[d] != x.shape[d]) return "wrong shape of results";
    if (x.shape[d] >> 32) return "an axis is too long";
  }
  return nullptr;
}
const char* sort_check(const Args& a) { return order_check(a, attrs<SortAttrs>(a).dim); }
const char* topk_check(const Args& a) { return order_check(a, attrs<TopkAttrs>(a).dim); }

}  // namespace

extern const Kernel k_sort = {.attrs = SortAttrs::schema, .run = sort_run, .cost = sort_cost, .check = sort_check};
extern const Kernel k_topk = {.attrs = TopkAttrs::schema, .run = topk_run, .cost = topk_cost, .check = topk_check};

}  // namespace rv::RV_ISA
