// SPDX-License-Identifier: Apache-2.0
// An LSTM's steps, and their gradient. Rows of gates are input, forget, cell and output gate; `saved` has them after
// their functions, and the cell state.
#include "cpu/recurrent/sequence.h"

namespace rv::RV_ISA {
namespace recurrent {
namespace {

RV_ATTRS(LstmAttrs, (bool, projected), (bool, batch_first), (bool, reverse));

constexpr int kGates = 4, kSaved = 5;

const View* sizes_of(const Args& args, int floats) { return args.n_in > floats ? &args.in[floats] : nullptr; }

// ---------------------------------------------------------------- forward

constexpr int kInputs = 4;  // gates, w_hh, h0, c0

template <class T> struct Forward {
  const LstmAttrs& a;
  Steps steps;
  int64_t units, out;
  Matrix<T> hidden, projection;  // h W_hh^T, m W_hr^T
  Room room;

  Forward(const Args& args, std::byte* memory)
      : a(attrs<LstmAttrs>(args)),
        steps(args.in[0], args.in[2], sizes_of(args, kInputs + a.projected), a.batch_first, a.reverse),
        units(args.in[3].shape[1]),
        out(args.in[2].shape[1]),
        hidden(weights_of<T>(args)),
        projection{units, out, kSliceRows},
        room(memory) {
    steps.place(room);
    if (!hidden.panels) hidden.place(room);
    if (a.projected) projection.place(room);
  }
};

// The gates of one row: `own` of its inputs, `more` of its state.
template <class T> void cell(const T* own, const T* more, T* c, T* hidden, T* saved, int64_t n) {
  each_vector<T>(
      n, [&](auto load, auto store) __attribute__((always_inline)) {
        const auto i = sigmoid(load(own) + load(more)), f = sigmoid(load(own + n) + load(more + n)),
                   g = tanh(load(own + 2 * n) + load(more + 2 * n)),
                   o = sigmoid(load(own + 3 * n) + load(more + 3 * n));
        const auto state = fma(f, load(c), i * g);
        store(c, state);
        store(hidden, o * tanh(state));
        if (saved)
          store(saved, i), store(saved + n, f), store(saved + 2 * n, g), store(saved + 3 * n, o),
              store(saved + 4 * n, state);
      });
}

template <class T> void forward_as(const Args& args, Team& team) {
  const Packed<T> in(args, team);
  Forward<T> p(args, args.shared + in.bytes());
  if (!p.steps.fill(team)) return;
  const int64_t n = p.units, out = p.out, batch = p.steps.batch;
  if (!args.packed) lay_out(args, p.hidden, team);
  if (p.a.projected) p.projection.fill(in[4], 1, n, team);
  T *const y = args.out[0].ptr<T>(), *const h = args.out[1].ptr<T>(), *const c = args.out[2].ptr<T>();
  T* const saved = args.n_out > 3 ? args.out[3].ptr<T>() : nullptr;
  copy_row(in[2], h, batch * out), copy_row(in[3], c, batch * n);
  const auto lay_out = [&](Room& room, T** tile, T** hidden, T** projected) {
    *tile = room.take<T>(kSliceRows * p.hidden.width());
    if (p.a.projected)
      *hidden = room.take<T>(kSliceRows * n), *projected = room.take<T>(kSliceRows * p.projection.width());
  };
  T* none[3] = {};
  Room size(nullptr);
  lay_out(size, none, none + 1, none + 2);
  each_slice(batch, size.bytes(), team, [&](int64_t first, int64_t rows, std::byte* memory) {
    Room room(memory);
    T *tile = nullptr, *hidden = nullptr, *projected = nullptr;
    lay_out(room, &tile, &hidden, &projected);
    T* const state = h + first * out;
    for (int64_t s = 0; s < p.steps.steps; ++s) {
      const int64_t t = p.steps.step(s), active = min(rows, p.steps.count[t] - first);
      if (active <= 0) continue;
      p.hidden.times(state, out, active, tile);
      for (int64_t i = 0; i < active; ++i) {
        const int64_t row = p.steps.row(t, first + i);
        cell(in[0] + row * kGates * n, tile + i * p.hidden.width(), c + (first + i) * n,
             hidden ? hidden + i * n : y + row * n, saved ? saved + row * kSaved * n : nullptr, n);
      }
      if (hidden) p.projection.times(hidden, n, active, projected);
      for (int64_t i = 0; i < active; ++i) {
        T* const to = y + p.steps.row(t, first + i) * out;
        if (hidden) copy_row(projected + i * p.projection.width(), to, out);
        copy_row(to, state + i * out, out);
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
  const Forward<float> p(args, nullptr);
  return cost_of(static_cast<double>(args.in[0].size() * p.out), static_cast<double>(p.steps.rows * p.units));
}
const char* forward_check(const Args& args) {
  const LstmAttrs& a = attrs<LstmAttrs>(args);
  const int floats = kInputs + a.projected;
  if (args.n_in < floats || args.n_in > floats + 1 || args.n_out < 3 || args.n_out > 4)
    return "takes gates, w_hh, h0, c0, and perhaps w_hr and batch_sizes; gives y, h and c, and perhaps what is saved";
  if (const char* wrong = check_dtypes(args, floats)) return wrong;
  const View &x = args.in[0], &w = args.in[1], &h0 = args.in[2], &c0 = args.in[3];
  if (!are_steps(x, h0, args.n_in > floats, a.batch_first) || c0.ndim != 2) return "operands have wrong axes";
  const int64_t n = c0.shape[1], out = h0.shape[1];
  if (!is_matrix(w, kGates * n, out) || !is_matrix(c0, h0.shape[0], n) || !has_rows(x, x, kGates * n) ||
      !has_rows(args.out[0], x, out) || !same_shape(args.out[1], h0) || !same_shape(args.out[2], c0) ||
      (a.projected ? !is_matrix(args.in[4], out, n) : n != out) ||
      (args.n_out > 3 && !has_rows(args.out[3], x, kSaved * n)))
    return "shapes do not go together";
  return nullptr;
}

// ---------------------------------------------------------------- gradient

constexpr int kGradInputs = 8;  // dy, dh, dc, y, saved, w_hh, h0, c0

template <class T> struct Backward {
  const LstmAttrs& a;
  Steps steps;
  int64_t units, out;
  Matrix<T> hidden, projection;  // d W_hh, dh W_hr
  Summed<T> weights, projections;
  Room room;
  T *before, *cells = nullptr, *outs = nullptr;  // of each row: the state before it, o tanh(c), the gradient of its h
  std::byte* scratch;

  Backward(const Args& args, std::byte* memory)
      : a(attrs<LstmAttrs>(args)),
        steps(args.in[0], args.in[6], sizes_of(args, kGradInputs + a.projected), a.batch_first, a.reverse),
        units(args.in[7].shape[1]),
        out(args.in[6].shape[1]),
        hidden{kGates * units, out, kSliceRows},
        projection{out, units, kSliceRows},
        weights(kGates * units, out, steps.rows, kGates * units),
        projections(out, units, steps.rows, out),
        room(memory) {
    steps.place(room), hidden.place(room);
    before = room.take<T>(steps.rows * out);
    if (a.projected) {
      projection.place(room);
      cells = room.take<T>(steps.rows * units), outs = room.take<T>(steps.rows * out);
    }
    scratch = room.take<std::byte>(max(weights.bytes(), a.projected ? projections.bytes() : 0));
  }
};

// One row: from the gradient of its hidden state (`dh` and `dy`, or `dh` alone) and of its cell state to that of its
// gates and, in `dc`, of the cell state before it.
template <class T>
void cell_grad(const T* dh, const T* dy, T* dc, const T* saved, const T* c_before, T* gates, T* hidden, int64_t n) {
  using V = Vec<T>;
  each_vector<T>(
      n, [&](auto load, auto store) __attribute__((always_inline)) {
        const V i = load(saved), f = load(saved + n), g = load(saved + 2 * n), o = load(saved + 3 * n),
                th = tanh(load(saved + 4 * n)), d = dy ? load(dh) + load(dy) : load(dh);
        const V state = load(dc) + d * o * (V(1) - th * th);
        store(gates, state * g * (i * (V(1) - i)));
        store(gates + n, state * load(c_before) * (f * (V(1) - f)));
        store(gates + 2 * n, state * i * (V(1) - g * g));
        store(gates + 3 * n, d * th * (o * (V(1) - o)));
        store(dc, state * f);
        if (hidden) store(hidden, o * th);
      });
}

template <class T> void backward_as(const Args& args, Team& team) {
  const Packed<T> in(args, team);
  Backward<T> p(args, args.shared + in.bytes());
  if (!p.steps.fill(team)) return;
  const int64_t n = p.units, out = p.out, batch = p.steps.batch;
  p.hidden.fill(in[5], out, 1, team);
  if (p.a.projected) p.projection.fill(in[8], n, 1, team);
  T* const gates = args.out[0].ptr<T>();
  T *const dh = args.out[2].ptr<T>(), *const dc = args.out[3].ptr<T>();
  copy_row(in[1], dh, batch * out), copy_row(in[2], dc, batch * n);
  const int64_t tile_width = max(p.hidden.width(), p.a.projected ? p.projection.width() : 0);
  each_slice(batch, kSliceRows * tile_width * static_cast<int64_t>(sizeof(T)), team,
             [&](int64_t first, int64_t rows, std::byte* memory) {
               T* const tile = reinterpret_cast<T*>(memory);
               for (int64_t s = p.steps.steps - 1; s >= 0; --s) {
                 const int64_t t = p.steps.step(s), last = p.steps.before(t),
                               active = min(rows, p.steps.count[t] - first);
                 if (active <= 0) continue;
                 const int64_t begin = p.steps.row(t, first);
                 if (p.a.projected) {
                   for (int64_t i = 0; i < active; ++i) {
                     const int64_t row = p.steps.row(t, first + i);
                     each_vector<T>(
                         out, [&](auto load, auto store) __attribute__((always_inline)) {
                           store(p.outs + row * out, load(dh + (first + i) * out) + load(in[0] + row * out));
                         });
                   }
                   p.projection.times(p.outs + begin * out, p.steps.apart * out, active, tile);
                 }
                 for (int64_t i = 0; i < active; ++i) {
                   const int64_t k = first + i, row = p.steps.row(t, k);
                   const bool goes_on = p.steps.has(last, k);
                   const int64_t previous = goes_on ? p.steps.row(last, k) : 0;
                   const T* const c_before = goes_on ? in[4] + (previous * kSaved + 4) * n : in[7] + k * n;
                   const bool projected = p.a.projected;
                   cell_grad(projected ? tile + i * p.projection.width() : dh + k * out,
                             projected ? nullptr : in[0] + row * out, dc + k * n, in[4] + row * kSaved * n, c_before,
                             gates + row * kGates * n, projected ? p.cells + row * n : nullptr, n);
                   copy_row(goes_on ? in[3] + previous * out : in[6] + k * out, p.before + row * out, out);
                 }
                 p.hidden.times(gates + begin * kGates * n, p.steps.apart * kGates * n, active, tile);
                 for (int64_t i = 0; i < active; ++i)
                   copy_row(tile + i * p.hidden.width(), dh + (first + i) * out, out);
               }
             });
  p.weights.run(gates, p.before, args.out[1].ptr<T>(), p.scratch, team);
  if (p.a.projected) p.projections.run(p.outs, p.cells, args.out[4].ptr<T>(), p.scratch, team);
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
  return cost_of(2.0 * static_cast<double>(args.out[0].size() * args.in[6].shape[1]),
                 static_cast<double>(args.in[4].size() / kSaved));
}
const char* backward_check(const Args& args) {
  const LstmAttrs& a = attrs<LstmAttrs>(args);
  const int floats = kGradInputs + a.projected;
  if (args.n_in < floats || args.n_in > floats + 1 || args.n_out != 4 + a.projected)
    return "takes dy, dh, dc, y, saved, w_hh, h0, c0, and perhaps w_hr and batch_sizes";
  if (const char* wrong = check_dtypes(args, floats)) return wrong;
  const View &dy = args.in[0], &w = args.in[5], &h0 = args.in[6], &c0 = args.in[7];
  if (!are_steps(dy, h0, args.n_in > floats, a.batch_first) || c0.ndim != 2) return "operands have wrong axes";
  const int64_t n = c0.shape[1], out = h0.shape[1];
  if (!is_matrix(w, kGates * n, out) || !is_matrix(c0, h0.shape[0], n) || !has_rows(dy, dy, out) ||
      !has_rows(args.in[3], dy, out) || !has_rows(args.in[4], dy, kSaved * n) || !same_shape(args.in[1], h0) ||
      !same_shape(args.in[2], c0) || !has_rows(args.out[0], dy, kGates * n) || !same_shape(args.out[1], w) ||
      !same_shape(args.out[2], h0) || !same_shape(args.out[3], c0) ||
      (a.projected ? !is_matrix(args.in[8], out, n) || !same_shape(args.out[4], args.in[8]) : n != out))
    return "shapes do not go together";
  return nullptr;
}

}  // namespace
}  // namespace recurrent

extern const Kernel k_lstm = {.attrs = recurrent::LstmAttrs::schema,
                              .run = recurrent::forward,
                              .cost = recurrent::forward_cost,
                              .shared = recurrent::forward_shared,
                              .check = recurrent::forward_check,
                              .packing = recurrent::packing,
                              .pack = recurrent::pack};
extern const Kernel k_lstm_grad = {.attrs = recurrent::LstmAttrs::schema,
                                   .run = recurrent::backward,
                                   .cost = recurrent::backward_cost,
                                   .shared = recurrent::backward_shared,
                                   .check = recurrent::backward_check};

}  // namespace rv::RV_ISA
