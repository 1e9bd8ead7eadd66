// SPDX-License-Identifier: Apache-2.0
// Matrix units beyond what an instruction set's level promises.
#pragma once
#include <cstdint>

namespace rv {

enum class Tiles : uint8_t { none, emulated, amx };

struct MatrixUnits {
  Tiles tiles = Tiles::none;        // AMX: tdpbf16ps; emulated in software for tests
  bool bf16_dot = false;            // AVX512_BF16 on a CPU where vdpbf16ps does twice the work of an FMA in its time
  bool int8_dot = false;            // vpdpbusd: of AVX512_VNNI with 512-bit kernels, of AVX_VNNI with 256-bit ones
  const char* amx = "not present";  // what became of it, in words
};
extern MatrixUnits matrix_units;  // set by choose_table, once

}  // namespace rv
