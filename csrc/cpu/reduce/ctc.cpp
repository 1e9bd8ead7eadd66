// SPDX-License-Identifier: Apache-2.0
// Connectionist temporal classification: ctc_loss(log_probs (T, N, C), targets, input_lengths, target_lengths)
// -> loss (N)[, its gradient (T, N, C)].
//
// The states of a sequence of L labels are s = 0 ... 2L: blanks at even s, labels at odd ones. With y[t,s] what state s
// emits at frame t, and skips into a label that differs from the one before:
//
//   a[t,s] = log (exp a[t-1,s] + exp a[t-1,s-1] + [skip s] exp a[t-1,s-2]) + y[t,s]
//   b[t,s] = log (exp c[t+1,s] + exp c[t+1,s+1] + [skip s+2] exp c[t+1,s+2]),   c = b + y
//   loss = -log (exp a[T-1,2L] + exp a[T-1,2L-1]),   d loss / d log_probs[t,k] = -sum_{s emits k} exp(a + b + loss)
//
// Rows have two states before the first and behind the last one, from and into which a path moves by the same rule.
#include "cpu/move/walk.h"
#include "cpu/reduce/rows.h"
#include "cpu/simd/vmath_exp.h"
#include "cpu/simd/vmath_log.h"

namespace rv::RV_ISA {
namespace {

RV_ATTRS(CtcAttrs, (int64_t, blank), (bool, zero_infinity));

template <class T> struct Ctc {
  using V = Vec<T>;
  static constexpr T kNever = -std::numeric_limits<T>::infinity();

  static RV_INLINE V log_sum(V a, V b, V c) {
    const V top = max(max(a, b), c);
    const V center = select(top == V(kNever), V(T(0)), top);
    return log(exp(a - center) + exp(b - center) + exp(c - center)) + center;
  }

  static void fill(T* p, int64_t n, T value) {
    for (int64_t i = 0; i < n; ++i) p[i] = value;
  }

  // One sequence: what its states emit, and which ones may be skipped into.
  struct Sequence {
    const T* log_probs;
    int64_t by_frame, by_class, states;
    const int64_t* labels;  // of the states
    const T* skips;         // (states + 1): 0, or -inf where there is none; the last one is into the end

    void emit(int64_t frame, T* y) const {
      const T* from = log_probs + frame * by_frame;
      for (int64_t s = 0; s < states; ++s) y[s] = from[labels[s] * by_class];
    }
    // to[s], behind its two states, from the row before
    void forward(const T* row, const T* y, T* to) const {
      each_vector<T>(
          states, [&](auto get, auto put, int64_t s) __attribute__((always_inline)) {
            put(to + 2 + s, log_sum(get(row + s + 2), get(row + s + 1), get(row + s) + get(skips + s)) + get(y + s));
          });
      to[0] = to[1] = kNever;
    }
    // b[s] from c[s] of the row behind, which has two states at its end; skips is read one state further
    void backward(const T* row, T* to) const {
      each_vector<T>(
          states, [&](auto get, auto put, int64_t s) __attribute__((always_inline)) {
            put(to + s, log_sum(get(row + s), get(row + s + 1), get(row + s + 2) + get(skips + s + 2)));
          });
    }
  };

  static void run(const Args& args, Team& team) {
    const View &x = args.in[0], &targets = args.in[1], &times = args.in[2], &lengths = args.in[3];
    const auto& [blank, zero_infinity] = attrs<CtcAttrs>(args);
    const int64_t frames = x.shape[0], batch = x.shape[1], classes = x.shape[2];
    const bool training = args.n_out == 2, padded = targets.ndim == 2;
    T* const loss = args.out[0].ptr<T>();
    auto length_of = [&](int64_t n) { return lengths.ptr<int64_t>()[n * lengths.stride[0]]; };

    team.each(batch, [&](int64_t n) {
      T* const grad = training ? args.out[1].ptr<T>() + n * classes : nullptr;
      if (training)
        for (int64_t t = 0; t < frames; ++t) fill(grad + t * batch * classes, classes, T(0));
      const int64_t time = times.ptr<int64_t>()[n * times.stride[0]], length = length_of(n);
      int64_t room = targets.shape[padded ? 1 : 0], start = 0;
      for (int64_t i = 0; !padded && i < n; ++i) start += max(int64_t{0}, min(length_of(i), room - start));
      room -= start;
      loss[n] = 0;
      if (time < 0 || time > frames) return team.fail(n, time, 0, frames);
      if (length < 0 || length > room) return team.fail(n, length, 0, room);
      const int64_t* given = targets.ptr<int64_t>() + (padded ? n * targets.stride[0] : start * targets.stride[0]);
      const int64_t step = targets.stride[padded ? 1 : 0];
      for (int64_t i = 0; i < length; ++i)
        if (const int64_t label = given[i * step]; label < 0 || label >= classes)
          return team.fail(n, label, 0, classes - 1);

      const int64_t states = 2 * length + 1, pitch = states + 2, rows = training ? time + 1 : 2;
      // labels; skips, with a state more that backward reads; emitted, c, b; rows of a
      const Scratch scratch(8 * states + static_cast<int64_t>(sizeof(T)) * (5 * pitch + rows * pitch));
      int64_t* const labels = scratch.as<int64_t>();
      T* const skips = reinterpret_cast<T*>(labels + states);
      T *const y = skips + pitch, *const c = y + pitch, *const b = c + pitch, *const a = b + pitch;
      for (int64_t s = 0; s < states; ++s) {
        labels[s] = s % 2 ? given[s / 2 * step] : blank;
        skips[s] = s == 1 || (s % 2 && labels[s] != labels[s - 2]) ? T(0) : kNever;
      }
      skips[states] = 0;
      skips[states + 1] = kNever;
      const Sequence sequence{x.ptr<T>() + n * x.stride[1], x.stride[0], x.stride[2], states, labels, skips};

      auto row = [&](int64_t t) { return a + (training ? t : t % 2) * pitch; };
      fill(a, pitch, kNever);
      a[1] = 0;
      for (int64_t t = 0; t < time; ++t) {
        sequence.emit(t, y);
        sequence.forward(row(t), y, row(t + 1));
      }
      const T* last = row(time) + pitch - 1;
      const T total = log_sum(V(last[0]), V(last[-1]), V(kNever))[0];
      if (zero_infinity && total == kNever) return;
      loss[n] = -total;
      if (!training) return;

      fill(c, pitch, kNever);
      c[states] = 0;
      for (int64_t t = time - 1; t >= 0; --t) {
        sequence.backward(c, b);
        sequence.emit(t, y);
        const T* from = row(t + 1) + 2;
        each_vector<T>(
            states, [&](auto get, auto put, int64_t s) __attribute__((always_inline)) {
              const V after = get(b + s);
              put(c + s, after + get(y + s));
              put(b + s, exp(get(from + s) + after - V(total)));
            });
        c[states] = kNever;
        T* to = grad + t * batch * classes;
        for (int64_t s = 0; s < states; ++s) to[labels[s]] -= b[s];
      }
    });
  }
};

void run(const Args& args, Team& team) {
  if (args.in[0].dtype == DType::f32) Ctc<float>::run(args, team);
  else Ctc<double>::run(args, team);
}

double cost(const Args& args) {
  const View &x = args.in[0], &targets = args.in[1];
  const int64_t states = 2 * targets.size() + x.shape[1];
  return 100 + (args.n_out == 2 ? 4.0 : 2.0) * static_cast<double>(x.shape[0] * states);
}

const char* check(const Args& args) {
  if (args.n_in != 4 || args.n_out < 1 || args.n_out > 2) return "four inputs and one or two outputs are needed";
  const View &x = args.in[0], &targets = args.in[1], &loss = args.out[0];
  if (!floating(x.dtype) || x.ndim != 3) return "log_probs must be float, (T, N, C)";
  for (int i = 1; i < 4; ++i)
    if (args.in[i].dtype != DType::i64) return "targets and lengths must be int64";
  if (targets.ndim != 1 && (targets.ndim != 2 || targets.shape[0] != x.shape[1]))
    return "targets must be (N, S) or (sum of the lengths)";
  for (int i = 2; i < 4; ++i)
    if (args.in[i].ndim != 1 || args.in[i].shape[0] != x.shape[1]) return "there must be one length a sequence";
  if (loss.dtype != x.dtype || loss.ndim != 1 || loss.shape[0] != x.shape[1] || !loss.contiguous())
    return "there must be one loss a sequence";
  if (args.n_out == 2 && (args.out[1].dtype != x.dtype || !same_shape(args.out[1], x) || !args.out[1].contiguous()))
    return "the gradient is shaped as log_probs";
  const int64_t blank = attrs<CtcAttrs>(args).blank;
  if (blank < 0 || blank >= x.shape[2]) return "blank out of range";
  return nullptr;
}

}  // namespace

extern const Kernel k_ctc_loss = {.attrs = CtcAttrs::schema, .run = run, .cost = cost, .check = check};

}  // namespace rv::RV_ISA
