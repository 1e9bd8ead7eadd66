// SPDX-License-Identifier: Apache-2.0
#include "python/get_item.h"

#include "python/arrays.h"
#include "python/tensors.h"

namespace rv {
namespace {

bool is_basic(PyObject* index) {
  return PyLong_CheckExact(index) || PySlice_Check(index) || index == Py_None || index == Py_Ellipsis ||
         PyArray_IsScalar(index, Integer);
}

bool all_basic(PyObject* index) {
  if (!PyTuple_CheckExact(index)) return is_basic(index);
  for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(index); ++k)
    if (!is_basic(PyTuple_GET_ITEM(index, k))) return false;
  return true;
}

// (*index, ...): with that, integers for all axes give a 0-d array and no number.
PyObject* with_ellipsis(PyObject* index) {
  if (!PyTuple_CheckExact(index)) return PyTuple_Pack(2, index, Py_Ellipsis);
  const Py_ssize_t n = PyTuple_GET_SIZE(index);
  PyObject* longer = PyTuple_New(n + 1);
  for (Py_ssize_t k = 0; longer && k <= n; ++k)
    PyTuple_SET_ITEM(longer, k, Py_NewRef(k < n ? PyTuple_GET_ITEM(index, k) : Py_Ellipsis));
  return longer;
}

// NumPy's view; null with a Python error set.
PyObject* view(PyObject* array, PyObject* index) {
  PyObject* result = PyObject_GetItem(array, index);
  if (!result || PyArray_Check(result)) return result;
  Py_DECREF(result);
  index = with_ellipsis(index);
  result = index ? PyObject_GetItem(array, index) : nullptr;
  Py_XDECREF(index);
  return result;
}

PyObject* get_item(PyObject* t, PyObject* index) {
  PyObject* data = at(t, connection.data);
  PyObject* context = thread_context();
  if (!context) return nullptr;
  int quick = data && PyArray_CheckExact(data) && all_basic(index) && !may_be_stale(t);
  if (quick) quick = 1 - context_is(context, connection.eager_name, Py_None);  // tracing, or another backend
  if (quick == 1 && at(t, connection.requires_grad) == Py_True)
    quick = 1 - context_is(context, connection.grad_name, Py_True);
  if (quick == 1) {
    Py_INCREF(data);  // a slice's numbers may run code that gives the tensor another array
    PyObject* found = view(data, index);
    Py_DECREF(data);
    PyObject* result = found ? new_tensor(found) : nullptr;
    if (result) share_memory(result, t);
    if (result || !PyErr_ExceptionMatches(PyExc_Exception)) return result;
  }
  PyErr_Clear();  // Python says what is wrong
  PyObject* const args[] = {t, index};
  return PyObject_Vectorcall(connection.get_item, args, 2, nullptr);
}

}  // namespace

PyMethodDef get_item_def = {"__getitem__", get_item, METH_O, "x[index]"};

}  // namespace rv
