// SPDX-License-Identifier: Apache-2.0
// Optimizers: one instruction updates all parameters of a group in one vectorised pass.
//
// Operands:  hyper (k) f64, n params, n gradients, n of each scalar state (f64), n of each state.
// Results:   n params, n of each scalar state, n of each state (each may share memory with its operand).
// The first scalar state counts the steps done. A rule derives the coefficients of this step from hyper and a
// parameter's scalar states (its clock) in double, then applies its formula to each element:
//   p parameter, g gradient, a b c states.
#include "cpu/optim/optim.h"

namespace rv::RV_ISA {
namespace {

template <class T> inline T larger(T x, T y) { return x > y ? x : y; }
inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }
inline float magnitude(float x) { return __builtin_fabsf(x); }
inline double magnitude(double x) { return __builtin_fabs(x); }

constexpr int kMaxCoefficients = 8;
constexpr int kMaxClock = 3;
constexpr int kMaxStates = 3;

// Each rule: kStates, kHyper, kClock; prepare(hyper, clock after the step's own update, coefficients);
// update(coefficients, p, g, a, b, c). g already has its sign (maximize).

// SGD: g += wd p; b = mu b + (1 - damp) g, or g at the first step; p -= lr (g + mu b, or b).
template <bool kMomentum, bool kNesterov> struct Sgd {
  static constexpr int kStates = kMomentum, kHyper = 4, kClock = kMomentum;
  static void prepare(const double* h, double* clock, double* c) {
    const bool first = kMomentum && ++clock[0] == 1;
    c[0] = h[0], c[1] = h[3], c[2] = h[1];
    c[3] = first ? 0 : h[1], c[4] = first ? 1 : 1 - h[2];
  }
  template <class T> static void update(const T* c, T& p, T g, T& b, T&, T&) {
    g += c[1] * p;
    if constexpr (kMomentum) {
      b = c[3] * b + c[4] * g;
      g = kNesterov ? g + c[2] * b : b;
    }
    p -= c[0] * g;
  }
};

// First and second moments, as used by the family of Adam:
//   decoupled: p *= 1 - lr wd, else g += wd p;   a += (1 - beta1)(g - a);   b = beta2 b + (1 - beta2) g^2
// hyper: lr, beta1, beta2, eps, wd
template <bool kDecoupled> struct Moments {
  static void prepare(const double* h, double* c) {
    c[0] = kDecoupled ? 1 - h[0] * h[4] : h[4];
    c[1] = 1 - h[1], c[2] = h[2], c[3] = 1 - h[2];
  }
  template <class T> static void update(const T* c, T& p, T& g, T& a, T& b) {
    if constexpr (kDecoupled) p *= c[0];
    else g += c[0] * p;
    a += c[1] * (g - a);
    b = c[2] * b + c[3] * (g * g);
  }
};

// Adam, AdamW: p -= lr/(1 - beta1^t) a / (sqrt(b)/sqrt(1 - beta2^t) + eps); amsgrad takes the largest b so far.
template <bool kAmsgrad, bool kDecoupled> struct Adam {
  static constexpr int kStates = kAmsgrad ? 3 : 2, kHyper = 5, kClock = 1;
  static void prepare(const double* h, double* clock, double* c) {
    const double t = ++clock[0];
    Moments<kDecoupled>::prepare(h, c);
    c[4] = h[0] / (1 - pow(h[1], t));
    c[5] = 1 / sqrt(1 - pow(h[2], t));
    c[6] = h[3];
  }
  template <class T> static void update(const T* c, T& p, T g, T& a, T& b, T& top) {
    Moments<kDecoupled>::update(c, p, g, a, b);
    T second = b;
    if constexpr (kAmsgrad) second = top = larger(top, b);
    p -= c[4] * a / (root(second) * c[5] + c[6]);
  }
};

// Adamax: g += wd p; a as in Adam; u = max(beta2 u, |g| + eps); p -= lr/(1 - beta1^t) a/u.
struct Adamax {
  static constexpr int kStates = 2, kHyper = 5, kClock = 1;
  static void prepare(const double* h, double* clock, double* c) {
    const double t = ++clock[0];
    c[0] = h[4], c[1] = 1 - h[1], c[2] = h[2], c[3] = h[3], c[4] = h[0] / (1 - pow(h[1], t));
  }
  template <class T> static void update(const T* c, T& p, T g, T& a, T& u, T&) {
    g += c[0] * p;
    a += c[1] * (g - a);
    u = larger(c[2] * u, magnitude(g) + c[3]);
    p -= c[4] * a / u;
  }
};

// NAdam: mu_t = beta1 (1 - 0.96^(t psi)/2); clock[1] = product of mu_1..mu_t;
// p -= lr ((1 - mu_t)/(1 - prod) g + mu_(t+1)/(1 - prod mu_(t+1)) a) / (sqrt(b/(1 - beta2^t)) + eps).
template <bool kDecoupled> struct Nadam {
  static constexpr int kStates = 2, kHyper = 6, kClock = 2;
  static void prepare(const double* h, double* clock, double* c) {
    const double t = ++clock[0];
    const double mu = h[1] * (1 - 0.5 * pow(0.96, t * h[5])), next = h[1] * (1 - 0.5 * pow(0.96, (t + 1) * h[5]));
    clock[1] *= mu;
    Moments<kDecoupled>::prepare(h, c);
    c[4] = h[0] * (1 - mu) / (1 - clock[1]);
    c[5] = h[0] * next / (1 - clock[1] * next);
    c[6] = 1 / (1 - pow(h[2], t));
    c[7] = h[3];
  }
  template <class T> static void update(const T* c, T& p, T g, T& a, T& b, T&) {
    Moments<kDecoupled>::update(c, p, g, a, b);
    p -= (c[4] * g + c[5] * a) / (root(b * c[6]) + c[7]);
  }
};

// RAdam: rho = rho_inf - 2 t beta2^t/(1 - beta2^t), rho_inf = 2/(1 - beta2) - 1. Where rho > 5:
// p -= lr/(1 - beta1^t) a r sqrt(1 - beta2^t)/(sqrt(b) + eps), r the rectification; else p -= lr/(1 - beta1^t) a.
template <bool kDecoupled> struct Radam {
  static constexpr int kStates = 2, kHyper = 5, kClock = 1;
  static void prepare(const double* h, double* clock, double* c) {
    const double t = ++clock[0], decay = pow(h[2], t), correction = 1 - decay;
    const double limit = 2 / (1 - h[2]) - 1, rho = limit - 2 * t * decay / correction;
    const double step = h[0] / (1 - pow(h[1], t));
    Moments<kDecoupled>::prepare(h, c);
    c[6] = h[3];
    c[4] = c[5] = 0;  // the share of the plain and of the adaptive step: one of them is 0
    if (rho > 5)
      c[5] = step * sqrt(correction) * sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho));
    else c[4] = step;
  }
  template <class T> static void update(const T* c, T& p, T g, T& a, T& b, T&) {
    Moments<kDecoupled>::update(c, p, g, a, b);
    p -= a * (c[5] != 0 ? c[5] / (root(b) + c[6]) : c[4]);
  }
};

