// SPDX-License-Identifier: Apache-2.0
// The gradient of a convolution's weights: gradients of y times what each tap meets, summed over images and places.
// Images are summed in pieces whose number follows from the shape, and the pieces in their order.
#include "cpu/conv/lane_sums.h"
#include "cpu/conv/packed.h"
#include "cpu/gemm/constants.h"

namespace rv::RV_ISA {
namespace conv {
namespace {

constexpr int64_t kMostPieces = 16, kMostBytes = 8 << 20, kTasks = 16;

struct Plan {
  Correlation c;
  int64_t item;              // bytes of an element
  int64_t pieces, channels;  // of images; of the channels of x, in a task
  Runs runs;
  int64_t together;  // images whose places are one sum

  explicit Plan(const Args& args)
      : c(Space(args.in[0], args.out[0], args.in[1], attrs<ConvAttrs>(args)).forward()),
        item(item_size(args.out[0].dtype)),
        pieces(max(1, min(min(c.images, kMostPieces), kMostBytes / max(result_elements() * item, 1)))),
        channels(channels_of_task()),
        runs(c, columns(), 64),
        together(max(1, min(ceil_div(c.images, pieces), enough_places() / max(c.places(), 1)))) {}

  int64_t result_elements() const { return c.groups * c.rows * c.terms(); }
  int64_t parts_bytes() const { return pieces > 1 ? line_up(pieces * result_elements() * item) : 0; }

 private:
  int64_t channels_of_task() const {
    const int64_t tasks = ceil_div(kTasks, max(1, pieces * c.groups));
    return max(1, min(ceil_div(c.channels, tasks), ceil_div(64, max(1, c.taps()))));
  }
  static int64_t enough_places() { return gemm::policy::sum_places; }
  // A block of rows of g, and what it meets, stay near.
  int64_t columns() const {
    return max(enough_places(), gemm::policy::near_bytes / 2 / item / max(1, c.rows + channels));
  }
};

template <class T> void run_as(const Args& args, Team& team) {
  const Plan plan(args);
  const Correlation& c = plan.c;
  const int64_t size = plan.result_elements(), places = c.places(), taps = c.taps(), terms = c.terms();
  T* const result = args.out[0].ptr<T>();
  const Packed<T> in(args, team);
  T* const parts = plan.pieces > 1 ? reinterpret_cast<T*>(args.shared + in.bytes()) : result;
  const int64_t blocks = ceil_div(c.channels, max(1, plan.channels));
  team.each(size == 0 ? 0 : plan.pieces * c.groups * blocks, [&](int64_t task) {
    const int64_t block = task % blocks, group = task / blocks % c.groups, piece = task / blocks / c.groups;
    const int64_t channel = block * plan.channels, channels = min(plan.channels, c.channels - channel);
    const int64_t begin = c.images * piece / plan.pieces, end = c.images * (piece + 1) / plan.pieces;
    T* const sums = parts + piece * size + group * c.rows * terms + channel * taps;
    for (int64_t i = 0; i < c.rows; ++i)
      for (int64_t q = 0; q < channels * taps; ++q) sums[i * terms + q] = T(0);
    for (int64_t r = 0; r < plan.runs.count(places); ++r) {
      const int64_t first = plan.runs.begin(r), count = plan.runs.size(r), vectors = ceil_div(count, kLanes<T>);
      const Frame frame(c, 1, first, count);
      const int64_t lanes_bytes = line_up(vectors * static_cast<int64_t>(sizeof(Lanes<T>))),
                    taps_bytes = line_up(channels * taps * static_cast<int64_t>(sizeof(int32_t)));
      const Scratch scratch(lanes_bytes + taps_bytes +
                            frame.template elements<T>(plan.together * channels) * plan.item);
      Lanes<T>* const lanes = scratch.as<Lanes<T>>();
      int32_t* const at = reinterpret_cast<int32_t*>(scratch.as<std::byte>() + lanes_bytes);
      T* const values = reinterpret_cast<T*>(scratch.as<std::byte>() + lanes_bytes + taps_bytes);
      frame.lanes(lanes, vectors, channels);
      frame.taps(at, channels);
      for (int64_t image = begin; image < end; image += plan.together) {
        const int64_t images = min(plan.together, end - image);
        for (int64_t i = 0; i < images; ++i)
          frame.fill(values + i * channels * frame.channel,
                     in[0] + (((image + i) * c.groups + group) * c.channels + channel) * c.seen(), channels);
        const LaneSums<T> products{in[1] + (image * c.groups + group) * c.rows * places + first,
                                   values,
                                   places,
                                   c.groups * c.rows * places,
                                   channels * frame.channel,
                                   images,
                                   vectors,
                                   lanes};
        products.run(c.rows, at, channels * taps, sums, terms);
      }
    }
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
