// SPDX-License-Identifier: Apache-2.0
// The gradient of a convolution's weights: gradients of y times what each tap meets, summed over images and places.
// Images are summed in pieces whose number follows from the shape, and the pieces in their order.
#include "cpu/conv/lane_sums.h"
#include "cpu/conv/packed.h"
#include "cpu/conv/transposed.h"
#include "cpu/gemm/algorithms/outer.h"

namespace rv::RV_ISA {
namespace conv {
namespace {

namespace policy = gemm::policy;

constexpr int64_t kMostPieces = 16, kMostBytes = 8 << 20, kTasks = 16;

// What one task sums: a piece of the images, one group, some channels of x.
struct Task {
  int64_t group, image, end, channel, channels;
};

struct Plan {
  Correlation c;
  int64_t item, lanes;       // bytes of an element; elements of a vector
  bool product;              // a matrix product, or sums over lanes
  int64_t pieces, channels;  // of images; of x, in a task
  Runs runs;
  int64_t together;  // images whose places are one sum

  explicit Plan(const Args& args)
      : c(Space(args.in[0], args.out[0], args.in[1], attrs<ConvAttrs>(args)).forward()),
        item(item_size(args.out[0].dtype)),
        lanes(kVecBytes / item),
        product(c.rows >= policy::weight_product_rows &&
                ceil_div(c.channels, lanes) * lanes * 4 <= 5 * c.channels),  // vectors of channels are mostly full
        pieces(
            max(1, min(min(c.images, ceil_div(kMostPieces, c.groups)), kMostBytes / max(result_elements() * item, 1)))),
        channels(channels_of_task()),
        runs(c, columns(), 64),
        together(max(1, min(ceil_div(c.images, pieces), policy::sum_places / max(c.places(), 1)))) {}

  int64_t result_elements() const { return c.groups * c.rows * c.terms(); }
  int64_t parts_bytes() const { return pieces > 1 ? line_up(pieces * result_elements() * item) : 0; }
  int64_t blocks() const { return ceil_div(c.channels, max(1, channels)); }
  int64_t tasks() const { return result_elements() == 0 ? 0 : pieces * c.groups * blocks(); }
  int64_t piece(int64_t task) const { return task / blocks() / c.groups; }
  Task task(int64_t task) const {
    const int64_t channel = task % blocks() * channels, p = piece(task);
    return {task / blocks() % c.groups, c.images * p / pieces, c.images * (p + 1) / pieces, channel,
            min(channels, c.channels - channel)};
  }

