// SPDX-License-Identifier: Apache-2.0
#include "cpu/gemm/micro_kernels.h"

namespace rv::RV_ISA::gemm {
template struct MicroKernels<float>;
}
