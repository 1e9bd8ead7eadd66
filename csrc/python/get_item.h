// SPDX-License-Identifier: Apache-2.0
// The fast path of x[...], where a view comes out and nothing is recorded.
#pragma once
#include <pybind11/pybind11.h>

namespace rv {

// tensor[index]: NumPy's own view where `index` is made of integers, slices, None and ..., nothing is traced and no
// gradient is recorded; everything else is handed to Python's method.
extern PyMethodDef get_item_def;

}  // namespace rv
