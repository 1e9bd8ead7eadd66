// SPDX-License-Identifier: Apache-2.0
#include "python/tape.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

#include "python/arrays.h"
#include "python/tensors.h"

namespace py = pybind11;

namespace rv {
namespace {

const Connection& c = connection;

constexpr size_t kMostNodes = 4096;  // a trace of more takes seconds

int64_t number(PyObject* object) { return PyLong_AsLongLong(object); }

struct Reader {
  std::vector<std::pair<int64_t, PyObject*>> nodes;  // (number, node)
  std::unordered_map<PyObject*, int64_t> place;      // of nodes, then of leaves
  std::string key;
  py::list listed, arrays, leaves;  // listed: the nodes. Made first: a new list may set off garbage collection

  void write(int64_t value) { key.append(reinterpret_cast<const char*>(&value), sizeof value); }
  bool write_array(PyObject* array) {
    if (!array || !PyArray_Check(array)) return false;  // a value of a graph, or of another backend
    PyArrayObject* a = reinterpret_cast<PyArrayObject*>(array);
    write(PyArray_TYPE(a) << 8 | PyArray_NDIM(a));
    for (int d = 0; d < PyArray_NDIM(a); ++d) write(PyArray_DIMS(a)[d]);
    return true;
  }
  // shape and dtype of an Edge
  bool write_edge(PyObject* edge) {
    PyObject *shape = at(edge, c.in_edge.shape), *dtype = at(edge, c.in_edge.dtype);
    if (!PyTuple_Check(shape) || !PyArray_DescrCheck(dtype)) return false;
    write(reinterpret_cast<PyArray_Descr*>(dtype)->type_num << 8 | PyTuple_GET_SIZE(shape));
    for (Py_ssize_t d = 0; d < PyTuple_GET_SIZE(shape); ++d) write(number(PyTuple_GET_ITEM(shape, d)));
    return true;
  }

  static bool is_tensor(PyObject* t) { return PyObject_TypeCheck(t, c.tensor); }
  static bool is_edge(PyObject* t) { return Py_TYPE(t) == c.edge_type; }
  static PyObject* node_of(PyObject* t) { return at(t, is_edge(t) ? c.in_edge.node : c.node); }

  bool find(PyObject* node) {
    if (!place.try_emplace(node, 0).second) return true;
    if (Py_TYPE(node) != c.node_type || nodes.size() == kMostNodes) return false;
    nodes.emplace_back(number(at(node, c.in_node.number)), node);
    return true;
  }

  // Whether what the node has saved is there, and as it was. Why not, Python says.
  bool saved(PyObject* node) const {
    PyObject *inputs = at(node, c.in_node.inputs), *outs = at(node, c.in_node.outs),
             *versions = at(node, c.in_node.versions);
    if (!(PyTuple_Check(inputs) || PyList_Check(inputs)) || !(PyTuple_Check(outs) || outs == Py_None)) return false;
    for (Py_ssize_t k = 0; outs != Py_None && k < PyTuple_GET_SIZE(outs); ++k) {
      PyObject* out = PyTuple_GET_ITEM(outs, k);  // of a tensor that is no float: a new one has version 0
      if (is_tensor(out) && number(at(out, c.version))) return false;
    }
    for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(inputs); ++k) {
      PyObject* t = PySequence_Fast_GET_ITEM(inputs, k);
      if (is_edge(t)) continue;
      if (!is_tensor(t)) return false;
      PyObject* version = versions == Py_None ? versions : PySequence_Fast_GET_ITEM(versions, k);
      if (version == Py_None) continue;
      PyObject* base = at(t, c.base);
      PyObject* now = at(base == Py_None ? t : base, c.version);
      if (now != version && number(now) != number(version)) return false;
    }
    return true;
  }

  // All nodes below `root`, each before those that it depends on.
  bool order(PyObject* root) {
    if (!find(root)) return false;
    for (size_t i = 0; i < nodes.size(); ++i) {
      PyObject* node = nodes[i].second;
      if (!saved(node)) return false;
      PyObject* inputs = at(node, c.in_node.inputs);
      for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(inputs); ++k) {
        PyObject* below = node_of(PySequence_Fast_GET_ITEM(inputs, k));
        if (below != Py_None && !find(below)) return false;
      }
    }
    std::sort(nodes.begin(), nodes.end(), std::greater<>());
    for (size_t i = 0; i < nodes.size(); ++i) place[nodes[i].second] = static_cast<int64_t>(i);
    return true;
  }

  // `needed`: whether the input required a gradient when it was recorded.
  // A leaf's index is the number of the tape at which `.data` gave it another shape.
  bool read_input(PyObject* t, bool needed, int64_t node_number) {
    PyObject* below = node_of(t);
    const bool edge = is_edge(t), wants = at(t, edge ? c.in_edge.requires_grad : c.requires_grad) == Py_True;
    if (below != Py_None) {
      write(edge ? -4 - place[below] : place[below]);
      write(number(at(t, edge ? c.in_edge.index : c.index)));
      if (!edge) arrays.append(py::handle(at(t, c.data)));
      return true;
    }
    if (wants && !needed) return false;
    write(edge ? -1 : wants ? -2 : -3);
    if (edge) return write_edge(t);
    if (wants) {
      if (number(at(t, c.index)) > node_number) return false;
      const auto [found, fresh] = place.try_emplace(t, static_cast<int64_t>(leaves.size()));
      if (fresh) leaves.append(py::handle(t));
      write(found->second);
    }
    arrays.append(py::handle(at(t, c.data)));
    return write_array(at(t, c.data));
  }

