// SPDX-License-Identifier: Apache-2.0
#include "python/public.h"

#include <structmember.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "python/memo.h"
#include "python/tensors.h"

namespace rv {
namespace {

struct Public {
  PyObject_HEAD vectorcallfunc call;
  PyObject *function, *explain, *spellings, *dict, *weak;
  int64_t id;
  bool remembers, alike;
};
int64_t publics = 0;

Public* self_of(PyObject* self) { return reinterpret_cast<Public*>(self); }

// What `explain` makes of the error that is set.
PyObject* explained(Public* self, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  PyObject *type, *error, *traceback;
  PyErr_Fetch(&type, &error, &traceback);
  PyErr_NormalizeException(&type, &error, &traceback);
  if (traceback) PyException_SetTraceback(error, traceback);
  PyObject *positional = PyTuple_New(n), *keywords = PyDict_New(), *result = nullptr;
  bool ready = positional && keywords;
  for (Py_ssize_t k = 0; ready && k < n; ++k) PyTuple_SET_ITEM(positional, k, Py_NewRef(args[k]));
  for (Py_ssize_t k = 0; ready && names && k < PyTuple_GET_SIZE(names); ++k)
    ready = PyDict_SetItem(keywords, PyTuple_GET_ITEM(names, k), args[n + k]) == 0;
  if (ready) {
    PyObject* const given[] = {self->function, positional, keywords, error};
    result = PyObject_Vectorcall(self->explain, given, 4, nullptr);
  }
  Py_XDECREF(positional);
  Py_XDECREF(keywords);
  if (result == Py_NotImplemented) {
    Py_CLEAR(result);
    PyErr_Restore(type, error, traceback);
    return nullptr;
  }
  Py_XDECREF(type);
  Py_XDECREF(error);
  Py_XDECREF(traceback);
  return result;
}

// `names` with the function's own spellings, a new reference; `names` itself where nothing changes or two would be one.
PyObject* respelled(Public* self, PyObject* names) {
  const Py_ssize_t n = PyTuple_GET_SIZE(names);
  PyObject* renamed = nullptr;
  for (Py_ssize_t k = 0; k < n; ++k) {
    PyObject* ours = PyDict_GetItemWithError(self->spellings, PyTuple_GET_ITEM(names, k));
    if (!ours) continue;
    const int twice = PySequence_Contains(renamed ? renamed : names, ours);
    if (twice) {
      PyErr_Clear();
      Py_XDECREF(renamed);
      return Py_NewRef(names);
    }
    if (!renamed) {
      renamed = PyTuple_New(n);
      if (!renamed) return nullptr;
      for (Py_ssize_t i = 0; i < n; ++i) PyTuple_SET_ITEM(renamed, i, Py_NewRef(PyTuple_GET_ITEM(names, i)));
    }
    Py_SETREF(PyTuple_GET_ITEM(renamed, k), Py_NewRef(ours));
  }
  return renamed ? renamed : Py_NewRef(names);
}

PyObject* run(Public* self, PyObject* const* args, size_t flags, PyObject* names) {
  if (!names || !PyDict_GET_SIZE(self->spellings)) return PyObject_Vectorcall(self->function, args, flags, names);
  PyObject* ours = respelled(self, names);
  PyObject* result = ours ? PyObject_Vectorcall(self->function, args, flags, ours) : nullptr;
  Py_XDECREF(ours);
  return result;
}

bool is_tensor(PyObject* o) {
  if (!connection.tensor) return PyObject_HasAttrString(o, "requires_grad");  // before the first op
  return PyObject_TypeCheck(o, connection.tensor);
}
bool is_array(PyObject* o) { return PyArray_Check(o) || PyArray_CheckScalar(o); }

bool is_scalar(PyObject* o) { return PyArray_IsScalar(o, Number) || PyArray_IsScalar(o, Bool); }

constexpr int kMostNested = 8;  // lists in lists; one may hold itself

// What there is among the arguments. Bits: 1 arrays and NumPy's scalars, 2 tensors, 4 arrays.
int kinds(PyObject* o, int depth = 0) {
  if (is_tensor(o)) return 2;
  if (PyArray_Check(o)) return 1 | 4;
  if (is_array(o)) return 1;
  int found = 0;
  if (depth < kMostNested && (PyTuple_CheckExact(o) || PyList_CheckExact(o)))
    for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(o); ++k)
      found |= kinds(PySequence_Fast_GET_ITEM(o, k), depth + 1);
  return found;
}

// A tensor's array; steals the reference.
PyObject* untensored(PyObject* t) {
  PyObject* data = connection.tensor && is_tensor(t) ? at(t, connection.data) : nullptr;
  if (!data || !PyArray_Check(data)) return t;
  Py_INCREF(data);
  Py_DECREF(t);
  return data;
}

// `result`, of arguments that are arrays and no tensors: its tensors, made of numbers on the way, as arrays.
PyObject* as_arrays(PyObject* result) {
  if (is_tensor(result)) return untensored(result);
  if (PyTuple_CheckExact(result)) {
    const Py_ssize_t n = PyTuple_GET_SIZE(result);
    PyObject* arrays = PyTuple_New(n);
    for (Py_ssize_t k = 0; arrays && k < n; ++k)
      PyTuple_SET_ITEM(arrays, k, untensored(Py_NewRef(PyTuple_GET_ITEM(result, k))));
    Py_DECREF(result);
    return arrays;
  }
  return result;
}

PyObject* call(PyObject* object, PyObject* const* args, size_t flags, PyObject* names);

// The call with NumPy's scalars as 0-d arrays.
PyObject* call_of_arrays(PyObject* object, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  const Py_ssize_t count = n + (names ? PyTuple_GET_SIZE(names) : 0);
  std::vector<pybind11::object> arrays;
  std::vector<PyObject*> given;
  for (Py_ssize_t k = 0; k < count; ++k) {
    PyObject* array = is_scalar(args[k]) ? PyArray_FromScalar(args[k], nullptr) : Py_NewRef(args[k]);
    if (!array) return nullptr;
    arrays.push_back(pybind11::reinterpret_steal<pybind11::object>(array));
    given.push_back(array);
  }
  return call(object, given.data(), static_cast<size_t>(n), names);
}

PyObject* call(PyObject* object, PyObject* const* args, size_t flags, PyObject* names) {
  Public* self = self_of(object);
  const Py_ssize_t n = PyVectorcall_NARGS(flags), count = n + (names ? PyTuple_GET_SIZE(names) : 0);
  PyObject* result = nullptr;
  bool known = false;
  Signature signature;
  const bool described = self->remembers && signature.build(self->id, args, n, names);
  if (described) known = signature.recall(result);
  if (!known) {
    int found = 0;
    for (Py_ssize_t k = 0; k < count && (self->remembers || self->alike); ++k) found |= kinds(args[k]);
    // of NumPy's scalars alone the dtype counts; beside arrays and tensors they are numbers
    if (found == 1 && self->remembers && std::any_of(args, args + count, is_scalar))
      return call_of_arrays(object, args, n, names);
    if (described) {
      const Watch watch;
      result = run(self, args, flags, names);
      if (result) signature.remember(watch, result);
    } else {
      result = run(self, args, flags, names);
    }
    if (result && self->alike && found && !(found & 2)) result = as_arrays(result);
  }
  if (result) return result;
  if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_AttributeError)) return nullptr;
  return explained(self, args, n, names);
}

