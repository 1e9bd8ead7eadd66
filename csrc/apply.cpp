// SPDX-License-Identifier: Apache-2.0
#include "apply.h"

#include <structmember.h>

#include <stdexcept>
#include <string>

#include "arrays.h"
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
  PyTypeObject *tensor = nullptr, *node_type = nullptr, *edge_type = nullptr;
  PyObject *context = nullptr, *apply = nullptr, *record = nullptr;
  PyObject *next_number = nullptr, *eager_name = nullptr, *grad_name = nullptr, *shape_name = nullptr, *dtype_name = nullptr;
  PyObject *zero = nullptr, *one = nullptr;
  Py_ssize_t data, requires_grad, grad, node, base, index, version;  // of Tensor
  Py_ssize_t id, view, differentiable, saves_inputs, saves_output, saves_whole;  // of Call
  struct {
    Py_ssize_t call, inputs, outs, n_outs, versions, number;
  } in_node;
  struct {
    Py_ssize_t node, index, requires_grad, shape, dtype;
  } in_edge;
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

// tape.Edge(t)
PyObject* new_edge(PyObject* t) {
  PyObject* edge = c.edge_type->tp_alloc(c.edge_type, 0);
  if (!edge) return nullptr;
  at(edge, c.in_edge.node) = Py_NewRef(at(t, c.node));
  at(edge, c.in_edge.index) = Py_NewRef(at(t, c.index));
  at(edge, c.in_edge.requires_grad) = Py_NewRef(at(t, c.requires_grad));
  at(edge, c.in_edge.shape) = PyObject_GetAttr(at(t, c.data), c.shape_name);
  at(edge, c.in_edge.dtype) = PyObject_GetAttr(at(t, c.data), c.dtype_name);
  if (!at(edge, c.in_edge.shape) || !at(edge, c.in_edge.dtype)) Py_CLEAR(edge);
  return edge;
}

// The result tensor of a recorded call of one output: what ops.apply._record and tape.Node do. Takes `data`.
PyObject* new_recorded(PyObject* call, PyObject* inputs, PyObject* data) {
  PyObject* t = new_tensor(data);
  if (!t) return nullptr;
  PyObject* node = c.node_type->tp_alloc(c.node_type, 0);
  if (!node) {
    Py_DECREF(t);
    return nullptr;
  }
  Py_SETREF(at(t, c.requires_grad), Py_NewRef(Py_True));
  Py_SETREF(at(t, c.node), node);
  const Py_ssize_t n = PyTuple_GET_SIZE(inputs);
  at(node, c.in_node.call) = Py_NewRef(call);
  if (at(call, c.saves_inputs) == Py_True) {
    PyObject* versions = at(node, c.in_node.versions) = PyList_New(n);
    for (Py_ssize_t k = 0; versions && k < n; ++k) {
      PyObject *x = PyTuple_GET_ITEM(inputs, k), *base = at(x, c.base);
      PyList_SET_ITEM(versions, k, Py_NewRef(at(base == Py_None ? x : base, c.version)));
    }
    at(node, c.in_node.inputs) = Py_NewRef(inputs);
  } else {
    at(node, c.in_node.versions) = Py_NewRef(Py_None);
    PyObject* edges = at(node, c.in_node.inputs) = PyList_New(n);
    for (Py_ssize_t k = 0; edges && k < n; ++k) {
      PyObject* x = PyTuple_GET_ITEM(inputs, k);
      const bool leaf = at(x, c.requires_grad) == Py_True && at(x, c.node) == Py_None;
      PyObject* edge = leaf ? Py_NewRef(x) : new_edge(x);
      if (edge) PyList_SET_ITEM(edges, k, edge);
      else Py_CLEAR(edges);
    }
    if (!edges) at(node, c.in_node.inputs) = nullptr;
  }
  at(node, c.in_node.outs) = at(call, c.saves_output) == Py_True ? PyTuple_Pack(1, data) : Py_NewRef(Py_None);
  at(node, c.in_node.n_outs) = Py_NewRef(c.one);
  at(node, c.in_node.number) = PyObject_CallNoArgs(c.next_number);
  if (PyErr_Occurred()) Py_CLEAR(t);
  return t;
}

bool is_float(PyObject* array) {
  const int type = PyArray_TYPE(reinterpret_cast<PyArrayObject*>(array));
  return type == NPY_FLOAT || type == NPY_DOUBLE;
}

// 1 or 0; -1 with a Python error set.
int context_is(PyObject* name, PyObject* value) {
  PyObject* found = PyObject_GetAttr(c.context, name);
  if (!found) return -1;
  Py_DECREF(found);
  return found == value;
}

}  // namespace

void connect(py::type tensor, py::type call, py::type node, py::type edge, py::object next_number, py::object context,
             py::object apply, py::object record) {
  c.tensor = reinterpret_cast<PyTypeObject*>(tensor.ptr());
  c.data = slot_offset(tensor, "_data"), c.requires_grad = slot_offset(tensor, "_requires_grad");
  c.grad = slot_offset(tensor, "grad"), c.node = slot_offset(tensor, "_node"), c.base = slot_offset(tensor, "_base");
  c.index = slot_offset(tensor, "_index"), c.version = slot_offset(tensor, "_version");
  c.id = slot_offset(call, "id"), c.view = slot_offset(call, "view");
  c.differentiable = slot_offset(call, "differentiable"), c.saves_inputs = slot_offset(call, "saves_inputs");
  c.saves_output = slot_offset(call, "saves_output"), c.saves_whole = slot_offset(call, "saves_whole");
  c.in_node = {slot_offset(node, "call"), slot_offset(node, "inputs"), slot_offset(node, "outs"),
               slot_offset(node, "n_outs"), slot_offset(node, "versions"), slot_offset(node, "number")};
  c.in_edge = {slot_offset(edge, "_node"), slot_offset(edge, "_index"), slot_offset(edge, "_requires_grad"),
               slot_offset(edge, "shape"), slot_offset(edge, "dtype")};
  c.node_type = reinterpret_cast<PyTypeObject*>(node.release().ptr());
  c.edge_type = reinterpret_cast<PyTypeObject*>(edge.release().ptr());
  c.next_number = next_number.release().ptr();
  c.shape_name = PyUnicode_InternFromString("shape"), c.dtype_name = PyUnicode_InternFromString("dtype");
  c.one = PyLong_FromLong(1);
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
    if (recording && at(call, c.saves_whole) != Py_True && !PyTuple_CheckExact(out) && is_float(out))
      return new_recorded(call, inputs, out);
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
