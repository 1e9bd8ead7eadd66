// SPDX-License-Identifier: Apache-2.0
// What a kernel sees of an array: a pointer, a shape and strides.
#pragma once
#include <cstdint>

// Kernel files are compiled once per instruction set; an inline function emitted out of line there would be merged
// by the linker into code that must run on any CPU. So functions that both sides share are always inlined.
#define RV_INLINE inline __attribute__((always_inline))

namespace rv {

enum class DType : uint8_t { f32, f64, i32, i64, u8, b1 };  // order is shared with dtypes.py
inline constexpr int kDTypes = 6;
constexpr int64_t kItemSize[kDTypes] = {4, 8, 4, 8, 1, 1};
static RV_INLINE int64_t item_size(DType t) { return kItemSize[static_cast<int>(t)]; }

inline constexpr int kMaxDims = 8;

struct View {
  void* data = nullptr;
  int64_t shape[kMaxDims] = {};
  int64_t stride[kMaxDims] = {};  // in elements; may be 0 (broadcast) or negative
  int32_t ndim = 0;
  DType dtype = DType::f32;

  RV_INLINE int64_t size() const {
    int64_t n = 1;
    for (int d = 0; d < ndim; ++d) n *= shape[d];
    return n;
  }
  RV_INLINE bool contiguous() const {  // C order; axes of length 1, and all axes of an empty array, may have any stride
    bool ordered = true;
    int64_t expected = 1;
    for (int d = ndim - 1; d >= 0; --d) {
      ordered = ordered && (shape[d] == 1 || stride[d] == expected);
      expected *= shape[d];
    }
    return ordered || expected == 0;
  }
  template <class T>
  RV_INLINE T* ptr() const {
    return static_cast<T*>(data);
  }
};

}  // namespace rv
