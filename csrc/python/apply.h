// SPDX-License-Identifier: Apache-2.0
// The quick way through ranvier.ops.apply, for calls whose signature is known.
#pragma once
#include <pybind11/pybind11.h>

namespace rv {

// apply(call, inputs): what Python's apply does where all inputs are tensors, nothing is traced and the signature
// is known; everything else is handed to it.
PyObject* apply(PyObject* module, PyObject* const* args, Py_ssize_t n);

}  // namespace rv
