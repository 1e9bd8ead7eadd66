// SPDX-License-Identifier: Apache-2.0
// Aligned memory, with a bounded cache of blocks for the results of eager calls.
#pragma once
#include <cstddef>
#include <memory>
#include <new>
#include <string>

namespace rv {

inline constexpr size_t kAlign = 64;

// 64-byte aligned, from 4 MB on in huge pages where the system has them; throws std::bad_alloc.
void* aligned_new(size_t bytes);
void aligned_delete(void* p);

// What this process may have at most: the machine's memory, or its control group's limit. Asked once.
size_t memory_limit();

// A std::bad_alloc that says of what.
struct OutOfMemory : std::bad_alloc {
  std::string text;
  explicit OutOfMemory(std::string t) : text(std::move(t)) {}
  const char* what() const noexcept override { return text.c_str(); }
};

struct AlignedDelete {
  void operator()(std::byte* p) const { aligned_delete(p); }
};
using Buffer = std::unique_ptr<std::byte[], AlignedDelete>;
inline Buffer make_buffer(size_t bytes) { return Buffer(static_cast<std::byte*>(aligned_new(bytes))); }

// A block of at least `bytes`, from the cache if it holds one of its size class. Thread-safe.
void* cached_new(size_t bytes);
void cached_delete(void* p);
size_t cached_bytes();

}  // namespace rv
