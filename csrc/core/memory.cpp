// SPDX-License-Identifier: Apache-2.0
#include "core/memory.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <mutex>
#include <new>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif
#ifdef __unix__
#include <unistd.h>
#endif

namespace rv {
namespace {

// From here on memory is asked for in huge pages: to touch 64 MB of fresh memory then takes 32 page faults and not
// 16384, which cost four times what it takes to compute a function of so many numbers.
constexpr size_t kHugeFrom = size_t{4} << 20, kHugePage = size_t{2} << 20;

}  // namespace

void* aligned_new(size_t bytes) {
  const size_t align = bytes >= kHugeFrom ? kHugePage : kAlign;
  const size_t rounded = (bytes + align - 1) / align * align + (bytes == 0 ? align : 0);
  void* p = std::aligned_alloc(align, rounded);
  if (!p) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (align == kHugePage) madvise(p, rounded, MADV_HUGEPAGE);  // a wish
#endif
  return p;
}

void aligned_delete(void* p) { std::free(p); }

size_t memory_limit() {
  static const size_t limit = [] {
    size_t most = std::numeric_limits<size_t>::max();
#if defined(_SC_PHYS_PAGES) && defined(_SC_PAGESIZE)
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0) most = static_cast<size_t>(pages) * static_cast<size_t>(page);
#endif
    size_t group;
    if (std::ifstream file("/sys/fs/cgroup/memory.max"); file >> group) most = std::min(most, group);
    return most;
  }();
  return limit;
}

namespace {

// What is cached and what is in use together stay below the most that was in use at once within the last seconds: the
// cache does not raise the memory that a script needs. 64 MB may always be cached, and never more than 1 GB.
constexpr size_t kAlwaysCached = size_t{64} << 20, kMostCached = size_t{1} << 30;
constexpr size_t kLarge = size_t{1} << 20;  // blocks that are worth a look at the clock
constexpr std::chrono::seconds kWindow{1};

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
  using Clock = std::chrono::steady_clock;

  std::mutex mutex;
  std::vector<void*> free[64 * 4 + 4];
  size_t bytes = 0, used = 0;        // cached; in use
  size_t peak = 0, peak_before = 0;  // of `used` in this window and in the one before
  Clock::time_point window;

  // `block_bytes` more or fewer are in use.
  void count(size_t block_bytes, bool taken) {
    used += taken ? block_bytes : -block_bytes;
    if (block_bytes >= kLarge) {
      if (const Clock::time_point now = Clock::now(); now - window > kWindow) {
        peak_before = now - window > 2 * kWindow ? 0 : peak;
        peak = used;
        window = now;
      }
    }
    peak = std::max(peak, used);
  }
  size_t limit() const {
    const size_t most = std::max(peak, peak_before);
    return std::max(kAlwaysCached, std::min(kMostCached, most > used ? most - used : 0));
  }
  // Gives blocks back to the system until `wanted` more bytes fit, those of other sizes first: blocks of earlier work
  // do not keep out those of today's. False where they never would.
  bool make_room(size_t wanted, int size_class) {
    const size_t allowed = limit();
    if (wanted > allowed) return false;
    if (bytes + wanted <= allowed) return true;
    for (const bool own : {false, true})
      for (auto& list : free)
        while ((&list == &free[size_class]) == own && !list.empty() && bytes + wanted > allowed) drop(list);
    return true;
  }
  void drop(std::vector<void*>& list) {
    bytes -= static_cast<Header*>(list.back())->bytes;
    aligned_delete(list.back());
    list.pop_back();
  }
  void clear() {
    for (auto& list : free)
      while (!list.empty()) drop(list);
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
  Cache& c = cache();
  {
    std::lock_guard lock(c.mutex);
    if (auto& list = c.free[h.size_class]; !list.empty()) {
      block = static_cast<std::byte*>(list.back());
      list.pop_back();
      c.bytes -= h.bytes;
    }
    if (block) c.count(h.bytes, true);
  }
  if (!block) {
    try {
      block = static_cast<std::byte*>(aligned_new(h.bytes));
    } catch (const std::bad_alloc&) {
      std::lock_guard lock(c.mutex);
      c.clear();
    }
    if (!block) block = static_cast<std::byte*>(aligned_new(h.bytes));
    std::lock_guard lock(c.mutex);
    c.count(h.bytes, true);
  }
  new (block) Header(h);
  return block + kAlign;
}

void cached_delete(void* p) {
  std::byte* block = static_cast<std::byte*>(p) - kAlign;
  const Header h = *reinterpret_cast<Header*>(block);
  {
    Cache& c = cache();
    std::lock_guard lock(c.mutex);
    c.count(h.bytes, false);
    if (c.make_room(h.bytes, h.size_class)) {
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