// RMSprop: g += wd p; s = alpha s + (1 - alpha) g^2; centered: m += (1 - alpha)(g - m), v = s - m^2, else v = s;
// d = g/(sqrt(v) + eps); momentum: b = mu b + d, p -= lr b; else p -= lr d. States: s, [m], [b].
template <bool kCentered, bool kMomentum> struct Rmsprop {
  static constexpr int kStates = 1 + kCentered + kMomentum, kHyper = 5, kClock = 1;
  static void prepare(const double* h, double* clock, double* c) {
    ++clock[0];
    c[0] = h[0], c[1] = h[1], c[2] = 1 - h[1], c[3] = h[2], c[4] = h[3], c[5] = h[4];
  }
  template <class T> static void update(const T* c, T& p, T g, T& s, T& x, T& y) {
    T& buffer = kCentered ? y : x;
    g += c[4] * p;
    s = c[1] * s + c[2] * (g * g);
    T v = s;
    if constexpr (kCentered) {
      x += c[2] * (g - x);
      v -= x * x;
    }
    T d = g / (root(v) + c[3]);
    if constexpr (kMomentum) d = buffer = c[5] * buffer + d;
    p -= c[0] * d;
  }
};

// Adagrad: g += wd p; s += g^2; p -= lr/(1 + (t - 1) lr_decay) g/(sqrt(s) + eps).
struct Adagrad {
  static constexpr int kStates = 1, kHyper = 4, kClock = 1;
  static void prepare(const double* h, double* clock, double* c) {
    const double t = ++clock[0];
    c[0] = h[0] / (1 + (t - 1) * h[1]), c[1] = h[2], c[2] = h[3];
  }
  template <class T> static void update(const T* c, T& p, T g, T& s, T&, T&) {
    g += c[1] * p;
    s += g * g;
    p -= c[0] * g / (root(s) + c[2]);
  }
};

