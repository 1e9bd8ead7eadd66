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

}  // namespace rv
