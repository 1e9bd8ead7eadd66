// SPDX-License-Identifier: Apache-2.0
// Eager calls: one instruction, or one view, remembered by call and by its arrays' dtypes, shapes and strides.
#pragma once
#include "python/arrays.h"
#include "core/plan.h"

namespace rv {

inline constexpr int kEagerArrays = 64;  // that one call takes, and gives

// One result: a fresh array, or (alias >= 0) the alias-th argument, which the kernel updates in place.
struct EagerOut {
  int code = 0;
  std::vector<npy_intp> shape;
  int alias = -1;
};

// eager(call_id, *arrays): the result, or None where the signature is not known or an array must be copied first.
PyObject* eager(PyObject* module, PyObject* const* args, Py_ssize_t n);

// Adds the signature of `arrays`, runs it, and returns what eager() would: of several outputs or `listed` ones a tuple.
// Throws std::invalid_argument.
PyObject* eager_add(int64_t call_id, const std::vector<PyArrayObject*>& arrays, InstructionSpec spec,
                    std::vector<EagerOut> outs, bool listed);

// eager_view((call_id, array)): the view that the call makes of the array, or None where it is not known how it lies
// there.
PyObject* eager_view(PyObject* const* args);

// Makes that known: `out` is what the call makes of `array`. Of copies nothing is remembered.
void eager_add_view(int64_t call_id, PyArrayObject* array, PyArrayObject* out);

void set_eager_parallel(bool on);
size_t eager_entries();

// Sets the Python exception of the C++ exception in flight.
void set_python_error();

}  // namespace rv
