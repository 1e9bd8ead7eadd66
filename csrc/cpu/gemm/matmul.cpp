// SPDX-License-Identifier: Apache-2.0
// matmul: C[..., m, n] = A[..., m, k] B[..., k, n] + bias[n], batch axes broadcast.
// transpose_a and _b: that operand's last axes are exchanged; precision of float32: 0 "highest", 1 "high", 2 "medium"
// (split.h); variant: for measurements. in: A, B, bias if there is one, then the epilogue's operands; out: C, or the
// epilogue's outputs. The epilogue is a tile program (cpu/tile.h) whose input 0 is the product (with bias), the others
// are the operands, which broadcast to C's shape. The product is made in the memory of an output that can hold it.
#include <new>

#include "core/kernel.h"
#include "cpu/gemm/api.h"
#include "cpu/gemm/constants.h"

namespace rv::RV_ISA {
namespace gemm {
namespace {

RV_ATTRS(MatmulAttrs, (bool, transpose_a), (bool, transpose_b), (bool, bias), (int64_t, precision), (int64_t, variant),
         (ProgramAttrs, epilogue));
Variant variant_of(const Args& args) { return static_cast<Variant>(attrs<MatmulAttrs>(args).variant); }
Precision precision_of(const Args& args) { return static_cast<Precision>(attrs<MatmulAttrs>(args).precision); }

// Axis `axis` of C's batch axes, as `v` sees it; v's axes are aligned at the right and may be fewer.
inline int64_t batch_stride(const View& v, int axis, int ndim) {
  const int d = axis - ndim + v.ndim;
  return d < 0 || v.shape[d] == 1 ? 0 : v.stride[d];
}

// Axes of a matrix, exchanged if flagged.
struct Axes {
  int64_t rows, cols;
  Strides strides;

  Axes(const View& v, bool exchanged) {
    const int row = v.ndim - 2 + exchanged, col = v.ndim - 1 - exchanged;
    rows = v.shape[row], cols = v.shape[col], strides = {v.stride[row], v.stride[col]};
  }
};

struct Operands {
  Epilogue epilogue;
  const View& c;
  Shape shape;  // of one product of the batch
  int batch_axes;
  bool has_bias;

  explicit Operands(const Args& args)
      : epilogue(args, attrs<MatmulAttrs>(args).epilogue, args.in[0].dtype), c(epilogue.product) {
    const MatmulAttrs& flags = attrs<MatmulAttrs>(args);
    const Axes a(args.in[0], flags.transpose_a), b(args.in[1], flags.transpose_b);
    shape = {a.rows, b.cols, a.cols, a.strides, b.strides, {c.stride[c.ndim - 2], c.stride[c.ndim - 1]}};
    batch_axes = c.ndim - 2;
    has_bias = flags.bias;
  }
  int first_extra() const { return has_bias ? 3 : 2; }
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

// The products of a call: `count` of them, each displaced by the batch strides. They follow from A, B and C alone: an
// epilogue changes neither the order of sums nor their scratch.
struct Batch {
  struct Offsets {
    int64_t a, b, c;  // in elements
  };
  struct Axis {
    int64_t size;
    Offsets step;
  };
  int64_t count = 1;
  Shape shape;
  int n_axes = 0;
  Axis axes[kMaxDims];  // the last one first, those of one product left out