// Adadelta: g += wd p; s = rho s + (1 - rho) g^2; d = g sqrt(u + eps)/sqrt(s + eps); u = rho u + (1 - rho) d^2;
// p -= lr d.
struct Adadelta {
  static constexpr int kStates = 2, kHyper = 4, kClock = 1;
  static void prepare(const double* h, double* clock, double* c) {
    ++clock[0];
    c[0] = h[0], c[1] = h[1], c[2] = 1 - h[1], c[3] = h[2], c[4] = h[3];
  }
  template <class T> static void update(const T* c, T& p, T g, T& s, T& u, T&) {
    g += c[4] * p;
    s = c[1] * s + c[2] * (g * g);
    const T d = root(u + c[3]) / root(s + c[3]) * g;
    u = c[1] * u + c[2] * (d * d);
    p -= c[0] * d;
  }
};

// ASGD: g += wd p; p = (1 - lambd eta) p - eta g; x += mu (p - x); then eta = lr/(1 + lambd lr t)^alpha and
// mu = 1/max(1, t - t0) for the next step. clock: t, eta, mu.
struct Asgd {
  static constexpr int kStates = 1, kHyper = 5, kClock = 3;
  static void prepare(const double* h, double* clock, double* c) {
    const double t = ++clock[0];
    c[0] = 1 - h[1] * clock[1], c[1] = clock[1], c[2] = clock[2], c[3] = h[4];
    clock[1] = h[0] / pow(1 + h[1] * h[0] * t, h[2]);
    clock[2] = 1 / larger(1.0, t - h[3]);
  }
  template <class T> static void update(const T* c, T& p, T g, T& x, T&, T&) {
    g += c[3] * p;
    p = p * c[0] - c[1] * g;
    x = c[2] == 1 ? p : x + c[2] * (p - x);
  }
};

// Rprop: where g agrees in sign with the previous gradient z the step s grows by etaplus, where it disagrees s shrinks
// by etaminus and g counts as 0; p -= sign(g) s. hyper: etaminus, etaplus, smallest step, largest step.
struct Rprop {
  static constexpr int kStates = 2, kHyper = 4, kClock = 1;
  static void prepare(const double* h, double* clock, double* c) {
    ++clock[0];
    for (int i = 0; i < 4; ++i) c[i] = h[i];
  }
  template <class T> static void update(const T* c, T& p, T g, T& z, T& s, T&) {
    const T agreement = g * z;
    T step = s * (agreement > 0 ? c[1] : agreement < 0 ? c[0] : T(1));
    step = step < c[2] ? c[2] : step;
    s = step > c[3] ? c[3] : step;
    z = agreement < 0 ? T(0) : g;
    p -= z > 0 ? s : z < 0 ? -s : T(0);
  }
};

// ---- the pass

template <class Rule, class T>
void update_span(const T* c, T sign, int64_t n, const T* p_in, const T* g_in, const T* const* s_in, T* p_out,
                 T* const* s_out) {
  constexpr int S = Rule::kStates;
  const T *a_in = S > 0 ? s_in[0] : nullptr, *b_in = S > 1 ? s_in[1] : nullptr, *c_in = S > 2 ? s_in[2] : nullptr;
  T *a_out = S > 0 ? s_out[0] : nullptr, *b_out = S > 1 ? s_out[1] : nullptr, *c_out = S > 2 ? s_out[2] : nullptr;
  T k[kMaxCoefficients];
  for (int i = 0; i < kMaxCoefficients; ++i) k[i] = c[i];
#pragma omp simd  // an output is its own input, or apart from all
  for (int64_t i = 0; i < n; ++i) {
    T p = p_in[i], a = 0, b = 0, d = 0;
    if constexpr (S > 0) a = a_in[i];
    if constexpr (S > 1) b = b_in[i];
    if constexpr (S > 2) d = c_in[i];
    Rule::update(k, p, sign * g_in[i], a, b, d);
    p_out[i] = p;
    if constexpr (S > 0) a_out[i] = a;
    if constexpr (S > 1) b_out[i] = b;
    if constexpr (S > 2) c_out[i] = d;
  }
}

