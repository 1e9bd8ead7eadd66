// SPDX-License-Identifier: Apache-2.0
#include "python/tensors.h"

#include "python/apply.h"
#include "python/get_item.h"

#include <structmember.h>

#include <stdexcept>
#include <string>

namespace py = pybind11;

namespace rv {

Connection connection;

namespace {

// Where a type keeps the attribute of a __slots__ entry.
Py_ssize_t slot_offset(py::handle type, const char* name) {
  PyObject* member = PyDict_GetItemString(reinterpret_cast<PyTypeObject*>(type.ptr())->tp_dict, name);
  if (!member || Py_TYPE(member) != &PyMemberDescr_Type)
    throw std::runtime_error(std::string("connect: no slot ") + name);
  return reinterpret_cast<PyMemberDescrObject*>(member)->d_member->offset;
}

}  // namespace

void connect(py::type tensor, py::type call, py::type node, py::type edge, py::object numbers, py::object context,
             py::object epoch, py::object out_of_range, py::object domain, py::object number_dtype,
             py::object constant) {
  Connection& c = connection;
  c.tensor = reinterpret_cast<PyTypeObject*>(tensor.ptr());
  c.data = slot_offset(tensor, "_data"), c.requires_grad = slot_offset(tensor, "_requires_grad");
  c.grad = slot_offset(tensor, "grad"), c.node = slot_offset(tensor, "_node"), c.base = slot_offset(tensor, "_base");
  c.index = slot_offset(tensor, "_index"), c.version = slot_offset(tensor, "_version");
  c.id = slot_offset(call, "id"), c.view = slot_offset(call, "view");
  c.differentiable = slot_offset(call, "differentiable"), c.saves_inputs = slot_offset(call, "saves_inputs");
  c.saves_outputs = slot_offset(call, "saves_outputs"), c.recorded = slot_offset(call, "recorded");
  c.extras = slot_offset(call, "extras");
  c.in_node = {slot_offset(node, "call"),  slot_offset(node, "inputs"), slot_offset(node, "needs"),
               slot_offset(node, "outs"),  slot_offset(node, "n_outs"), slot_offset(node, "versions"),
               slot_offset(node, "number")};
  c.in_edge = {slot_offset(edge, "_node"), slot_offset(edge, "_index"), slot_offset(edge, "_requires_grad"),
               slot_offset(edge, "shape"), slot_offset(edge, "dtype")};
  if (!c.apply) {  // else connected already
    c.apply = py::object(call.attr("apply")).release().ptr();
    call.attr("apply") =
        py::reinterpret_steal<py::object>(PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(call.ptr()), &apply_def));
    c.get_item = py::object(tensor.attr("__getitem__")).release().ptr();
    tensor.attr("__getitem__") = py::reinterpret_steal<py::object>(PyDescr_NewMethod(c.tensor, &get_item_def));
  }
  c.call_type = reinterpret_cast<PyTypeObject*>(call.release().ptr());
  c.node_type = reinterpret_cast<PyTypeObject*>(node.release().ptr());
  c.edge_type = reinterpret_cast<PyTypeObject*>(edge.release().ptr());
  c.numbers = numbers.release().ptr();
  Py_XINCREF(tensor.ptr());  // kept for good, like the modules that own them
  c.epoch = epoch.release().ptr(), c.value_name = PyUnicode_InternFromString("value");
  c.context = context.release().ptr();
  c.out_of_range = out_of_range.release().ptr(), c.domain = domain.release().ptr();
  c.number_dtype = number_dtype.release().ptr(), c.constant = constant.release().ptr();
  c.eager_name = PyUnicode_InternFromString("eager"), c.grad_name = PyUnicode_InternFromString("grad_enabled");
  c.dict_name = PyUnicode_InternFromString("__dict__"), c.context_name = PyUnicode_InternFromString("ranvier.context");
  c.zero = PyLong_FromLong(0);
}

PyObject* new_tensor(PyObject* data) {
  const Connection& c = connection;
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

void share_memory(PyObject* view, PyObject* of) {
  const Connection& c = connection;
  PyObject *base = at(of, c.base), *whole = base == Py_None ? of : base;
  Py_SETREF(at(view, c.base), Py_NewRef(whole));
  if (base != Py_None && at(of, c.node) == Py_None && at(view, c.node) == Py_None)
    Py_SETREF(at(view, c.index), Py_NewRef(at(of, c.index)));
  Py_SETREF(at(view, c.version), Py_NewRef(at(whole, c.version)));
}

// An attribute of a threading.local takes long to find. A second reference to its dict lies where threading.local keeps
// the first, in the thread's dict, and goes when that goes.
PyObject* thread_context() {
  PyObject* thread = PyThreadState_GetDict();
  if (!thread) {
    PyErr_SetString(PyExc_RuntimeError, "ranvier: the thread has no state of its own");
    return nullptr;
  }
  PyObject* dict = PyDict_GetItemWithError(thread, connection.context_name);
  if (dict || PyErr_Occurred()) return dict;
  dict = PyObject_GetAttr(connection.context, connection.dict_name);
  if (!dict) return nullptr;
  const int set = PyDict_SetItem(thread, connection.context_name, dict);
  Py_DECREF(dict);
  return set < 0 ? nullptr : dict;
}

int context_is(PyObject* dict, PyObject* name, PyObject* value) {
  PyObject* own = PyDict_GetItemWithError(dict, name);
  if (own) return own == value;
  if (PyErr_Occurred()) return -1;
  PyObject* found = PyObject_GetAttr(connection.context, name);  // the class's default, from now on the thread's own
  if (!found) return -1;
  const int set = PyDict_SetItem(dict, name, found);
  Py_DECREF(found);
  return set < 0 ? -1 : found == value;
}

}  // namespace rv
