// SPDX-License-Identifier: Apache-2.0
#include "python/eager.h"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "core/cpu.h"
#include "python/tensors.h"

namespace rv {
namespace {

constexpr int kMaxArrays = kEagerArrays;
constexpr int kMaxKey = 1 + kMaxArrays * (1 + 2 * kMaxDims);
constexpr size_t kMaxEntries = 4096;

struct Entry {
  std::vector<int64_t> key;
  uint64_t hash = 0;
  InstructionSpec spec;     // its attributes and label
  std::vector<View> views;  // inputs, then outputs
  std::vector<EagerOut> outs;
  std::vector<int64_t> out_bytes;
  Instruction ins;
  int64_t shared_bytes = 0;
  bool listed = false;
  int users = 0;  // calls under way; an evicted entry is deleted by its last user
  bool evicted = false;
};

std::atomic<bool> eager_parallel{true};

// Open addressing; guarded by the GIL.
class Cache {
 public:
  Entry* find(const int64_t* key, int length, uint64_t hash) const {
    for (size_t i = hash & kMask;; i = (i + 1) & kMask) {
      Entry* e = slots_[i];
      if (!e) return nullptr;
      if (e->hash == hash && static_cast<int>(e->key.size()) == length &&
          std::memcmp(e->key.data(), key, length * sizeof(int64_t)) == 0)
        return e;
    }
  }
  void add(Entry* e) {
    if (count_ >= kMaxEntries) clear();
    size_t i = e->hash & kMask;
    while (slots_[i]) i = (i + 1) & kMask;
    slots_[i] = e;
    ++count_;
  }
  size_t size() const { return count_; }

 private:
  void clear() {
    for (Entry*& e : slots_) {
      if (e && e->users == 0) delete e;
      else if (e) e->evicted = true;
      e = nullptr;
    }
    count_ = 0;
  }
  static constexpr size_t kMask = 4 * kMaxEntries - 1;
  Entry* slots_[kMask + 1] = {};
  size_t count_ = 0;
};
Cache& cache() {
  static Cache* c = new Cache;
  return *c;
}

struct Use {
  Entry* e;
  explicit Use(Entry* entry) : e(entry) { ++e->users; }
  ~Use() {
    if (--e->users == 0 && e->evicted) delete e;
  }
};

struct Key {
  int64_t word[kMaxKey];
  int length = 0;
  uint64_t hash = 0;

