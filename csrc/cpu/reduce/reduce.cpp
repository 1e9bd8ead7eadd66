// SPDX-License-Identifier: Apache-2.0
// The walk of a reduction: outputs are cut into tiles of neighbours, and long reductions into chunks whose partial
// states meet in a second phase. Inside a chunk, blocks of terms are joined in a binary tree, so that rounding errors
// grow with its depth. Every cut follows from the shapes alone.
#include "cpu/reduce/reduce.h"

#include "cpu/simd/ints.h"

namespace rv::RV_ISA {
namespace {

constexpr int64_t kRun = 2048;        // terms of one output in a block of rows
constexpr int64_t kTileBytes = 2048;  // one row of a block of columns
constexpr int64_t kPackedRows = 16;   // rows of a block of columns that has to be gathered first
constexpr int64_t kChunkItems = 1 << 16;
constexpr int64_t kEnoughTasks = 32;  // from here on, reductions are not cut into chunks

int64_t line(int64_t bytes) { return (bytes + 63) & ~int64_t(63); }

struct Axis {
  int64_t size, in, out;  // strides in elements
};

struct AxisList {
  Axis axis[kMaxDims];
  int n = 0;
  int64_t count = 1;

  const Axis& last() const { return axis[n - 1]; }
  void add(const Axis& a) {
    count *= a.size;
    if (a.size != 1) axis[n++] = a;
  }
  void sort() {  // by distance in memory, farthest first
    for (int i = 1; i < n; ++i)
      for (int j = i; j > 0 && near(axis[j - 1]) < near(axis[j]); --j) {
        const Axis a = axis[j];
        axis[j] = axis[j - 1];
        axis[j - 1] = a;
      }
  }
  void merge() {  // neighbours that are one longer axis
    int kept = 0;
    for (int i = 0; i < n; ++i) {
      const Axis next = axis[i];
      if (kept && axis[kept - 1].in == next.in * next.size && axis[kept - 1].out == next.out * next.size)
        axis[kept - 1] = {axis[kept - 1].size * next.size, next.in, next.out};
      else axis[kept++] = next;
    }
    n = kept;
  }
  static int64_t near(const Axis& a) { return a.in < 0 ? -a.in : a.in; }
};

struct Tiling {
  AxisList kept, reduced;  // `kept` without `tiled`
  Axis tiled{1, 0, 0};     // the last kept axis
  bool columns, direct;    // blocks are columns (or rows) of memory; they are read in place
  int64_t width, tiles;    // outputs of a tile; tiles along `tiled`
  int64_t block;           // terms of a block
  int64_t fold = 1;        // rows that are laid side by side: narrow columns fill vectors
  int64_t chunk, chunks;   // terms of a chunk; chunks of a reduction
  int64_t plane;           // accumulators of a state
  int64_t slot;            // bytes of a state
  int depth = 2;           // of the tree of blocks
};

Tiling plan_tiling(const Args& args, const Reducer& r) {
  const View &in = args.in[0], &out = args.out[0];
  const auto& [dim, keepdim] = attrs<ReduceAttrs>(args);
  Tiling w;
  int next = 0, out_axis = 0;
  for (int d = 0; d < in.ndim; ++d) {
    const bool reduced = next < dim.size && dim[next] == d;
    if (reduced) {
      w.reduced.add({in.shape[d], in.stride[d], 0});
      ++next;
    } else {
      w.kept.add({in.shape[d], in.stride[d], out.stride[out_axis]});
    }
    if (!reduced || keepdim) ++out_axis;
  }
  w.kept.sort();
  w.kept.merge();
  if (!r.ordered) w.reduced.sort();
  w.reduced.merge();
  const int64_t terms = w.reduced.count, outputs = w.kept.count;
  if (w.kept.n) {
    w.tiled = w.kept.last();
    --w.kept.n;
    w.kept.count = outputs ? outputs / w.tiled.size : 0;
  }

  const bool has_rows = w.reduced.n > 0, has_columns = w.tiled.size > 1;
  w.columns = !has_rows || (has_columns && AxisList::near(w.tiled) < AxisList::near(w.reduced.last()));
  // few terms are better gathered into columns, the more so where a row has several passes
  if (has_columns && terms <= (r.state_bytes > r.item ? 32 : 12) && w.tiled.size >= 16) w.columns = true;
  const int64_t unit = w.columns ? (has_columns ? w.tiled.in : 1) : w.reduced.last().in;
  const int64_t least = w.columns ? 8 : 256;  // shorter runs are gathered
  w.direct = !r.gather && unit == 1 && (w.reduced.n <= 1 || w.reduced.last().size >= least);

  int64_t width = 1;
  if (w.columns) {
    width = kTileBytes / r.item;
    w.block = w.direct ? r.block_rows : min(r.block_rows, kPackedRows);
  } else {
    if (terms <= kRun) width = min(kTileBytes / r.item, max(1, 2 * kRun / max(terms, 1)));
    w.block = kRun;
  }
  w.tiles = max(1, ceil_div(w.tiled.size, width));
  w.width = ceil_div(w.tiled.size, w.tiles);
  if (w.tiles > 1) w.width = (w.width + 15) & ~int64_t(15);
  w.tiles = max(1, ceil_div(w.tiled.size, max(w.width, 1)));
  if (w.columns && w.direct && !r.ordered && w.reduced.n == 1 && w.reduced.last().in == w.tiled.size)
    while (2 * w.fold * w.width <= kTileBytes / r.item && 16 * w.fold <= terms) w.fold *= 2;

  w.chunk = max(w.block * w.fold, kChunkItems / max(w.width, 1));
  w.chunks = 1;
  if (w.kept.count * w.tiles < kEnoughTasks && terms > w.chunk + w.chunk / 2) w.chunks = ceil_div(terms, w.chunk);
  else w.chunk = max(terms, 1);
  w.plane = w.fold * w.width;
  w.slot = line(w.plane * r.state_bytes);
  for (int64_t blocks = ceil_div(w.chunk, w.block); blocks > 0; blocks /= 2) ++w.depth;
  // blocks that end with a run of the last reduced axis may be shorter, and so more
  if (w.direct && w.reduced.n > 1)
    for (int64_t more = ceil_div(w.block, w.reduced.last().size) + 1; more > 0; more /= 2) ++w.depth;
  return w;
}

int64_t in_offset(const AxisList& axes, int64_t flat) {
  int64_t offset = 0;
  for (int d = axes.n - 1; d > 0; --d) {
    offset += flat % axes.axis[d].size * axes.axis[d].in;
    flat /= axes.axis[d].size;
  }
  return axes.n ? offset + flat * axes.axis[0].in : 0;
}

int64_t out_offset(const AxisList& axes, int64_t flat) {
  int64_t offset = 0;
  for (int d = axes.n - 1; d >= 0; --d) {
    offset += flat % axes.axis[d].size * axes.axis[d].out;
    flat /= axes.axis[d].size;
  }
  return offset;
}

// One tile of outputs over one range of terms.
struct Tile {
  const Tiling& w;
  const Reducer& r;
  const std::byte* base;  // first input element of the tile's first output
  int64_t width;
  std::byte* states;  // depth slots
  std::byte* packed;  // (block, width) items in the order of memory

