// SPDX-License-Identifier: Apache-2.0
// The outer layer of public functions, which costs nothing until a call fails.
#pragma once
#include <pybind11/pybind11.h>

namespace rv {

// The type Public(function, explain, spellings={}, remembers=False, alike=False): calls `function`, keywords renamed by
// `spellings`; where that raises TypeError or AttributeError, the result is explain(function, args, kwargs, error), and
// the error stands if that is NotImplemented. remembers: what the function does is decided by shapes, dtypes and plain
// values, see memo.h. alike: arrays and no tensors give arrays. See ranvier/ops/public.py.
PyObject* new_public_type();

}  // namespace rv
