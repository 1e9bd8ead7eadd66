// SPDX-License-Identifier: Apache-2.0
// Copies of rows, most of them short.
#pragma once
#include <cstring>

#include "core/view.h"

namespace rv::RV_ISA {

// Of rows of a few cache lines a call of memcpy would take as long as the copy.
static RV_INLINE void copy_bytes(void* to, const void* from, int64_t bytes) {
  char* out = static_cast<char*>(to);
  const char* in = static_cast<const char*>(from);
  if (bytes < 64 || bytes > 4096) {
    std::memcpy(out, in, static_cast<size_t>(bytes));
    return;
  }
  for (int64_t i = 0; i + 64 < bytes; i += 64) __builtin_memcpy(out + i, in + i, 64);
  __builtin_memcpy(out + bytes - 64, in + bytes - 64, 64);
}

}  // namespace rv::RV_ISA
