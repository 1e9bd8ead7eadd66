// SPDX-License-Identifier: Apache-2.0
#include "python/apply.h"

#include <cstring>
#include <utility>

#include "python/arrays.h"
#include "python/eager.h"
#include "python/memo.h"
#include "python/tensors.h"

namespace rv {
namespace {

const Connection& c = connection;

// tape.Edge(t), of a tensor that holds an array
PyObject* new_edge(PyObject* t) {
  PyObject* edge = c.edge_type->tp_alloc(c.edge_type, 0);
  if (!edge) return nullptr;
  at(edge, c.in_edge.node) = Py_NewRef(at(t, c.node));
  at(edge, c.in_edge.index) = Py_NewRef(at(t, c.index));
  at(edge, c.in_edge.requires_grad) = Py_NewRef(at(t, c.requires_grad));
  PyArrayObject* data = reinterpret_cast<PyArrayObject*>(at(t, c.data));
  at(edge, c.in_edge.dtype) = Py_NewRef(reinterpret_cast<PyObject*>(PyArray_DESCR(data)));
  PyObject* shape = at(edge, c.in_edge.shape) = PyTuple_New(PyArray_NDIM(data));
  for (int d = 0; shape && d < PyArray_NDIM(data); ++d)
    PyTuple_SET_ITEM(shape, d, PyLong_FromSsize_t(PyArray_DIMS(data)[d]));
  if (!shape) Py_CLEAR(edge);
  return edge;
}

// What `masks` (of a Call) saves: see tape.saved.
int64_t saved(PyObject* masks, int64_t needs) {
  if (PyLong_Check(masks)) return PyLong_AsLongLong(masks);
  int64_t bits = 0;
  for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(masks); ++k)
    if (needs >> k & 1) bits |= PyLong_AsLongLong(PyTuple_GET_ITEM(masks, k));
  return bits;
}

bool all_of(int64_t mask, Py_ssize_t n) { return !(~mask & ((int64_t{1} << n) - 1)); }

bool is_leaf(PyObject* t) { return at(t, c.requires_grad) == Py_True && at(t, c.node) == Py_None; }

// The arrays that a call has made, borrowed.
struct Outs {
  PyObject* const* list;
  Py_ssize_t n;
};

// tape.Node(call, inputs, outs)
PyObject* new_node(PyObject* call, PyObject* inputs, int64_t needs, Outs outs) {
  PyObject* node = c.node_type->tp_alloc(c.node_type, 0);
  if (!node) return nullptr;
  const Py_ssize_t n = PyTuple_GET_SIZE(inputs);
  at(node, c.in_node.call) = Py_NewRef(call);
  at(node, c.in_node.needs) = PyLong_FromLongLong(needs);
  int64_t mask = saved(at(call, c.saves_inputs), needs);
  PyObject* kept = all_of(mask, n) ? Py_NewRef(inputs) : PyTuple_New(n);
  at(node, c.in_node.inputs) = kept;
  for (Py_ssize_t k = 0; kept && kept != inputs && k < n; ++k) {
    PyObject *x = PyTuple_GET_ITEM(inputs, k), *entry = mask >> k & 1 || is_leaf(x) ? Py_NewRef(x) : new_edge(x);
    PyTuple_SET_ITEM(kept, k, entry);
    if (!entry) kept = nullptr;
  }
  PyObject* versions = at(node, c.in_node.versions) = mask ? PyTuple_New(n) : Py_NewRef(Py_None);
  for (Py_ssize_t k = 0; mask && versions && k < n; ++k) {
    PyObject *x = PyTuple_GET_ITEM(inputs, k), *base = at(x, c.base);
    PyTuple_SET_ITEM(versions, k, Py_NewRef(mask >> k & 1 ? at(base == Py_None ? x : base, c.version) : Py_None));
  }
  mask = saved(at(call, c.saves_outputs), needs);
  kept = at(node, c.in_node.outs) = mask ? PyTuple_New(outs.n) : Py_NewRef(Py_None);
  for (Py_ssize_t k = 0; mask && kept && k < outs.n; ++k)
    PyTuple_SET_ITEM(kept, k, Py_NewRef(mask >> k & 1 ? outs.list[k] : Py_None));
  at(node, c.in_node.n_outs) = PyLong_FromSsize_t(outs.n);
  at(node, c.in_node.number) = Py_TYPE(c.numbers)->tp_iternext(c.numbers);
  if (PyErr_Occurred()) Py_CLEAR(node);
  return node;
}

bool is_float(PyObject* array) {
  const int type = PyArray_TYPE(reinterpret_cast<PyArrayObject*>(array));
  return type == NPY_FLOAT || type == NPY_DOUBLE;
}

// The tensor of result k, which `node`, if there is one, has made.
PyObject* new_result(PyObject* data, PyObject* node, Py_ssize_t k) {
  PyObject* t = new_tensor(Py_NewRef(data));
  if (!t || !node) return t;
  if (!is_float(data)) {  // has no node to tell of changes, so the node keeps the tensor and its version
    PyObject* kept = at(node, c.in_node.outs);
    if (kept == Py_None || PyTuple_GET_ITEM(kept, k) == Py_None) return t;
    PyTuple_SET_ITEM(kept, k, Py_NewRef(t));
    Py_DECREF(data);
    return t;
  }
  Py_SETREF(at(t, c.requires_grad), Py_NewRef(Py_True));
  Py_SETREF(at(t, c.node), Py_NewRef(node));
  Py_SETREF(at(t, c.index), PyLong_FromSsize_t(k));
  return t;
}

// ---------------------------------------------------------------- numbers among the inputs

enum Kind : uint8_t { other_kind, int_kind, float_kind, bool_kind, array_kind, tensor_kind = array_kind + 32 };

// What an input is; of arrays and tensors also which dtype, and whether there are axes: what the dtype of numbers
// depends on.
uint8_t kind_of(PyObject* x) {
  PyTypeObject* type = Py_TYPE(x);
  const bool tensor = PyObject_TypeCheck(x, c.tensor);
  PyObject* data = tensor ? at(x, c.data) : x;
  if (data && PyArray_CheckExact(data)) {
    PyArrayObject* a = reinterpret_cast<PyArrayObject*>(data);
    const int code = dtype_code(a);
    if (code < 0 || !PyArray_ISNOTSWAPPED(a)) return other_kind;
    return static_cast<uint8_t>((tensor ? tensor_kind : array_kind) + 2 * code + (PyArray_NDIM(a) > 0));
  }
  return type == &PyFloat_Type || type == &PyDoubleArrType_Type ? float_kind
         : type == &PyLong_Type                                 ? int_kind
         : type == &PyBool_Type                                 ? bool_kind
                                                                : other_kind;
}

constexpr size_t kKept = 1024;  // places, where a newer one takes that of an older
constexpr Py_ssize_t kMostKinds = 8;

struct NumberDType {
  int64_t call = -1;
  uint64_t kinds = 0;
  PyObject* dtype = nullptr;
} number_dtypes[kKept];
uint64_t forgotten = 0;  // how often these were forgotten

// The dtype of the numbers among `inputs`, borrowed; null with a Python error set. Python decides, once.
PyObject* number_dtype(PyObject* call, PyObject* inputs, uint64_t kinds) {
  const int64_t id = PyLong_AsLongLong(at(call, c.id));
  const uint64_t hash = (static_cast<uint64_t>(id) ^ kinds * 0x9E3779B97F4A7C15u) * 0x9E3779B97F4A7C15u;
  NumberDType& kept = number_dtypes[hash >> 54];
  if (kept.call == id && kept.kinds == kinds) return kept.dtype;
  const uint64_t before = forgotten;
  PyObject* const args[] = {call, inputs};
  PyObject* dtype = PyObject_Vectorcall(c.number_dtype, args, 2, nullptr);
  if (!dtype) return nullptr;
  Py_XSETREF(kept.dtype, dtype);
  kept.call = before == forgotten ? id : -1, kept.kinds = kinds;  // else it is of the old default
  return dtype;
}

struct Constant {
  int64_t bits = 0;
  PyTypeObject* type = nullptr;
  PyObject *dtype = nullptr, *tensor = nullptr;
} constants[kKept];

// The 0-d tensor for a number, borrowed; null with a Python error set.
PyObject* constant(PyObject* number, PyObject* dtype) {
  int64_t bits;
  if (PyFloat_Check(number)) {  // NumPy's float64 is one
    const double value = PyFloat_AS_DOUBLE(number);
    std::memcpy(&bits, &value, sizeof(bits));
  } else {
    bits = PyLong_AsLongLong(number);
    if (bits == -1 && PyErr_Occurred()) return nullptr;
  }
  uint64_t hash = (static_cast<uint64_t>(bits) ^ reinterpret_cast<uintptr_t>(dtype) >> 4) * 0x9E3779B97F4A7C15u;
  Constant& kept = constants[hash >> 54];
  if (kept.tensor && kept.bits == bits && kept.type == Py_TYPE(number) && kept.dtype == dtype) return kept.tensor;
  PyObject* const args[] = {number, dtype};
  PyObject* tensor = PyObject_Vectorcall(c.constant, args, 2, nullptr);
  if (!tensor) return nullptr;
  const Constant old = std::exchange(kept, {bits, Py_TYPE(number), Py_NewRef(dtype), tensor});
  Py_XDECREF(old.dtype);  // only now: what goes with them may call back
  Py_XDECREF(old.tensor);
  return tensor;
}

PyObject* in_python(PyObject* call, PyObject* inputs) {
  PyObject* const args[] = {call, inputs};
  return PyObject_Vectorcall(c.apply, args, 2, nullptr);
}

PyObject* run(PyObject* call, PyObject* inputs);

// Inputs that are not all tensors.
PyObject* run_loose(PyObject* call, PyObject* inputs) {
  const Py_ssize_t count = PyTuple_GET_SIZE(inputs);
  uint64_t kinds = 0;
  bool tensors = false, arrays = false, numbers = false;
  for (Py_ssize_t k = 0; k < count; ++k) {
    const uint8_t kind = kind_of(PyTuple_GET_ITEM(inputs, k));
    if (kind == other_kind) return in_python(call, inputs);
    if (kind >= tensor_kind) tensors = true;
    else if (kind >= array_kind) arrays = true;
    else numbers = true;
    kinds = kinds << 8 | kind;
  }
  if (!(tensors || arrays) || (numbers && count > kMostKinds)) return in_python(call, inputs);
  PyObject* context = thread_context();
  if (!context) return nullptr;
  const int off = context_is(context, c.eager_name, Py_None);  // tracing, or another backend
  if (off) return off < 0 ? nullptr : in_python(call, inputs);
  PyObject* dtype = numbers ? number_dtype(call, inputs, kinds) : nullptr;
  if (numbers && !dtype) {
    PyErr_Clear();  // Python raises it again, with what it is about
    return in_python(call, inputs);
  }
  if (numbers) Py_INCREF(dtype);
  HeldArrays held;
  held.list[0] = at(call, c.id);
  PyObject* wrapped = tensors ? PyTuple_New(count) : nullptr;
  bool ready = !tensors || wrapped;
  for (Py_ssize_t k = 0; ready && k < count; ++k) {
    PyObject* x = PyTuple_GET_ITEM(inputs, k);
    const bool array = PyArray_Check(x);
    if (!array && !PyObject_TypeCheck(x, c.tensor)) x = constant(x, dtype);
    if (!x) {
      ready = false;
      PyErr_Clear();  // as above
    } else if (tensors) {
      x = array ? new_tensor(Py_NewRef(x)) : Py_NewRef(x);
      PyTuple_SET_ITEM(wrapped, k, x);
      ready = x;
    } else {
      held.take(array ? x : at(x, c.data));
    }
  }
  PyObject* result = nullptr;
  if (!ready) result = PyErr_Occurred() ? nullptr : in_python(call, inputs);
  else if (tensors) result = run(call, wrapped);
  else result = at(call, c.view) == Py_True ? eager_view(held.list) : eager(nullptr, held.list, 1 + count);
  if (result == Py_None) {
    Py_DECREF(result);
    result = in_python(call, inputs);
  }
  Py_XDECREF(wrapped);
  if (numbers) Py_DECREF(dtype);
  return result;
}

// ---------------------------------------------------------------- tensors

PyObject* run(PyObject* call, PyObject* inputs) {
  if (!PyTuple_CheckExact(inputs) || PyTuple_GET_SIZE(inputs) > kMostTensors) return in_python(call, inputs);
  HeldArrays arrays;
  arrays.list[0] = at(call, c.id);
  const Py_ssize_t count = PyTuple_GET_SIZE(inputs);
  int64_t needs = 0;
  for (Py_ssize_t k = 0; k < count; ++k) {
    PyObject* t = PyTuple_GET_ITEM(inputs, k);
    if (!PyObject_TypeCheck(t, c.tensor)) return run_loose(call, inputs);
    if (!at(t, c.data) || may_be_stale(t)) return in_python(call, inputs);
    arrays.take(at(t, c.data));
    needs |= int64_t{at(t, c.requires_grad) == Py_True} << k;
  }
  PyObject* context = thread_context();
  if (!context) return nullptr;
  const int off = context_is(context, c.eager_name, Py_None);  // tracing, or another backend
  if (off) return off < 0 ? nullptr : in_python(call, inputs);
  const int recording = needs && at(call, c.differentiable) == Py_True ? context_is(context, c.grad_name, Py_True) : 0;
  if (recording < 0) return nullptr;
  if (recording && at(call, c.recorded) != Py_None) return run(at(call, c.recorded), inputs);
  const bool view = at(call, c.view) == Py_True;
  PyObject* out = view ? eager_view(arrays.list) : eager(nullptr, arrays.list, 1 + count);
  if (!out) return nullptr;
  if (out == Py_None) {
    Py_DECREF(out);
    return in_python(call, inputs);
  }
  const bool many = PyTuple_CheckExact(out);
  const Outs outs = many ? Outs{&PyTuple_GET_ITEM(out, 0), PyTuple_GET_SIZE(out)} : Outs{&out, 1};
  PyObject *node = recording ? new_node(call, inputs, needs, outs) : nullptr, *result = nullptr;
  const Py_ssize_t shown = recording ? outs.n - PyLong_AsSsize_t(at(call, c.extras)) : outs.n;
  const bool tuple = many && (shown > 1 || shown == outs.n);
  if (node || !recording) result = tuple ? PyTuple_New(shown) : new_result(outs.list[0], node, 0);
  for (Py_ssize_t k = 0; tuple && result && k < shown; ++k) {
    PyObject* t = new_result(outs.list[k], node, k);
    if (t) PyTuple_SET_ITEM(result, k, t);
    else Py_CLEAR(result);
  }
  if (result && view) share_memory(result, PyTuple_GET_ITEM(inputs, 0));
  Py_XDECREF(node);
  Py_DECREF(out);
  return result;
}

}  // namespace

PyObject* apply(PyObject* call, PyObject* inputs) {
  if (!watched()) return run(call, inputs);
  PyObject* result;
  {
    const Unwatched below;
    result = run(call, inputs);
  }
  if (result && PyTuple_CheckExact(inputs)) note(call, inputs, result);
  return result;
}

void forget_numbers() {
  ++forgotten;
  for (NumberDType& kept : number_dtypes) kept.call = -1;
}

PyMethodDef apply_def = {"apply", apply, METH_O,
                         "apply(inputs): run or record this call; what is not a known signature goes to Python."};

}  // namespace rv
