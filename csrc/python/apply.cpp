// SPDX-License-Identifier: Apache-2.0
#include "python/apply.h"

#include "python/arrays.h"
#include "python/eager.h"
#include "python/tensors.h"

namespace rv {
namespace {

const Connection& c = connection;

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

}  // namespace

PyObject* apply(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (n != 2 || !c.tensor) {
    PyErr_SetString(PyExc_TypeError, "apply(call, inputs)");
    return nullptr;
  }
  PyObject *call = args[0], *inputs = args[1];
  auto in_python = [&] { return PyObject_Vectorcall(c.apply, args, 2, nullptr); };
  if (!PyTuple_CheckExact(inputs) || PyTuple_GET_SIZE(inputs) > kMostTensors || at(call, c.view) != Py_None)
    return in_python();

  HeldArrays arrays;
  arrays.list[0] = at(call, c.id);
  const Py_ssize_t count = PyTuple_GET_SIZE(inputs);
  bool record = false;
  for (Py_ssize_t k = 0; k < count; ++k) {
    PyObject* t = PyTuple_GET_ITEM(inputs, k);
    if (!PyObject_TypeCheck(t, c.tensor) || !at(t, c.data) || may_be_stale(t)) return in_python();
    arrays.take(at(t, c.data));
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
