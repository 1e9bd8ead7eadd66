// SPDX-License-Identifier: Apache-2.0
#include "python/trace_call.h"

#include "python/plan_call.h"
#include "python/tensors.h"

namespace py = pybind11;

namespace rv {
namespace {

bool fits(const View& v, PyArrayObject* a) {
  if (dtype_code(a) != static_cast<int>(v.dtype) || PyArray_NDIM(a) != v.ndim || !PyArray_ISNOTSWAPPED(a)) return false;
  for (int d = 0; d < v.ndim; ++d)
    if (PyArray_DIMS(a)[d] != v.shape[d]) return false;
  return true;
}

// Whether `items` are still what the list or dict holds.
bool same_items(PyObject* value, PyObject* items) {
  const Py_ssize_t n = PyTuple_GET_SIZE(items);
  if (PyList_CheckExact(value)) {
    if (PyList_GET_SIZE(value) != n) return false;
    for (Py_ssize_t k = 0; k < n; ++k)
      if (PyList_GET_ITEM(value, k) != PyTuple_GET_ITEM(items, k)) return false;
    return true;
  }
  if (!PyDict_CheckExact(value) || 2 * PyDict_GET_SIZE(value) != n) return false;
  PyObject *key, *item;
  Py_ssize_t position = 0;
  for (Py_ssize_t k = 0; PyDict_Next(value, &position, &key, &item); k += 2)
    if (key != PyTuple_GET_ITEM(items, k) || item != PyTuple_GET_ITEM(items, k + 1)) return false;
  return true;
}

// Whether what names in the traced code stand for is what it was; 1, 0, or -1 with a Python error set.
int places_hold(TraceCall& t) {
  bool same = true;
  for (const WatchedPlace& place : t.places) same = same && place.holds();
  if (same) return 1;
  PyObject* hold = PyObject_CallMethod(t.guards.ptr(), "same_entries", nullptr);
  if (!hold) return -1;
  const bool equal = hold == Py_True;
  Py_DECREF(hold);
  if (equal) t.read_places();
  return equal;
}

// Whether nothing of Python has changed that the trace takes for granted; 1, 0, or -1 with a Python error set.
int guards_hold(TraceCall& t) {
  PyObject* value = PyObject_GetAttr(connection.epoch, connection.value_name);
  if (!value) return -1;
  const auto epoch = py::reinterpret_steal<py::object>(value);
  const int same = epoch.is(t.epoch) ? 1 : PyObject_RichCompareBool(value, t.epoch.ptr(), Py_EQ);
  if (same) return same;
  PyObject* hold = PyObject_CallMethod(t.guards.ptr(), "look", nullptr);
  if (!hold) return -1;
  const bool found = hold == Py_True;
  Py_DECREF(hold);
  if (found) t.epoch = epoch;
  return found;
}

// Whether the trace is what the function would do for these arguments; -1 with a Python error set.
int holds(TraceCall& t, PyObject* const* args, Py_ssize_t n, HeldArrays& arrays) {
  const Connection& c = connection;
  if (!c.tensor || n != static_cast<Py_ssize_t>(t.arguments.size())) return 0;
  for (Py_ssize_t k = 0; k < n; ++k) {
    PyObject* x = args[k];
    if (!PyObject_TypeCheck(x, c.tensor) || at(x, c.requires_grad) != Py_False || may_be_stale(x)) return 0;
    PyObject* data = at(x, c.data);
    if (!data || !PyArray_Check(data) || !fits(t.arguments[k], reinterpret_cast<PyArrayObject*>(data))) return 0;
    arrays.take(data);
  }
  for (const auto& [tensor, grad] : t.entry_grads)
    if (at(tensor.ptr(), c.grad) != grad.ptr()) return 0;
  PyObject* context = thread_context();
  if (!context) return -1;
  const int elsewhere = context_is(context, c.eager_name, Py_None);  // tracing, or another backend
  if (elsewhere) return elsewhere < 0 ? -1 : 0;
  const int same = context_is(context, c.grad_name, t.grad_enabled ? Py_True : Py_False);
  if (same != 1) return same;
  const int places = places_hold(t);
  return places == 1 ? guards_hold(t) : places;
}

}  // namespace

bool WatchedPlace::holds() const {
  bool same;
  if (PyCell_Check(holder.ptr())) {
    same = PyCell_GET(holder.ptr()) == value.ptr();
  } else if (PyDict_CheckExact(holder.ptr())) {
    same = PyDict_GetItemWithError(holder.ptr(), key.ptr()) == value.ptr();
  } else {
    const auto now = py::reinterpret_steal<py::object>(PyObject_GetAttr(holder.ptr(), key.ptr()));
    same = now.is(value);
  }
  if (!same) PyErr_Clear();
  return same && (items.is_none() || same_items(value.ptr(), items.ptr()));
}

void TraceCall::read_places() {
  std::vector<WatchedPlace> now;
  for (py::handle entry : guards.attr("entries")) {
    WatchedPlace place{entry.attr("holder"), entry.attr("key"), entry.attr("value"), entry.attr("items")};
    if (!place.items.is_none() && !PyTuple_CheckExact(place.items.ptr()))
      throw py::type_error("TraceCall: the items of an entry must be a tuple");
    now.push_back(std::move(place));
  }
  places.swap(now);  // whole before what the old ones held goes, which may call back
}

TraceCall::TraceCall(py::object plan_, py::sequence arrays, bool grad_enabled_, py::object guards_, py::sequence grads_,
                     bool has_result_, py::sequence updated_, py::iterator versions_)
    : plan(std::move(plan_)),
      guards(std::move(guards_)),
      epoch(py::none()),
      grad_enabled(grad_enabled_),
      has_result(has_result_),
      versions(std::move(versions_)) {
  if (!py::isinstance<PlanObject>(plan)) throw py::type_error("TraceCall: plan must be a Plan");
  read_places();
  if (has_result && plan.cast<PlanObject&>().outputs().size() != 1)
    throw py::value_error("TraceCall: the plan must have one output");
  if (py::len(arrays) > kMostTensors)
    throw py::value_error("TraceCall: at most " + std::to_string(kMostTensors) + " arguments");
  for (py::handle a : arrays) {
    View v;
    if (!PyArray_Check(a.ptr()) || dtype_code(reinterpret_cast<PyArrayObject*>(a.ptr())) < 0)
      throw py::type_error("TraceCall: arguments must be arrays of a supported dtype");
    PyArrayObject* array = reinterpret_cast<PyArrayObject*>(a.ptr());
    if (PyArray_NDIM(array) > kMaxDims) throw py::value_error("TraceCall: at most 8 axes");
    v.dtype = static_cast<DType>(dtype_code(array)), v.ndim = PyArray_NDIM(array);
    std::copy_n(PyArray_DIMS(array), v.ndim, v.shape);
    arguments.push_back(v);
  }
  const py::handle tensor(reinterpret_cast<PyObject*>(connection.tensor));
  const std::pair<py::sequence, decltype(grads)&> lists[] = {{guards.attr("grads"), entry_grads}, {grads_, grads}};
  for (auto& [from, to] : lists)
    for (py::handle pair : from) {
      auto p = pair.cast<py::tuple>();
      if (!tensor || !py::isinstance(p[0], tensor)) throw py::type_error("TraceCall: (tensor, gradient) pairs");
      to.emplace_back(p[0], p[1]);
    }
  for (py::handle t : updated_) {
    if (!tensor || !py::isinstance(t, tensor)) throw py::type_error("TraceCall: updated tensors");
    updated.push_back(py::reinterpret_borrow<py::object>(t));
  }
}

PyObject* trace_call(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  TraceCall* const t = held_by<TraceCall>(self);
  if (!t) {
    PyErr_SetString(PyExc_TypeError, "TraceCall.__init__ has not been called");
    return nullptr;
  }
  HeldArrays arrays;
  const int ready = holds(*t, args, n, arrays);
  if (ready != 1) return ready < 0 ? nullptr : Py_NewRef(Py_NotImplemented);
  PyObject* outs = plan_run(t->plan.ptr(), arrays.list + 1, n);
  if (!outs) return nullptr;
  if (!t->updated.empty()) {
    PyObject* version = PyIter_Next(t->versions.ptr());
    if (!version) {
      Py_DECREF(outs);
      return nullptr;
    }
    for (const py::object& tensor : t->updated) Py_XSETREF(at(tensor.ptr(), connection.version), Py_NewRef(version));
    Py_DECREF(version);
  }
  for (const auto& [tensor, grad] : t->grads) Py_XSETREF(at(tensor.ptr(), connection.grad), Py_NewRef(grad.ptr()));
  PyObject* result = t->has_result ? new_tensor(Py_NewRef(PyTuple_GET_ITEM(outs, 0))) : Py_NewRef(Py_None);
  Py_DECREF(outs);
  return result;
}

}  // namespace rv
