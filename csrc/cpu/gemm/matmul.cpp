// SPDX-License-Identifier: Apache-2.0
// matmul: C[..., m, n] = A[..., m, k] B[..., k, n] + bias[n], batch axes broadcast.
// ints: [flags, epilogue...]. Flags: 1 A's last axes are exchanged, 2 B's are, 4 there is a bias, 8 and 16 the
// precision of float32: 0 "highest", 8 "high", 16 "medium" (split.h); 32 times a Variant, for measurements. in: A, B,
// bias if flagged, then the epilogue's operands; out: C, or the epilogue's outputs. The epilogue is a tile program
// (cpu/tile.h) whose input 0 is the product (with bias), the others are the operands, which broadcast to C's shape. The
// product is made in the memory of an output that can hold it.
#include "core/kernel.h"
#include "cpu/gemm/split.h"
#include "cpu/kernels.h"
#include "cpu/tile/program.h"

namespace rv::RV_ISA {
namespace gemm {
namespace {

enum : int64_t { kTransposeA = 1, kTransposeB = 2, kBias = 4, kPrecision = 8, kVariant = 32 };
Variant variant_of(int64_t flags) { return static_cast<Variant>(flags / kVariant); }
Precision precision_of(int64_t flags) { return static_cast<Precision>(flags % kVariant / kPrecision); }

// Axis `axis` of C's batch axes, as `v` sees it; v's axes are aligned at the right and may be fewer.
inline int64_t batch_stride(const View& v, int axis, int ndim) {
  const int d = axis - ndim + v.ndim;
  return d < 0 || v.shape[d] == 1 ? 0 : v.stride[d];
}

struct Operands {
  int64_t m, n, k;
  int64_t a_row, a_col, b_row, b_col;
  int batch_axes;
  bool has_bias, has_program;
  int product;  // the output in whose memory the product is made; -1: in shared memory
  View c;

  explicit Operands(const Args& args) : product(0), c(args.out[0]) {
    const View &a = args.in[0], &b = args.in[1];
    const int64_t flags = args.ints[0];
    const int ar = a.ndim - 2, ac = a.ndim - 1, br = b.ndim - 2, bc = b.ndim - 1;
    m = a.shape[ar], k = a.shape[ac], a_row = a.stride[ar], a_col = a.stride[ac];
    n = b.shape[bc], b_row = b.stride[br], b_col = b.stride[bc];
    if (flags & kTransposeA) exchange(m, k), exchange(a_row, a_col);
    if (flags & kTransposeB) n = b.shape[br], exchange(b_row, b_col);
    batch_axes = c.ndim - 2;
    has_bias = flags & kBias;
    has_program = args.n_ints > 1;
    if (has_program) choose_product(args);
  }
  void choose_product(const Args& args) {
    const Program program(args.ints + 1, args.floats);
    product = -1;
    for (int i = program.n_out - 1; i >= 0; --i)
      if (program.outputs[i] == 0) product = i;
    for (int i = 0; i < program.n_out && product < 0; ++i)
      if (args.out[i].dtype == args.in[0].dtype) product = i;
    if (product >= 0) {
      c = args.out[product];
      return;
    }
    int64_t stride = 1;  // contiguous, at the start of the shared memory
    c.dtype = args.in[0].dtype, c.data = args.shared;
    for (int d = c.ndim - 1; d >= 0; --d) c.stride[d] = stride, stride *= c.shape[d];
  }
  int64_t product_bytes() const { return product < 0 ? ceil_div(c.size() * item_size(c.dtype), 64) * 64 : 0; }
  int first_extra() const { return has_bias ? 3 : 2; }
  static void exchange(int64_t& x, int64_t& y) {
    const int64_t z = x;
    x = y, y = z;
  }
};

// Axes 0..ndim-2 of C walked as one row axis: the row stride for operand v, or false where there is no single one.
bool one_row_axis(const View& c, const View& v, int64_t own_row, int64_t* row) {
  int64_t size = c.shape[c.ndim - 2], stride = own_row;
  for (int axis = c.ndim - 3; axis >= 0; --axis) {
    if (c.shape[axis] == 1) continue;
    const int64_t step = batch_stride(v, axis, c.ndim);
    if (size == 1) stride = step;
    else if (step != size * stride) return false;
    size *= c.shape[axis];
  }
  *row = stride;
  return true;
}

// The products of a call: `count` of them, each `q` displaced by the batch strides. They follow from A, B and C alone:
// an epilogue changes neither the order of sums nor their scratch.
template <class T>
struct Batch {
  int64_t count = 1;
  Product<T> q;  // sets the above
  Split split{};

