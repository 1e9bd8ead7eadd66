// SPDX-License-Identifier: Apache-2.0
// Plan.run, Plan.timings and Plan.loop: between Python's arrays and a plan's slots.
#pragma once
#include <pybind11/pybind11.h>

#include "python/arrays.h"
#include "core/plan.h"

namespace rv {

// The C++ side of an object whose class is final and held by a single pointer (pybind11's simple layout); nullptr
// without __init__.
template <class T> T* held_by(PyObject* self) {
  const auto* instance = reinterpret_cast<pybind11::detail::instance*>(self);
  return instance->simple_holder_constructed ? static_cast<T*>(instance->simple_value_holder[0]) : nullptr;
}

// A plan as Python has it.
struct PlanObject : Plan {
  using Plan::Plan;

  // Tensors, with their versions at the last run. Emptied by moving it out: what its end runs may come back here.
  std::vector<std::pair<pybind11::object, pybind11::object>> watched;
  bool outdated();  // whether one of them has changed since
};

// From now on the run after a change of one of these tensors makes what is kept anew; writes through NumPy do not
// count.
void plan_watch(PlanObject& plan, pybind11::sequence tensors);
void plan_renew(PlanObject& plan);

PyObject* plan_run(PyObject* self, PyObject* const* args, Py_ssize_t n);

// Runs the plan `repeats` times with a clock around each instruction: (label, kernel, median nanoseconds) of each.
pybind11::list plan_timings(PlanObject& plan, int repeats, pybind11::args arrays);

int64_t plan_loop(PlanObject& plan, pybind11::sequence data, pybind11::object index, int64_t batch, int64_t begin,
                  int64_t end, pybind11::object totals, int64_t every);

}  // namespace rv