 private:
  int64_t channels_of_task() const {
    const int64_t tasks = ceil_div(kTasks, max(1, pieces * c.groups)), step = product ? 2 * lanes : 1;
    const int64_t enough = ceil_div(product ? policy::weight_product_cols : 64, max(1, c.taps()));
    return max(1, min(ceil_div(ceil_div(c.channels, tasks), step), ceil_div(enough, step)) * step);
  }
  // A block of rows of g, and what it meets, stay near.
  int64_t columns() const { return max(policy::sum_places, policy::near_bytes / 2 / item / max(1, c.rows + channels)); }
};

// sums[row, (channel, tap)], `terms` apart, of one run of places; `first`: they are not there yet.
template <class T> struct Sums {
  const Plan& plan;
  const T *x, *g;
  const Task& task;
  T* sums;

  const T* seen(int64_t image) const {
    const Correlation& c = plan.c;
    return x + ((image * c.groups + task.group) * c.channels + task.channel) * c.seen();
  }
  int64_t image_step() const { return plan.c.groups * plan.c.rows * plan.c.places(); }
  const T* gradients(int64_t image, int64_t place) const {
    return g + image * image_step() + task.group * plan.c.rows * plan.c.places() + place;
  }
  // f(first image, how many)
  template <class F> void each(F&& f) const {
    for (int64_t image = task.image; image < task.end; image += plan.together)
      f(image, min(plan.together, task.end - image));
  }

  void by_lanes() const {
    const Correlation& c = plan.c;
    const int64_t terms = task.channels * c.taps();
    for (int64_t i = 0; i < c.rows; ++i)
      for (int64_t q = 0; q < terms; ++q) sums[i * c.terms() + q] = T(0);
    for (int64_t r = 0; r < plan.runs.count(c.places()); ++r) {
      const Frame frame(c, 1, plan.runs.begin(r), plan.runs.size(r));
      const int64_t vectors = ceil_div(frame.count, kLanes<T>);
      const Scratch lanes(vectors * static_cast<int64_t>(sizeof(Lanes<T>)));
      const Scratch taps(terms * static_cast<int64_t>(sizeof(int32_t)));
      const Scratch values(frame.template elements<T>(plan.together * task.channels) * plan.item);
      frame.lanes(lanes.as<Lanes<T>>(), vectors, task.channels);
      frame.taps(taps.as<int32_t>(), task.channels);
      frame.clear(values.as<T>(), plan.together * task.channels);
      each([&](int64_t image, int64_t images) {
        for (int64_t i = 0; i < images; ++i)
          frame.fill(values.as<T>() + i * task.channels * frame.channel, seen(image + i), task.channels);
        const LaneSums<T> products{gradients(image, frame.first), values.as<T>(), c.places(), image_step(),
                                   task.channels * frame.channel, images,         vectors,    lanes.as<Lanes<T>>()};
        products.run(c.rows, taps.as<int32_t>(), terms, sums, c.terms());
      });
    }
  }

  void by_product(Team& alone) const {
    const Correlation& c = plan.c;
    const Frame whole(c, 1, 0, 1);
    const int64_t width = TransposedFrame<T>(whole, task.channels).width, m = c.rows, n = c.taps() * width;
    const Scratch product(m * n * plan.item);
    bool more = false;
    for (int64_t r = 0; r < plan.runs.count(c.places()); ++r) {
      const Frame frame(c, 1, plan.runs.begin(r), plan.runs.size(r));
      const TransposedFrame<T> transposed(frame, task.channels);
      const int64_t most = plan.together * frame.count, bytes = plan.together * transposed.image * plan.item;
      const Scratch places(most * static_cast<int64_t>(sizeof(int32_t)));
      const Scratch taps((c.taps() * transposed.vectors() + 1) * static_cast<int64_t>(sizeof(int32_t)));
      const Scratch values(bytes);
      transposed.places(places.as<int32_t>(), plan.together);
      transposed.taps(taps.as<int32_t>());
      memset(values, 0, static_cast<size_t>(bytes));
      each([&](int64_t image, int64_t images) {
        for (int64_t i = 0; i < images; ++i) transposed.fill(values.as<T>() + i * transposed.image, seen(image + i));
        const Gradients<T> a{gradients(image, frame.first), c.places(), image_step(), frame.count};
        const TransposedPatches<T> b{values.as<T>(), places.as<int32_t>(), taps.as<int32_t>()};
        const int64_t k = images * frame.count;
        const gemm::Blocks blocks = gemm::Blocks::of<T>(m, n, k, a.source, b.source);
        const Scratch own(blocks.template bytes<T>(m, n, a.source, b.source));
        gemm::blocked<T>(blocks, m, n, k, a, b, product.as<T>(), n, nullptr, own, alone, more);
        more = true;
      });
    }
    for (int64_t i = 0; i < m; ++i)
      for (int64_t t = 0; t < c.taps(); ++t)
        for (int64_t q = 0; q < task.channels; ++q)
          sums[i * c.terms() + q * c.taps() + t] = product.as<T>()[i * n + t * width + q];
  }
};

template <class T> void run_as(const Args& args, Team& team) {
  const Plan plan(args);
  const Correlation& c = plan.c;
  const int64_t size = plan.result_elements();
  T* const result = args.out[0].ptr<T>();
  const Packed<T> in(args, team);
  T* const parts = plan.pieces > 1 ? reinterpret_cast<T*>(args.shared + in.bytes()) : result;
  team.each(plan.tasks(), [&](int64_t number) {
    const Task task = plan.task(number);
    const Sums<T> sums{plan, in[0], in[1], task,
                       parts + plan.piece(number) * size + task.group * c.rows * c.terms() + task.channel * c.taps()};
    const bool nothing = c.images * c.places() == 0;
    Team alone = team.single();
    if (plan.product && !nothing) sums.by_product(alone);
    else sums.by_lanes();
  });
  if (plan.pieces == 1) return;
  constexpr int64_t chunk = 4096;
  team.each(ceil_div(size, chunk), [&](int64_t task) {
    const int64_t begin = task * chunk, count = min(chunk, size - begin);
    T* const to = result + begin;
    for (int64_t i = 0; i < count; ++i) to[i] = parts[begin + i];
    for (int64_t piece = 1; piece < plan.pieces; ++piece)
      for (int64_t i = 0; i < count; ++i) to[i] += parts[piece * size + begin + i];
  });
}

void run(const Args& args, Team& team) {
  if (args.in[0].dtype == DType::f32) run_as<float>(args, team);
  else run_as<double>(args, team);
}
int64_t shared(const Args& args) { return packed_bytes(args) + Plan(args).parts_bytes(); }
double cost(const Args& args) {
  const Space s(args.in[0], args.out[0], args.in[1], attrs<ConvAttrs>(args));
  return 500 + 0.02 * s.products() + 0.2 * static_cast<double>(args.in[0].size() + args.in[1].size());
}
const char* check(const Args& args) {
  if (args.n_in != 2 || args.n_out != 1) return "takes images and gradients, gives gradients of kernels";
  return check_operands(attrs<ConvAttrs>(args), args.in[0], args.out[0], args.in[1]);
}

}  // namespace
}  // namespace conv

extern const Kernel k_convolve_weight = {.attrs = conv::ConvAttrs::schema,
                                         .run = conv::run,
                                         .cost = conv::cost,
                                         .shared = conv::shared,
                                         .check = conv::check};

}  // namespace rv::RV_ISA
