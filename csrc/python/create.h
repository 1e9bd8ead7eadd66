// SPDX-License-Identifier: Apache-2.0
// Small arrays from a shape and a number.
#pragma once
#include "python/arrays.h"

namespace rv {

// filled(size, dtype, number): a fresh array whose elements are `number`, or unset where that is None. `size` is a
// tuple of sizes, or one that holds nothing but such a tuple. None where Python has to look: sizes that are no plain
// integers, numbers that the dtype does not hold, arrays that are not small (core/memory.py lays those out).
PyObject* filled(PyObject* module, PyObject* const* args, Py_ssize_t n);

}  // namespace rv
