// SPDX-License-Identifier: Apache-2.0
// The `tile` kernel: the stages of a program over tiles that stay in L1.
#include "cpu/tile/program.h"

#include <new>

#include "cpu/tile/schedule.h"
#include "cpu/tile/space.h"

namespace rv::RV_ISA {
namespace {

constexpr int kMaxArgs = Program::kMaxOperands, kMaxRegs = Program::kMaxRegisters;
constexpr int64_t kScratch = 24 << 10;  // bytes of tiles: half of L1, the rest is for what streams through
constexpr int64_t kMinTile = 256, kMaxTile = 2048;
constexpr int64_t kChunk = 32 << 10, kLeastChunk = 4 << 10;  // elements that one member takes at a time

int64_t align64(int64_t n) { return (n + 63) & ~int64_t{63}; }

// How a space is cut into tiles, and which registers need memory for theirs.
struct Layout {
  int64_t tile, chunk, scratch = 0;  // elements, elements, bytes
  int64_t period;                    // elements that the outermost axis repeats
  bool by_row, all_dense;  // a tile is part of one row, else it covers several rows; all operands are dense or `fixed`
  bool* fixed;             // (n_in) its tile is filled once
  int32_t* offset;         // (registers) of its tile in the scratch memory, or -1

  Layout(const Schedule& q, const TileSpace& s, Carver& memory) {
    const Program& p = q.p;
    chunk = min(kChunk, max(kLeastChunk, align64(s.total / 16)));
    fixed = memory.take<bool>(p.n_in);
    offset = memory.take<int32_t>(most_registers(p));
    if (!memory.memory || s.total == 0) return;
    const int last = s.ndim - 1, first_temporary = p.n_in + p.n_const;
    int64_t item = q.item;
    by_row = s.by_row(p.n_in);
    auto straight = [&](int k) { return s.op[k].dense || (by_row && s.op[k].stride[last] == 1); };

    int tiles = 0;  // in scratch memory
    auto give = [&](int r, bool needed) { offset[r] = needed ? 0 : -1, tiles += needed; };
    for (int k = 0; k < p.n_in; ++k) {
      give(k, !straight(k) && !q.lone(k));
      item = max(item, s.op[k].item);
    }
    for (int r = p.n_in; r < first_temporary; ++r) give(r, q.filled[r]);
    for (int r = first_temporary; r < q.registers; ++r) offset[r] = -1;
    for (int i = 0; i < p.n_steps; ++i) {
      const int64_t r = p.steps[i * Program::kStep + 3];
      const int o = q.result[i].output;
      if (offset[r] < 0 && q.result[i].made && (o < 0 || q.conflicts[o] || !straight(p.n_in + o)))
        give(static_cast<int>(r), true);
    }

    // Tiles and chunks are whole periods of what repeats along the outermost axis, such as a short bias.
    tile = tiles ? min(kMaxTile, max(kMinTile, kScratch / (item * tiles) / 64 * 64)) : chunk;
    period = s.total / s.shape[0];
    const bool repeats = !by_row && s.ndim > 1 && period <= tile;
    if (repeats) tile = tile / period * period;
    if (repeats) chunk = (chunk + period - 1) / period * period;
    const int64_t spacing = align64(min(tile, s.total) * item) + 320;
    for (int r = 0; r < q.registers; ++r)
      if (offset[r] == 0) offset[r] = static_cast<int32_t>(scratch), scratch += spacing;

    all_dense = true;
    for (int k = 0; k < p.n_in; ++k) {
      fixed[k] = s.op[k].one || (repeats && !s.op[k].dense && s.op[k].stride[0] == 0);
      all_dense &= fixed[k] || s.op[k].dense;
    }
    for (int k = p.n_in; k < s.n_args; ++k) all_dense &= s.op[k].dense;
  }

  static int64_t most_registers(const Program& p) { return min(kMaxRegs, p.n_in + p.n_const + p.n_steps); }
};

struct Runner {
  const Schedule& q;
  const TileSpace& space;
  const Layout& layout;
  std::byte* data[kMaxArgs];    // of the operands
  std::byte* buffer[kMaxRegs];  // tile of each register that has one
  std::byte* reg[kMaxRegs];     // where a register's value lies now
  bool straight_out[kMaxArgs];  // no input stands in the way of writing output o straight
  Link link[3 * kMaxRegs];      // with addresses
  const Scratch scratch;        // memory of the tiles