  // False where an array cannot be read in place.
  bool build(int64_t call_id, PyObject* const* arrays, Py_ssize_t n, bool of_view = false) {
    if (n > kMaxArrays) return false;
    word[0] = call_id;
    length = 1;
    for (Py_ssize_t k = 0; k < n; ++k) {
      if (!PyArray_Check(arrays[k])) return false;
      PyArrayObject* a = reinterpret_cast<PyArrayObject*>(arrays[k]);
      const int code = dtype_code(a), ndim = PyArray_NDIM(a);
      if (code < 0 || ndim > kMaxDims || !PyArray_ISALIGNED(a) || !PyArray_ISNOTSWAPPED(a)) return false;
      word[length++] = code << 8 | ndim | (of_view && PyArray_ISWRITEABLE(a)) << 16;  // so is the view
      const npy_intp *shape = PyArray_DIMS(a), *strides = PyArray_STRIDES(a);
      for (int d = 0; d < ndim; ++d) {
        word[length++] = shape[d];
        word[length++] = strides[d];
      }
    }
    uint64_t h = 0;
    for (int i = 0; i < length; ++i) {
      h = (h ^ static_cast<uint64_t>(word[i])) * 0x9E3779B97F4A7C15u;
      h ^= h >> 29;
    }
    hash = h;
    return true;
  }
};

// Where the view that a call makes lies in its array. There are ever new slices: they have places of their own, where a
// newer one takes that of an older.
struct Lying {
  std::vector<int64_t> key;
  uint64_t hash = 0;
  npy_intp offset = 0;
  int ndim = 0;
  npy_intp shape[kMaxDims], strides[kMaxDims];  // in bytes, as the offset
  bool writeable = false;
};
constexpr size_t kViews = 4096;
Lying& view_place(uint64_t hash) {
  static Lying* places = new Lying[kViews];
  return places[hash % kViews];
}

TeamState gil_state;  // of short runs, which hold the GIL

PyObject* run_entry(Entry& e, PyObject* const* arrays) {
  Use use(&e);
  const int n_in = e.ins.args.n_in, n_out = static_cast<int>(e.outs.size());
  PyObject* made[kMaxArrays];
  auto drop = [&](int count) {
    for (int k = 0; k < count; ++k) Py_DECREF(made[k]);
    return nullptr;
  };
  for (int k = 0; k < n_out; ++k) {
    const EagerOut& out = e.outs[k];
    if (out.alias >= 0) {
      made[k] = arrays[out.alias];
      Py_INCREF(made[k]);
      if (!PyArray_ISWRITEABLE(reinterpret_cast<PyArrayObject*>(made[k]))) {
        PyErr_Format(PyExc_ValueError, "%s: argument %d is updated in place, but is read-only", e.spec.label.c_str(),
                     out.alias);
        return drop(k + 1);
      }
    } else {
      made[k] = new_array(out.code, static_cast<int>(out.shape.size()), out.shape.data(), e.out_bytes[k]);
      if (!made[k]) return drop(k);
    }
  }

  bool ok;
  FaultReport report;
  auto point = [&](View* views) {
    for (int k = 0; k < n_in; ++k) views[k].data = PyArray_DATA(reinterpret_cast<PyArrayObject*>(arrays[k]));
    for (int k = 0; k < n_out; ++k) views[n_in + k].data = PyArray_DATA(reinterpret_cast<PyArrayObject*>(made[k]));
  };
  if (e.ins.cost <= kSerialNanoseconds) {  // holds the GIL: nobody else uses the entry meanwhile
    point(e.views.data());
    try {
      const Scratch shared(e.shared_bytes);
      e.ins.args.shared = shared;
      FlushDenormals flush;
      const bool shared_out = e.ins.cost > kTeamNanoseconds && eager_parallel.load(std::memory_order_relaxed);
      parallel(shared_out ? e.ins.cost : 0, [&](const Region& region) {
        Team team = region.team(gil_state, e.ins.cost);
        e.ins.kernel->run(e.ins.args, team);
      });
    } catch (...) {  // no memory
      gil_state.failed.store(false);
      drop(n_out);
      throw;
    }
    ok = !gil_state.failed.load(std::memory_order_relaxed);
    if (!ok) [[unlikely]] {
      report = gil_state.report;
      gil_state.failed.store(false);
    }
  } else {
    std::vector<View> views = e.views;
    point(views.data());
    Instruction ins = e.ins;
    ins.args.in = views.data();
    ins.args.out = views.data() + n_in;
    ins.parallel = true;
    TeamState state;
    try {
      pybind11::gil_scoped_release release;
      const Scratch shared(e.shared_bytes);
      ins.args.shared = shared;
      ok = Executor::run(&ins, 1, eager_parallel.load(std::memory_order_relaxed) ? ins.cost : 0, state) < 0;
    } catch (...) {  // no memory
      drop(n_out);
      throw;
    }
    report = state.report;
  }
  if (!ok) [[unlikely]] {
    drop(n_out);
    throw_fault(report, e.spec.label);
  }
  if (n_out == 1 && !e.listed) return made[0];
  PyObject* result = PyTuple_New(n_out);
  if (!result) return drop(n_out);
  for (int k = 0; k < n_out; ++k) PyTuple_SET_ITEM(result, k, made[k]);
  return result;
}

}  // namespace

PyObject* eager(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (n < 1) {
    PyErr_SetString(PyExc_TypeError, "eager(call_id, *arrays) needs a call id");
    return nullptr;
  }
  const int64_t id = PyLong_AsLongLong(args[0]);
  if (id == -1 && PyErr_Occurred()) return nullptr;
  Key key;
  Entry* e = key.build(id, args + 1, n - 1) ? cache().find(key.word, key.length, key.hash) : nullptr;
  if (!e) Py_RETURN_NONE;
  try {
    return run_entry(*e, args + 1);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

PyObject* eager_add(int64_t call_id, const std::vector<PyArrayObject*>& arrays, InstructionSpec spec,
                    std::vector<EagerOut> outs, bool listed) {
  auto e = std::make_unique<Entry>();
  e->listed = listed;
  const std::string label = spec.label;
  auto refuse = [&](const std::string& rule) { throw std::invalid_argument(label + ": " + rule); };
  PyObject* const* objects = reinterpret_cast<PyObject* const*>(arrays.data());
  Key key;
  if (arrays.size() > kMaxArrays || outs.size() > kMaxArrays || outs.empty())
    refuse("an eager call takes up to " + std::to_string(kMaxArrays) + " arrays and gives 1 to as many");
  if (!key.build(call_id, objects, static_cast<Py_ssize_t>(arrays.size())))
    refuse("arrays must be aligned, in native byte order, of a supported dtype and have at most 8 axes");
  e->key.assign(key.word, key.word + key.length);
  e->hash = key.hash;
  e->spec = std::move(spec);
  for (size_t k = 0; k < arrays.size(); ++k) {
    View v;
    if (!view_of(arrays[k], v)) refuse("strides of argument " + std::to_string(k) + " must be whole elements");
    e->views.push_back(v);
  }
  for (size_t k = 0; k < outs.size(); ++k) {
    const EagerOut& out = outs[k];
    View v;
    if (out.alias >= 0) {
      if (out.alias >= static_cast<int>(arrays.size()))
        refuse("output " + std::to_string(k) + " updates an argument that does not exist");
      v = e->views[out.alias];
      if (const char* rule = written_view_error(v)) refuse(rule);
    } else {
      if (out.code < 0 || out.code >= kDTypes || out.shape.size() > kMaxDims)
        refuse("output " + std::to_string(k) + " has an unknown dtype or more than 8 axes");
      v.dtype = static_cast<DType>(out.code);
      v.ndim = static_cast<int>(out.shape.size());
      for (int d = 0; d < v.ndim; ++d) v.shape[d] = out.shape[d];
      if (!addressable(v))
        refuse("sizes of output " + std::to_string(k) + " must not be negative, nor fill 2^63 bytes");
      int64_t stride = 1;
      for (int d = v.ndim - 1; d >= 0; --d) {
        v.stride[d] = stride;
        stride *= out.shape[d] > 0 ? out.shape[d] : 1;
      }
    }
    e->out_bytes.push_back(v.size() * item_size(v.dtype));
    e->views.push_back(v);
  }
  e->outs = std::move(outs);

  e->ins.kernel = e->spec.kernel;
  Args& args = e->ins.args;
  args.n_in = static_cast<int>(arrays.size());
  args.n_out = static_cast<int>(e->outs.size());
  args.in = e->views.data();
  args.out = e->views.data() + args.n_in;
  args.attrs = e->spec.attrs.get();
  if (e->ins.kernel->check)
    if (const char* rule = e->ins.kernel->check(args)) refuse(e->spec.name + ": " + rule);
  e->ins.cost = e->ins.kernel->cost ? e->ins.kernel->cost(args) : 0;
  if (e->ins.kernel->shared) e->shared_bytes = e->ins.kernel->shared(args);
  e->ins.prepare();

  Entry* entry = e.get();
  if (Entry* known = cache().find(key.word, key.length, key.hash)) entry = known;
  else cache().add(e.release());
  return run_entry(*entry, objects);
}

PyObject* eager_view(PyObject* const* args) {
  Key key;
  if (!key.build(PyLong_AsLongLong(args[0]), args + 1, 1, true)) Py_RETURN_NONE;
  const Lying& view = view_place(key.hash);
  if (view.hash != key.hash || static_cast<int>(view.key.size()) != key.length ||
      std::memcmp(view.key.data(), key.word, key.length * sizeof(int64_t)) != 0)
    Py_RETURN_NONE;
  PyArrayObject* of = reinterpret_cast<PyArrayObject*>(args[1]);
  PyArray_Descr* dtype = PyArray_DESCR(of);
  Py_INCREF(dtype);
  PyObject* array =
      PyArray_NewFromDescr(&PyArray_Type, dtype, view.ndim, view.shape, view.strides, PyArray_BYTES(of) + view.offset,
                           view.writeable ? NPY_ARRAY_WRITEABLE : 0, nullptr);
  if (!array) return nullptr;
  Py_INCREF(of);
  if (PyArray_SetBaseObject(reinterpret_cast<PyArrayObject*>(array), reinterpret_cast<PyObject*>(of)) < 0)
    Py_CLEAR(array);
  return array;
}

void eager_add_view(int64_t call_id, PyArrayObject* array, PyArrayObject* out) {
  PyObject* object = reinterpret_cast<PyObject*>(array);
  const PyObject* base = PyArray_BASE(out);
  const bool copy = out != array && (!base || (base != object && base != PyArray_BASE(array)));
  Key key;
  if (copy || !PyArray_CheckExact(array) || PyArray_NDIM(out) > kMaxDims || !key.build(call_id, &object, 1, true))
    return;
  Lying& view = view_place(key.hash);
  view.key.assign(key.word, key.word + key.length);
  view.hash = key.hash;
  view.offset = PyArray_BYTES(out) - PyArray_BYTES(array);
  view.ndim = PyArray_NDIM(out);
  std::copy_n(PyArray_DIMS(out), view.ndim, view.shape);
  std::copy_n(PyArray_STRIDES(out), view.ndim, view.strides);
  view.writeable = PyArray_ISWRITEABLE(out);
}

void set_eager_parallel(bool on) { eager_parallel.store(on); }
size_t eager_entries() { return cache().size(); }

void set_python_error() {
  try {
    throw;
  } catch (const KernelFault& f) {
    PyObject* const kind = f.index ? connection.out_of_range : connection.domain;
    PyErr_SetString(kind ? kind : f.index ? PyExc_IndexError : PyExc_ValueError, f.what());
  } catch (const std::invalid_argument& e) {
    PyErr_SetString(PyExc_ValueError, e.what());
  } catch (const std::bad_alloc&) { PyErr_NoMemory(); } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
}

}  // namespace rv
