// SPDX-License-Identifier: Apache-2.0
#include "python/memo.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "python/apply.h"
#include "python/tensors.h"

namespace rv {
namespace {

thread_local Watch* innermost = nullptr;

constexpr size_t kMostCalls = 256;  // of one function, as unbind makes them
constexpr int kMostDepth = 4;

uint64_t age = 0;  // how often everything was forgotten

bool is_view(PyObject* call) { return at(call, connection.view) == Py_True; }

}  // namespace

Watch::Watch() : outer_(innermost) { innermost = this; }
Watch::~Watch() {
  innermost = outer_;
  drop();
}

void Watch::drop() {
  for (const Made& m : std::exchange(made_, {})) {
    Py_DECREF(m.call);
    Py_DECREF(m.inputs);
    Py_DECREF(m.result);
  }
}

bool watched() { return innermost; }

void note(PyObject* call, PyObject* inputs, PyObject* result) {
  for (Watch* w = innermost; w; w = w->outer_) {
    if (!w->open_) continue;
    // several calls are remembered only if they are views: no memory is held back that the function has let go
    if (w->made_.empty() || (is_view(call) && is_view(w->made_[0].call) && w->made_.size() < kMostCalls)) {
      w->made_.push_back({Py_NewRef(call), Py_NewRef(inputs), Py_NewRef(result)});
    } else {
      w->open_ = false;
      w->drop();
    }
  }
}

Unwatched::Unwatched() : hidden_(std::exchange(innermost, nullptr)) {}
Unwatched::~Unwatched() { innermost = hidden_; }

// ---------------------------------------------------------------- signatures

namespace {

enum Tag : int64_t {
  tensor_tag,
  array_tag,
  int_tag,
  float_tag,
  name_tag,
  tuple_tag,
  list_tag,
  slice_tag,
  keyword_tag,
  same_tag,
  scalar_tag
};

}  // namespace

bool Signature::add_leaf(PyObject* object, bool array) {
  if (leaves_ == kMostLeaves) return false;
  // the same array twice is another signature than two arrays: which of them a call took would not be known
  if (array)
    if (const int first = find(object); first >= 0 && (!push(same_tag) || !push(first))) return false;
  is_array_[leaves_] = array;
  leaf_[leaves_++] = object;
  return true;
}

bool Signature::add_name(PyObject* object) {
  if (names_ == kMostLeaves) return false;
  named_[names_++] = object;
  return push(name_tag) && push(reinterpret_cast<intptr_t>(object));
}

bool Signature::add_array(int64_t tag, PyArrayObject* a) {
  const int code = dtype_code(a), ndim = PyArray_NDIM(a);
  if (code < 0 || !PyArray_ISNOTSWAPPED(a) || !push(tag | code << 8 | ndim << 16)) return false;
  for (int d = 0; d < ndim; ++d)
    if (!push(PyArray_DIMS(a)[d])) return false;
  return true;
}

bool Signature::add(PyObject* object, int depth) {
  PyTypeObject* type = Py_TYPE(object);
  if (type == connection.tensor || PyType_IsSubtype(type, connection.tensor)) {
    PyObject* data = at(object, connection.data);
    return data && PyArray_CheckExact(data) && add_array(tensor_tag, reinterpret_cast<PyArrayObject*>(data)) &&
           add_leaf(object, true);
  }
  if (type == &PyArray_Type)
    return add_array(array_tag, reinterpret_cast<PyArrayObject*>(object)) && add_leaf(object, true);
  if (type == &PyLong_Type) {
    int overflow;
    const int64_t value = PyLong_AsLongLongAndOverflow(object, &overflow);
    return !overflow && push(int_tag) && push(value) && add_leaf(object, false);
  }
  if (type == &PyFloat_Type) {
    int64_t bits;
    const double value = PyFloat_AS_DOUBLE(object);
    std::memcpy(&bits, &value, sizeof(bits));
    return push(float_tag) && push(bits) && add_leaf(object, false);
  }
  if (type == &PyBool_Type) return add_name(object) && add_leaf(object, false);
  if (PyArray_IsScalar(object, Integer)) {
    PyObject* number = PyNumber_Index(object);
    int overflow = 1;
    const int64_t value = number ? PyLong_AsLongLongAndOverflow(number, &overflow) : 0;
    Py_XDECREF(number);
    PyErr_Clear();
    return !overflow && push(scalar_tag) && push(value);  // no leaf: calls with it are not remembered
  }
  if (object == Py_None || object == Py_Ellipsis || type == &PyUnicode_Type || PyType_Check(object) ||
      PyArray_DescrCheck(object))
    return add_name(object);
  if (depth == kMostDepth) return false;
  if (type == &PyTuple_Type || type == &PyList_Type) {
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(object);
    if (!push(type == &PyTuple_Type ? tuple_tag : list_tag) || !push(n)) return false;
    for (Py_ssize_t k = 0; k < n; ++k)
      if (!add(PySequence_Fast_GET_ITEM(object, k), depth + 1)) return false;
    return true;
  }
  if (type == &PySlice_Type) {
    PySliceObject* s = reinterpret_cast<PySliceObject*>(object);
    return push(slice_tag) && add(s->start, depth + 1) && add(s->stop, depth + 1) && add(s->step, depth + 1);
  }
  return false;
}

bool Signature::build(int64_t id, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  if (!connection.tensor) return false;  // not connected yet
  push(id);
  for (Py_ssize_t k = 0; k < n; ++k)
    if (!add(args[k], 0)) return false;
  for (Py_ssize_t k = 0; names && k < PyTuple_GET_SIZE(names); ++k)
    if (!push(keyword_tag) || !add_name(PyTuple_GET_ITEM(names, k)) || !add(args[n + k], 0)) return false;
  uint64_t h = 0;
  for (int i = 0; i < length_; ++i) {
    h = (h ^ static_cast<uint64_t>(word_[i])) * 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
  }
  hash_ = h;
  age_ = age;
  return true;
}

int Signature::find(PyObject* object) const {
  for (int k = 0; k < leaves_; ++k)
    if (leaf_[k] == object) return k;
  return -1;
}

// ---------------------------------------------------------------- what was done

namespace {

struct Step {
  PyObject* call;
  std::vector<uint8_t> inputs;  // numbers of leaves

