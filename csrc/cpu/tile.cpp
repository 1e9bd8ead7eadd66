// SPDX-License-Identifier: Apache-2.0
// The `tile` kernel: a list of tile functions over tiles that stay in L1.
#include "cpu/tile.h"

#include <cstring>

#include "core/ops.h"
#include "cpu/chain.h"
#include "cpu/kernels.h"

namespace rv::RV_ISA {
namespace {

constexpr int kMaxArgs = Program::kMaxOperands, kMaxRegs = Program::kMaxRegisters;
constexpr int64_t kScratch = 24 << 10;   // bytes of tiles: half of L1, the rest is for what streams through
constexpr int64_t kMinTile = 256, kMaxTile = 2048;
constexpr int64_t kChunk = 32 << 10;     // elements that one member takes at a time
constexpr int64_t kLongRow = 512;        // likewise where all other operands repeat from row to row
// Chains pay from so many elements of a tile on (at least a block), and with so many steps. Measured (Zen 5, AVX-512): a step
// of a tile program costs 0.5 ns a vector, of a chain 0.2, but its first 1.2; in memory a chain of two steps pays.
constexpr int64_t kChained = 256, kChainSteps = 4, kStreamed = 256 << 10;
constexpr int64_t kShortRow = 32;        // rows below it are gathered several to a tile

int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t align64(int64_t n) { return (n + 63) & ~int64_t{63}; }

// ---- typed copies between strided memory and tiles

template <class T> void gather_as(const T* src, int64_t stride, T* dst, int64_t n) {
  if (stride == 0) {
    const T v = *src;
    for (int64_t i = 0; i < n; ++i) dst[i] = v;
  } else if (stride == 1 && n >= kShortRow) {
    std::memcpy(dst, src, n * sizeof(T));
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i] = src[i * stride];
  }
}
template <class T> void scatter_as(const T* src, T* dst, int64_t stride, int64_t n) {
  if (stride == 1 && n >= kShortRow) std::memcpy(dst, src, n * sizeof(T));
  else
    for (int64_t i = 0; i < n; ++i) dst[i * stride] = src[i];
}
void gather(const std::byte* src, int64_t stride, std::byte* dst, int64_t n, int64_t item) {
  if (item == 4) gather_as(reinterpret_cast<const uint32_t*>(src), stride, reinterpret_cast<uint32_t*>(dst), n);
  else if (item == 8) gather_as(reinterpret_cast<const uint64_t*>(src), stride, reinterpret_cast<uint64_t*>(dst), n);
  else gather_as(reinterpret_cast<const uint8_t*>(src), stride, reinterpret_cast<uint8_t*>(dst), n);
}
void fill_constant(std::byte* dst, int64_t code, double value, int64_t n) {
  switch (static_cast<DType>(code)) {
    case DType::f32: { const float v = static_cast<float>(value); gather_as(&v, 0, reinterpret_cast<float*>(dst), n); break; }
    case DType::f64: gather_as(&value, 0, reinterpret_cast<double*>(dst), n); break;
    case DType::i32: { const auto v = static_cast<int32_t>(value); gather_as(&v, 0, reinterpret_cast<int32_t*>(dst), n); break; }
    case DType::i64: { const auto v = static_cast<int64_t>(value); gather_as(&v, 0, reinterpret_cast<int64_t*>(dst), n); break; }
    case DType::u8: { const auto v = static_cast<uint8_t>(value); gather_as(&v, 0, reinterpret_cast<uint8_t*>(dst), n); break; }
    case DType::b1: { const auto v = static_cast<uint8_t>(value != 0); gather_as(&v, 0, reinterpret_cast<uint8_t*>(dst), n); break; }
  }
}

// ---- the common iteration space of all operands

struct Space {
  int n_args = 0, ndim = 0;
  int64_t total = 1;
  int64_t shape[kMaxDims];
  int64_t stride[kMaxArgs][kMaxDims];  // by operand: inputs, then outputs
  std::byte* data[kMaxArgs];
  int64_t item[kMaxArgs];
  bool dense[kMaxArgs], scalar[kMaxArgs];

  // Operand k's strides on the axes of `full`, aligned at the right; length-1 axes broadcast.
  void add(const View& v, const View& full) {
    const int k = n_args++;
    data[k] = static_cast<std::byte*>(v.data);
    item[k] = item_size(v.dtype);
    const int pad = full.ndim - v.ndim;
    for (int d = 0; d < full.ndim; ++d)
      stride[k][d] = d < pad || v.shape[d - pad] == 1 ? 0 : v.stride[d - pad];
  }

