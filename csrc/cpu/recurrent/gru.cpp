// SPDX-License-Identifier: Apache-2.0
// A GRU's steps, and their gradient. Rows of gates are reset, update and new gate; `saved` has them after their
// functions, and what the state adds to the new gate before it is reset.
#include "cpu/recurrent/sequence.h"

namespace rv::RV_ISA {
namespace recurrent {
namespace {

RV_ATTRS(GruAttrs, (bool, batch_first), (bool, reverse));

constexpr int kGates = 3, kSaved = 4;

const View* sizes_of(const Args& args, int floats) { return args.n_in > floats ? &args.in[floats] : nullptr; }

// ---------------------------------------------------------------- forward

constexpr int kInputs = 4;  // gates, w_hh, h0, b_hh

template <class T> struct Forward {
  Steps steps;
  int64_t units;
  Matrix<T> hidden;  // h W_hh^T
  Room room;

  Forward(const Args& args, std::byte* memory)
      : steps(args.in[0], args.in[2], sizes_of(args, kInputs), attrs<GruAttrs>(args).batch_first,
              attrs<GruAttrs>(args).reverse),
        units(args.in[2].shape[1]),
        hidden(weights_of<T>(args)),
        room(memory) {
    steps.place(room);
    if (!hidden.panels) hidden.place(room);
  }
};

// The gates of one row: `own` of its inputs, `more` and `bias` of its state h.
template <class T> void cell(const T* own, const T* more, const T* bias, const T* h, T* y, T* saved, int64_t n) {
  each_vector<T>(
      n, [&](auto load, auto store) __attribute__((always_inline)) {
        const auto r = sigmoid(load(own) + (load(more) + load(bias))),
                   z = sigmoid(load(own + n) + (load(more + n) + load(bias + n))),
                   q = load(more + 2 * n) + load(bias + 2 * n), next = tanh(fma(r, q, load(own + 2 * n)));
        store(y, fma(z, load(h) - next, next));
        if (saved) store(saved, r), store(saved + n, z), store(saved + 2 * n, next), store(saved + 3 * n, q);
      });
}

template <class T> void forward_as(const Args& args, Team& team) {
  const Packed<T> in(args, team);
  Forward<T> p(args, args.shared + in.bytes());
  if (!p.steps.fill(team)) return;
  const int64_t n = p.units, width = p.hidden.width();
  if (!args.packed) lay_out(args, p.hidden, team);
  T *const y = args.out[0].ptr<T>(), *const h = args.out[1].ptr<T>();
  T* const saved = args.n_out > 2 ? args.out[2].ptr<T>() : nullptr;
  copy_row(in[2], h, p.steps.batch * n);
  each_slice(p.steps.batch, kSliceRows * width * static_cast<int64_t>(sizeof(T)), team,
             [&](int64_t first, int64_t rows, std::byte* memory) {
               T *const tile = reinterpret_cast<T*>(memory), *const state = h + first * n;
               for (int64_t s = 0; s < p.steps.steps; ++s) {
                 const int64_t t = p.steps.step(s), active = min(rows, p.steps.count[t] - first);
                 if (active <= 0) continue;
                 p.hidden.times(state, n, active, tile);
                 for (int64_t i = 0; i < active; ++i) {
                   const int64_t row = p.steps.row(t, first + i);
                   cell(in[0] + row * kGates * n, tile + i * width, in[3], state + i * n, y + row * n,
                        saved ? saved + row * kSaved * n : nullptr, n);
                   copy_row(y + row * n, state + i * n, n);
                 }
               }
             });
}

void forward(const Args& args, Team& team) {
  if (args.out[0].dtype == DType::f32) forward_as<float>(args, team);
  else forward_as<double>(args, team);
}
int64_t forward_shared(const Args& args) {
  const int64_t bytes = args.out[0].dtype == DType::f32 ? Forward<float>(args, nullptr).room.bytes()
                                                        : Forward<double>(args, nullptr).room.bytes();
  return packed_bytes(args) + bytes;
}
double forward_cost(const Args& args) {
  const int64_t n = args.in[2].shape[1];
  return cost_of(static_cast<double>(args.in[0].size() * n), static_cast<double>(args.out[0].size()));
}
const char* forward_check(const Args& args) {
  if (args.n_in < kInputs || args.n_in > kInputs + 1 || args.n_out < 2 || args.n_out > 3)
    return "takes gates, w_hh, h0, b_hh, and perhaps batch_sizes; gives y and h, and perhaps what is saved";
  if (const char* wrong = check_dtypes(args, kInputs)) return wrong;
  const View &x = args.in[0], &h0 = args.in[2];
  if (!are_steps(x, h0, args.n_in > kInputs, attrs<GruAttrs>(args).batch_first)) return "operands have wrong axes";
  const int64_t n = h0.shape[1];
  if (!is_matrix(args.in[1], kGates * n, n) || !has_rows(x, x, kGates * n) || args.in[3].ndim != 1 ||
      args.in[3].shape[0] != kGates * n || !has_rows(args.out[0], x, n) || !same_shape(args.out[1], h0) ||
      (args.n_out > 2 && !has_rows(args.out[2], x, kSaved * n)))
    return "shapes do not go together";
  return nullptr;
}

// ---------------------------------------------------------------- gradient

constexpr int kGradInputs = 6;  // dy, dh, y, saved, w_hh, h0

template <class T> struct Backward {
  Steps steps;
  int64_t units;
  Matrix<T> hidden;  // d W_hh
  Summed<T> weights;
  Room room;
  T *before, *of_hidden;  // of each row: the state before it, the gradient of what that adds to the gates
  std::byte* scratch;

  Backward(const Args& args, std::byte* memory)
      : steps(args.in[0], args.in[5], sizes_of(args, kGradInputs), attrs<GruAttrs>(args).batch_first,
              attrs<GruAttrs>(args).reverse),
        units(args.in[5].shape[1]),
        hidden{kGates * units, units, kSliceRows},
        weights(kGates * units, units, steps.rows, kGates * units),
        room(memory) {
    steps.place(room), hidden.place(room);
    before = room.take<T>(steps.rows * units), of_hidden = room.take<T>(steps.rows * kGates * units);
    scratch = room.take<std::byte>(weights.bytes());
  }
};

// One row: from the gradient of its state to that of its gates, of what the state before it adds to these, and, in
// `dh`, what goes to the state before it directly.
template <class T>
void cell_grad(T* dh, const T* dy, const T* saved, const T* before, T* gates, T* of_hidden, int64_t n) {
  using V = Vec<T>;
  each_vector<T>(
      n, [&](auto load, auto store) __attribute__((always_inline)) {
        const V r = load(saved), z = load(saved + n), next = load(saved + 2 * n), q = load(saved + 3 * n),
                d = load(dh) + load(dy), dn = d * (V(1) - z) * (V(1) - next * next), dr = dn * q * (r * (V(1) - r)),
                dz = d * (load(before) - next) * (z * (V(1) - z));
        store(gates, dr), store(gates + n, dz), store(gates + 2 * n, dn);
        store(of_hidden, dr), store(of_hidden + n, dz), store(of_hidden + 2 * n, dn * r);
        store(dh, d * z);
      });
}

template <class T> void backward_as(const Args& args, Team& team) {
  const Packed<T> in(args, team);
  Backward<T> p(args, args.shared + in.bytes());
  if (!p.steps.fill(team)) return;
  const int64_t n = p.units, width = p.hidden.width();
  p.hidden.fill(in[4], n, 1, team);
  T *const gates = args.out[0].ptr<T>(), *const dh = args.out[2].ptr<T>(), *const bias = args.out[3].ptr<T>();
  copy_row(in[1], dh, p.steps.batch * n);
  each_slice(
      p.steps.batch, kSliceRows * width * static_cast<int64_t>(sizeof(T)), team,
      [&](int64_t first, int64_t rows, std::byte* memory) {
        T* const tile = reinterpret_cast<T*>(memory);
        for (int64_t s = p.steps.steps - 1; s >= 0; --s) {
          const int64_t t = p.steps.step(s), last = p.steps.before(t), active = min(rows, p.steps.count[t] - first);
          if (active <= 0) continue;
          for (int64_t i = 0; i < active; ++i) {
            const int64_t k = first + i, row = p.steps.row(t, k);
            const T* const before = p.steps.has(last, k) ? in[2] + p.steps.row(last, k) * n : in[5] + k * n;
            cell_grad(dh + k * n, in[0] + row * n, in[3] + row * kSaved * n, before, gates + row * kGates * n,
                      p.of_hidden + row * kGates * n, n);
            copy_row(before, p.before + row * n, n);
          }
          p.hidden.times(p.of_hidden + p.steps.row(t, first) * kGates * n, p.steps.apart * kGates * n, active, tile);
          for (int64_t i = 0; i < active; ++i)
            each_vector<T>(
                n, [&](auto load, auto store) __attribute__((always_inline)) {
                  T* const to = dh + (first + i) * n;
                  store(to, load(to) + load(tile + i * width));
                });
        }
      });
  p.weights.run(p.of_hidden, p.before, args.out[1].ptr<T>(), p.scratch, team);
  for (int64_t j = 0; j < kGates * n; ++j) bias[j] = T(0);
  for (int64_t row = 0; row < p.steps.rows; ++row)
    each_vector<T>(
        kGates * n, [&](auto load, auto store) __attribute__((always_inline)) {
          store(bias, load(bias) + load(p.of_hidden + row * kGates * n));
        });
}

void backward(const Args& args, Team& team) {
  if (args.out[0].dtype == DType::f32) backward_as<float>(args, team);
  else backward_as<double>(args, team);
}
int64_t backward_shared(const Args& args) {
  const int64_t bytes = args.out[0].dtype == DType::f32 ? Backward<float>(args, nullptr).room.bytes()
                                                        : Backward<double>(args, nullptr).room.bytes();
  return packed_bytes(args) + bytes;
}
double backward_cost(const Args& args) {
  return cost_of(2.0 * static_cast<double>(args.out[0].size() * args.in[5].shape[1]),
                 static_cast<double>(args.in[0].size()));
}
const char* backward_check(const Args& args) {
  if (args.n_in < kGradInputs || args.n_in > kGradInputs + 1 || args.n_out != 4)
    return "takes dy, dh, y, saved, w_hh, h0, and perhaps batch_sizes; gives four gradients";
  if (const char* wrong = check_dtypes(args, kGradInputs)) return wrong;
  const View &dy = args.in[0], &w = args.in[4], &h0 = args.in[5];
  if (!are_steps(dy, h0, args.n_in > kGradInputs, attrs<GruAttrs>(args).batch_first)) return "operands have wrong axes";
  const int64_t n = h0.shape[1];
  if (!is_matrix(w, kGates * n, n) || !has_rows(dy, dy, n) || !has_rows(args.in[2], dy, n) ||
      !has_rows(args.in[3], dy, kSaved * n) || !same_shape(args.in[1], h0) || !has_rows(args.out[0], dy, kGates * n) ||
      !same_shape(args.out[1], w) || !same_shape(args.out[2], h0) || args.out[3].ndim != 1 ||
      args.out[3].shape[0] != kGates * n)
    return "shapes do not go together";
  return nullptr;
}

}  // namespace
}  // namespace recurrent

extern const Kernel k_gru = {.attrs = recurrent::GruAttrs::schema,
                             .run = recurrent::forward,
                             .cost = recurrent::forward_cost,
                             .shared = recurrent::forward_shared,
                             .check = recurrent::forward_check,
                             .packing = recurrent::packing,
                             .pack = recurrent::pack};
extern const Kernel k_gru_grad = {.attrs = recurrent::GruAttrs::schema,
                                  .run = recurrent::backward,
                                  .cost = recurrent::backward_cost,
                                  .shared = recurrent::backward_shared,
                                  .check = recurrent::backward_check};

}  // namespace rv::RV_ISA