PyObject* create(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* const names[] = {"function", "explain", "spellings", "remembers", "alike", nullptr};
  PyObject *function, *explain, *spellings = nullptr;
  int remembers = 0, alike = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O!pp", const_cast<char**>(names), &function, &explain,
                                   &PyDict_Type, &spellings, &remembers, &alike))
    return nullptr;
  spellings = spellings ? Py_NewRef(spellings) : PyDict_New();
  Public* self = spellings ? self_of(type->tp_alloc(type, 0)) : nullptr;
  if (!self) {
    Py_XDECREF(spellings);
    return nullptr;
  }
  self->call = call;
  self->function = Py_NewRef(function);
  self->explain = Py_NewRef(explain);
  self->spellings = spellings;
  self->id = publics++;
  self->remembers = remembers, self->alike = alike;
  return reinterpret_cast<PyObject*>(self);
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(self_of(self)->function);
  Py_VISIT(self_of(self)->explain);
  Py_VISIT(self_of(self)->spellings);
  Py_VISIT(self_of(self)->dict);
  return 0;
}

int clear(PyObject* self) {
  Py_CLEAR(self_of(self)->function);
  Py_CLEAR(self_of(self)->explain);
  Py_CLEAR(self_of(self)->spellings);
  Py_CLEAR(self_of(self)->dict);
  return 0;
}

void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (self_of(self)->weak) PyObject_ClearWeakRefs(self);
  clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* get(PyObject* self, PyObject* instance, PyObject*) {
  return instance && instance != Py_None ? PyMethod_New(self, instance) : Py_NewRef(self);
}

PyObject* repr(PyObject* self) { return PyObject_Repr(self_of(self)->function); }

PyObject* reduce(PyObject* self, PyObject*) {
  return PyObject_GetAttrString(self, "__qualname__");
}  // as functions: by name

PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(Public, call), READONLY, nullptr},
                         {"__dictoffset__", T_PYSSIZET, offsetof(Public, dict), READONLY, nullptr},
                         {"__weaklistoffset__", T_PYSSIZET, offsetof(Public, weak), READONLY, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};

PyMethodDef methods[] = {{"__reduce__", reduce, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};

PyGetSetDef attributes[] = {{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};

template <typename F> void* slot(F* f) { return reinterpret_cast<void*>(f); }

}  // namespace

PyObject* new_public_type() {
  PyType_Slot slots[] = {
      {Py_tp_new, slot(create)},
      {Py_tp_dealloc, slot(dealloc)},
      {Py_tp_traverse, slot(traverse)},
      {Py_tp_clear, slot(clear)},
      {Py_tp_call, slot(PyVectorcall_Call)},
      {Py_tp_descr_get, slot(get)},
      {Py_tp_repr, slot(repr)},
      {Py_tp_members, members},
      {Py_tp_methods, methods},
      {Py_tp_getset, attributes},
      {Py_tp_doc, const_cast<char*>("Public(function, explain, spellings={}, remembers=False, alike=False)")},
      {0, nullptr}};
  PyType_Spec spec = {
      "ranvier._native.Public", sizeof(Public), 0,
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR, slots};
  return PyType_FromSpec(&spec);
}

}  // namespace rv
