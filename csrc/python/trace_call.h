// SPDX-License-Identifier: Apache-2.0
// The quick way through a compiled function: tensors of the traced shapes, nothing changed since the last look.
#pragma once
#include <pybind11/pybind11.h>

#include <vector>

#include "python/arrays.h"

namespace rv {

// A place in Python and what it held when the trace was made (Entry in compiling/watch.py).
struct WatchedPlace {
  pybind11::object holder, key, value, items;
  bool holds() const;  // the very same objects: what is equal is for Python to find out
};

// One trace, ready to be called. What Python's CompiledFunction would check and do.
struct TraceCall {
  // guards: compiling/guards.py; grads: (tensor, its .grad after a run); has_result: one output, or none;
  // updated: tensors whose memory a run changes, which all get the next of the versions
  TraceCall(pybind11::object plan, pybind11::sequence arrays, bool grad_enabled, pybind11::object guards,
            pybind11::sequence grads, bool has_result, pybind11::sequence updated, pybind11::iterator versions);

  void read_places();  // from the guards

  pybind11::object plan, guards;
  std::vector<WatchedPlace> places;
  pybind11::object epoch;       // Epoch.value when the guards were last found to hold
  std::vector<View> arguments;  // shapes and dtypes
  bool grad_enabled, has_result;
  std::vector<std::pair<pybind11::object, pybind11::object>> entry_grads, grads;  // before a run, after it
  std::vector<pybind11::object> updated;
  pybind11::iterator versions;
};

// run(*tensors) of a TraceCall: the result, or NotImplemented.
PyObject* trace_call(PyObject* self, PyObject* const* args, Py_ssize_t n);

}  // namespace rv
