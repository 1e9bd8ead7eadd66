// SPDX-License-Identifier: Apache-2.0
// What a kernel sees of an array: a pointer, a shape and strides.
#pragma once
#include <cstdint>

// Kernel files are compiled once per instruction set; an inline function emitted out of line there would be merged
// by the linker into code that must run on any CPU. So functions that both sides share are always inlined.
#define RV_INLINE inline __attribute__((always_inline))

namespace rv {

enum class DType : uint8_t {
#define DTYPE(name, ...) name,
#include "core/dtypes.def"
};
constexpr int64_t kItemSize[] = {
#define DTYPE(name, type, ...) sizeof(type),
#include "core/dtypes.def"
};
constexpr const char* kDTypeName[] = {
#define DTYPE(name, type, numpy, ...) #numpy,
#include "core/dtypes.def"
};
enum class DTypeClass : uint8_t { FLOAT, INTEGER, BOOL };
constexpr DTypeClass kDTypeClass[] = {
#define DTYPE(name, type, numpy, number, kind) DTypeClass::kind,
#include "core/dtypes.def"
};
inline constexpr int kDTypes = sizeof(kItemSize) / sizeof(kItemSize[0]);
static RV_INLINE int64_t item_size(DType t) { return kItemSize[static_cast<int>(t)]; }
static RV_INLINE bool floating(DType t) { return kDTypeClass[static_cast<int>(t)] == DTypeClass::FLOAT; }

// It would take the #include into the macro before it
// clang-format off
// f(T{}) with the dtype's C type.
template <class F>
static RV_INLINE auto with_type(DType t, F&& f) {
  switch (t) {
#define DTYPE(name, type, ...) case DType::name: return f(type{});
#include "core/dtypes.def"
  }
  __builtin_unreachable();
}
// clang-format on

template <class T> struct LaneOf {  // what a C type is in vectors and arithmetic
  using Type = T;
};
template <> struct LaneOf<bool> { using Type = uint8_t; };

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
  template <class T> RV_INLINE T* ptr() const { return static_cast<T*>(data); }
};

static RV_INLINE bool same_shape(const View& a, const View& b) {
  if (a.ndim != b.ndim) return false;
  for (int d = 0; d < a.ndim; ++d)
    if (a.shape[d] != b.shape[d]) return false;
  return true;
}

}  // namespace rv
