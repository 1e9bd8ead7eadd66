// SPDX-License-Identifier: Apache-2.0
#include "cpu/tile/schedule.h"

#include <cstring>

namespace rv::RV_ISA {
namespace {

// A single light step is faster as a tile function, a loop without jumps; unless an operand that is
// one value would have to be laid out in a tile for less work than this.
constexpr int64_t kAlone = 8 << 10;

uint64_t bits_of(int64_t code, double value) {
  uint64_t bits = 0;
  with_type(static_cast<DType>(code), [&](auto v) {
    v = static_cast<decltype(v)>(value);
    std::memcpy(&bits, &v, sizeof v);
  });
  return bits;
}

}  // namespace

Schedule::Schedule(const Program& program, uint32_t single, int64_t total, Carver& memory) : p(program), ones(single) {
  stage = memory.take<Stage>(p.n_steps);
  link = memory.take<Link>(most_links(p));
  use = memory.take<Use>(most_links(p));
  result = memory.take<Result>(p.n_steps);
  conflicts = memory.take<uint32_t>(p.n_out);
  filled = memory.take<bool>(p.n_in + p.n_const);
  value = memory.take<uint64_t>(p.n_const);
  if (!memory.memory) return;

  registers = p.n_in + p.n_const;
  for (int c = 0; c < p.n_const; ++c) {
    value[c] = bits_of(p.const_codes[c], p.constants[c]);
    if (kItemSize[p.const_codes[c]] == 8) item = 8;
  }
  for (int i = 0; i < p.n_steps; ++i) {
    const int64_t* s = step(i);
    if (s[3] >= registers) registers = static_cast<int>(s[3]) + 1;
    if (s[1] == 1 || s[1] == 3 || s[1] >= 6) item = 8;
  }
  for (int r = 0; r < p.n_in + p.n_const; ++r) filled[r] = false;
  find_outputs();
  for (int i = 0; i < p.n_steps;) {
    const int64_t* s = step(i);
    int end = i;
    while (end < p.n_steps && step(end)[1] == s[1] && light(end)) ++end;
    bool lays_out = false;
    for (int a = 0; a < s[2]; ++a) lays_out |= beside(s[4 + a]) == From::one;
    if (end > i + (lays_out && total < kAlone ? 0 : 1)) {
      chain(i, end);
      i = end;
      continue;
    }
    for (int a = 0; a < s[2]; ++a)
      if (s[4 + a] < p.n_in + p.n_const) filled[s[4 + a]] = true;
    stage[stages++] = {static_cast<int16_t>(i),
                       static_cast<int16_t>(i + 1),
                       0,
                       0,
                       tile_fn(static_cast<int>(s[0]), static_cast<int>(s[1])),
                       0};
    result[i++].made = true;
  }
}

bool Schedule::light(int i) const {
  const int64_t* s = step(i);
  using enum From;
  const Form form{block, s[2] > 1 ? one : none, s[2] > 2 ? one : none};
  return s[1] <= 1 && link_step(static_cast<int>(s[0]), static_cast<int>(s[1]), form).wide;
}

// The step whose value goes straight into output o: the last write of its register, unless an input that shares the
// output's memory is read later.
void Schedule::find_outputs() {
  for (int i = 0; i < p.n_steps; ++i) result[i] = {kNone, false};
  for (int o = 0; o < p.n_out; ++o) {
    const int64_t r = p.outputs[o];
    conflicts[o] = 0;
    if (r < p.n_in + p.n_const) filled[r] = true;
    int last = kNone;
    for (int i = 0; i < p.n_steps; ++i)
      if (step(i)[3] == r) last = i;
    if (last < 0 || result[last].output >= 0) continue;
    result[last].output = static_cast<int8_t>(o);
    for (int i = last + 1; i < p.n_steps; ++i)
      for (int a = 0; a < step(i)[2]; ++a)
        if (step(i)[4 + a] < p.n_in) conflicts[o] |= uint32_t{1} << step(i)[4 + a];
    for (int other = 0; other < p.n_out; ++other)
      if (p.outputs[other] < p.n_in) conflicts[o] |= uint32_t{1} << p.outputs[other];
  }
}

// Whether memory must hold what step i of the chain that ends with `end` gives: all that reads it, but for the next
// link (which has it as the block), or an output.
bool Schedule::stored(int i, int end) const {
  const int64_t r = step(i)[3];
  for (int j = i + 1; j < p.n_steps; ++j) {
    const int64_t* s = step(j);
    for (int a = 0; a < s[2]; ++a)
      if (s[4 + a] == r && (j > i + 1 || j >= end || (s[2] == 3 && a > 0))) return true;
    if (s[3] == r) return false;
  }
  for (int o = 0; o < p.n_out; ++o)
    if (p.outputs[o] == r) return true;
  return false;
}

From Schedule::beside(int64_t r) const {
  const bool one = r < p.n_in ? ones >> r & 1 : r < p.n_in + p.n_const;
  return one ? From::one : From::memory;
}

void Schedule::chain(int begin, int end) {
  const int code = static_cast<int>(step(begin)[1]), first = links;
  int64_t block = kNone;  // the register whose value the block is
  auto from = [&](int64_t r) { return r == block ? From::block : beside(r); };
  auto constant = [&](int64_t& r) {  // its address, which is known already
    if (r < p.n_in || r >= p.n_in + p.n_const) return static_cast<std::byte*>(nullptr);
    std::byte* const at = reinterpret_cast<std::byte*>(value + (r - p.n_in));
    r = kNone;
    return at;
  };
  auto add = [&](Link l) {
    use[links] = {{kNone, kNone, kNone}, kNone};
    link[links] = l;
    ++links;
  };
  auto join = [&](int at, int64_t r) {  // operand `at` of the last link
    link[links - 1].operand[at] = constant(r);
    use[links - 1].operand[at] = static_cast<int8_t>(r);
  };

  int lone_row = kNone, operands = 0;  // of the last link, if it is a single step
  Form lone;
  for (int i = begin; i < end; ++i) {
    const int64_t *s = step(i), arity = s[2];
    const int row = static_cast<int>(s[0]);
    int64_t r[3] = {s[4], s[5], s[6]};
    result[i].made = stored(i, end);
    // No link has these forms: nothing but single values, and a ternary op whose first operand is not the block.
    const bool alone = from(r[0]) == From::one && (arity == 1 || (arity == 2 && from(r[1]) == From::one));
    if (alone || (arity == 3 && from(r[0]) != From::block)) {
      add(link_load(code, from(r[0])));
      join(0, r[0]);
      block = r[0];
      lone_row = kNone;
    }
    if (commutes(row) && from(r[1]) < from(r[0])) {
      const int64_t first = r[0];
      r[0] = r[1], r[1] = first;
    }
    From places[3] = {From::none, From::none, From::none};
    for (int a = 0; a < arity; ++a) places[a] = arity == 3 && a > 0 ? beside(r[a]) : from(r[a]);
    const Form form{places[0], places[1], places[2], result[i].made};
    const Link pair = lone_row >= 0 ? link_pair(lone_row, lone, row, form, code) : Link{};
    if (pair.wide) {
      link[links - 1].wide = pair.wide, link[links - 1].narrow = pair.narrow;
    } else {
      add(link_step(row, code, form));
      operands = 0;
    }
    for (int a = 0; a < arity; ++a)
      if (places[a] != From::block) join(operands++, r[a]);
    if (form.stored) use[links - 1].out = static_cast<int8_t>(i);
    lone_row = pair.wide ? kNone : row;
    lone = form;
    block = s[3];
  }
  add(link_end(code));
  stage[stages++] = {static_cast<int16_t>(begin),
                     static_cast<int16_t>(end),
                     static_cast<int16_t>(first),
                     static_cast<int16_t>(links - first),
                     nullptr,
                     code};
}

}  // namespace rv::RV_ISA
