// SPDX-License-Identifier: Apache-2.0
// What public functions did, by the signature of their arguments: the next call of the same signature skips Python.
#pragma once
#include "python/arrays.h"

#include <vector>

namespace rv {

// The calls of ops that a public function makes, as it runs. Watches nest; each sees the calls that its function makes
// itself and through other functions, but not those below such a call.
class Watch {
 public:
  Watch();
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  struct Made {
    PyObject *call, *inputs, *result;
  };
  const std::vector<Made>& made() const { return made_; }

 private:
  friend class Unwatched;
  friend void note(PyObject* call, PyObject* inputs, PyObject* result);
  void drop();

  Watch* outer_;
  std::vector<Made> made_;
  bool open_ = true;  // else more was done than can be remembered
};

bool watched();
void note(PyObject* call, PyObject* inputs, PyObject* result);

// Hides what is done below a call from those who watch the call.
class Unwatched {
 public:
  Unwatched();
  ~Unwatched();
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;

 private:
  Watch* hidden_;
};

// The arguments of a call of public function `id`, in words: of tensors and arrays dtype and shape, of anything else
// the value. Equal words, equal calls.
class Signature {
 public:
  // False where an argument has no such words.
  bool build(int64_t id, PyObject* const* args, Py_ssize_t n, PyObject* names);

  // What the function did when it was called with this signature, done with these arguments. False if that is not
  // known; else `result` is the new reference, or null with a Python error set.
  bool recall(PyObject*& result) const;

  // Remembers what a function did that returned `result`, if that is the outcome of calls whose inputs are arguments.
  void remember(const Watch& watch, PyObject* result) const;

 private:
  static constexpr int kMostWords = 512, kMostLeaves = 64;
  bool add(PyObject* object, int depth);
  bool add_array(int64_t tag, PyArrayObject* a);
  bool add_leaf(PyObject* object, bool array);
  bool add_name(PyObject* object);
  bool push(int64_t value) {
    if (length_ == kMostWords) return false;
    word_[length_++] = value;
    return true;
  }
  int find(PyObject* object) const;

  int64_t word_[kMostWords];
  PyObject *leaf_[kMostLeaves], *named_[kMostLeaves];  // arrays and numbers; objects whose address is a word. Borrowed.
  bool is_array_[kMostLeaves];
  int length_ = 0, leaves_ = 0, names_ = 0;
  uint64_t hash_ = 0, age_ = 0;  // age_: of the memory, when the call began
};

// Forgets everything: a default has changed that functions read.
void forget();

}  // namespace rv
