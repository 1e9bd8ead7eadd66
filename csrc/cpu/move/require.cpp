// SPDX-License-Identifier: Apache-2.0
// A rule that values must keep: require(holds, values) faults where `holds` is false.
#include "cpu/move/walk.h"

namespace rv::RV_ISA {
namespace {

RV_ATTRS(RequireAttrs, (bool, index));

double number_at(const View& v, int64_t offset) {
  return with_type(v.dtype, [&](auto x) { return static_cast<double>(v.ptr<decltype(x)>()[offset]); });
}

void require_run(const Args& a, Team& team) {
  const View &holds = a.in[0], &values = a.in[1];
  const bool index = attrs<RequireAttrs>(a).index;
  Walk<2> walk;
  for (int d = 0; d < holds.ndim; ++d) walk.axis(holds.shape[d], holds.stride[d], values.stride[d]);
  const int64_t size = holds.size(), step = walk.step(0);
  team.each(ceil_div(size, kMove), [&](int64_t chunk) {
    walk.rows(chunk * kMove, min(size, (chunk + 1) * kMove), [&](const int64_t* at, int64_t n, int64_t flat) {
      const uint8_t* ok = holds.ptr<uint8_t>() + at[0];  // any byte but 0 is true
      uint8_t all = 1;
      for (int64_t j = 0; j < n; ++j) all &= ok[j * step] != 0;
      if (all) return;  // as nearly always
      int64_t j = 0;
      while (ok[j * step]) ++j;
      team.refuse(flat + j, number_at(values, at[1] + j * walk.step(1)), index);
    });
  });
}

double require_cost(const Args& a) { return 20 + 0.1 * a.in[0].size(); }

const char* require_check(const Args& a) {
  if (a.n_in != 2 || a.n_out != 1) return "takes two arrays and gives one";
  if (a.in[0].dtype != DType::b1) return "the first array must be bool";
  if (!same_shape(a.in[0], a.in[1])) return "both arrays must have one shape";
  if (a.out[0].dtype != DType::b1 || a.out[0].size() != 0) return "the result must be bool, without elements";
  return nullptr;
}

}  // namespace

extern const Kernel k_require = {
    .attrs = RequireAttrs::schema, .run = require_run, .cost = require_cost, .check = require_check};

}  // namespace rv::RV_ISA