  PyObject* run(PyObject* const* leaves) const {
    const Py_ssize_t n = static_cast<Py_ssize_t>(inputs.size());
    PyObject* given = PyTuple_New(n);
    if (!given) return nullptr;
    for (Py_ssize_t k = 0; k < n; ++k) PyTuple_SET_ITEM(given, k, Py_NewRef(leaves[inputs[k]]));
    PyObject* called = Py_NewRef(call);  // the memory of it may be gone when it returns
    PyObject* result = apply(called, given);
    Py_DECREF(called);
    Py_DECREF(given);
    return result;
  }
};

struct Deed {
  std::vector<int64_t> key;
  uint64_t hash = 0;
  std::vector<Step> steps;
  std::vector<PyObject*> named;
  PyTypeObject* type = nullptr;  // of the result, if that is a tuple

  ~Deed() {
    for (Step& s : steps) Py_DECREF(s.call);
    for (PyObject* o : named) Py_DECREF(o);
    Py_XDECREF(type);
  }
};

// Sets of a few places; the oldest one of a set gives way. Guarded by the GIL.
constexpr size_t kSets = 2048, kWays = 4;
struct Memory {
  std::shared_ptr<Deed> deed[kSets][kWays];
  uint8_t next[kSets] = {};
};
Memory& memory() {
  static Memory* m = new Memory;
  return *m;
}

PyObject* as_type(PyTypeObject* type, PyObject* items) {
  if (!items || type == &PyTuple_Type) return items;
  PyObject* args = PyTuple_Pack(1, items);
  PyObject* result = args ? PyTuple_Type.tp_new(type, args, nullptr) : nullptr;
  Py_XDECREF(args);
  Py_DECREF(items);
  return result;
}

}  // namespace

bool Signature::recall(PyObject*& result) const {
  const auto& set = memory().deed[hash_ % kSets];
  for (const auto& place : set) {
    const Deed* found = place.get();
    if (!found || found->hash != hash_ || static_cast<int>(found->key.size()) != length_ ||
        std::memcmp(found->key.data(), word_, length_ * sizeof(int64_t)) != 0)
      continue;
    if (found->steps.size() == 1) {
      PyTypeObject* type = found->type == &PyTuple_Type ? nullptr : found->type;  // calls give tuples
      Py_XINCREF(type);
      result = found->steps[0].run(leaf_);
      if (type) result = as_type(type, result);
      Py_XDECREF(type);
      return true;
    }
    const std::shared_ptr<Deed> deed = place;  // may be forgotten meanwhile
    const Py_ssize_t n = static_cast<Py_ssize_t>(deed->steps.size());
    result = PyTuple_New(n);
    for (Py_ssize_t k = 0; result && k < n; ++k) {
      PyObject* one = deed->steps[k].run(leaf_);
      if (one) PyTuple_SET_ITEM(result, k, one);
      else Py_CLEAR(result);
    }
    result = as_type(deed->type, result);
    return true;
  }
  return false;
}

void Signature::remember(const Watch& watch, PyObject* result) const {
  const auto& made = watch.made();
  if (made.empty() || age_ != age) return;  // forgotten meanwhile: it may have read the old default
  const bool many = PyTuple_Check(result);
  if (made.size() == 1 && !many && made[0].result != result) return;
  if (many) {  // the results of the calls, in order and nothing else
    Py_ssize_t n = 0;
    for (const auto& m : made) {
      const bool several = PyTuple_CheckExact(m.result);
      if (several && made.size() > 1) return;
      for (Py_ssize_t k = 0; k < (several ? PyTuple_GET_SIZE(m.result) : 1); ++k, ++n)
        if (n >= PyTuple_GET_SIZE(result) ||
            PyTuple_GET_ITEM(result, n) != (several ? PyTuple_GET_ITEM(m.result, k) : m.result))
          return;
    }
    if (n != PyTuple_GET_SIZE(result) || n < 2) return;
  } else if (made.size() > 1) {
    return;
  }
  auto deed = std::make_shared<Deed>();
  Py_ssize_t uses[kMostLeaves] = {};  // in one call, at most
  for (const auto& m : made) {
    std::vector<uint8_t> inputs;
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(m.inputs); ++k) {
      const int leaf = find(PyTuple_GET_ITEM(m.inputs, k));
      if (leaf < 0) return;
      inputs.push_back(static_cast<uint8_t>(leaf));
      uses[leaf] = std::max(uses[leaf], std::count(inputs.begin(), inputs.end(), leaf));
    }
    deed->steps.push_back({Py_NewRef(m.call), std::move(inputs)});
  }
  for (int k = 0; k < leaves_; ++k)  // one whose values decided what to do, perhaps
    if (is_array_[k] && uses[find(leaf_[k])] < std::count(leaf_, leaf_ + leaves_, leaf_[k])) return;
  deed->key.assign(word_, word_ + length_);
  deed->hash = hash_;
  for (int k = 0; k < names_; ++k) deed->named.push_back(Py_NewRef(named_[k]));
  if (many) deed->type = reinterpret_cast<PyTypeObject*>(Py_NewRef(reinterpret_cast<PyObject*>(Py_TYPE(result))));
  Memory& m = memory();
  const size_t set = hash_ % kSets;
  m.deed[set][m.next[set]++ % kWays].swap(deed);
}

void forget() {
  ++age;
  for (auto& set : memory().deed)
    for (auto& place : set) std::shared_ptr<Deed>().swap(place);
}

}  // namespace rv
