// SPDX-License-Identifier: Apache-2.0
#include "core/memory.h"

#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace rv {

void* aligned_new(size_t bytes) {
  void* p = std::aligned_alloc(kAlign, (bytes + kAlign - 1) / kAlign * kAlign + (bytes == 0 ? kAlign : 0));
  if (!p) throw std::bad_alloc();
  return p;
}

void aligned_delete(void* p) { std::free(p); }

namespace {

constexpr size_t kCacheLimit = size_t{64} << 20;

// Size classes: four to each power of two, so that at most a quarter of a block is unused.
struct Header {
  size_t bytes;
  int size_class;
};

size_t class_bytes(size_t bytes, int& size_class) {
  const int log = std::bit_width(bytes - 1);  // bytes <= 2^log
  const size_t quarter = log >= 3 ? size_t{1} << (log - 3) : 1;
  const size_t rounded = (bytes + quarter - 1) / quarter * quarter;
  size_class = log * 4 + static_cast<int>((rounded - 1) / quarter) % 4;
  return rounded;
}

struct Cache {
  std::mutex mutex;
  std::vector<void*> free[64 * 4 + 4];
  size_t bytes = 0;

  // Gives blocks of other sizes back to the system, so that those of earlier work do not keep out those of today's.
  void make_room(size_t wanted, int size_class) {
    for (auto& list : free) {
      if (&list == &free[size_class]) continue;
      while (!list.empty() && bytes + wanted > kCacheLimit) {
        bytes -= static_cast<Header*>(list.back())->bytes;
        aligned_delete(list.back());
        list.pop_back();
      }
    }
  }
};
Cache& cache() {  // never destroyed: arrays may outlive the module
  static Cache* c = new Cache;
  return *c;
}

}  // namespace

void* cached_new(size_t bytes) {
  Header h;
  h.bytes = class_bytes(bytes + kAlign, h.size_class);
  std::byte* block = nullptr;
  {
    Cache& c = cache();
    std::lock_guard lock(c.mutex);
    if (auto& list = c.free[h.size_class]; !list.empty()) {
      block = static_cast<std::byte*>(list.back());
      list.pop_back();
      c.bytes -= h.bytes;
    }
  }
  if (!block) block = static_cast<std::byte*>(aligned_new(h.bytes));
  new (block) Header(h);
  return block + kAlign;
}

void cached_delete(void* p) {
  std::byte* block = static_cast<std::byte*>(p) - kAlign;
  const Header h = *reinterpret_cast<Header*>(block);
  {
    Cache& c = cache();
    std::lock_guard lock(c.mutex);
    if (h.bytes <= kCacheLimit && c.bytes + h.bytes > kCacheLimit) c.make_room(h.bytes, h.size_class);
    if (c.bytes + h.bytes <= kCacheLimit) {
      c.free[h.size_class].push_back(block);
      c.bytes += h.bytes;
      return;
    }
  }
  aligned_delete(block);
}

size_t cached_bytes() {
  Cache& c = cache();
  std::lock_guard lock(c.mutex);
  return c.bytes;
}

}  // namespace rv