// A rule as values: what goes over operands needs no instance for each.
struct AnyRule {
  int states, hyper, clock;
  void (*prepare)(const double* hyper, double* clock, double* coefficients);
  decltype(&update_span<Adamax, float>) floats;
  decltype(&update_span<Adamax, double>) doubles;

  int parameters(const Args& a) const { return (a.n_in - 1) / (2 + clock + states); }
};
template <class Rule> AnyRule any() {
  return {
      Rule::kStates, Rule::kHyper, Rule::kClock, Rule::prepare, update_span<Rule, float>, update_span<Rule, double>};
}

// The coefficients of each parameter, into `c`; their clocks go on. Parameters that are level share the work.
template <class T> void prepare_all(const Args& a, const AnyRule& rule, T (*c)[kMaxCoefficients]) {
  const int n = rule.parameters(a);
  const View *old_clocks = a.in + 1 + 2 * n, *new_clocks = a.out + n;
  double before[kMaxClock] = {}, after[kMaxClock] = {}, wide[kMaxCoefficients] = {};
  for (int i = 0; i < n; ++i) {
    bool level = i > 0;
    for (int k = 0; k < rule.clock; ++k) {
      const double value = *old_clocks[k * n + i].ptr<double>();
      level = level && value == before[k];
      before[k] = value;
    }
    if (!level) {
      for (int k = 0; k < rule.clock; ++k) after[k] = before[k];
      rule.prepare(a.in[0].ptr<double>(), after, wide);
    }
    for (int k = 0; k < kMaxCoefficients; ++k) c[i][k] = static_cast<T>(wide[k]);
    for (int k = 0; k < rule.clock; ++k) *new_clocks[k * n + i].ptr<double>() = after[k];
  }
}

template <class T, class Update>
void optimize_as(const Args& a, Team& team, const AnyRule& rule, Update update, bool maximize) {
  const int n = rule.parameters(a), states = rule.states;
  const View *params = a.in + 1, *grads = params + n, *old_states = grads + (1 + rule.clock) * n;
  const View *new_params = a.out, *new_states = new_params + (1 + rule.clock) * n;
  const auto c = reinterpret_cast<T(*)[kMaxCoefficients]>(a.shared);
  prepare_all(a, rule, c);
  each_span(params, n, team, [&](int t, int64_t begin, int64_t end, int64_t) {
    const Span<T> g(grads[t], begin, end);
    const T* s_in[kMaxStates] = {};
    T* s_out[kMaxStates] = {};
    for (int k = 0; k < states; ++k) {
      s_in[k] = old_states[k * n + t].template ptr<T>() + begin;
      s_out[k] = new_states[k * n + t].template ptr<T>() + begin;
    }
    update(c[t], maximize ? T(-1) : T(1), end - begin, params[t].ptr<T>() + begin, g.data, s_in,
           new_params[t].ptr<T>() + begin, s_out);
  });
}

void optimize(const Args& a, Team& team, const AnyRule& rule, bool maximize) {
  if (a.in[1].dtype == DType::f64) optimize_as<double>(a, team, rule, rule.doubles, maximize);
  else optimize_as<float>(a, team, rule, rule.floats, maximize);
}

const char* operands_fit(const Args& a, const AnyRule& rule) {
  const int n = rule.parameters(a), first = 1 + rule.clock, past = first + rule.states;
  if (n < 1 || a.n_in != 1 + n * (1 + past) || a.n_out != n * past) return "wrong number of operands";
  const View& hyper = a.in[0];
  if (hyper.dtype != DType::f64 || hyper.size() < rule.hyper || !hyper.contiguous()) return "hyper must be float64";
  for (int i = 0; i < n; ++i) {
    const View &p = a.in[1 + i], &g = a.in[1 + n + i];
    if (p.dtype != a.in[1].dtype || !floating(p.dtype)) return "parameters must all be float32 or all float64";
    if (g.dtype != p.dtype || !same_shape(g, p)) return "gradients must be like their parameter";
    for (int k = 0; k < past; ++k) {  // the parameter, its clock, its states
      const View &v = a.in[1 + (k + (k > 0)) * n + i], &out = a.out[k * n + i];
      if (out.dtype != v.dtype || !same_shape(out, v)) return "results must be like their operands";
      if (!v.contiguous() || !out.contiguous()) return "parameters and states must be contiguous";
      if (k > 0 && k < first && (v.dtype != DType::f64 || v.size() != 1))
        return "scalar states must be float64 numbers";
      if (k >= first && (v.dtype != p.dtype || !same_shape(v, p))) return "states must be like their parameter";
    }
  }
  return nullptr;
}

