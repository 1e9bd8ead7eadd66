// SPDX-License-Identifier: Apache-2.0
// The outer layer of public functions, which costs nothing until a call fails.
#pragma once
#include <pybind11/pybind11.h>

namespace rv {

// The type Public(function, explain): calls `function`; where that raises TypeError or AttributeError, the result is
// explain(function, args, kwargs, error), and the error stands if that is NotImplemented. See ranvier/ops/public.py.
PyObject* new_public_type();

}  // namespace rv