  // Fills what stays the same in every tile.
  Runner(const Args& args, const Schedule& schedule, const TileSpace& s, const Layout& l)
      : q(schedule), space(s), layout(l), scratch(l.scratch) {
    const Program& p = q.p;
    for (int k = 0; k < p.n_in; ++k) data[k] = args.in[k].ptr<std::byte>();
    for (int o = 0; o < p.n_out; ++o) data[p.n_in + o] = args.out[o].ptr<std::byte>();
    for (int k = 0; k < p.n_in; ++k) reg[k] = data[k];  // for single elements
    if (layout.scratch) begin_tiles();
    for (int o = 0; o < p.n_out; ++o) {
      straight_out[o] = true;
      for (uint32_t left = q.conflicts[o]; left; left &= left - 1)
        straight_out[o] &= data[__builtin_ctz(left)] != data[p.n_in + o];
    }
    for (int k = 0; k < q.links; ++k) link[k] = q.link[k];
  }
  void begin_tiles() {
    const Program& p = q.p;
    const int64_t used = min(layout.tile, space.total);
    for (int r = 0; r < q.registers; ++r) buffer[r] = scratch + layout.offset[r];
    for (int k = 0; k < p.n_in; ++k) {
      if (!layout.fixed[k] || layout.offset[k] < 0) continue;
      reg[k] = buffer[k];
      if (space.op[k].one) gather(data[k], 0, buffer[k], used, space.op[k].item);
      else repeat(k, used);
    }
    for (int c = 0; c < p.n_const; ++c) {
      const int r = p.n_in + c;
      reg[r] = buffer[r];
      if (layout.offset[r] >= 0)
        gather(reinterpret_cast<std::byte*>(q.value + c), 0, buffer[r], used, kItemSize[p.const_codes[c]]);
    }
  }

  // Fills input k's tile with n elements: one period, doubled as often as needed.
  void repeat(int k, int64_t n) {
    move_tile(space, k, data[k], TileCursor(space, 0), buffer[k], layout.period, true);
    const int64_t item = space.op[k].item;
    for (int64_t done = layout.period; done < n; done *= 2)
      std::memcpy(buffer[k] + done * item, buffer[k], static_cast<size_t>(min(done, n - done) * item));
  }

  // Flat positions [begin, end) of the iteration space.
  void run(int64_t begin, int64_t end) {
    if (layout.all_dense) {
      for (int64_t pos = begin; pos < end; pos += layout.tile)
        run_tile(
            min(layout.tile, end - pos), [&](int k) { return data[k] + pos * space.op[k].item; }, nullptr);
      return;
    }
    const int last = space.ndim - 1;
    TileCursor c(space, begin);
    for (int64_t pos = begin; pos < end;) {
      int64_t n = min(layout.tile, end - pos);
      if (layout.by_row) n = min(n, space.shape[last] - c.at[last]);
      run_tile(
          n,
          [&](int k) {
            if (space.op[k].dense) return data[k] + pos * space.op[k].item;
            const bool one_piece = layout.by_row && (space.op[k].stride[last] == 1 || (k < q.p.n_in && q.lone(k)));
            return one_piece ? data[k] + c.offset[k] * space.op[k].item : nullptr;
          },
          &c);
      pos += n;
      if (layout.by_row) c.advance(space, n);
      else if (pos < end) c = TileCursor(space, pos);
    }
  }

