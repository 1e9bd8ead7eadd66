// SPDX-License-Identifier: Apache-2.0
#include "python/plan_call.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "python/eager.h"
#include "python/tensors.h"

namespace py = pybind11;

namespace rv {
namespace {

// Locks the plan; where another thread runs it, waits without the GIL.
std::unique_lock<std::mutex> lock_plan(Plan& plan) {
  std::unique_lock lock(plan.mutex(), std::try_to_lock);
  if (!lock.owns_lock()) {
    Py_BEGIN_ALLOW_THREADS lock.lock();
    Py_END_ALLOW_THREADS
  }
  return lock;
}

// Arguments that had to be copied first; they live until the run is over.
struct Copies {
  std::vector<PyObject*> list;
  ~Copies() {
    for (PyObject* copy : list) Py_DECREF(copy);
  }
};

// `go` runs the plan once its slots are bound.
template <class Go> PyObject* run(PlanObject& plan, PyObject* const* given, Py_ssize_t n, Go&& go) {
  const std::vector<int>&inputs = plan.inputs(), &outputs = plan.outputs();
  if (n != static_cast<Py_ssize_t>(inputs.size())) {
    PyErr_Format(PyExc_TypeError, "Plan.run takes %zu arrays, not %zd", inputs.size(), n);
    return nullptr;
  }
  Copies copies;
  PyObject* const* args = given;
  for (Py_ssize_t k = 0; k < n; ++k) {
    if (!PyArray_Check(args[k])) {
      PyErr_Format(PyExc_TypeError, "Plan.run: argument %zd must be an ndarray, not %s", k, Py_TYPE(args[k])->tp_name);
      return nullptr;
    }
    PyArrayObject* a = reinterpret_cast<PyArrayObject*>(args[k]);
    if (PyArray_NBYTES(a) != plan.slots()[inputs[k]].nbytes) {
      PyErr_Format(PyExc_ValueError, "Plan.run: argument %zd must be an array of %lld bytes, not %lld", k,
                   static_cast<long long>(plan.slots()[inputs[k]].nbytes), static_cast<long long>(PyArray_NBYTES(a)));
      return nullptr;
    }
    if (PyArray_IS_C_CONTIGUOUS(a) && PyArray_ISALIGNED(a) && PyArray_ISNOTSWAPPED(a)) [[likely]] {
      if (plan.changes(PyArray_DATA(a), PyArray_NBYTES(a))) {
        PyErr_Format(PyExc_ValueError,
                     "argument %zd shares memory with a tensor that the compiled function changes; pass a copy of it",
                     k);
        return nullptr;
      }
      continue;
    }
    PyArray_Descr* native = PyArray_DescrFromType(PyArray_TYPE(a));  // in the machine's byte order; FromArray takes it
    PyObject* copy = PyArray_FromArray(a, native, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED);
    if (!copy) return nullptr;
    if (copies.list.empty()) {
      for (Py_ssize_t i = 0; i < n; ++i) Py_INCREF(given[i]);
      copies.list.assign(given, given + n);
      args = copies.list.data();
    }
    Py_DECREF(copies.list[k]);
    copies.list[k] = copy;
  }
  PyObject* result = PyTuple_New(static_cast<Py_ssize_t>(outputs.size()));
  if (!result) return nullptr;
  for (size_t k = 0; k < outputs.size(); ++k) {
    const Slot& slot = plan.slots()[outputs[k]];
    PyObject* array =
        new_array(static_cast<int>(slot.dtype), static_cast<int>(slot.shape.size()), slot.shape.data(), slot.nbytes);
    if (!array) {
      Py_DECREF(result);
      return nullptr;
    }
    PyTuple_SET_ITEM(result, static_cast<Py_ssize_t>(k), array);
  }
  try {
    const auto lock = lock_plan(plan);
    if (plan.outdated()) plan.renew();
    for (Py_ssize_t k = 0; k < n; ++k) plan.bind(inputs[k], PyArray_DATA(reinterpret_cast<PyArrayObject*>(args[k])));
    for (size_t k = 0; k < outputs.size(); ++k)
      plan.bind(outputs[k],
                PyArray_DATA(reinterpret_cast<PyArrayObject*>(PyTuple_GET_ITEM(result, static_cast<Py_ssize_t>(k)))));
    if (plan.long_run()) {
      py::gil_scoped_release release;
      go();
    } else {
      go();
    }
  } catch (...) {
    Py_DECREF(result);
    throw;
  }
  return result;
}

}  // namespace

PyObject* plan_run(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const plan = held_by<PlanObject>(self);
  if (!plan) {
    PyErr_SetString(PyExc_TypeError, "Plan.__init__ has not been called");
    return nullptr;
  }
  try {
    return run(*plan, args, n, [plan] { plan->run(); });
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

void plan_renew(PlanObject& plan) {
  const auto lock = lock_plan(plan);
  plan.renew();
}

void plan_watch(PlanObject& plan, py::sequence tensors) {
  const py::handle type(reinterpret_cast<PyObject*>(connection.tensor));
  decltype(plan.watched) list;
  for (py::handle t : tensors) {
    if (!type || !py::isinstance(t, type)) throw py::type_error("Plan.watch: tensors");
    list.emplace_back(py::reinterpret_borrow<py::object>(t), py::none());
  }
  plan.watched.swap(list);
}

bool PlanObject::outdated() {
  bool changed = false;
  for (auto& [tensor, version] : watched)
    if (PyObject* now = at(tensor.ptr(), connection.version); now != version.ptr()) {
      changed = true;
      version = py::reinterpret_borrow<py::object>(now);
    }
  return changed;
}

py::list plan_timings(PlanObject& plan, int repeats, py::args arrays) {
  if (repeats < 1) throw py::value_error("Plan.timings: repeats=" + std::to_string(repeats) + " must be at least 1");
  const std::vector<InstructionSpec>& list = plan.instructions();
  const size_t n = list.size();
  std::vector<double> times(n * static_cast<size_t>(repeats));
  PyObject* result = run(plan, &PyTuple_GET_ITEM(arrays.ptr(), 0), PyTuple_GET_SIZE(arrays.ptr()), [&] {
    for (int r = 0; r < repeats; ++r) plan.run(nullptr, times.data() + n * static_cast<size_t>(r));
  });
  if (!result) throw py::error_already_set();
  Py_DECREF(result);
  py::list rows;
  std::vector<double> one(static_cast<size_t>(repeats));
  for (size_t i = 0; i < n; ++i) {
    for (size_t r = 0; r < one.size(); ++r) one[r] = times[n * r + i];
    const auto median = one.begin() + static_cast<std::ptrdiff_t>(one.size() / 2);
    std::nth_element(one.begin(), median, one.end());
    rows.append(py::make_tuple(list[i].label, list[i].name, *median));
  }
  return rows;
}

// ---------------------------------------------------------------- epochs

namespace {

struct Source {  // one array of the data set
  const std::byte* data;
  int64_t row_bytes, rows;
  Buffer staging;  // a gathered batch
};

struct Gather {
  std::vector<Source>* sources;
  const int64_t* index;  // of this batch
  int64_t batch;
};

constexpr int64_t kGatherChunk = 32 << 10;  // bytes that a thread copies at a time

void gather(void* p, Team& team) {
  const Gather& g = *static_cast<Gather*>(p);
  for (Source& s : *g.sources) {
    const int64_t rows = std::max<int64_t>(1, kGatherChunk / std::max<int64_t>(1, s.row_bytes));
    team.each((g.batch + rows - 1) / rows, [&](int64_t chunk) {
      for (int64_t r = chunk * rows; r < std::min(g.batch, (chunk + 1) * rows); ++r)
        std::memcpy(s.staging.get() + r * s.row_bytes, s.data + g.index[r] * s.row_bytes,
                    static_cast<size_t>(s.row_bytes));
    });
  }
}

PyArrayObject* need_array(py::handle h, int code, const char* what, bool writable = false) {
  PyArrayObject* a = reinterpret_cast<PyArrayObject*>(h.ptr());
  if (!PyArray_Check(h.ptr()) || dtype_code(a) != code || !PyArray_IS_C_CONTIGUOUS(a) || !PyArray_ISALIGNED(a) ||
      !PyArray_ISNOTSWAPPED(a) || (writable && !PyArray_ISWRITEABLE(a)))
    throw py::value_error(std::string("Plan.loop: ") + what + " must be a C-contiguous " +
                          (writable ? "writable " : "") + kDTypeName[code] + " array");
  return a;
}

double read_scalar(const std::byte* p, DType t) {
  return with_type(t, [p](auto v) {
    std::memcpy(&v, p, sizeof v);
    return static_cast<double>(v);
  });
}

}  // namespace

int64_t plan_loop(PlanObject& plan, py::sequence data, py::object index, int64_t batch, int64_t begin, int64_t end,
                  py::object totals, int64_t every) {
  auto refuse = [](const std::string& rule) { throw py::value_error("Plan.loop: " + rule); };
  const std::vector<int>&inputs = plan.inputs(), &outputs = plan.outputs();
  if (data.size() != inputs.size())
    refuse("data has " + std::to_string(data.size()) + " arrays, but the plan " + std::to_string(inputs.size()) +
           " inputs");
  PyArrayObject* idx = need_array(index, 3, "index");
  PyArrayObject* sums = need_array(totals, 1, "totals", true);
  if (batch < 1 || begin < 0 || begin > end) refuse("batch must be at least 1, and 0 <= begin <= end");
  if (batch > PyArray_SIZE(idx) || end > PyArray_SIZE(idx) / batch)
    refuse("index has " + std::to_string(PyArray_SIZE(idx)) + " entries, but " + std::to_string(end) + " steps of " +
           std::to_string(batch) + " need " + std::to_string(end) + " * " + std::to_string(batch));
  if (every < 0) refuse("every must not be negative");
  const int64_t width = static_cast<int64_t>(outputs.size()), lines = every && end ? (end - 1) / every + 1 : 1;
  if (PyArray_SIZE(sums) != lines * width)
    refuse("totals has " + std::to_string(PyArray_SIZE(sums)) + " entries, but must have " + std::to_string(lines) +
           " * " + std::to_string(width) + ", one for each output of the plan");

  std::vector<Source> sources;
  std::vector<py::object> keep;
  int64_t rows = INT64_MAX, batch_bytes = 0;
  for (size_t k = 0; k < inputs.size(); ++k) {
    keep.push_back(data[k]);
    PyArrayObject* a = reinterpret_cast<PyArrayObject*>(keep.back().ptr());
    const std::string name = "data[" + std::to_string(k) + "]";
    if (!PyArray_Check(keep.back().ptr()) || !PyArray_IS_C_CONTIGUOUS(a) || !PyArray_ISALIGNED(a) ||
        !PyArray_ISNOTSWAPPED(a) || PyArray_NDIM(a) < 1 || dtype_code(a) < 0)
      refuse(name + " must be a C-contiguous array of a supported dtype with at least one axis");
    const int expected = plan.input_dtype(static_cast<int>(k));
    if (expected >= 0 && expected != dtype_code(a)) refuse(name + " has another dtype than the plan's input");
    Source s;
    s.data = static_cast<const std::byte*>(PyArray_DATA(a));
    s.rows = PyArray_DIM(a, 0);
    s.row_bytes = s.rows ? PyArray_NBYTES(a) / s.rows : 0;
    const int64_t need = plan.slots()[inputs[k]].nbytes;
    if (s.row_bytes * batch != need)
      refuse(name + " has rows of " + std::to_string(s.row_bytes) + " bytes; " + std::to_string(batch) +
             " of them must fill the input's " + std::to_string(need));
    rows = std::min(rows, s.rows);
    batch_bytes += need;
    s.staging = make_buffer(static_cast<size_t>(need));
    sources.push_back(std::move(s));
  }
  const int64_t* order = static_cast<const int64_t*>(PyArray_DATA(idx));
  for (int64_t i = begin * batch; i < end * batch; ++i)
    if (order[i] < 0 || order[i] >= rows)
      throw py::index_error("Plan.loop: index[" + std::to_string(i) + "]=" + std::to_string(order[i]) +
                            " must be in [0, " + std::to_string(rows) + ")");

  std::vector<Buffer> results;
  for (int slot : outputs) {
    if (plan.slots()[slot].nbytes != item_size(plan.slots()[slot].dtype))
      refuse("each output of the plan must be a single number");
    results.push_back(make_buffer(64));
  }

  auto lock = lock_plan(plan);
  plan.renew();
  double* sum = static_cast<double*>(PyArray_DATA(sums));
  const double gather_cost = static_cast<double>(batch_bytes) * 0.1;  // rows from memory, about 10 GB/s
  py::gil_scoped_release release;
  const auto bind = [&] {
    for (size_t k = 0; k < outputs.size(); ++k) plan.bind(outputs[k], results[k].get());
    for (size_t k = 0; k < inputs.size(); ++k) plan.bind(inputs[k], sources[k].staging.get());
  };
  bind();
  auto checked = std::chrono::steady_clock::now();
  for (int64_t step = begin; step < end; ++step) {
    Gather g{&sources, order + step * batch, batch};
    const Executor::Prologue first{gather, &g, gather_cost};
    plan.run(&first);
    double* line = sum + (every ? step / every * width : 0);
    for (size_t k = 0; k < outputs.size(); ++k)
      line[k] += read_scalar(results[k].get(), plan.slots()[outputs[k]].dtype);
    if (!plan.long_run() && step % 64 != 63) continue;  // reading the clock takes as long as a small instruction
    const auto now = std::chrono::steady_clock::now();
    if (now - checked > std::chrono::milliseconds(50)) {
      // Handlers of signals: Ctrl-C raises; another one may run this very plan, so that it must not be held meanwhile.
      lock.unlock();
      py::gil_scoped_acquire acquire;
      if (PyErr_CheckSignals() < 0) throw py::error_already_set();
      lock = lock_plan(plan);
      bind();
      checked = now;
    }
  }
  return end - begin;
}

}  // namespace rv