  // The frequent case: every operand is contiguous and of full size, or a single input element.
  bool flat(const View* ins, int n_in, const View* outs, int n_out) {
    total = outs[0].size();
    for (int k = 0; k < n_in + n_out; ++k) {
      const View& v = k < n_in ? ins[k] : outs[k - n_in];
      const int64_t size = v.size();
      scalar[k] = size == 1;
      dense[k] = size == total;
      if (!(dense[k] && v.contiguous()) && !(scalar[k] && k < n_in)) return false;
      data[k] = static_cast<std::byte*>(v.data);
      item[k] = item_size(v.dtype);
      stride[k][0] = scalar[k] ? 0 : 1;
    }
    n_args = n_in + n_out;
    ndim = 1;
    shape[0] = total;
    return true;
  }

  // A block of rows x columns, as one axis where all operands step evenly over both.
  void block(const TileMatrix* ins, int n_in, const TileMatrix* outs, int n_out, int64_t r0, int64_t rows, int64_t c0, int64_t columns) {
    n_args = n_in + n_out;
    total = rows * columns;
    bool even = true;
    for (int k = 0; k < n_args; ++k) {
      const TileMatrix& m = k < n_in ? ins[k] : outs[k - n_in];
      item[k] = item_size(m.dtype);
      data[k] = m.data + (r0 * m.row + c0 * m.column) * item[k];
      stride[k][0] = rows == 1 ? m.column * columns : m.row;
      stride[k][1] = columns == 1 ? stride[k][0] : m.column;
      even &= stride[k][0] == stride[k][1] * columns;
    }
    ndim = even ? 1 : 2;
    shape[0] = even ? total : rows;
    shape[1] = columns;
    for (int k = 0; k < n_args; ++k) {
      dense[k] = total == 1 || (stride[k][1] == 1 && stride[k][0] == columns);
      scalar[k] = stride[k][0] == 0 && stride[k][1] == 0;
      if (even) stride[k][0] = stride[k][1];
    }
  }

  // Drops axes of length 1, orders axes as the first output lies in memory, and merges neighbours that all operands
  // step over evenly.
  void collapse(const View& full, int first_out) {
    int order[kMaxDims], n = 0;
    for (int d = 0; d < full.ndim; ++d) {
      if (full.shape[d] == 1) continue;
      int at = n++;
      const int64_t s = stride[first_out][d] < 0 ? -stride[first_out][d] : stride[first_out][d];
      for (; at > 0; --at) {
        const int64_t before = stride[first_out][order[at - 1]];
        if ((before < 0 ? -before : before) >= s) break;
        order[at] = order[at - 1];
      }
      order[at] = d;
    }
    int64_t sorted[kMaxArgs][kMaxDims], sizes[kMaxDims];
    ndim = 0;
    for (int i = 0; i < n; ++i) {
      const int d = order[i];
      bool merge = ndim > 0;
      for (int k = 0; k < n_args && merge; ++k) merge = sorted[k][ndim - 1] == stride[k][d] * full.shape[d];
      if (!merge) ++ndim;
      sizes[ndim - 1] = merge ? sizes[ndim - 1] * full.shape[d] : full.shape[d];
      for (int k = 0; k < n_args; ++k) sorted[k][ndim - 1] = stride[k][d];
    }
    if (ndim == 0) {  // a single element
      ndim = 1;
      sizes[0] = 1;
      for (int k = 0; k < n_args; ++k) sorted[k][0] = 0;
    }
    total = 1;
    for (int d = ndim - 1; d >= 0; --d) shape[d] = sizes[d];
    for (int k = 0; k < n_args; ++k) {
      scalar[k] = true;
      dense[k] = true;
      int64_t expected = 1;
      for (int d = ndim - 1; d >= 0; --d) {
        stride[k][d] = sorted[k][d];
        scalar[k] &= sorted[k][d] == 0;
        dense[k] &= sorted[k][d] == expected;
        expected *= sizes[d];
      }
      total = expected;
    }
    if (total == 1)
      for (int k = 0; k < n_args; ++k) dense[k] = true;
  }
};

// A flat position, with the element offset of each operand there.
struct Cursor {
  int64_t at[kMaxDims], offset[kMaxArgs];

