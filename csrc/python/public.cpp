// SPDX-License-Identifier: Apache-2.0
#include "python/public.h"

#include <structmember.h>

#include <cstddef>

namespace rv {
namespace {

struct Public {
  PyObject_HEAD vectorcallfunc call;
  PyObject *function, *explain, *dict, *weak;
};

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

PyObject* call(PyObject* self, PyObject* const* args, size_t flags, PyObject* names) {
  PyObject* result = PyObject_Vectorcall(self_of(self)->function, args, flags, names);
  if (result || !(PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_AttributeError)))
    return result;
  return explained(self_of(self), args, PyVectorcall_NARGS(flags), names);
}

PyObject* create(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  PyObject *function, *explain;
  if (!PyArg_UnpackTuple(args, "Public", 2, 2, &function, &explain)) return nullptr;
  if (kwargs && PyDict_GET_SIZE(kwargs)) return PyErr_Format(PyExc_TypeError, "Public(function, explain)");
  Public* self = self_of(type->tp_alloc(type, 0));
  if (!self) return nullptr;
  self->call = call;
  self->function = Py_NewRef(function);
  self->explain = Py_NewRef(explain);
  return reinterpret_cast<PyObject*>(self);
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(self_of(self)->function);
  Py_VISIT(self_of(self)->explain);
  Py_VISIT(self_of(self)->dict);
  return 0;
}

int clear(PyObject* self) {
  Py_CLEAR(self_of(self)->function);
  Py_CLEAR(self_of(self)->explain);
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
  PyType_Slot slots[] = {{Py_tp_new, slot(create)},
                         {Py_tp_dealloc, slot(dealloc)},
                         {Py_tp_traverse, slot(traverse)},
                         {Py_tp_clear, slot(clear)},
                         {Py_tp_call, slot(PyVectorcall_Call)},
                         {Py_tp_descr_get, slot(get)},
                         {Py_tp_repr, slot(repr)},
                         {Py_tp_members, members},
                         {Py_tp_methods, methods},
                         {Py_tp_getset, attributes},
                         {Py_tp_doc, const_cast<char*>("Public(function, explain)")},
                         {0, nullptr}};
  PyType_Spec spec = {
      "ranvier._native.Public", sizeof(Public), 0,
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR, slots};
  return PyType_FromSpec(&spec);
}

}  // namespace rv