  bool read_node(PyObject* node) {
    PyObject *call = at(node, c.in_node.call), *inputs = at(node, c.in_node.inputs), *outs = at(node, c.in_node.outs);
    if (Py_TYPE(call) != c.call_type) return false;  // a compiled forward pass: its backward pass is a plan already
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(inputs);
    write(number(at(call, c.id)));
    write(n);
    const uint64_t needs = PyLong_AsUnsignedLongLongMask(at(node, c.in_node.needs));
    const int64_t node_number = number(at(node, c.in_node.number));
    for (Py_ssize_t k = 0; k < n; ++k)
      if (!read_input(PySequence_Fast_GET_ITEM(inputs, k), k > 63 || needs >> k & 1, node_number)) return false;
    for (Py_ssize_t k = 0; outs != Py_None && k < PyTuple_GET_SIZE(outs); ++k) {
      PyObject* out = PyTuple_GET_ITEM(outs, k);
      if (out != Py_None) arrays.append(py::handle(is_tensor(out) ? at(out, c.data) : out));
    }
    return true;
  }
};

}  // namespace

PyObject* read_tape(PyObject*, PyObject* const* args, Py_ssize_t n) try {
  if (n != 2 || !c.tensor || !PyObject_TypeCheck(args[0], c.tensor)) {
    PyErr_SetString(PyExc_TypeError, "read_tape(root, seed)");
    return nullptr;
  }
  PyObject *root = args[0], *seed = args[1];
  if (at(root, c.node) == Py_None) Py_RETURN_NONE;
  Reader r;
  if (!r.order(at(root, c.node))) Py_RETURN_NONE;
  r.write(seed == Py_None);
  r.write(number(at(root, c.index)));
  if (seed != Py_None) r.arrays.append(py::handle(seed));
  for (const auto& [_, node] : r.nodes) {
    if (!r.read_node(node)) Py_RETURN_NONE;
    r.listed.append(py::handle(node));
  }
  return py::make_tuple(r.listed, py::bytes(r.key), r.arrays, r.leaves).release().ptr();
} catch (py::error_already_set& e) {
  e.restore();
  return nullptr;
} catch (const std::bad_alloc&) { return PyErr_NoMemory(); }

PyObject* give_gradients(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (n != 3 || !PyList_Check(args[0]) || !PyList_Check(args[1]) || !PyTuple_Check(args[2])) {
    PyErr_SetString(PyExc_TypeError, "give_gradients(leaves, positions, arrays)");
    return nullptr;
  }
  const Py_ssize_t count = PyTuple_GET_SIZE(args[2]);
  if (count > kMostTensors || PyList_GET_SIZE(args[1]) != count) Py_RETURN_FALSE;
  PyObject *leaf[kMostTensors], **array = &PyTuple_GET_ITEM(args[2], 0);
  for (Py_ssize_t k = 0; k < count; ++k) {
    const int64_t place = number(PyList_GET_ITEM(args[1], k));
    if (place < 0 || place >= PyList_GET_SIZE(args[0])) Py_RETURN_FALSE;
    leaf[k] = PyList_GET_ITEM(args[0], place);
    if (!PyObject_TypeCheck(leaf[k], c.tensor) || at(leaf[k], c.grad) != Py_None || !PyArray_CheckExact(array[k]))
      Py_RETURN_FALSE;
    PyArrayObject* a = reinterpret_cast<PyArrayObject*>(array[k]);
    const PyObject* base = PyArray_BASE(a);
    if (!PyArray_ISWRITEABLE(a) || (base && PyArray_Check(base))) Py_RETURN_FALSE;
    for (Py_ssize_t j = 0; j < k; ++j)
      if (array[j] == array[k]) Py_RETURN_FALSE;
  }
  for (Py_ssize_t k = 0; k < count; ++k) {
    PyObject* grad = new_tensor(Py_NewRef(array[k]));
    if (!grad) return nullptr;
    Py_SETREF(at(leaf[k], c.grad), grad);
  }
  Py_RETURN_TRUE;
}

PyObject* release_nodes(PyObject*, PyObject* nodes) {
  if (!PyList_Check(nodes)) return PyErr_Format(PyExc_TypeError, "release_nodes(nodes)");
  for (Py_ssize_t k = 0; k < PyList_GET_SIZE(nodes); ++k) {
    PyObject* node = PyList_GET_ITEM(nodes, k);
    for (const Py_ssize_t held : {c.in_node.inputs, c.in_node.outs})
      if (at(node, held)) Py_SETREF(at(node, held), Py_NewRef(Py_None));
  }
  Py_RETURN_NONE;
}

}  // namespace rv
