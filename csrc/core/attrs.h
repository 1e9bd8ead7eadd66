// SPDX-License-Identifier: Apache-2.0
// Attributes of kernels: RV_ATTRS(ScanAttrs, (int64_t, dim), (bool, reverse)) declares
//   struct ScanAttrs { int64_t dim; bool reverse; };
// and its schema, by which the border fills the struct from Python's attributes of the same names. Fields are int64_t,
// double, bool, Ints, Floats, or another such struct, whose fields count as the outer one's.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/view.h"

namespace rv {

template <class T> struct Array {
  const T* data;
  int64_t size;
  RV_INLINE T operator[](int64_t i) const { return data[i]; }
};
using Ints = Array<int64_t>;
using Floats = Array<double>;

enum class AttrType : uint8_t { integer, real, flag, integers, reals, group };

struct Schema {
  const struct Field* fields;
  int count, bytes;  // of the struct
};

struct Field {
  const char* name;
  AttrType type;
  int offset;
  Schema (*group)();
};

consteval AttrType attr_type(const int64_t*) { return AttrType::integer; }
consteval AttrType attr_type(const double*) { return AttrType::real; }
consteval AttrType attr_type(const bool*) { return AttrType::flag; }
consteval AttrType attr_type(const Ints*) { return AttrType::integers; }
consteval AttrType attr_type(const Floats*) { return AttrType::reals; }
template <class T> consteval Field field(const char* name, size_t offset) {
  Field f{name, AttrType::group, static_cast<int>(offset), nullptr};
  if constexpr (requires { T::schema; }) f.group = T::schema;
  else f.type = attr_type(static_cast<const T*>(nullptr));
  return f;
}

}  // namespace rv

#define RV_ATTRS(Name, ...)                                                            \
  struct Name {                                                                        \
    RV_EACH(RV_MEMBER, __VA_ARGS__)                                                    \
    static Schema schema() {                                                           \
      using Self = Name;                                                               \
      static constexpr Field fields[] = {RV_EACH(RV_FIELD, __VA_ARGS__)};              \
      return {fields, sizeof(fields) / sizeof(Field), static_cast<int>(sizeof(Name))}; \
    }                                                                                  \
  }
#define RV_MEMBER(type, name) type name;
#define RV_FIELD(type, name) field<type>(#name, offsetof(Self, name)),

// RV_EACH(f, (a), (b), ...): f(a) f(b) ..., for up to 16 of them
#define RV_EACH(f, ...) RV_EXPAND4(RV_EACH_ONE(f, __VA_ARGS__))
#define RV_EACH_ONE(f, x, ...) f x __VA_OPT__(RV_EACH_AGAIN RV_PARENTHESES(f, __VA_ARGS__))
#define RV_EACH_AGAIN() RV_EACH_ONE
#define RV_PARENTHESES ()
#define RV_EXPAND4(...) RV_EXPAND3(RV_EXPAND3(__VA_ARGS__))
#define RV_EXPAND3(...) RV_EXPAND2(RV_EXPAND2(__VA_ARGS__))
#define RV_EXPAND2(...) RV_EXPAND1(RV_EXPAND1(__VA_ARGS__))
#define RV_EXPAND1(...) RV_EXPAND0(RV_EXPAND0(__VA_ARGS__))
#define RV_EXPAND0(...) __VA_ARGS__