  Cursor(const Space& s, int64_t pos) {
    for (int k = 0; k < s.n_args; ++k) offset[k] = 0;
    for (int d = s.ndim - 1; d >= 0; --d) {
      at[d] = pos % s.shape[d];
      pos /= s.shape[d];
      for (int k = 0; k < s.n_args; ++k) offset[k] += at[d] * s.stride[k][d];
    }
  }
  void advance(const Space& s, int64_t n) {  // n never crosses the end of an innermost run
    int d = s.ndim - 1;
    at[d] += n;
    for (int k = 0; k < s.n_args; ++k) offset[k] += n * s.stride[k][d];
    for (; d > 0 && at[d] >= s.shape[d]; --d) {
      at[d] = 0;
      ++at[d - 1];
      for (int k = 0; k < s.n_args; ++k) offset[k] += s.stride[k][d - 1] - s.shape[d] * s.stride[k][d];
    }
  }
};

// Copies n elements from position `c` on between operand k and a tile, run by run.
template <class T> void move_rows(const Space& s, int k, const Cursor& c, T* tile, int64_t n, bool to_tile) {
  const int last = s.ndim - 1;
  const int64_t inner = s.shape[last], step = s.stride[k][last];
  T* p = reinterpret_cast<T*>(s.data[k]) + c.offset[k];
  int64_t at[kMaxDims];
  for (int d = 0; d <= last; ++d) at[d] = c.at[d];
  while (n > 0) {
    const int64_t run = min64(n, inner - at[last]);
    if (to_tile) gather_as(p, step, tile, run);
    else scatter_as(tile, p, step, run);
    tile += run;
    n -= run;
    p += run * step;
    at[last] += run;
    for (int d = last; d > 0 && at[d] >= s.shape[d]; --d) {
      at[d] = 0;
      ++at[d - 1];
      p += s.stride[k][d - 1] - s.shape[d] * s.stride[k][d];
    }
  }
}
void move_tile(const Space& s, int k, const Cursor& c, std::byte* tile, int64_t n, bool to_tile) {
  if (s.item[k] == 4) move_rows(s, k, c, reinterpret_cast<uint32_t*>(tile), n, to_tile);
  else if (s.item[k] == 8) move_rows(s, k, c, reinterpret_cast<uint64_t*>(tile), n, to_tile);
  else move_rows(s, k, c, reinterpret_cast<uint8_t*>(tile), n, to_tile);
}

// ---- running a program

struct Runner {
  const Program& p;
  Space space;
  int64_t tile = 0, chunk = kChunk;
  bool by_row = false;     // a tile is part of one row; else it covers several rows, gathered if not dense
  bool all_dense = false;  // or the same in every tile
  bool fixed[kMaxArgs];    // its tile is filled once
  int direct[kMaxArgs];    // the step that writes straight into the output
  std::byte* buffer[kMaxRegs];  // tile of each register that needs one
  const void* reg[kMaxRegs];
  TileFn fn[kMaxRegs];

  // Chains: chain_end[i] is one past the last step of the chain that begins with step i, or 0; step i's links begin at
  // first_link[i]. `one_block[r]`: a constant or single element of which only chains read, and only one block is laid out.
  struct Move { int8_t p, q; };  // registers of a link's operands; kStore: it stores the step's result
  static constexpr int kMaxLinks = 4 * kMaxRegs;
  static constexpr int8_t kNone = -1, kStore = -2;
  bool chains = false, one_block[kMaxRegs];
  int chain_end[kMaxRegs], first_link[kMaxRegs + 1];
  Link link[kMaxLinks];
  Move move[kMaxLinks];

  explicit Runner(const Program& program) : p(program) {}

  void prepare(const View* ins, const View* outs) {
    if (space.flat(ins, p.n_in, outs, p.n_out)) return;
    const View& full = outs[0];
    for (int k = 0; k < p.n_in; ++k) space.add(ins[k], full);
    for (int k = 0; k < p.n_out; ++k) space.add(outs[k], full);
    space.collapse(full, p.n_in);
  }

  // Whether every operand is dense, or the same for each index of the outermost axis.
  bool repeats_only() const {
    for (int k = 0; k < space.n_args; ++k)
      if (!space.dense[k] && (k >= p.n_in || space.stride[k][0] != 0)) return false;
    return true;
  }

