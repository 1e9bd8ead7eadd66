// SPDX-License-Identifier: Apache-2.0
// Scratch memory of a thread: a stack, so that a kernel may call another one while it holds some.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/view.h"

namespace rv {

class ScratchStack;

// `bytes` of memory, 64-byte aligned, contents undefined, for the scope that the object lives in, on the thread that
// made it; other threads may use it meanwhile. It comes from the thread's stack, which keeps its memory: a kernel that
// runs again allocates nothing. Throws std::bad_alloc.
class Scratch {
 public:
  RV_INLINE explicit Scratch(int64_t bytes) {
    if (bytes > 0) take(bytes);
  }
  RV_INLINE ~Scratch() {
    if (data_) give_back();
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  RV_INLINE operator std::byte*() const { return data_; }
  template <class T> RV_INLINE T* as() const { return reinterpret_cast<T*>(data_); }

 private:
  void take(int64_t bytes);
  void give_back() noexcept;

  std::byte* data_ = nullptr;
  ScratchStack* stack_ = nullptr;
};

}  // namespace rv
