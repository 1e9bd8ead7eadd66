// SPDX-License-Identifier: Apache-2.0
// The fast path of Call.apply (ops/dispatch.py), for calls whose signature is known.
#pragma once
#include <pybind11/pybind11.h>

namespace rv {

// call.apply(inputs): what Python's method does where the inputs are tensors, arrays and numbers, nothing is traced and
// the signature is known; everything else is handed to that.
PyObject* apply(PyObject* call, PyObject* inputs);
extern PyMethodDef apply_def;

// Forgets which dtype numbers get beside arrays: the default dtype has changed.
void forget_numbers();

}  // namespace rv
