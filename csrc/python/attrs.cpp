// SPDX-License-Identifier: Apache-2.0
#include "python/attrs.h"

#include <cstring>
#include <deque>
#include <vector>

#include "core/cpu.h"

namespace py = pybind11;

namespace rv {
namespace {

constexpr const char* kTypeName[] = {"integer", "real", "flag", "integers", "reals"};
constexpr const char* kTypeText[] = {"an integer", "a number", "True or False", "a list of integers",
                                     "a list of numbers"};

// A struct of attributes, and what its arrays point to.
struct Block {
  std::vector<std::byte> fields;
  std::deque<std::vector<int64_t>> ints;
  std::deque<std::vector<double>> floats;
};

// Without conversions: 1.5 and True are no integers, but what has __index__ is.
template <class T> bool take(py::handle v, T& value) {
  py::detail::make_caster<T> caster;
  if (!caster.load(v, false)) return false;
  value = py::detail::cast_op<T>(caster);
  return true;
}
bool read(py::handle v, int64_t& value) { return !PyBool_Check(v.ptr()) && take(v, value); }
bool read(py::handle v, double& value) {
  value = PyFloat_AsDouble(v.ptr());
  if (!PyErr_Occurred()) return true;
  PyErr_Clear();
  return false;
}
bool read(py::handle v, bool& value) {
  if (take(v, value)) return true;
  int64_t number;
  if (!read(v, number) || number < 0 || number > 1) return false;
  value = number == 1;
  return true;
}

template <class T> bool put(std::byte* at, py::handle v) {
  T value;
  if (!read(v, value)) return false;
  std::memcpy(at, &value, sizeof value);
  return true;
}
template <class T> bool put_array(std::byte* at, std::deque<std::vector<T>>& arrays, py::handle v) {
  if (!py::isinstance<py::sequence>(v)) return false;
  std::vector<T>& values = arrays.emplace_back();
  for (py::handle item : py::reinterpret_borrow<py::sequence>(v))
    if (T value; read(item, value)) values.push_back(value);
    else return false;
  const Array<T> array{values.data(), static_cast<int64_t>(values.size())};
  std::memcpy(at, &array, sizeof array);
  return true;
}
bool put(Block& block, AttrType type, std::byte* at, py::handle v) {
  switch (type) {
    case AttrType::integer: return put<int64_t>(at, v);
    case AttrType::real: return put<double>(at, v);
    case AttrType::flag: return put<bool>(at, v);
    case AttrType::integers: return put_array(at, block.ints, v);
    default: return put_array(at, block.floats, v);
  }
}

void fill(Block& block, const Schema& schema, int offset, const py::dict& values, const std::string& where) {
  for (int i = 0; i < schema.count; ++i) {
    const Field& f = schema.fields[i];
    std::byte* const at = block.fields.data() + offset + f.offset;
    if (f.type == AttrType::group) {
      fill(block, f.group(), offset + f.offset, values, where);
      continue;
    }
    const std::string what = where + ": attribute '" + f.name + "'";
    if (!values.contains(f.name)) throw py::value_error(what + " is missing");
    const py::object v = values[f.name];
    if (!put(block, f.type, at, v))
      throw py::value_error(what + " must be " + kTypeText[static_cast<int>(f.type)] + ", not " +
                            py::repr(v).cast<std::string>());
  }
}

void list(py::dict& into, const Schema& schema) {
  for (int i = 0; i < schema.count; ++i) {
    const Field& f = schema.fields[i];
    if (f.type == AttrType::group) list(into, f.group());
    else into[f.name] = kTypeName[static_cast<int>(f.type)];
  }
}

}  // namespace

void set_kernel(InstructionSpec& spec, const std::string& name, const py::dict& values, const std::string& where) {
  spec.name = name;
  spec.kernel = find_kernel(name);
  if (!spec.kernel) throw py::value_error(where + ": there is no kernel '" + name + "'");
  if (!spec.kernel->attrs) return;
  const Schema schema = spec.kernel->attrs();
  const auto block = std::make_shared<Block>();
  block->fields.resize(schema.bytes);
  fill(*block, schema, 0, values, where + ": " + name);
  spec.attrs = std::shared_ptr<const void>(block, block->fields.data());
}

py::dict schema_dict(const Kernel& kernel) {
  py::dict result;
  if (kernel.attrs) list(result, kernel.attrs());
  return result;
}

}  // namespace rv
