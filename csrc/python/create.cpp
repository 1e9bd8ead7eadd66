// SPDX-License-Identifier: Apache-2.0
#include "python/create.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

namespace rv {
namespace {

constexpr int64_t kLargeArray = 1 << 18;      // bytes, from which on arrays are staggered in memory
constexpr int64_t kExact = int64_t{1} << 53;  // up to which floats hold every integer

bool whole(PyObject* number, int64_t least, int64_t most, int64_t& value) {
  if (!PyLong_CheckExact(number)) return false;
  int overflow;
  value = PyLong_AsLongLongAndOverflow(number, &overflow);
  return !overflow && value >= least && value <= most;
}

// `count` times that value in `data`: zeros, or one value, then as many again as are there.
template <class T> void fill(void* data, int64_t count, T value) {
  const T zero{};
  if (count == 0) return;
  if (std::memcmp(&value, &zero, sizeof value) == 0) {
    std::memset(data, 0, static_cast<size_t>(count) * sizeof value);
    return;
  }
  T* values = static_cast<T*>(data);
  *values = value;
  for (int64_t done = 1; done < count; done *= 2)
    std::memcpy(values + done, values, static_cast<size_t>(std::min(done, count - done)) * sizeof value);
}

// Whether the dtype holds the number; if so, calls f with it.
template <class T, class F> bool with_number(PyObject* number, F&& f) {
  int64_t value;
  if constexpr (std::is_same_v<T, bool>) {
    if (PyBool_Check(number)) return f(number == Py_True), true;
    return whole(number, 0, 1, value) ? (f(value == 1), true) : false;
  } else if constexpr (std::is_floating_point_v<T>) {
    if (PyFloat_CheckExact(number)) return f(static_cast<T>(PyFloat_AS_DOUBLE(number))), true;
    return whole(number, -kExact, kExact, value) ? (f(static_cast<T>(value)), true) : false;
  } else {
    return whole(number, std::numeric_limits<T>::min(), std::numeric_limits<T>::max(), value)
               ? (f(static_cast<T>(value)), true)
               : false;
  }
}

}  // namespace

PyObject* filled(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (n != 3 || !PyTuple_Check(args[0]) || !PyArray_DescrCheck(args[1]))
    return PyErr_Format(PyExc_TypeError, "filled(size, dtype, number)");
  PyObject *size = args[0], *number = args[2];
  if (PyTuple_GET_SIZE(size) == 1 && PyTuple_Check(PyTuple_GET_ITEM(size, 0))) size = PyTuple_GET_ITEM(size, 0);
  const auto* dtype = reinterpret_cast<PyArray_Descr*>(args[1]);
  const int code = dtype->type_num < 32 ? kCodeOfType[dtype->type_num] : -1;
  const Py_ssize_t ndim = PyTuple_GET_SIZE(size);
  if (code < 0 || PyDataType_ISBYTESWAPPED(dtype) || ndim > kMaxDims) Py_RETURN_NONE;
  npy_intp shape[kMaxDims];
  int64_t count = 1;
  for (Py_ssize_t d = 0; d < ndim; ++d) {
    int64_t value;
    if (!whole(PyTuple_GET_ITEM(size, d), 0, kLargeArray, value)) Py_RETURN_NONE;
    shape[d] = value;
    count *= value;
    if (count >= kLargeArray) Py_RETURN_NONE;
  }
  const int64_t nbytes = count << kItemShift[code];
  if (nbytes >= kLargeArray) Py_RETURN_NONE;
  PyObject* array = nullptr;
  auto make = [&] {
    array = new_array(code, static_cast<int>(ndim), shape, nbytes, 0);  // aligned, like core/memory.py's
    return array ? PyArray_DATA(reinterpret_cast<PyArrayObject*>(array)) : nullptr;
  };
  bool fits = true;
  if (number == Py_None) {
    make();
  } else {
    switch (static_cast<DType>(code)) {
#define DTYPE(name, type, ...)                           \
  case DType::name:                                      \
    fits = with_number<type>(number, [&](type value) {   \
      if (void* data = make()) fill(data, count, value); \
    });                                                  \
    break;
#include "core/dtypes.def"
    }
  }
  if (fits) return array;
  Py_RETURN_NONE;
}

}  // namespace rv
