// SPDX-License-Identifier: Apache-2.0
// The quick way through ranvier.ops.apply, for calls whose signature is known.
#pragma once
#include <pybind11/pybind11.h>

namespace rv {

// Names the Python objects that apply() works with: types, the counter of tape.py, the thread's context, and apply and
// record of ops/apply.py.
void connect(pybind11::type tensor, pybind11::type call, pybind11::type node, pybind11::type edge,
             pybind11::object next_number, pybind11::object context, pybind11::object apply, pybind11::object record);

// apply(call, inputs): what Python's apply does where all inputs are tensors, nothing is traced and the signature
// is known; everything else is handed to it.
PyObject* apply(PyObject* module, PyObject* const* args, Py_ssize_t n);

}  // namespace rv
