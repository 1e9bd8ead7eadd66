// SPDX-License-Identifier: Apache-2.0
// Plan.run, Plan.timings and Plan.loop: between Python's arrays and a plan's slots.
#pragma once
#include <pybind11/pybind11.h>

#include "arrays.h"
#include "plan.h"

namespace rv {

// From now on runs make what is fixed anew once one of these tensors has been changed; writes through NumPy do not count.
void plan_watch(Plan& plan, pybind11::sequence tensors);
void plan_renew(Plan& plan);

PyObject* plan_run(PyObject* self, PyObject* const* args, Py_ssize_t n);

// Runs the plan `repeats` times with a clock around each instruction: (label, kernel, median nanoseconds) of each.
pybind11::list plan_timings(Plan& plan, int repeats, pybind11::args arrays);

int64_t plan_loop(Plan& plan, pybind11::sequence data, pybind11::object index, int64_t batch, int64_t begin, int64_t end,
                  pybind11::object totals, int64_t every);

}  // namespace rv
