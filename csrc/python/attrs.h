// SPDX-License-Identifier: Apache-2.0
// Attributes of kernels on their way from Python.
#pragma once
#include <pybind11/pybind11.h>

#include "core/plan.h"

namespace rv {

// Sets the spec's kernel and attributes: of `values`, those that the kernel's schema names. ValueError, which begins
// with `where`, if one is missing or of another type.
void set_kernel(InstructionSpec& spec, const std::string& name, const pybind11::dict& values, const std::string& where);

// {name of the field: its type}
pybind11::dict schema_dict(const Kernel& kernel);

}  // namespace rv