  Batch(const Args& args, const Operands& o) : shape(o.shape) {
    for (int axis = o.batch_axes - 1; axis >= 0; --axis) {
      const auto step = [&](const View& v) { return batch_stride(v, axis, o.c.ndim); };
      const int64_t size = o.c.shape[axis];
      if (size != 1) axes[n_axes++] = {size, {step(args.in[0]), step(args.in[1]), step(o.c)}};
      count *= size;
    }
    if (o.batch_axes == 0 || count == 0) return;
    Shape one = shape;  // batch axes and rows as one axis
    bool merged =
        one_row_axis(o.c, args.in[0], shape.a.row, &one.a.row) && one_row_axis(o.c, o.c, shape.c.row, &one.c.row);
    for (int axis = 0; axis < o.batch_axes && merged; ++axis)
      merged = batch_stride(args.in[1], axis, o.c.ndim) == 0 || o.c.shape[axis] == 1;
    if (!merged || (one.c.row != 1 && one.c.col != 1 && one.n != 1)) return;  // C of one row each may have neither
    one.m *= count, count = 1;
    shape = one;
  }
  // Of product `index`.
  Offsets offsets(int64_t index) const {
    Offsets at{};
    for (int i = 0; i < n_axes; ++i) {
      const int64_t before = i + 1 < n_axes ? index / axes[i].size : 0, here = index - before * axes[i].size;
      at.a += here * axes[i].step.a, at.b += here * axes[i].step.b, at.c += here * axes[i].step.c;
      index = before;
    }
    return at;
  }
  // Many products, or small ones: each is the work of one thread. By shape alone.
  bool whole() const {
    return count >= policy::batch_count || (count > 1 && shape.m * shape.n * shape.k < policy::batch_work);
  }
};

// What follows from shapes, once an instruction: a run adds where the operands are.
template <class T> struct Prepared {
  Epilogue epilogue;
  int first_extra;
  bool has_bias;
  int64_t bias_step;
  Batch batch;
  Task<T> task;  // of each product
  int64_t scratch;

  Prepared(const Args& args, const Operands& o)
      : epilogue(o.epilogue),
        first_extra(o.first_extra()),
        has_bias(o.has_bias),
        bias_step(has_bias ? args.in[2].stride[args.in[2].ndim - 1] : 0),
        batch(args, o),
        task(plan<T>(batch.shape, precision_of(args), {nullptr, args.packed})) {
    if (const Variant v = variant_of(args); v != Variant::chosen) task.split = {}, task.q.choose(forced<T>(task.q, v));
    scratch = bytes(task);
  }
  int64_t shared_bytes() const { return epilogue.shared_bytes() + (batch.whole() ? 0 : scratch); }
};
// What the epilogue prepares begins behind them.
template <class T>
inline constexpr int64_t kPreparedBytes = ceil_div(static_cast<int64_t>(sizeof(Prepared<T>)), 64) * 64;

template <class T> void run_product(const Prepared<T>& p, const Args& args, Team& team) {
  const T *const a = args.in[0].ptr<const T>(), *const b = args.in[1].ptr<const T>();
  T* const c = p.epilogue.template ptr<T>(args);
  const Bias<T> bias{p.has_bias ? args.in[2].ptr<const T>() : nullptr, p.bias_step};
  std::byte* const shared = args.shared + p.epilogue.shared_bytes();
  const Batch& batch = p.batch;
  Task<T> task = p.task;
  if (batch.count == 1) {
    task.q.place(a, b, c);
    return run(task, bias, shared, team);
  }
  const auto one = [&](Task<T>& own, int64_t index, std::byte* scratch, Team& threads) {
    const auto at = batch.offsets(index);
    own.q.place(a + at.a, b + at.b, c + at.c);
    run(own, bias, scratch, threads);
  };
  if (!batch.whole()) {
    for (int64_t index = 0; index < batch.count; ++index) one(task, index, shared, team);
    return;
  }
  struct Own {
    Task<T> task;
    Team team;
    Scratch scratch;
  };
  const auto make = [&] { return Own{p.task, team.single(), Scratch(p.scratch)}; };
  Own own = make();
  team.each(batch.count, own, make, [&](Own& o, int64_t index) { one(o.task, index, o.scratch, o.team); });
}

// The epilogue takes C as a whole once it is done: a chain costs more for each row of a finished tile than C's way
// through the caches.
template <class T> void run_float(const Args& args, Team& team) {
  const auto& p = *reinterpret_cast<const Prepared<T>*>(args.prepared);
  run_product(p, args, team);
  p.epilogue.run(args, p.first_extra, args.prepared + kPreparedBytes<T>, team);
}
template <class T> int64_t prepare_float(const Args& args, std::byte* memory) {
  constexpr int64_t own = kPreparedBytes<T>;
  const Operands o(args);
  if (memory) new (memory) Prepared<T>(args, o);
  return own + o.epilogue.prepare(args, o.first_extra(), memory ? memory + own : nullptr);
}

template <class T> void run_int(const Args& args, Team& team) {
  const Operands o(args);
  const Batch batch(args, o);
  const Shape& s = batch.shape;
  team.each(batch.count * s.m, [&](int64_t row) {
    const int64_t i = row % s.m;
    const auto at = batch.offsets(row / s.m);
    const T* const a = args.in[0].ptr<const T>() + at.a + i * s.a.row;
    const T* const b = args.in[1].ptr<const T>() + at.b;
    T* const to = o.c.ptr<T>() + at.c + i * s.c.row;
    for (int64_t j = 0; j < s.n; ++j)
      to[j * s.c.col] = o.has_bias ? args.in[2].ptr<const T>()[j * args.in[2].stride[args.in[2].ndim - 1]] : T(0);
    for (int64_t p = 0; p < s.k; ++p) {
      const T x = a[p * s.a.col];
      for (int64_t j = 0; j < s.n; ++j)
        to[j * s.c.col] = static_cast<T>(to[j * s.c.col] + x * b[p * s.b.row + j * s.b.col]);
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

// A B that does not change, common to all rows, is packed ahead.
template <class T> Packing packing_of(const Args& args) {
  const Operands o(args);
  const Batch batch(args, o);
  const Shape& s = batch.shape;
  const bool common = batch.count > 0 && args.in[1].size() == s.n * s.k && !s.wants_transpose();
  if (!common || !ahead_pays<T>(s) || variant_of(args) != Variant::chosen) return {};
  const Packer<T> packer(Packer<T>::b, s, precision_of(args));
  return {1, packer.bytes(), packer.layout() * 2 + (attrs<MatmulAttrs>(args).transpose_b ? 1 : 0),
          static_cast<double>(args.in[1].size())};
}
Packing packing_matmul(const Args& args) {
  switch (args.in[0].dtype) {
    case DType::f32: return packing_of<float>(args);
    case DType::f64: return packing_of<double>(args);
    default: return {};
  }
}
template <class T> void pack_of(const Args& args, std::byte* packed, Team& team) {
  const Operands o(args);
  const Packer<T> packer(Packer<T>::b, Batch(args, o).shape, precision_of(args));
  packer.pack(args.in[1].ptr<const T>(), packed, team);
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
  if (floating(args) && o.shape.m == 1 && o.batch_axes == 0)
    return 20 + reads * item / (reads * item < (768 << 10) ? 140 : 95);
  return 20 + c * static_cast<double>(o.shape.k) / per_ns + (reads + 2 * c) * item / 60;
}
double cost_matmul(const Args& args) {
  const Operands o(args);
  return cost_product(args, o) + o.epilogue.cost(args, o.first_extra());
}
int64_t prepare_matmul(const Args& args, std::byte* memory) {
  switch (args.in[0].dtype) {
    case DType::f32: return prepare_float<float>(args, memory);
    case DType::f64: return prepare_float<double>(args, memory);
    default: return 0;
  }
}
int64_t shared_matmul(const Args& args) {
  const Operands o(args);
  switch (args.in[0].dtype) {
    case DType::f32: return Prepared<float>(args, o).shared_bytes();
    case DType::f64: return Prepared<double>(args, o).shared_bytes();
    default: return 0;
  }
}

const char* check_matmul(const Args& args) {
  if (args.n_in < 2 || args.n_out < 1) return "takes A and B, and gives C";
  const View &a = args.in[0], &b = args.in[1];
  const MatmulAttrs& flags = attrs<MatmulAttrs>(args);
  if (flags.precision < 0 || flags.precision > 2) return "unknown precision";
  if (flags.variant < 0 || flags.variant >= static_cast<int64_t>(Variant::count)) return "unknown variant";
  if (a.ndim < 2 || b.ndim < 2 || args.out[0].ndim < 2) return "operands need two axes or more";
  if (a.dtype == DType::b1 || a.dtype != b.dtype) return "A and B must have one numeric dtype";
  if (flags.bias && (args.n_in < 3 || args.in[2].ndim != 1 || args.in[2].dtype != a.dtype))
    return "bias must be a vector";
  const int extras = args.n_in - (flags.bias ? 3 : 2);
  if (flags.epilogue.outputs.size == 0) {
    if (extras || args.n_out > 1) return "operands without an epilogue";
    if (args.out[0].dtype != a.dtype) return "C must have A's dtype";
  } else {
    if (!floating(args)) return "an epilogue needs a product of floats";
    if (extras + 1 > Program::kMaxOperands) return "an epilogue has at most 32 operands";
    View ins[Program::kMaxOperands];
    ins[0] = args.out[0];
    ins[0].dtype = a.dtype;
    for (int i = 0; i < extras; ++i) ins[i + 1] = args.in[args.n_in - extras + i];
    const char* rule = check_program(flags.epilogue, ins, extras + 1, args.out, args.n_out);
    if (rule) return rule;
  }
  const Operands o(args);
  const View& c = o.c;
  const Shape& s = o.shape;
  const int64_t b_k = b.shape[flags.transpose_b ? b.ndim - 1 : b.ndim - 2];
  if (b_k != s.k || c.shape[c.ndim - 2] != s.m || c.shape[c.ndim - 1] != s.n) return "shapes of A, B and C do not fit";
  if (o.has_bias && args.in[2].shape[0] != s.n) return "bias must have one value a column";
  if (a.ndim > c.ndim || b.ndim > c.ndim) return "operands have more axes than C";
  for (const View* v : {&a, &b})
    for (int d = 0; d < v->ndim - 2; ++d)
      if (v->shape[d] != 1 && v->shape[d] != c.shape[d + c.ndim - v->ndim]) return "batch axes do not broadcast to C's";
  if (floating(args) && s.c.row != 1 && s.c.col != 1 && s.n > 1 && s.m > 1)
    return "C must have stride 1 along one of its last two axes";
  if (const Variant v = variant_of(args); v != Variant::chosen) {
    if (!floating(args) || s.k == 0) return "a variant is for products of floats";
    const Shape all = Batch(args, o).shape;
    if (!fits(all.wants_transpose() ? all.transposed() : all, v)) return "the variant does not fit these operands";
  }
  return nullptr;
}

}  // namespace
}  // namespace gemm

extern const Kernel k_matmul = {.attrs = gemm::MatmulAttrs::schema,
                                .run = gemm::run_matmul,
                                .cost = gemm::cost_matmul,
                                .shared = gemm::shared_matmul,
                                .check = gemm::check_matmul,
                                .prepare = gemm::prepare_matmul,
                                .packing = gemm::packing_matmul,
                                .pack = gemm::pack_matmul};

}  // namespace rv::RV_ISA