RV_ATTRS(SgdAttrs, (bool, maximize), (bool, momentum), (bool, nesterov));
RV_ATTRS(AdamAttrs, (bool, maximize), (bool, amsgrad), (bool, decoupled));
RV_ATTRS(NadamAttrs, (bool, maximize), (bool, decoupled));
RV_ATTRS(RadamAttrs, (bool, maximize), (bool, decoupled));
RV_ATTRS(RmspropAttrs, (bool, maximize), (bool, centered), (bool, momentum));
template <class Rule>  // the only one of its op
RV_ATTRS(PlainAttrs, (bool, maximize));

// The rule that the flags choose.
AnyRule rule_of(const SgdAttrs& a) {
  if (!a.momentum) return any<Sgd<false, false>>();
  return a.nesterov ? any<Sgd<true, true>>() : any<Sgd<true, false>>();
}
AnyRule rule_of(const AdamAttrs& a) {
  if (a.amsgrad) return a.decoupled ? any<Adam<true, true>>() : any<Adam<true, false>>();
  return a.decoupled ? any<Adam<false, true>>() : any<Adam<false, false>>();
}
AnyRule rule_of(const NadamAttrs& a) { return a.decoupled ? any<Nadam<true>>() : any<Nadam<false>>(); }
AnyRule rule_of(const RadamAttrs& a) { return a.decoupled ? any<Radam<true>>() : any<Radam<false>>(); }
AnyRule rule_of(const RmspropAttrs& a) {
  if (a.centered) return a.momentum ? any<Rmsprop<true, true>>() : any<Rmsprop<true, false>>();
  return a.momentum ? any<Rmsprop<false, true>>() : any<Rmsprop<false, false>>();
}
template <class Rule> AnyRule rule_of(const PlainAttrs<Rule>&) { return any<Rule>(); }

// In cache 30 bytes a nanosecond go through, and each tensor takes some set-up.
double optimize_cost(const Args& a) {
  double bytes = 0;
  for (int i = 0; i < a.n_in; ++i) bytes += a.in[i].size() * item_size(a.in[i].dtype);
  return 150 + 8 * a.n_in + bytes / 30;
}

template <class A> struct Optimizer {
  static int64_t shared(const Args& a) { return int64_t{8} * kMaxCoefficients * rule_of(attrs<A>(a)).parameters(a); }
  static void run(const Args& a, Team& team) { optimize(a, team, rule_of(attrs<A>(a)), attrs<A>(a).maximize); }
  static const char* check(const Args& a) { return operands_fit(a, rule_of(attrs<A>(a))); }
  static constexpr Kernel kernel{
      .attrs = A::schema, .run = run, .cost = optimize_cost, .shared = shared, .check = check};
};

}  // namespace

extern const Kernel k_sgd = Optimizer<SgdAttrs>::kernel;
extern const Kernel k_adam = Optimizer<AdamAttrs>::kernel;
extern const Kernel k_adamax = Optimizer<PlainAttrs<Adamax>>::kernel;
extern const Kernel k_nadam = Optimizer<NadamAttrs>::kernel;
extern const Kernel k_radam = Optimizer<RadamAttrs>::kernel;
extern const Kernel k_rmsprop = Optimizer<RmspropAttrs>::kernel;
extern const Kernel k_adagrad = Optimizer<PlainAttrs<Adagrad>>::kernel;
extern const Kernel k_adadelta = Optimizer<PlainAttrs<Adadelta>>::kernel;
extern const Kernel k_asgd = Optimizer<PlainAttrs<Asgd>>::kernel;
extern const Kernel k_rprop = Optimizer<PlainAttrs<Rprop>>::kernel;

}  // namespace rv::RV_ISA
