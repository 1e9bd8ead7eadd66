// SPDX-License-Identifier: Apache-2.0
// y of x, and x of y (the gradient, or a transposed convolution): a correlation, or one for each phase of a stride. The
// epilogue is a tile program (cpu/tile) whose input 0 is the result with its bias. It takes an image at a time, right
// after this is made, where there are enough of them.
#include "cpu/conv/correlate.h"
#include "cpu/conv/packed.h"
#include "cpu/gemm/epilogue.h"

namespace rv::RV_ISA {
namespace conv {
namespace {

RV_ATTRS(ConvolveAttrs, (ConvAttrs, space), (bool, bias), (ProgramAttrs, epilogue));

using gemm::Epilogue;

int operands(const Args& args) { return attrs<ConvolveAttrs>(args).bias ? 3 : 2; }

// A call on some of its images: their part of all that has images.
struct Images {
  View in[Program::kMaxOperands + 3], out[Program::kMaxOperands];
  Args args;

  Images(const Args& all, int64_t first, int64_t count) : args(all) {
    const int ndim = all.out[0].ndim;
    auto part = [&](View v) {
      if (v.ndim < ndim || v.shape[0] == 1) return v;
      v.data = static_cast<std::byte*>(v.data) + first * v.stride[0] * item_size(v.dtype);
      v.shape[0] = count;
      return v;
    };
    for (int i = 0; i < all.n_in; ++i) in[i] = i < 2 ? all.in[i] : part(all.in[i]);
    for (int i = 0; i < all.n_out; ++i) out[i] = part(all.out[i]);
    args.in = in, args.out = out;
  }
};

// What a call of one dtype does.
template <class T, bool back> struct Call {
  const Args& args;
  Epilogue epilogue;
  Space space;
  bool alone;  // each image is made by one task, all phases and what follows: they find it near

  explicit Call(const Args& all)
      : args(all),
        epilogue(all, attrs<ConvolveAttrs>(all).epilogue, all.in[0].dtype),
        space(back ? epilogue.product : all.in[0], all.in[1], back ? all.in[0] : epilogue.product,
              attrs<ConvolveAttrs>(all).space),
        alone((epilogue || phases() > 1) && space.images >= gemm::policy::images_alone &&
              Correlator<T>(correlation(0), false).images_of_task() == 1) {}

  bool by_image() const { return alone && epilogue; }
  int64_t phases() const { return back ? space.phases() : 1; }
  Correlation correlation(int64_t phase) const { return back ? space.back(phase) : space.forward(); }
  Correlator<T> correlator(int64_t phase) const { return Correlator<T>(correlation(phase), alone); }

  // Shared memory: the product where no output holds it, copies of operands, weights in order, and in panels.
  int64_t product_bytes() const { return by_image() ? 0 : epilogue.shared_bytes(); }
  int64_t rows_bytes() const { return back ? line_up(args.in[1].size() * item_size(args.in[1].dtype)) : 0; }
  Args of_product() const {
    Args own = args;
    own.n_in = operands(args);
    if (own.shared) own.shared += product_bytes();
    return own;
  }
  int64_t shared_bytes() const {
    int64_t bytes = product_bytes() + packed_bytes(of_product()) + rows_bytes();
    for (int64_t p = 0; p < phases() && !args.packed; ++p) bytes += correlator(p).panels_bytes();
    return bytes;
  }

  void run(Team& team) const {
    if (space.images * args.out[0].size() == 0) return;
    const Args own = of_product();
    const Packed<T> in(own, team);
    std::byte* const memory = own.shared + in.bytes();
    each_phase(in, memory, [&](const Correlation& c, const Correlator<T>& way, const Weights& w) {
      if (back)
        team.each(c.groups * c.rows, [&](int64_t q) {
          back_weights(c, space, in[1] + q / c.rows * space.o * space.c * space.k.count(), q % c.rows,
                       w.own_rows + q * c.terms());
        });
      if (!args.packed) way.pack(w.in.rows, w.own_panels, team);
    });
    if (alone) {
      team.each(space.images, [&](int64_t image) {
        Team one = team.single();
        make_image(in, memory, image, one);
      });
    } else {
      each_phase(in, memory, [&](const Correlation&, const Correlator<T>& way, const Weights& w) {
        const bool near = space.images * image_step() * static_cast<int64_t>(sizeof(T)) <= gemm::policy::near_bytes;
        auto one = [&](int64_t task, Team& workers) {
          T* const result = epilogue.template ptr<T>(args) + way.image_of(task) * image_step();
          way.run(task, w.in, result, size().count(), size().of, near, workers);
        };
        if (way.shared_out())
          for (int64_t task = 0; task < way.tasks(); ++task) one(task, team);
        else
          team.each(way.tasks(), [&](int64_t task) {
            Team workers = team.single();
            one(task, workers);
          });
      });
    }
    if (!by_image()) epilogue.run(args, operands(args), args.prepared, team);
  }

  struct Weights {
    typename Correlator<T>::Operands in;
    T *own_rows, *own_panels;  // where they are made
  };
  // f(correlation, how, weights) for each phase.
  template <class F> void each_phase(const Packed<T>& in, std::byte* memory, F&& f) const {
    T* rows = reinterpret_cast<T*>(memory);
    memory += rows_bytes();
    for (int64_t p = 0; p < phases(); ++p) {
      const Correlation c = correlation(p);
      const Correlator<T> way(c, alone);
      T* const panels = reinterpret_cast<T*>(memory);
      f(c, way,
        Weights{{in[0], back ? rows : in[1], args.packed ? reinterpret_cast<const T*>(args.packed) : panels,
                 operands(args) > 2 ? in[2] : nullptr},
                rows,
                panels});
      rows += way.rows_elements(), memory += way.panels_bytes();
    }
  }
  const Extent& size() const { return back ? space.x : space.y; }
  int64_t image_step() const { return space.groups * (back ? space.c : space.o) * size().count(); }
  // All phases of one image, and what follows.
  void make_image(const Packed<T>& in, std::byte* memory, int64_t image, Team& one) const {
    auto make = [&](T* result, bool near) {
      each_phase(in, memory, [&](const Correlation&, const Correlator<T>& way, const Weights& w) {
        if (way.tasks() > 0) way.run(image, w.in, result, size().count(), size().of, near, one);
      });
    };
    if (!by_image()) return make(epilogue.template ptr<T>(args) + image * image_step(), false);
    Images part(args, image, 1);
    const Epilogue then = of_image(part.args);
    const Scratch product(then.shared_bytes());
    part.args.shared = product;
    make(then.ptr<T>(part.args), then.output < 0);
    then.run(part.args, operands(args), args.prepared, one);
  }
  // An image that a near cache holds is made there.
  Epilogue of_image(const Args& part) const {
    Epilogue e(part, *epilogue.program, args.in[0].dtype);
    if (e.product.size() * item_size(args.in[0].dtype) <= gemm::policy::near_bytes) e.make_apart(args.in[0].dtype);
    return e;
  }
  int64_t prepare(std::byte* memory) const {
    if (!by_image()) return epilogue.prepare(args, operands(args), memory);
    const Images part(args, 0, 1);
    return of_image(part.args).prepare(part.args, operands(args), memory);
  }
};

// f(call), by dtype.
template <bool back, class F> auto with(const Args& args, F&& f) {
  return args.in[0].dtype == DType::f32 ? f(Call<float, back>(args)) : f(Call<double, back>(args));
}

template <bool back> void run(const Args& args, Team& team) {
  with<back>(args, [&](const auto& call) { call.run(team); });
}
template <bool back> int64_t shared(const Args& args) {
  return with<back>(args, [](const auto& call) { return call.shared_bytes(); });
}
template <bool back> int64_t prepare(const Args& args, std::byte* memory) {
  return with<back>(args, [&](const auto& call) { return call.prepare(memory); });
}
template <bool back> double cost(const Args& args) {
  return with<back>(args, [&](const auto& call) {
    return 500 + 0.02 * call.space.products() + 0.2 * static_cast<double>(args.out[0].size() + args.in[0].size()) +
           call.epilogue.cost(args, operands(args));
  });
}

// Weights that do not change are in panels from the start.
Packing packing(const Args& args) {
  if (!args.in[1].contiguous()) return {};
  return with<false>(args, [&](const auto& call) -> Packing {
    const int64_t bytes = call.correlator(0).panels_bytes();
    if (bytes == 0) return {};
    return {1, bytes, call.space.groups, static_cast<double>(args.in[1].size())};
  });
}
template <class T> void pack_as(const Args& args, std::byte* packed, Team& team) {
  Call<T, false>(args).correlator(0).pack(args.in[1].ptr<const T>(), reinterpret_cast<T*>(packed), team);
}
void pack(const Args& args, std::byte* packed, Team& team) {
  return args.in[0].dtype == DType::f32 ? pack_as<float>(args, packed, team) : pack_as<double>(args, packed, team);
}

template <bool back> const char* check(const Args& args) {
  if (args.n_in < operands(args) || args.n_out < 1) return "takes images and kernels, gives images";
  const ConvolveAttrs& a = attrs<ConvolveAttrs>(args);
  const View &in = args.in[0], &w = args.in[1];
  View out = args.out[0];
  const int extras = args.n_in - operands(args);
  if (a.epilogue.outputs.size == 0) {
    if (extras || args.n_out > 1) return "operands without an epilogue";
  } else {
    if (extras + 1 > Program::kMaxOperands) return "an epilogue has at most 32 operands";
    View ins[Program::kMaxOperands];
    out.dtype = in.dtype;
    ins[0] = out;
    for (int i = 0; i < extras; ++i) ins[i + 1] = args.in[operands(args) + i];
    if (const char* wrong = check_program(a.epilogue, ins, extras + 1, args.out, args.n_out)) return wrong;
  }
  if (const char* wrong = check_operands(a.space, back ? out : in, w, back ? in : out)) return wrong;
  if (!a.bias) return nullptr;
  const View& bias = args.in[2];
  return bias.dtype == in.dtype && bias.ndim == 1 && bias.shape[0] == out.shape[1]
             ? nullptr
             : "bias must have one number for each channel";
}

}  // namespace
}  // namespace conv

extern const Kernel k_convolve = {.attrs = conv::ConvolveAttrs::schema,
                                  .run = conv::run<false>,
                                  .cost = conv::cost<false>,
                                  .shared = conv::shared<false>,
                                  .check = conv::check<false>,
                                  .prepare = conv::prepare<false>,
                                  .packing = conv::packing,
                                  .pack = conv::pack};
extern const Kernel k_convolve_input = {.attrs = conv::ConvolveAttrs::schema,
                                        .run = conv::run<true>,
                                        .cost = conv::cost<true>,
                                        .shared = conv::shared<true>,
                                        .check = conv::check<true>,
                                        .prepare = conv::prepare<true>};

}  // namespace rv::RV_ISA
