// SPDX-License-Identifier: Apache-2.0
// The Python objects that native calls work with: tensors, nodes of the tape, the thread's context.
#pragma once
#include <pybind11/pybind11.h>

namespace rv {

inline PyObject*& at(PyObject* object, Py_ssize_t offset) {
  return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + offset);
}

struct Connection {
  PyTypeObject *tensor = nullptr, *call_type = nullptr, *node_type = nullptr, *edge_type = nullptr;
  PyObject *context = nullptr, *apply = nullptr, *epoch = nullptr, *number_dtype = nullptr, *constant = nullptr,
           *get_item = nullptr;
  PyObject *numbers = nullptr, *eager_name = nullptr, *grad_name = nullptr, *value_name = nullptr, *dict_name = nullptr,
           *context_name = nullptr;
  PyObject *zero = nullptr, *out_of_range = nullptr, *domain = nullptr;
  Py_ssize_t data, requires_grad, grad, node, base, index, version;                    // of Tensor
  Py_ssize_t id, view, differentiable, saves_inputs, saves_outputs, recorded, extras;  // of Call
  struct {
    Py_ssize_t call, inputs, needs, outs, n_outs, versions, number;
  } in_node;
  struct {
    Py_ssize_t node, index, requires_grad, shape, dtype;
  } in_edge;
};
extern Connection connection;

inline constexpr Py_ssize_t kMostTensors = 62;  // of a call that takes a quick way; bits of a word

// The arrays of a call's tensors, kept alive: another thread may give a tensor another array meanwhile.
struct HeldArrays {
  PyObject* list[1 + kMostTensors];  // the first place is for a call's id, as eager() takes it
  Py_ssize_t n = 0;

  void take(PyObject* array) { list[++n] = Py_NewRef(array); }
  ~HeldArrays() {
    for (; n > 0; --n) Py_DECREF(list[n]);
  }
};

// Names these objects: types, the counter of tape.py, the thread's context, Epoch, OutOfRangeError, DomainError, and
// the functions of dispatch.py that make tensors of numbers. From now on the native module's `apply` is `call.apply`,
// and its `get_item` is `tensor.__getitem__`.
void connect(pybind11::type tensor, pybind11::type call, pybind11::type node, pybind11::type edge,
             pybind11::object numbers, pybind11::object context, pybind11::object epoch, pybind11::object out_of_range,
             pybind11::object domain, pybind11::object number_dtype, pybind11::object constant);

// Whether a tensor may be a view whose base has got another history; tape.stale knows.
inline bool may_be_stale(PyObject* t) {
  PyObject* base = at(t, connection.base);
  return base != Py_None && at(base, connection.node) != Py_None &&
         at(t, connection.version) != at(base, connection.version);
}

// A tensor of that array, without a history; takes the reference.
PyObject* new_tensor(PyObject* data);

// Makes `view` an alias of a part of `of`: see dispatch.share.
void share_memory(PyObject* view, PyObject* of);

// The calling thread's own attributes of the context (a dict, borrowed); null with a Python error set.
PyObject* thread_context();

// Whether the attribute of that name is this object: 1 or 0; -1 with a Python error set.
int context_is(PyObject* dict, PyObject* name, PyObject* value);

}  // namespace rv
