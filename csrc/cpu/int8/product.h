// SPDX-License-Identifier: Apache-2.0
// C[rows, columns] = A B of bytes in exact 32-bit sums.
//
// B, the weights, lies in panels of 16 columns, [panel][group of 4 k][column][k]: the order in which every unit reads
// it, so that it is stored so and never copied. A row of A is a pointer and the steps common to all rows: the runs of
// bytes, at offsets from it, that meet the groups of B one after the other. Patches of images are rows of several
// steps.
#pragma once
#include <cstdint>

namespace rv::RV_ISA::int8 {

inline constexpr int64_t kColumns = 16, kGroup = 4, kPanelGroup = kColumns * kGroup;
inline constexpr int64_t kBlockRows = 64, kBlockPanels = 4, kBlockColumns = kBlockPanels * kColumns;

struct Steps {
  const int64_t* offset;  // of each run
  int64_t count, groups;  // runs; groups of 4 bytes in each, of which the last may reach behind the run

  int64_t all_groups() const { return count * groups; }
};

// to[i * kBlockColumns + j] for up to kBlockRows rows and `panels` <= kBlockPanels panels, which begin at b.
void multiply(const uint8_t* const* rows, int64_t count, const Steps& steps, const int8_t* b, int64_t panels,
              int32_t* to);

}  // namespace rv::RV_ISA::int8
