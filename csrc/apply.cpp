// SPDX-License-Identifier: Apache-2.0
#include "apply.h"

#include <structmember.h>

#include <stdexcept>
#include <string>

#include "eager.h"

namespace py = pybind11;

namespace rv {
namespace {

constexpr Py_ssize_t kMostInputs = 16;

// Where a type keeps the attribute of a __slots__ entry.
Py_ssize_t slot_offset(py::handle type, const char* name) {
  PyObject* member = PyDict_GetItemString(reinterpret_cast<PyTypeObject*>(type.ptr())->tp_dict, name);
  if (!member || Py_TYPE(member) != &PyMemberDescr_Type) throw std::runtime_error(std::string("connect: no slot ") + name);
  return reinterpret_cast<PyMemberDescrObject*>(member)->d_member->offset;
}

PyObject*& at(PyObject* object, Py_ssize_t offset) {
  return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + offset);
}

struct Connection {
  PyTypeObject* tensor = nullptr;
  PyObject *context = nullptr, *apply = nullptr, *record = nullptr;
  PyObject *eager_name = nullptr, *grad_name = nullptr, *zero = nullptr;
  Py_ssize_t data, requires_grad, grad, node, base, index, version;  // of Tensor
  Py_ssize_t id, view, differentiable;                               // of Call
};
Connection c;

PyObject* new_tensor(PyObject* data) {  // takes the reference
  PyObject* t = c.tensor->tp_alloc(c.tensor, 0);
  if (!t) {
    Py_DECREF(data);
    return nullptr;
  }
  at(t, c.data) = data;
  at(t, c.requires_grad) = Py_NewRef(Py_False);
  at(t, c.grad) = Py_NewRef(Py_None);
  at(t, c.node) = Py_NewRef(Py_None);
  at(t, c.base) = Py_NewRef(Py_None);
  at(t, c.index) = Py_NewRef(c.zero);
  at(t, c.version) = Py_NewRef(c.zero);
  return t;
}

// The arrays of a call's tensors, kept alive: another thread may give a tensor another array meanwhile.
struct Held {
  PyObject* list[1 + kMostInputs];  // behind the call's id, as eager() takes them
  Py_ssize_t n = 0;
  ~Held() {
    for (Py_ssize_t k = 1; k <= n; ++k) Py_DECREF(list[k]);
  }
};

// 1 or 0; -1 with a Python error set.
int context_is(PyObject* name, PyObject* value) {
  PyObject* found = PyObject_GetAttr(c.context, name);
  if (!found) return -1;
  Py_DECREF(found);
  return found == value;
}

}  // namespace

void connect(py::type tensor, py::type call, py::object context, py::object apply, py::object record) {
  c.tensor = reinterpret_cast<PyTypeObject*>(tensor.ptr());
  c.data = slot_offset(tensor, "_data"), c.requires_grad = slot_offset(tensor, "_requires_grad");
  c.grad = slot_offset(tensor, "grad"), c.node = slot_offset(tensor, "_node"), c.base = slot_offset(tensor, "_base");
  c.index = slot_offset(tensor, "_index"), c.version = slot_offset(tensor, "_version");
  c.id = slot_offset(call, "id"), c.view = slot_offset(call, "view");
  c.differentiable = slot_offset(call, "differentiable");
  Py_XINCREF(tensor.ptr());  // kept for good, like the modules that own them
  c.context = context.release().ptr(), c.apply = apply.release().ptr(), c.record = record.release().ptr();
  c.eager_name = PyUnicode_InternFromString("eager"), c.grad_name = PyUnicode_InternFromString("grad_enabled");
  c.zero = PyLong_FromLong(0);
}

PyObject* apply(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (n != 2 || !c.tensor) {
    PyErr_SetString(PyExc_TypeError, "apply(call, inputs)");
    return nullptr;
  }
  PyObject *call = args[0], *inputs = args[1];
  auto in_python = [&] { return PyObject_Vectorcall(c.apply, args, 2, nullptr); };
  if (!PyTuple_CheckExact(inputs) || PyTuple_GET_SIZE(inputs) > kMostInputs || at(call, c.view) != Py_None) return in_python();

  Held arrays;
  arrays.list[0] = at(call, c.id);
  const Py_ssize_t count = PyTuple_GET_SIZE(inputs);
  bool record = false;
  for (Py_ssize_t k = 0; k < count; ++k) {
    PyObject* t = PyTuple_GET_ITEM(inputs, k);
    if (!PyObject_TypeCheck(t, c.tensor) || !at(t, c.data)) return in_python();
    arrays.list[++arrays.n] = Py_NewRef(at(t, c.data));
    record |= at(t, c.requires_grad) == Py_True;
  }
  const int off = context_is(c.eager_name, Py_None);  // tracing, or another backend
  if (off) return off < 0 ? nullptr : in_python();
  PyObject* out = eager(nullptr, arrays.list, 1 + count);
  if (!out) return nullptr;
  if (out == Py_None) {
    Py_DECREF(out);
    return in_python();
  }
  if (record && at(call, c.differentiable) == Py_True) {
    const int recording = context_is(c.grad_name, Py_True);
    if (recording < 0) {
      Py_DECREF(out);
      return nullptr;
    }
    if (recording) {
      PyObject* const record_args[] = {call, inputs, out};
      PyObject* result = PyObject_Vectorcall(c.record, record_args, 3, nullptr);
      Py_DECREF(out);
      return result;
    }
  }
  if (!PyTuple_CheckExact(out)) return new_tensor(out);
  const Py_ssize_t outs = PyTuple_GET_SIZE(out);
  PyObject* result = PyTuple_New(outs);
  for (Py_ssize_t k = 0; result && k < outs; ++k) {
    PyObject* t = new_tensor(Py_NewRef(PyTuple_GET_ITEM(out, k)));
    if (t) PyTuple_SET_ITEM(result, k, t);
    else Py_CLEAR(result);
  }
  Py_DECREF(out);
  return result;
}

}  // namespace rv