  explicit Batch(const Args& args, const Operands& o) : q(make(args, o)) {
    const Variant v = variant_of(args.ints[0]);
    if (v != Variant::chosen) q.force(v);
    else if (args.packed) split = ahead(args).take(q, args.packed);
    else if constexpr (same_type<T, float>) split = Split::of(precision_of(args.ints[0]), q.m, q.n, q.k);
  }

  Product<T> make(const Args& args, const Operands& o) {
    const View &a = args.in[0], &b = args.in[1], &c = o.c;
    int64_t m = o.m, a_row = o.a_row, c_row = c.stride[c.ndim - 2];
    for (int axis = 0; axis < o.batch_axes; ++axis) count *= c.shape[axis];
    if (o.batch_axes > 0 && count > 0) {
      bool merged =
          one_row_axis(c, a, a_row, &a_row) && one_row_axis(c, c, c_row, &c_row);  // batch axes and rows are one axis
      for (int axis = 0; axis < o.batch_axes && merged; ++axis)
        merged = batch_stride(b, axis, c.ndim) == 0 || c.shape[axis] == 1;
      merged = merged && (c_row == 1 || c.stride[c.ndim - 1] == 1 || o.n == 1);  // C of one row each may have neither
      if (merged) m *= count, count = 1;
      else a_row = o.a_row, c_row = c.stride[c.ndim - 2];
    }
    return Product<T>::of(m, o.n, o.k, {a.ptr<const T>(), a_row, o.a_col}, {b.ptr<const T>(), o.b_row, o.b_col},
                          {c.ptr<T>(), c_row, c.stride[c.ndim - 1]});
  }
  Ahead<T> ahead(const Args& args) const { return {precision_of(args.ints[0]), q.m, q.n, q.k}; }
  // Many products, or small ones: each is the work of one member. By shape alone.
  bool whole() const { return count >= 8 || (count > 1 && q.m * q.n * q.k < (1 << 20)); }
  int64_t shared_bytes() const { return whole() ? 0 : bytes_of(split, q); }
};

// Element offset of product `index` in operand v.
int64_t offset(const View& c, const View& v, int64_t index) {
  int64_t at = 0;
  for (int axis = c.ndim - 3; axis >= 0; --axis) {
    at += index % c.shape[axis] * batch_stride(v, axis, c.ndim);
    index /= c.shape[axis];
  }
  return at;
}

template <class T>
void run_product(const Args& args, const Operands& o, Team& team) {
  const View& c = o.c;
  Batch<T> batch(args, o);
  if (o.m == 0 || o.n == 0 || batch.count == 0) return;
  const View* const bias_view = o.has_bias ? &args.in[2] : nullptr;
  // The micro-kernels add a contiguous bias along the rows that they store; otherwise it is added to finished tiles.
  const int64_t bias_step = bias_view ? bias_view->stride[bias_view->ndim - 1] : 0;
  const bool inside = bias_view && !batch.q.swapped && bias_step == 1;
  const T* const bias = bias_view ? bias_view->ptr<const T>() : nullptr;

  const bool whole = batch.whole();
  const auto local = [bytes = local_bytes_of(batch.split, batch.q)] { return Scratch(bytes); };

  auto one = [&](int64_t index, auto& crew, std::byte* scratch) {
    Product<T> q = batch.q;
    if (index > 0) {
      const int64_t at_a = offset(c, args.in[0], index), at_b = offset(c, args.in[1], index);
      q.a.p += q.swapped ? at_b : at_a;
      q.b.p += q.swapped ? at_a : at_b;
      q.c.p += offset(c, c, index);
    }
    auto done = [&](int64_t i0, int64_t rows, int64_t j0, int64_t cols) {
      if (bias && !inside)
        for (int64_t i = i0; i < i0 + rows; ++i)
          for (int64_t j = j0; j < j0 + cols; ++j) q.c.p[i * q.c.row + j] += bias[(q.swapped ? i : j) * bias_step];
    };
    if (q.k > 0) return run_either(batch.split, q, inside ? bias : nullptr, done, scratch, local, crew);
    crew.each(ceil_div(q.m, 64), [&](int64_t t) {
      const int64_t i0 = t * 64, rows = min(64, q.m - i0);
      for (int64_t i = i0; i < i0 + rows; ++i)
        for (int64_t j = 0; j < q.n; ++j) q.c.p[i * q.c.row + j] = inside ? bias[j] : T(0);
      done(i0, rows, 0, q.n);
    });
  };

  std::byte* const shared = args.shared + o.product_bytes();
  if (batch.count == 1) {
    one(0, team, shared);
  } else if (whole) {
    team.each(batch.count, [&](int64_t index) {
      Solo solo;
      one(index, solo, Scratch(bytes_of(batch.split, batch.q)));
    });
  } else {
    for (int64_t index = 0; index < batch.count; ++index) one(index, team, shared);
  }
}

// The epilogue as a `tile` instruction, on the product in place of A, B and bias.
struct Epilogue {
  Args args;
  alignas(View) std::byte room[Program::kMaxOperands * sizeof(View)];  // not initialised: mostly two or three are used