  // Fills input k's tile with n elements: one period, doubled as often as needed.
  void repeat(int k, int64_t period, int64_t n) {
    move_tile(space, k, Cursor(space, 0), buffer[k], period, true);
    const int64_t item = space.item[k];
    for (int64_t done = period; done < n; done *= 2)
      std::memcpy(buffer[k] + done * item, buffer[k], static_cast<size_t>(min64(done, n - done) * item));
  }

  // Tile length and the registers' tiles; fills what stays the same in every tile: constants, single elements and
  // operands that repeat along the outermost axis, such as a short bias. Tiles and chunks are whole periods of these.
  void layout(std::byte* scratch) {
    const int last = space.ndim - 1;
    const int first_temporary = p.n_in + p.n_const;
    int n = first_temporary;
    int64_t item = 4;  // the widest
    for (int i = 0; i < p.n_steps; ++i) {
      const int64_t* s = p.steps + i * Program::kStep;
      fn[i] = tile_fn(static_cast<int>(s[0]), static_cast<int>(s[1]));
      if (s[3] >= n) n = static_cast<int>(s[3]) + 1;
      if (s[1] == 1 || s[1] == 3 || s[1] >= 6) item = 8;
    }
    by_row = space.shape[last] >= (repeats_only() ? kLongRow : kShortRow);
    int tiles = n - p.n_in;
    bool needs_tile[kMaxArgs];
    for (int k = 0; k < p.n_in; ++k) {
      needs_tile[k] = !space.dense[k] && !(by_row && space.stride[k][last] == 1);
      if (space.item[k] == 8) item = 8;
      tiles += needs_tile[k];
    }
    for (int c = 0; c < p.n_const; ++c)
      if (kItemSize[p.const_codes[c]] == 8) item = 8;

    tile = min64(kMaxTile, max64(kMinTile, kScratch / (item * max64(tiles, 1)) / 64 * 64));
    const int64_t period = space.total / space.shape[0];
    const bool repeats = !by_row && space.ndim > 1 && period <= tile;
    if (repeats) tile = tile / period * period;
    chunk = repeats ? (kChunk + period - 1) / period * period : kChunk;

    const int64_t used = min64(tile, space.total), spacing = align64(used * item) + 320;
    for (int r = 0; r < n; ++r) {
      if (r < p.n_in && !needs_tile[r]) continue;
      reg[r] = buffer[r] = scratch;
      scratch += spacing;
    }
    chains = used >= kChained && p.n_steps > 1;
    if (chains) find_chains(n);
    auto filled = [&](int r) { return chains && one_block[r] ? min64(used, kChained) : used; };
    all_dense = true;
    for (int k = 0; k < p.n_in; ++k) {
      fixed[k] = !space.dense[k] && (space.scalar[k] || (repeats && space.stride[k][0] == 0));
      if (!fixed[k]) all_dense &= space.dense[k];
      else if (space.scalar[k]) gather(space.data[k], 0, buffer[k], filled(k), space.item[k]);
      else repeat(k, period, used);
    }
    for (int k = p.n_in; k < space.n_args; ++k) all_dense &= space.dense[k];
    for (int c = 0; c < p.n_const; ++c) fill_constant(buffer[p.n_in + c], p.const_codes[c], p.constants[c], filled(p.n_in + c));
    for (int o = 0; o < p.n_out; ++o) direct[o] = direct_step(o);
  }

  const int64_t* step(int i) const { return p.steps + i * Program::kStep; }

  static LinkKind kind_of(int64_t arity) {
    return arity == 1 ? LinkKind::unary : arity == 2 ? LinkKind::block_first : LinkKind::ternary;
  }
  bool light(int i) const {
    const int64_t* s = step(i);
    return s[1] <= 1 && link_fn(static_cast<int>(s[0]), static_cast<int>(s[1]), kind_of(s[2])) != nullptr;
  }

