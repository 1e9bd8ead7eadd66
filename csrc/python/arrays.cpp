// SPDX-License-Identifier: Apache-2.0
#define RANVIER_IMPORTS_NUMPY
#include "python/arrays.h"

#include <new>

#include "core/memory.h"

namespace rv {

int8_t kCodeOfType[32];
const int kTypeOfCode[kDTypes] = {
#define DTYPE(name, type, numpy, number, ...) number,
#include "core/dtypes.def"
};

void init_arrays() {
  if (_import_array() < 0) {
    PyErr_Print();
    throw std::runtime_error("NumPy's C interface could not be imported");
  }
  for (auto& code : kCodeOfType) code = -1;
  for (int code = 0; code < kDTypes; ++code) kCodeOfType[kTypeOfCode[code]] = static_cast<int8_t>(code);
  // C's integers of one size have several numbers
  for (int type : {NPY_INT, NPY_LONG, NPY_LONGLONG}) {
    const size_t size = type == NPY_INT ? sizeof(int) : type == NPY_LONG ? sizeof(long) : sizeof(long long);
    if (size == 4 || size == 8) kCodeOfType[type] = static_cast<int8_t>(size == 4 ? DType::i32 : DType::i64);
  }
}

namespace {

void release(PyObject* capsule) { cached_delete(PyCapsule_GetPointer(capsule, nullptr)); }

}  // namespace

PyObject* new_array(int code, int ndim, const npy_intp* shape, int64_t nbytes, int64_t cached_from) {
  npy_intp* dims = const_cast<npy_intp*>(shape);
  const int type = kTypeOfCode[code];
  if (nbytes < cached_from) return PyArray_SimpleNew(ndim, dims, type);
  void* data;
  try {
    data = cached_new(static_cast<size_t>(nbytes));
  } catch (const std::bad_alloc&) { return PyErr_NoMemory(); }
  PyObject* capsule = PyCapsule_New(data, nullptr, release);
  if (!capsule) {
    cached_delete(data);
    return nullptr;
  }
  PyObject* array = PyArray_SimpleNewFromData(ndim, dims, type, data);
  if (!array) {
    Py_DECREF(capsule);
    return nullptr;
  }
  if (PyArray_SetBaseObject(reinterpret_cast<PyArrayObject*>(array), capsule) < 0) {  // steals capsule
    Py_DECREF(array);
    return nullptr;
  }
  return array;
}

}  // namespace rv