  Epilogue(const Args& all, const Operands& o) : args(all) {
    View* const ins = reinterpret_cast<View*>(room);
    args.in = ins, args.n_in = 0;
    ins[args.n_in++] = o.c;
    for (int i = o.first_extra(); i < all.n_in; ++i) ins[args.n_in++] = all.in[i];
    ++args.ints, --args.n_ints;
  }
  Epilogue(const Epilogue&) = delete;
};
int64_t prepare_matmul(const Args& args, std::byte* memory) {
  const Operands o(args);
  return o.has_program ? k_tile.prepare(Epilogue(args, o).args, memory) : 0;
}

// The tile kernel takes C as a whole once it is done: per finished tile of the product it costs 60 cycles for each row
// of the tile, and 128 x 512 x 512 with relu 306 us, not 283, 4096 x 64 x 512 1387, not 1273 (Zen 5; without an
// epilogue 284 and 1141).
template <class T>
void run_float(const Args& args, Team& team) {
  const Operands o(args);
  run_product<T>(args, o, team);
  if (o.has_program) k_tile.run(Epilogue(args, o).args, team);
}

template <class T>
void run_int(const Args& args, Team& team) {
  const Operands o(args);
  const View& c = args.out[0];
  int64_t count = 1;
  for (int axis = 0; axis < o.batch_axes; ++axis) count *= c.shape[axis];
  const int64_t c_row = c.stride[c.ndim - 2], c_col = c.stride[c.ndim - 1];
  team.each(count * o.m, [&](int64_t row) {
    const int64_t index = row / o.m, i = row % o.m;
    const T* const a = args.in[0].ptr<const T>() + offset(c, args.in[0], index) + i * o.a_row;
    const T* const b = args.in[1].ptr<const T>() + offset(c, args.in[1], index);
    T* const to = c.ptr<T>() + offset(c, c, index) + i * c_row;
    for (int64_t j = 0; j < o.n; ++j)
      to[j * c_col] = o.has_bias ? args.in[2].ptr<const T>()[j * args.in[2].stride[args.in[2].ndim - 1]] : T(0);
    for (int64_t p = 0; p < o.k; ++p) {
      const T x = a[p * o.a_col];
      for (int64_t j = 0; j < o.n; ++j)
        to[j * c_col] = static_cast<T>(to[j * c_col] + x * b[p * o.b_row + j * o.b_col]);
    }
  });
}

void run_matmul(const Args& args, Team& team) {
  switch (args.in[0].dtype) {
    case DType::f32: return run_float<float>(args, team);
    case DType::f64: return run_float<double>(args, team);
    case DType::i32: return run_int<uint32_t>(args, team);  // unsigned: wraps around without undefined behaviour
    case DType::i64: return run_int<uint64_t>(args, team);
    case DType::u8: return run_int<uint8_t>(args, team);
    case DType::b1: return;
  }
}

// A B that does not change, common to all rows, is copied ahead. One row reads it as fast as it comes, and few columns
// and hardly any k have ways of their own. Measured (Zen 5, in a plan): x W^T 8 x 64 x 64 1.46, 8 x 784 x 512 1.16, 32
// x 784 x 128 1.06, 256 x 1024 x 4096 1.04; x W 8 x 784 x 512 1.31, 3 x 784 x 512 1.14, 32 x 784 x 128 1.0, 256 x 1024
// x 4096 1.06; but 128 x 512 x 10 0.62. Shorter vectors leave the adders waiting where rows are few: x W^T with AVX2, 2
// x 784 x 512 0.75, 4 x 128 x 64 1.36; SSE, 4 x 128 x 64 0.73, 8 x 64 x 64 1.11.
template <class T>
Packing packing_of(const Args& args) {
  const Operands o(args);
  const View& b = args.in[1];
  const Batch<T> batch(args, o);
  const Product<T>& q = batch.q;
  const bool pays =
      q.m >= 128 / kVecBytes && q.n > kLanes<T> && q.k > 0 && batch.count > 0 && !q.swapped && b.size() == q.n * q.k;
  if (!pays || q.way == Way::strips || variant_of(args.ints[0]) != Variant::chosen) return {};
  const Ahead<T> ahead = batch.ahead(args);
  return {1, ahead.bytes(), ahead.split.terms * 2 + (args.ints[0] & kTransposeB ? 1 : 0),
          static_cast<double>(b.size())};
}
Packing packing_matmul(const Args& args) {
  switch (args.in[0].dtype) {
    case DType::f32: return packing_of<float>(args);
    case DType::f64: return packing_of<double>(args);
    default: return {};
  }
}
template <class T>
void pack_of(const Args& args, std::byte* packed, Team& team) {
  const Operands o(args);
  Batch<T>(args, o).ahead(args).pack({args.in[1].ptr<const T>(), o.b_row, o.b_col}, packed, team);
}
void pack_matmul(const Args& args, std::byte* packed, Team& team) {
  return args.in[0].dtype == DType::f32 ? pack_of<float>(args, packed, team) : pack_of<double>(args, packed, team);
}

bool floating(const Args& args) { return args.in[0].dtype == DType::f32 || args.in[0].dtype == DType::f64; }

double cost_product(const Args& args, const Operands& o) {
  const double c = static_cast<double>(args.out[0].size()), item = static_cast<double>(item_size(args.in[0].dtype));
  const double reads = static_cast<double>(args.in[0].size() + args.in[1].size());
  // Multiply-adds at a bit less than the peak, and bytes at the rate of L2; one row goes by bytes alone, as L2 or L3
  // gives them.
  const double per_ns = !floating(args) ? 1.0 : kVecBytes / item * 6;
  if (floating(args) && o.m == 1 && o.batch_axes == 0)
    return 20 + reads * item / (reads * item < (768 << 10) ? 140 : 95);
  return 20 + c * static_cast<double>(o.k) / per_ns + (reads + 2 * c) * item / 60;
}
double cost_matmul(const Args& args) {
  const Operands o(args);
  return cost_product(args, o) + (o.has_program ? k_tile.cost(Epilogue(args, o).args) : 0);
}

int64_t shared_matmul(const Args& args) {
  const Operands o(args);
  if (args.in[0].dtype == DType::f32) return o.product_bytes() + Batch<float>(args, o).shared_bytes();
  if (args.in[0].dtype == DType::f64) return o.product_bytes() + Batch<double>(args, o).shared_bytes();
  return 0;
}

const char* check_matmul(const Args& args) {
  if (args.n_in < 2 || args.n_out < 1 || args.n_ints < 1) return "takes A, B and flags, and gives C";
  const View &a = args.in[0], &b = args.in[1];
  const int64_t flags = args.ints[0];
  if (flags < 0 || flags % kVariant >= 3 * kPrecision ||
      flags / kVariant > static_cast<int64_t>(Variant::outer_packed_b))
    return "unknown flags";
  if (a.ndim < 2 || b.ndim < 2 || args.out[0].ndim < 2) return "operands need two axes or more";
  if (a.dtype == DType::b1 || a.dtype != b.dtype) return "A and B must have one numeric dtype";
  if ((flags & kBias) && (args.n_in < 3 || args.in[2].ndim != 1 || args.in[2].dtype != a.dtype))
    return "bias must be a vector";
  const int extras = args.n_in - (flags & kBias ? 3 : 2);
  if (args.n_ints == 1) {
    if (extras || args.n_out > 1 || args.n_floats) return "operands without an epilogue";
    if (args.out[0].dtype != a.dtype) return "C must have A's dtype";
  } else {
    if (!floating(args)) return "an epilogue needs a product of floats";
    if (extras + 1 > Program::kMaxOperands) return "an epilogue has at most 32 operands";
    View ins[Program::kMaxOperands];
    ins[0] = args.out[0];
    ins[0].dtype = a.dtype;
    for (int i = 0; i < extras; ++i) ins[i + 1] = args.in[args.n_in - extras + i];
    const char* rule =
        check_program(args.ints + 1, args.n_ints - 1, args.n_floats, ins, extras + 1, args.out, args.n_out);
    if (rule) return rule;
  }
  const Operands o(args);
  const View& c = o.c;
  const int64_t b_k = b.shape[(flags & kTransposeB) ? b.ndim - 1 : b.ndim - 2];
  if (b_k != o.k || c.shape[c.ndim - 2] != o.m || c.shape[c.ndim - 1] != o.n) return "shapes of A, B and C do not fit";
  if (o.has_bias && args.in[2].shape[0] != o.n) return "bias must have one value a column";
  if (a.ndim > c.ndim || b.ndim > c.ndim) return "operands have more axes than C";
  for (const View* v : {&a, &b})
    for (int d = 0; d < v->ndim - 2; ++d)
      if (v->shape[d] != 1 && v->shape[d] != c.shape[d + c.ndim - v->ndim]) return "batch axes do not broadcast to C's";
  if (floating(args) && c.stride[c.ndim - 1] != 1 && c.stride[c.ndim - 2] != 1 && o.n > 1 && o.m > 1)
    return "C must have stride 1 along one of its last two axes";
  if (const Variant v = variant_of(flags); v != Variant::chosen) {
    if (!floating(args) || o.k == 0) return "a variant is for products of floats";
    const bool can = a.dtype == DType::f32 ? Batch<float>(args, o).q.can(v) : Batch<double>(args, o).q.can(v);
    if (!can) return "the variant does not fit these operands";
  }
  return nullptr;
}

}  // namespace
}  // namespace gemm

extern const Kernel k_matmul = {gemm::run_matmul,     gemm::cost_matmul,    gemm::shared_matmul, gemm::check_matmul,
                                gemm::prepare_matmul, gemm::packing_matmul, gemm::pack_matmul};

}  // namespace rv::RV_ISA
