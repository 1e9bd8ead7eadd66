// SPDX-License-Identifier: Apache-2.0
// The fast path of Call.apply (ops/dispatch.py), for calls whose signature is known.
#pragma once
#include <pybind11/pybind11.h>

namespace rv {

// call.apply(inputs): what Python's method does where all inputs are tensors, nothing is traced and the signature is
// known; everything else is handed to that.
extern PyMethodDef apply_def;

}  // namespace rv