  std::byte* slot(int i) const { return states + i * w.slot; }
  const std::byte* at(int64_t offset) const { return base + offset * r.in_bytes; }

  void copy(const std::byte* from, int64_t stride, std::byte* to, int64_t n) const {
    if (r.gather) return r.gather(from, stride, to, n);
    copy_items(from, stride, to, n, r.item);
  }

  static void copy_items(const std::byte* from, int64_t stride, std::byte* to, int64_t n, int item) {
    switch (item) {
      case 1: return copy_as<uint8_t>(from, stride, to, n);
      case 4: return copy_as<uint32_t>(from, stride, to, n);
      default: return copy_as<uint64_t>(from, stride, to, n);
    }
  }
  template <class T> static void copy_as(const std::byte* from, int64_t stride, std::byte* to, int64_t n) {
    const T* x = reinterpret_cast<const T*>(from);
    T* y = reinterpret_cast<T*>(to);
    for (int64_t i = 0; i < n; ++i) y[i] = x[i * stride];
  }

  // Reduces up to `n` terms from `first` into `state`; returns how many.
  int64_t block(int64_t first, int64_t n, std::byte* state) const {
    n = min(n, w.block);
    const Axis run = w.reduced.n ? w.reduced.last() : Axis{1, 0, 0};
    if (w.direct) {
      n = min(n, run.size - first % run.size);
      const std::byte* x = at(in_offset(w.reduced, first));
      if (w.columns) r.columns(x, run.in, n, width, first, state, w.plane);
      else r.rows(x, w.tiled.in, n, width, first, state, w.plane);
    } else if (w.columns) {
      for (int64_t i = 0; i < n; ++i)
        copy(at(in_offset(w.reduced, first + i)), w.tiled.in, packed + i * width * r.item, width);
      r.columns(packed, width, n, width, first, state, w.plane);
    } else {
      for (int64_t i = 0; i < n;) {
        const int64_t length = min(n - i, run.size - (first + i) % run.size);
        const int64_t offset = in_offset(w.reduced, first + i);
        for (int64_t j = 0; j < width; ++j)
          copy(at(offset + j * w.tiled.in), run.in, packed + (j * n + i) * r.item, length);
        i += length;
      }
      r.rows(packed, n, n, width, first, state, w.plane);
    }
    return n;
  }

  // slot(0) = reduction of the terms [begin, end)
  void range(int64_t begin, int64_t end) const {
    if (w.fold > 1 && end - begin >= w.fold) return folded(begin, end);
    int top = 0;
    for (int64_t first = begin, blocks = 1; first < end; ++blocks) {
      first += block(first, end - first, slot(top++));
      for (int64_t b = blocks; !(b & 1); b >>= 1, --top) r.join(slot(top - 2), slot(top - 1), width, w.plane);
    }
    for (; top > 1; --top) r.join(slot(top - 2), slot(top - 1), width, w.plane);
  }

