// SPDX-License-Identifier: Apache-2.0
// The steps of an RNN with tanh or relu, and their gradient, which needs the states alone.
#include "cpu/recurrent/sequence.h"

namespace rv::RV_ISA {
namespace recurrent {
namespace {

RV_ATTRS(RnnAttrs, (bool, relu), (bool, batch_first), (bool, reverse));

const View* sizes_of(const Args& args, int floats) { return args.n_in > floats ? &args.in[floats] : nullptr; }

// ---------------------------------------------------------------- forward

constexpr int kInputs = 3;  // gates, w_hh, h0

template <class T> struct Forward {
  const RnnAttrs& a;
  Steps steps;
  int64_t units;
  Matrix<T> hidden;  // h W_hh^T
  Room room;

  Forward(const Args& args, std::byte* memory)
      : a(attrs<RnnAttrs>(args)),
        steps(args.in[0], args.in[2], sizes_of(args, kInputs), a.batch_first, a.reverse),
        units(args.in[2].shape[1]),
        hidden(weights_of<T>(args)),
        room(memory) {
    steps.place(room);
    if (!hidden.panels) hidden.place(room);
  }
};

template <class T> void forward_as(const Args& args, Team& team) {
  const Packed<T> in(args, team);
  Forward<T> p(args, args.shared + in.bytes());
  if (!p.steps.fill(team)) return;
  const int64_t n = p.units, width = p.hidden.width();
  const bool relu = p.a.relu;
  if (!args.packed) lay_out(args, p.hidden, team);
  T *const y = args.out[0].ptr<T>(), *const h = args.out[1].ptr<T>();
  copy_row(in[2], h, p.steps.batch * n);
  each_slice(p.steps.batch, kSliceRows * width * static_cast<int64_t>(sizeof(T)), team,
             [&](int64_t first, int64_t rows, std::byte* memory) {
               T *const tile = reinterpret_cast<T*>(memory), *const state = h + first * n;
               for (int64_t s = 0; s < p.steps.steps; ++s) {
                 const int64_t t = p.steps.step(s), active = min(rows, p.steps.count[t] - first);
                 if (active <= 0) continue;
                 p.hidden.times(state, n, active, tile);
                 for (int64_t i = 0; i < active; ++i) {
                   const int64_t at = p.steps.row(t, first + i) * n;
                   each_vector<T>(
                       n, [&](auto load, auto store) __attribute__((always_inline)) {
                         const Vec<T> x = load(in[0] + at) + load(tile + i * width);
                         store(y + at, relu ? max(x, Vec<T>(0)) : tanh(x));
                       });
                   copy_row(y + at, state + i * n, n);
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
  return cost_of(static_cast<double>(args.in[0].size() * args.in[2].shape[1]), static_cast<double>(args.in[0].size()));
}
const char* forward_check(const Args& args) {
  if (args.n_in < kInputs || args.n_in > kInputs + 1 || args.n_out != 2)
    return "takes gates, w_hh, h0, and perhaps batch_sizes; gives y and h";
  if (const char* wrong = check_dtypes(args, kInputs)) return wrong;
  const View &x = args.in[0], &h0 = args.in[2];
  if (!are_steps(x, h0, args.n_in > kInputs, attrs<RnnAttrs>(args).batch_first)) return "operands have wrong axes";
  const int64_t n = h0.shape[1];
  if (!is_matrix(args.in[1], n, n) || !has_rows(x, x, n) || !same_shape(args.out[0], x) || !same_shape(args.out[1], h0))
    return "shapes do not go together";
  return nullptr;
}

// ---------------------------------------------------------------- gradient

constexpr int kGradInputs = 5;  // dy, dh, y, w_hh, h0

template <class T> struct Backward {
  const RnnAttrs& a;
  Steps steps;
  int64_t units;
  Matrix<T> hidden;  // d W_hh
  Summed<T> weights;
  Room room;
  T* before;  // of each row: the state before it
  std::byte* scratch;

  Backward(const Args& args, std::byte* memory)
      : a(attrs<RnnAttrs>(args)),
        steps(args.in[0], args.in[4], sizes_of(args, kGradInputs), a.batch_first, a.reverse),
        units(args.in[4].shape[1]),
        hidden{units, units, kSliceRows},
        weights(units, units, steps.rows, units),
        room(memory) {
    steps.place(room), hidden.place(room);
    before = room.take<T>(steps.rows * units);
    scratch = room.take<std::byte>(weights.bytes());
  }
};

template <class T> void backward_as(const Args& args, Team& team) {
  using V = Vec<T>;
  const Packed<T> in(args, team);
  Backward<T> p(args, args.shared + in.bytes());
  if (!p.steps.fill(team)) return;
  const int64_t n = p.units, width = p.hidden.width();
  const bool relu = p.a.relu;
  p.hidden.fill(in[3], n, 1, team);
  T *const gates = args.out[0].ptr<T>(), *const dh = args.out[2].ptr<T>();
  copy_row(in[1], dh, p.steps.batch * n);
  each_slice(p.steps.batch, kSliceRows * width * static_cast<int64_t>(sizeof(T)), team,
             [&](int64_t first, int64_t rows, std::byte* memory) {
               T* const tile = reinterpret_cast<T*>(memory);
               for (int64_t s = p.steps.steps - 1; s >= 0; --s) {
                 const int64_t t = p.steps.step(s), last = p.steps.before(t),
                               active = min(rows, p.steps.count[t] - first);
                 if (active <= 0) continue;
                 for (int64_t i = 0; i < active; ++i) {
                   const int64_t k = first + i, at = p.steps.row(t, k) * n;
                   each_vector<T>(
                       n, [&](auto load, auto store) __attribute__((always_inline)) {
                         const V y = load(in[2] + at), d = load(dh + k * n) + load(in[0] + at);
                         store(gates + at, d * (relu ? sign(y) : V(1) - y * y));
                       });
                   copy_row(p.steps.has(last, k) ? in[2] + p.steps.row(last, k) * n : in[4] + k * n, p.before + at, n);
                 }
                 p.hidden.times(gates + p.steps.row(t, first) * n, p.steps.apart * n, active, tile);
                 for (int64_t i = 0; i < active; ++i) copy_row(tile + i * width, dh + (first + i) * n, n);
               }
             });
  p.weights.run(gates, p.before, args.out[1].ptr<T>(), p.scratch, team);
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
  return cost_of(2.0 * static_cast<double>(args.in[0].size() * args.in[4].shape[1]),
                 static_cast<double>(args.in[0].size()));
}
const char* backward_check(const Args& args) {
  if (args.n_in < kGradInputs || args.n_in > kGradInputs + 1 || args.n_out != 3)
    return "takes dy, dh, y, w_hh, h0, and perhaps batch_sizes; gives three gradients";
  if (const char* wrong = check_dtypes(args, kGradInputs)) return wrong;
  const View &dy = args.in[0], &w = args.in[3], &h0 = args.in[4];
  if (!are_steps(dy, h0, args.n_in > kGradInputs, attrs<RnnAttrs>(args).batch_first)) return "operands have wrong axes";
  const int64_t n = h0.shape[1];
  if (!is_matrix(w, n, n) || !has_rows(dy, dy, n) || !same_shape(args.in[2], dy) || !same_shape(args.in[1], h0) ||
      !same_shape(args.out[0], dy) || !same_shape(args.out[1], w) || !same_shape(args.out[2], h0))
    return "shapes do not go together";
  return nullptr;
}

}  // namespace
}  // namespace recurrent

extern const Kernel k_rnn = {.attrs = recurrent::RnnAttrs::schema,
                             .run = recurrent::forward,
                             .cost = recurrent::forward_cost,
                             .shared = recurrent::forward_shared,
                             .check = recurrent::forward_check,
                             .packing = recurrent::packing,
                             .pack = recurrent::pack};
extern const Kernel k_rnn_grad = {.attrs = recurrent::RnnAttrs::schema,
                                  .run = recurrent::backward,
                                  .cost = recurrent::backward_cost,
                                  .shared = recurrent::backward_shared,
                                  .check = recurrent::backward_check};

}  // namespace rv::RV_ISA
