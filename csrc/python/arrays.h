// SPDX-License-Identifier: Apache-2.0
// NumPy arrays as views, and fresh arrays for results.
#pragma once
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL ranvier_numpy_api
#ifndef RANVIER_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include <bit>

#include "core/view.h"

namespace rv {

void init_arrays();

extern int8_t kCodeOfType[32];  // by NumPy type number; -1: not one of ours
extern const int kTypeOfCode[kDTypes];
// log2 of the item sizes
inline constexpr int kItemShift[] = {
#define DTYPE(name, type, ...) std::countr_zero(sizeof(type)),
#include "core/dtypes.def"
};

inline int dtype_code(PyArrayObject* a) {
  const int type = PyArray_TYPE(a);
  return type < 32 ? kCodeOfType[type] : -1;
}

// Fills `view` from an array that the kernels can read in place: one of our dtypes in the machine's byte order,
// aligned, strides in whole elements, at most 8 axes. False if it is not.
inline bool view_of(PyArrayObject* a, View& view) {
  const int code = dtype_code(a), ndim = PyArray_NDIM(a);
  if (code < 0 || ndim > kMaxDims || !PyArray_ISALIGNED(a) || !PyArray_ISNOTSWAPPED(a)) return false;
  const npy_intp *shape = PyArray_DIMS(a), *strides = PyArray_STRIDES(a);
  const int shift = kItemShift[code];
  const int64_t mask = (int64_t{1} << shift) - 1;
  for (int d = 0; d < ndim; ++d) {
    if (shape[d] > 1 && (strides[d] & mask)) return false;
    view.shape[d] = shape[d];
    view.stride[d] = strides[d] >> shift;
  }
  view.data = PyArray_DATA(a);
  view.ndim = ndim;
  view.dtype = static_cast<DType>(code);
  return true;
}

inline constexpr int64_t kResultBytes = 16 << 10;

// A fresh C-contiguous array; from `cached_from` bytes on it comes from the caching allocator, aligned to cache lines.
// Null with a Python error on failure.
PyObject* new_array(int code, int ndim, const npy_intp* shape, int64_t nbytes, int64_t cached_from = kResultBytes);

}  // namespace rv