  void folded(int64_t begin, int64_t end) const {
    const int64_t rows = (end - begin) / w.fold, wide = w.fold * width;
    int top = 0;
    for (int64_t i = 0, blocks = 1; i < rows; i += w.block, ++blocks) {
      r.columns(at((begin + i * w.fold) * width), wide, min(w.block, rows - i), wide, 0, slot(top++), w.plane);
      for (int64_t b = blocks; !(b & 1); b >>= 1, --top) r.join(slot(top - 2), slot(top - 1), wide, w.plane);
    }
    for (; top > 1; --top) r.join(slot(top - 2), slot(top - 1), wide, w.plane);
    for (int64_t half = w.fold / 2; half > 0; half /= 2)
      r.join(states, states + half * width * r.item, half * width, w.plane);
    const int64_t rest = begin + rows * w.fold;
    if (rest < end) {
      r.columns(at(rest * width), width, end - rest, width, 0, slot(1), w.plane);
      r.join(states, slot(1), width, w.plane);
    }
  }
};

}  // namespace

void reduce_all(const Args& args, Team& team, const Reducer& r) {
  const Tiling w = plan_tiling(args, r);
  const int64_t terms = w.reduced.count;
  if (w.kept.count * w.tiled.size == 0) return;
  const int64_t states = w.depth * w.slot;
  const int64_t scratch_bytes = states + (w.direct ? 0 : w.block * w.width * r.item);

  auto tile_width = [&](int64_t tile) { return min(w.width, w.tiled.size - tile * w.width); };
  auto finish = [&](int64_t outer, int64_t tile, const std::byte* state) {
    std::byte* out[2] = {};
    for (int k = 0; k < args.n_out; ++k)
      out[k] = args.out[k].ptr<std::byte>() +
               (out_offset(w.kept, outer) + tile * w.width * w.tiled.out) * item_size(args.out[k].dtype);
    r.finish(state, tile_width(tile), w.plane, terms, args, out, w.tiled.out);
  };
  auto partial = [&](int64_t place, int64_t chunk) { return args.shared + (place * w.chunks + chunk) * w.slot; };

  team.each(w.kept.count * w.tiles * w.chunks, [&](int64_t task) {
    const int64_t chunk = task % w.chunks, place = task / w.chunks;
    const int64_t tile = place % w.tiles, outer = place / w.tiles, width = tile_width(tile);
    const Scratch scratch(scratch_bytes);
    if (terms == 0) {
      r.empty(scratch, width, w.plane);
      return finish(outer, tile, scratch);
    }
    const std::byte* base =
        args.in[0].ptr<std::byte>() + (in_offset(w.kept, outer) + tile * w.width * w.tiled.in) * r.in_bytes;
    const Tile t{w, r, base, width, scratch, scratch + states};
    t.range(chunk * w.chunk, min(terms, (chunk + 1) * w.chunk));
    if (w.chunks == 1) return finish(outer, tile, scratch);
    __builtin_memcpy(partial(place, chunk), scratch, w.slot);
  });
  if (w.chunks == 1) return;

  team.each(w.kept.count * w.tiles, [&](int64_t place) {
    const int64_t tile = place % w.tiles;
    for (int64_t step = 1; step < w.chunks; step *= 2)
      for (int64_t i = 0; i + step < w.chunks; i += 2 * step)
        r.join(partial(place, i), partial(place, i + step), tile_width(tile), w.plane);
    finish(place / w.tiles, tile, partial(place, 0));
  });
}

int64_t reduce_shared(const Args& args, const Reducer& r) {
  const Tiling w = plan_tiling(args, r);
  return w.chunks > 1 ? w.kept.count * w.tiles * w.chunks * w.slot : 0;
}

double reduce_cost(const Args& args, const Reducer& r) {
  return 100 + r.ns_per_item * static_cast<double>(args.in[0].size());
}

const char* reduce_check(const Args& args, int outputs) {
  if (args.n_in != 1 || args.n_out != outputs) return "one input and its number of outputs are needed";
  const View &in = args.in[0], &out = args.out[0];
  const auto& [dim, keepdim] = attrs<ReduceAttrs>(args);
  for (int i = 0; i < dim.size; ++i)
    if (dim[i] < (i ? dim[i - 1] + 1 : 0) || dim[i] >= in.ndim) return "axes must ascend and lie in the input's rank";
  int next = 0, axis = 0;
  for (int d = 0; d < in.ndim; ++d) {
    const bool reduced = next < dim.size && dim[next] == d;
    next += reduced;
    if (reduced && !keepdim) continue;
    if (axis >= out.ndim || out.shape[axis] != (reduced ? 1 : in.shape[d])) return "output shape does not fit";
    ++axis;
  }
  if (axis != out.ndim) return "output shape does not fit";
  for (int k = 1; k < args.n_out; ++k) {
    if (args.out[k].ndim != out.ndim) return "outputs must have one shape";
    for (int d = 0; d < out.ndim; ++d)
      if (args.out[k].shape[d] != out.shape[d] || args.out[k].stride[d] != out.stride[d])
        return "outputs must have one shape and equal strides";
  }
  return nullptr;
}

}  // namespace rv::RV_ISA