  // Whether memory must hold what step i of the chain that ends with `end` gives: all that reads it, but for the next link
  // (which has it as the block), or an output.
  bool stored(int i, int end) const {
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

  // Finds the chains and lays out their links, but for addresses. Few light steps stay tile functions.
  void find_chains(int registers) {
    int n = 0;
    for (int r = 0; r < registers; ++r) one_block[r] = r < p.n_in ? space.scalar[r] && !space.dense[r] : r < p.n_in + p.n_const;
    for (int o = 0; o < p.n_out; ++o) one_block[p.outputs[o]] = false;
    for (int i = 0; i < p.n_steps;) {
      const int code = static_cast<int>(step(i)[1]);
      int end = i;
      while (end < p.n_steps && step(end)[1] == code && light(end)) ++end;
      chain_end[i] = end >= i + (space.total < kStreamed ? kChainSteps : 2) ? end : 0;
      if (!chain_end[i]) {
        for (int a = 0; a < step(i)[2]; ++a) one_block[step(i)[4 + a]] = false;
        ++i;
        continue;
      }
      int64_t block = kNone;  // the register whose value the block is
      auto add = [&](void (*f)(), int64_t a, int64_t b) {
        move[n] = {static_cast<int8_t>(a), static_cast<int8_t>(b)};
        link[n++].fn = f;
      };
      for (; i < end; ++i) {
        const int64_t *s = step(i), *r = s + 4;
        first_link[i] = n;
        bool second = s[2] == 2 && r[1] == block && r[0] != block;
        if (!second && r[0] != block) add(link_load(code), block = r[0], kNone);
        const LinkKind kind = second ? LinkKind::block_second : s[2] == 2 && r[1] == block ? LinkKind::block_both : kind_of(s[2]);
        const bool has_p = kind != LinkKind::unary && kind != LinkKind::block_both;
        add(link_fn(static_cast<int>(s[0]), code, kind), has_p ? r[second ? 0 : 1] : kNone, s[2] == 3 ? r[2] : kNone);
        block = s[3];
        if (stored(i, end)) add(link_store(code), kStore, kNone);
      }
      add(link_end(code), kNone, kNone);
      first_link[end] = n;
    }
    for (int k = 0; k < n; ++k) {  // only now it is known which operands have but one block
      link[k].p_mask = move[k].p >= 0 && one_block[move[k].p] ? 0 : -1;
      link[k].q_mask = move[k].q >= 0 && one_block[move[k].q] ? 0 : -1;
    }
  }

  // Steps [i, chain_end[i]) on n elements from the operands' current addresses on.
  template <class Place> int run_chain_at(int i, int64_t n, Place place) {
    const int begin = i, end = chain_end[i], code = static_cast<int>(step(i)[1]);
    const int64_t item = kItemSize[code], whole = n / chain_block(code) * chain_block(code);
    for (; i < end; ++i) {
      const int64_t* s = step(i);
      std::byte* out = place(i);
      for (int k = first_link[i]; k < first_link[i + 1]; ++k) {
        if (move[k].p >= 0) link[k].p = static_cast<std::byte*>(const_cast<void*>(reg[move[k].p]));
        if (move[k].q >= 0) link[k].q = static_cast<std::byte*>(const_cast<void*>(reg[move[k].q]));
        if (move[k].p == kStore) link[k].p = out;
      }
      if (whole < n) {  // the rest, less than a block
        const void* in[4];
        for (int a = 0; a < s[2]; ++a)
          in[a] = static_cast<const std::byte*>(reg[s[4 + a]]) + (one_block[s[4 + a]] ? 0 : whole * item);
        fn[i](in, out + whole * item, n - whole);
      }
      reg[s[3]] = out;
    }
    if (whole) run_chain(link + first_link[begin], code, whole);
    return end;
  }

  // Step that gives output o its value if it may write straight into the output: the last write of its register,
  // with no input that shares the output's memory read later.
  int direct_step(int o) const {
    const int64_t r = p.outputs[o];
    for (int other = 0; other < o; ++other)
      if (p.outputs[other] == r) return -1;
    int last = -1;
    for (int i = 0; i < p.n_steps; ++i)
      if (p.steps[i * Program::kStep + 3] == r) last = i;
    if (last < 0) return -1;
    for (int k = 0; k < p.n_in; ++k) {
      if (space.data[k] != space.data[p.n_in + o]) continue;
      for (int i = last + 1; i < p.n_steps; ++i)
        for (int a = 0; a < p.steps[i * Program::kStep + 2]; ++a)
          if (p.steps[i * Program::kStep + 4 + a] == k) return -1;
      for (int other = 0; other < p.n_out; ++other)
        if (p.outputs[other] == k) return -1;
    }
    return last;
  }

  // Flat positions [begin, end) of the iteration space.
  void run(int64_t begin, int64_t end) {
    const int last = space.ndim - 1;
    const int64_t inner = space.shape[last];
    Cursor c(space, all_dense ? 0 : begin);
    for (int64_t pos = begin; pos < end;) {
      int64_t n = min64(tile, end - pos);
      if (by_row && !all_dense) n = min64(n, inner - c.at[last]);
      // where operand k's elements lie in one piece, or nullptr
      auto straight = [&](int k) {
        if (space.dense[k]) return space.data[k] + pos * space.item[k];
        return by_row && space.stride[k][last] == 1 ? space.data[k] + c.offset[k] * space.item[k] : nullptr;
      };
      for (int k = 0; k < p.n_in; ++k) {
        if (fixed[k]) continue;
        reg[k] = straight(k);
        if (!reg[k]) move_tile(space, k, c, buffer[k], n, true), reg[k] = buffer[k];
      }
      std::byte* target[kMaxArgs];
      for (int o = 0; o < p.n_out; ++o) target[o] = straight(p.n_in + o);
      auto place = [&](int i) {
        for (int o = 0; o < p.n_out; ++o)
          if (direct[o] == i && target[o]) return target[o];
        return buffer[step(i)[3]];
      };
      for (int i = 0; i < p.n_steps;) {
        if (chains && chain_end[i]) {
          i = run_chain_at(i, n, place);
          continue;
        }
        const int64_t* s = step(i);
        const void* in[4];
        for (int a = 0; a < s[2]; ++a) in[a] = reg[s[4 + a]];
        std::byte* out = place(i++);
        fn[i - 1](in, out, n);
        reg[s[3]] = out;
      }
      for (int o = 0; o < p.n_out; ++o) {
        const int k = p.n_in + o;
        const std::byte* value = static_cast<const std::byte*>(reg[p.outputs[o]]);
        if (!target[o]) move_tile(space, k, c, const_cast<std::byte*>(value), n, false);
        else if (target[o] != value) std::memmove(target[o], value, n * space.item[k]);
      }
      pos += n;
      if (all_dense) continue;
      if (by_row) c.advance(space, n);
      else if (pos < end) c = Cursor(space, pos);
    }
  }
};

// One op, all operands dense or single elements: no tiles but those of the single elements.
bool is_plain(const Args& a, const Program& p, int64_t size) {
  if (p.n_steps != 1 || p.n_const != 0 || p.n_out != 1) return false;
  if (!a.out[0].contiguous()) return false;
  for (int k = 0; k < p.n_in; ++k)
    if (a.in[k].size() != size || !a.in[k].contiguous()) return false;
  return true;
}

void run_tile(const Args& args, Team& team) {
  const Program p(args.ints, args.floats);
  const int64_t size = args.out[0].size();
  if (size == 0) return;
  if (is_plain(args, p, size)) {
    const int64_t* s = p.steps;
    const TileFn fn = tile_fn(static_cast<int>(s[0]), static_cast<int>(s[1]));
    team.each((size + kChunk - 1) / kChunk, [&](int64_t i) {
      const int64_t begin = i * kChunk, n = min64(kChunk, size - begin);
      const void* in[4];
      for (int a = 0; a < s[2]; ++a) in[a] = args.in[s[4 + a]].ptr<std::byte>() + begin * item_size(args.in[s[4 + a]].dtype);
      fn(in, args.out[0].ptr<std::byte>() + begin * item_size(args.out[0].dtype), n);
    });
    return;
  }
  const auto make = [&] {
    Runner runner(p);
    runner.prepare(args.in, args.out);
    runner.layout(local_scratch(static_cast<size_t>(tile_scratch(p))));
    return runner;
  };
  Runner own = make();
  const int64_t step = own.chunk;
  team.each((size + step - 1) / step, own, make,
            [&](Runner& runner, int64_t i) { runner.run(i * step, min64(size, (i + 1) * step)); });
}

// Measured at about 60 GB/s in cache; ops range from 0.02 ns an element (add) to 0.5 ns (the costlier functions).
double tile_cost(const Args& args) {
  const Program p(args.ints, args.floats);
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

const char* check_tile(const Args& a) {
  return check_program(a.ints, a.n_ints, a.n_floats, a.in, a.n_in, a.out, a.n_out);
}

}  // namespace

const char* check_program(const int64_t* ints, int n_ints, int n_floats, const View* ins, int n_in, const View* outs,
                          int n_out) {
  if (n_ints < 4) return "ints must start with [n_in, n_out, n_const, n_steps]";
  for (int i = 0; i < 4; ++i)
    if (ints[i] < 0 || ints[i] > kMaxRegs) return "counts of a tile program must be in [0, 96]";
  const int64_t n_const = ints[2], n_steps = ints[3];
  if (ints[0] != n_in || ints[1] != n_out) return "n_in and n_out must be the numbers of operands";
  if (n_out < 1 || n_in + n_out > kMaxArgs) return "a tile program has 1 to 32 operands, one of them an output";
  if (n_ints != 4 + n_const + n_steps * Program::kStep + n_out) return "ints must hold constants' dtypes, steps and output registers";
  if (n_floats != n_const) return "floats must hold the constants";
  const Program p(ints, nullptr);
  if (n_in + n_const > kMaxRegs) return "a tile program has at most 96 registers";

  int dtype[kMaxRegs];  // of each register; -1: not written yet
  for (int r = 0; r < kMaxRegs; ++r) dtype[r] = -1;
  for (int k = 0; k < n_in; ++k) dtype[k] = static_cast<int>(ins[k].dtype);
  for (int c = 0; c < n_const; ++c) {
    if (p.const_codes[c] < 0 || p.const_codes[c] >= kDTypes) return "a constant's dtype code must be in [0, 5]";
    dtype[n_in + c] = static_cast<int>(p.const_codes[c]);
  }
  for (int i = 0; i < n_steps; ++i) {
    const int64_t* s = p.steps + i * Program::kStep;
    if (s[0] < 0 || s[0] >= kRows) return "a step's fn must be a row number of ops.def";
    const ElementwiseRow& row = kRowTable[s[0]];
    if (s[1] < 0 || s[1] >= 6 * 16 || !tile_fn(static_cast<int>(s[0]), static_cast<int>(s[1]))) return "a step's op has no instance for its dtype";
    if (s[2] != row.arity) return "a step's arity must be its op's";
    if (s[3] < n_in + n_const || s[3] >= kMaxRegs || s[3] >= n_in + n_const + n_steps) return "a step must write a temporary register";
    const bool converts = row.kind == RowKind::mixed && row.arity == 1;
    const int value = static_cast<int>(converts ? s[1] / 16 : s[1]);
    for (int a = 0; a < s[2]; ++a) {
      const int64_t r = s[4 + a];
      if (r < 0 || r >= kMaxRegs || dtype[r] < 0) return "a step reads a register that nothing has written";
      const int expected = row.kind == RowKind::mixed && !converts && a == 0 ? static_cast<int>(DType::b1) : value;
      if (dtype[r] != expected) return "a step's op and its registers must have the same dtype";
      if (r == s[3]) return "a step must not write a register that it reads";
    }
    dtype[s[3]] = converts ? static_cast<int>(s[1] % 16) : row.kind == RowKind::predicate ? static_cast<int>(DType::b1) : value;
  }
  for (int o = 0; o < n_out; ++o) {
    const int64_t r = p.outputs[o];
    if (r < 0 || r >= kMaxRegs || dtype[r] < 0) return "an output register has not been written";
    if (dtype[r] != static_cast<int>(outs[o].dtype)) return "an output must have its register's dtype";
    if (outs[o].ndim != outs[0].ndim) return "all outputs must have the same shape";
    for (int d = 0; d < outs[0].ndim; ++d)
      if (outs[o].shape[d] != outs[0].shape[d]) return "all outputs must have the same shape";
  }
  for (int k = 0; k < n_in; ++k) {
    const int pad = outs[0].ndim - ins[k].ndim;
    if (pad < 0) return "an input has more axes than the output";
    for (int d = 0; d < ins[k].ndim; ++d)
      if (ins[k].shape[d] != 1 && ins[k].shape[d] != outs[0].shape[d + pad]) return "inputs must broadcast to the output's shape";
  }
  return nullptr;
}

int64_t tile_scratch(const Program& p) {
  return kScratch + (p.n_in + p.n_const + p.n_steps) * (kMinTile * 8 + 64 + 320);
}

void run_tile_block(const Program& p, const TileMatrix* ins, const TileMatrix* outs, int64_t r0, int64_t r1, int64_t c0, int64_t c1,
                    std::byte* scratch) {
  if (r1 <= r0 || c1 <= c0) return;
  Runner runner(p);
  runner.space.block(ins, p.n_in, outs, p.n_out, r0, r1 - r0, c0, c1 - c0);
  runner.layout(scratch);
  runner.run(0, runner.space.total);
}

extern const Kernel k_tile = {run_tile, tile_cost, nullptr, check_tile};

}  // namespace rv::RV_ISA
