// SPDX-License-Identifier: Apache-2.0
// Which instruction set runs, and on how many threads by default.
#pragma once
#include <string>
#include <string_view>

#include "core/ops.h"

namespace rv {

// The best table that this CPU runs, capped by RANVIER_ISA. Throws std::runtime_error where there is none.
// Called once, at import; `warning` gets a message where RANVIER_ISA is not understood or cannot be met.
void choose_table(std::string& warning);
const Table& table();
const Kernel* find_kernel(std::string_view name);  // in the table, or nullptr

struct ThreadCount {
  int n;
  std::string reason;
};
ThreadCount default_threads();

}  // namespace rv