  // n elements; straight(k) is where operand k's elements lie in one piece, or nullptr: then they are moved at `c`.
  template <class Straight> RV_INLINE void run_tile(int64_t n, Straight straight, const TileCursor* c) {
    const Program& p = q.p;
    for (int k = 0; k < p.n_in; ++k) {
      if (layout.fixed[k]) continue;
      reg[k] = straight(k);
      if (c && !reg[k]) move_tile(space, k, data[k], *c, buffer[k], n, true), reg[k] = buffer[k];
    }
    std::byte* target[kMaxArgs];
    for (int o = 0; o < p.n_out; ++o) target[o] = straight(p.n_in + o);
    auto give = [&](int i) {  // step i's register its place
      const int64_t r = p.steps[i * Program::kStep + 3];
      const int o = q.result[i].output;
      return reg[r] = o >= 0 && straight_out[o] && target[o] ? target[o] : buffer[r];
    };
    for (int j = 0; j < q.stages; ++j) {
      const Schedule::Stage& stage = q.stage[j];
      if (stage.fn) {
        const int64_t* s = p.steps + stage.begin * Program::kStep;
        const void* in[4];
        for (int a = 0; a < s[2]; ++a) in[a] = reg[s[4 + a]];
        stage.fn(in, give(stage.begin), n);
        continue;
      }
      for (int k = stage.first; k < stage.first + stage.count; ++k) {
        const Schedule::Use u = q.use[k];
        for (int a = 0; a < 3; ++a)
          if (u.operand[a] >= 0) link[k].operand[a] = reg[u.operand[a]];
        if (u.out >= 0) link[k].out = give(u.out);
      }
      run_chain(link + stage.first, stage.count, stage.code, n);
    }
    auto finish = [&](int o) {
      const int k = p.n_in + o;
      std::byte* value = reg[p.outputs[o]];
      if (c && !target[o]) move_tile(space, k, data[k], *c, value, n, false);
      else if (target[o] != value) std::memmove(target[o], value, static_cast<size_t>(n * space.op[k].item));
    };
    for (int o = 0; o < p.n_out;
         ++o)  // inputs that are passed through come first: other outputs may be in their memory
      if (p.outputs[o] < p.n_in) finish(o);
    for (int o = 0; o < p.n_out; ++o)
      if (p.outputs[o] >= p.n_in) finish(o);
  }
};

// What a `tile` instruction keeps from its preparation.
struct Prepared {
  TileFn plain;  // one op, all operands of full size and contiguous: nothing but its function
  TileSpace space;
  Schedule schedule;
  Layout layout;
};

TileFn plain_fn(const Args& a, const Program& p) {
  if (p.n_steps != 1 || p.n_const != 0 || p.n_out != 1 || p.outputs[0] < p.n_in || !a.out[0].contiguous())
    return nullptr;
  for (int k = 0; k < p.n_in; ++k)
    if (a.in[k].size() != a.out[0].size() || !a.in[k].contiguous()) return nullptr;
  return tile_fn(static_cast<int>(p.steps[0]), static_cast<int>(p.steps[1]));
}

int64_t prepare_tile(const Args& args, std::byte* memory) {
  const Program p(args);
  Carver carver{memory};
  Prepared* const room = carver.take<Prepared>(1);
  TileSpace space(carver.take<TileOperand>(p.n_in + p.n_out));
  if (memory) space.of_views(args.in, p.n_in, args.out, p.n_out);
  const Schedule schedule(p, memory && space.total ? space.ones(p.n_in) : 0, space.total, carver);
  const Layout layout(schedule, space, carver);
  if (memory) new (room) Prepared{plain_fn(args, p), space, schedule, layout};
  return carver.used;
}

void run_tile(const Args& args, Team& team) {
  const Prepared& t = *reinterpret_cast<const Prepared*>(args.prepared);
  const Program& p = t.schedule.p;
  const int64_t size = t.space.total;
  if (size == 0) return;
  if (t.plain) {
    const int64_t* s = p.steps;
    const int64_t chunk = t.layout.chunk;
    team.each((size + chunk - 1) / chunk, [&](int64_t i) {
      const int64_t begin = i * chunk, n = min(chunk, size - begin);
      const void* in[4];
      for (int a = 0; a < s[2]; ++a)
        in[a] = args.in[s[4 + a]].ptr<std::byte>() + begin * item_size(args.in[s[4 + a]].dtype);
      t.plain(in, args.out[0].ptr<std::byte>() + begin * item_size(args.out[0].dtype), n);
    });
    return;
  }
  const auto make = [&] { return Runner(args, t.schedule, t.space, t.layout); };
  Runner own = make();
  const int64_t step = t.layout.chunk;
  if (size <= step) return own.run(0, size);
  team.each((size + step - 1) / step, own, make,
            [&](Runner& runner, int64_t i) { runner.run(i * step, min(size, (i + 1) * step)); });
}

// Measured at about 60 GB/s in cache; ops range from 0.02 ns an element (add) to 0.5 ns (the costlier functions).
double tile_cost(const Args& args) {
  const Program p(args);
  const double size = static_cast<double>(args.out[0].size());
  double ns = 20 + size * p.n_steps * 0.06;
  auto add = [&](const View& v) {
    ns += static_cast<double>(v.size() * item_size(v.dtype)) * 0.008;
    if (!v.contiguous()) ns += size * 0.3;
  };
  for (int k = 0; k < args.n_in; ++k) add(args.in[k]);
  for (int k = 0; k < args.n_out; ++k) add(args.out[k]);
  return ns;
}

const char* check_tile(const Args& a) { return check_program(attrs<ProgramAttrs>(a), a.in, a.n_in, a.out, a.n_out); }

}  // namespace

extern const Kernel k_tile = {
    .attrs = ProgramAttrs::schema, .run = run_tile, .cost = tile_cost, .check = check_tile, .prepare = prepare_tile};

}  // namespace rv::RV_ISA
