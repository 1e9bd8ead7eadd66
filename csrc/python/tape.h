// SPDX-License-Identifier: Apache-2.0
// The tape below a tensor, as ranvier.pullback looks it up.
#pragma once
#include <pybind11/pybind11.h>

namespace rv {

// read_tape(root, seed): (nodes, key, arrays, leaves), or None where the pass has to be done step by step.
//   nodes: in descending order of their numbers; key: bytes, the same for tapes of the same structure;
//   arrays: seed, unless it is None, then all that the gradient rules read, node by node; leaves: those that get a
//   gradient.
PyObject* read_tape(PyObject* module, PyObject* const* args, Py_ssize_t n);

// give_gradients(leaves, positions, arrays): array i becomes the .grad of leaf positions[i], if each leaf has none yet
// and the arrays are new, so that nothing else refers to them. False, and nothing done, where that is not so.
PyObject* give_gradients(PyObject* module, PyObject* const* args, Py_ssize_t n);

// release_nodes(nodes): node.release() of each.
PyObject* release_nodes(PyObject* module, PyObject* nodes);

}  // namespace rv
