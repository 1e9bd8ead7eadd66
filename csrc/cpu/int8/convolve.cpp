// SPDX-License-Identifier: Apache-2.0
// int8_convolve: images are stored as bytes with their channels last and their padding around them. There a patch is a
// few runs of bytes as they lie, so that none is copied: the rows of the product point into the image.
#include "cpu/conv/space.h"
#include "cpu/int8/operands.h"
#include "cpu/simd/transpose.h"

namespace rv::RV_ISA {
namespace int8 {
namespace {

using conv::Extent;
using conv::kAxes;

RV_ATTRS(ConvolveAttrs, (Ints, kernel), (conv::ConvAttrs, space), (LayerAttrs, layer));

struct Convolve {
  const conv::ConvAttrs& a;
  const LayerAttrs& own_attrs;
  gemm::Epilogue epilogue;
  int64_t images, groups, c, o;  // channels and kernels of one group
  Extent x, k, y, padded;
  int64_t runs, groups_of_run, panels;

  explicit Convolve(const Args& args)
      : a(attrs<ConvolveAttrs>(args).space),
        own_attrs(attrs<ConvolveAttrs>(args).layer),
        epilogue(args, own_attrs.epilogue, DType::f32),
        images(args.in[0].shape[0]),
        groups(a.groups),
        c(args.in[0].shape[1] / groups),
        o(args.in[2].shape[0] / groups),
        x(Extent::spatial(args.in[0])),
        k{{1, 1, 1}},
        y(Extent::spatial(args.out[0])),
        padded(x) {
    for (int d = 0; d < kAxes; ++d) {
      k.of[d] = attrs<ConvolveAttrs>(args).kernel[d];
      padded.of[d] += 2 * a.padding[d];
    }
    const bool joined = a.dilation[2] == 1;  // neighbours along the last axis are one run
    runs = joined ? k.of[0] * k.of[1] : k.count();
    groups_of_run = ceil_div(joined ? k.of[2] * c : c, kGroup);
    panels = ceil_div(o, kColumns);
  }

  int own() const { return Layer::operands(own_attrs); }
  int64_t lines() const { return groups * padded.of[0] * padded.of[1]; }  // of an image
  int64_t plane_bytes() const { return padded.count() * c; }
  int64_t image_bytes() const { return groups * plane_bytes(); }
  int64_t ranges_bytes() const { return line_up(images * static_cast<int64_t>(sizeof(Range))); }
  int64_t bytes(const Args& args) const {
    return epilogue.shared_bytes() + packed_bytes(args, own()) + ranges_bytes() + line_up(images * lines()) +
           line_up(images * image_bytes() + kGroup) + line_up(runs * 8);
  }
  double cost() const {
    const double products = static_cast<double>(images * groups * y.count()) * static_cast<double>(c * o * k.count());
    return 500 + products / 150 + static_cast<double>(images * image_bytes() + images * groups * o * y.count()) * 0.3;
  }

  void run(const Args& args, Team& team) const {
    float* const out = epilogue.ptr<float>(args);
    std::byte* shared = args.shared + epilogue.shared_bytes();
    const Layer layer(args, own_attrs, shared, team);
    Range* const ranges = reinterpret_cast<Range*>(shared);
    bool* const bad = reinterpret_cast<bool*>(shared += ranges_bytes());
    uint8_t* const stored = reinterpret_cast<uint8_t*>(shared += line_up(images * lines()));
    int64_t* const offsets = reinterpret_cast<int64_t*>(shared + line_up(images * image_bytes() + kGroup));
    set_offsets(offsets);
    const int64_t size = groups * c * x.count();  // of an image
    team.each(images, [&](int64_t i) {
      if (layer.stored) {
        ranges[i] = Range::fixed(layer.stored);
        return;
      }
      Extremes e;
      e.take(layer.x + i * size, size);
      ranges[i] = Range::between(e.low, e.high);
    });
    const int64_t per_task = max(1, (8 << 10) / max(1, padded.of[2] * c));
    team.each(ceil_div(images * lines(), per_task), [&](int64_t task) {
      for (int64_t l = task * per_task; l < min(images * lines(), (task + 1) * per_task); ++l)
        bad[l] = store_line(layer.x, l, ranges[l / lines()], stored + l * padded.of[2] * c);
    });
    const Steps steps{offsets, runs, groups_of_run};
    const int64_t places = y.count(), blocks = ceil_div(places, kBlockRows);
    team.each(images * groups * blocks, [&](int64_t task) {
      const int64_t plane = task / blocks, first = task % blocks * kBlockRows, count = min(kBlockRows, places - first);
      Range range = ranges[plane / groups];
      for (int64_t l = 0; l < lines(); ++l)
        if (bad[plane / groups * lines() + l]) range.scale = __builtin_nanf("");
      compute(layer, range, plane, first, count, stored + plane * plane_bytes(), steps, out + plane * o * places);
    });
    epilogue.run(args, own(), args.prepared, team);
  }

 private:
  void set_offsets(int64_t* to) const {
    const int64_t joined = runs == k.count() ? k.of[2] : 1;
    for (int64_t r = 0; r < runs; ++r) {
      const int64_t t2 = r % joined, t1 = r / joined % k.of[1], t0 = r / joined / k.of[1];
      to[r] = ((t0 * a.dilation[0] * padded.of[1] + t1 * a.dilation[1]) * padded.of[2] + t2 * a.dilation[2]) * c;
    }
  }

  // Line `number` of all images and groups, channels last; whether a number in it is NaN.
  bool store_line(const float* all, int64_t number, const Range& range, uint8_t* to) const {
    const int64_t h = number % padded.of[1] - a.padding[1], d = number / padded.of[1] % padded.of[0] - a.padding[0],
                  plane = number / (padded.of[1] * padded.of[0]), width = x.of[2], side = a.padding[2];
    const auto fill = [&](int64_t from, int64_t n) { memset(to + from * c, range.zero, static_cast<size_t>(n * c)); };
    if (h < 0 || h >= x.of[1] || d < 0 || d >= x.of[0]) {
      fill(0, padded.of[2]);
      return false;
    }
    fill(0, side);
    fill(side + width, side);
    const float* const line = all + plane * c * x.count() + (d * x.of[1] + h) * width;
    const V inverse(range.inverse), zero(static_cast<float>(range.zero));
    Mask<float> bad = isnan(V(0.0f));
    uint8_t* const at = to + side * c;
    for (int64_t q = 0; q < c; q += kGroup) {  // four channels are one word
      const int64_t channels = min(kGroup, c - q);
      for (int64_t i = 0; i < width; i += V::N) {
        const int64_t n = min(V::N, width - i);
        Vec<int32_t> words(0);
        for (int64_t j = 0; j < channels; ++j) {
          const float* const from = line + (q + j) * x.count() + i;
          const V v = n == V::N ? load(from) : load_partial(from, n);
          bad = bad | isnan(v);
          words = words | (quantized(v, inverse, zero) << static_cast<int>(8 * j));
        }
        alignas(64) int32_t word[V::N];
        rv::RV_ISA::store(word, words);
        uint8_t* const first = at + i * c + q;
        if (channels == kGroup)
          for (int64_t j = 0; j < n; ++j) memcpy(first + j * c, &word[j], kGroup);
        else
          for (int64_t j = 0; j < n; ++j)
            for (int64_t b = 0; b < channels; ++b) first[j * c + b] = static_cast<uint8_t>(word[j] >> (8 * b));
      }
    }
    return any(bad);
  }

  // Places [first, first + count) of a group's kernels.
  void compute(const Layer& layer, const Range& range, int64_t plane, int64_t first, int64_t count,
               const uint8_t* image, const Steps& steps, float* out) const {
    const uint8_t* row[kBlockRows];
    for (int64_t r = 0; r < count; ++r) {
      const int64_t at = first + r, i2 = at % y.of[2], i1 = at / y.of[2] % y.of[1], i0 = at / y.of[2] / y.of[1];
      row[r] = image + ((i0 * a.stride[0] * padded.of[1] + i1 * a.stride[1]) * padded.of[2] + i2 * a.stride[2]) * c;
    }
    const int64_t group = plane % groups, panel = steps.all_groups() * kPanelGroup, places = y.count();
    const int8_t* const w = layer.weights + group * panels * panel;
    alignas(64) int32_t sums[kBlockRows * kBlockColumns], turned[kBlockColumns * kBlockRows];
    for (int64_t p = 0; p < panels; p += kBlockPanels) {
      const int64_t now = min(kBlockPanels, panels - p);
      multiply(row, count, steps, w + p * panel, now, sums);
      turn(sums, turned, count, now * kColumns);
      for (int64_t j = 0; j < min(now * kColumns, o - p * kColumns); ++j)
        finish(layer.columns, range, group * o + p * kColumns + j, turned + j * kBlockRows, count,
               out + (p * kColumns + j) * places + first);
    }
  }

  // The transpose: [column][row]; rows behind `count` become whatever lies there.
  static void turn(const int32_t* from, int32_t* to, int64_t count, int64_t columns) {
    for (int64_t i = 0; i < count; i += 4)
      for (int64_t j = 0; j < columns; j += 4)
        transpose4(from + i * kBlockColumns + j, kBlockColumns, to + j * kBlockRows + i, kBlockRows);
  }

  static void finish(const Columns& of, const Range& range, int64_t column, const int32_t* sums, int64_t count,
                     float* to) {
    const Vec<int32_t> offset(range.zero * of.sums[column]);
    const V scale(range.scale * of.scale[column]);
    const V bias(of.bias ? of.bias[column] : 0.0f);
    for (int64_t i = 0; i < count; i += V::N) {
      V v = convert<float>(load(sums + i) - offset) * scale;
      if (of.bias) v = v + bias;
      if (i + V::N <= count) rv::RV_ISA::store(to + i, v);
      else store_partial(to + i, v, count - i);
    }
  }
};

void run(const Args& args, Team& team) {
  const Convolve conv(args);
  if (args.out[0].size() > 0) conv.run(args, team);
}
int64_t shared(const Args& args) { return Convolve(args).bytes(args); }
double cost(const Args& args) {
  const Convolve conv(args);
  return conv.cost() + conv.epilogue.cost(args, conv.own());
}
int64_t prepare(const Args& args, std::byte* memory) {
  const Convolve conv(args);
  return conv.epilogue.prepare(args, conv.own(), memory);
}

const char* check(const Args& args) {
  const ConvolveAttrs& a = attrs<ConvolveAttrs>(args);
  if (args.n_in < 4 || args.n_out < 1 || args.in[2].ndim != 1) return "takes x, weights, scale and sums";
  const View &x = args.in[0], &w = args.in[1], &y = args.out[0];
  const int64_t features = args.in[2].shape[0];
  if (const char* wrong = check_layer(args, a.layer, features)) return wrong;
  if (a.kernel.size != kAxes || a.space.stride.size != kAxes || a.space.padding.size != kAxes ||
      a.space.dilation.size != kAxes)
    return "kernel, stride, padding and dilation must have 3 numbers";
  for (int d = 0; d < kAxes; ++d)
    if (a.kernel[d] < 1 || a.space.stride[d] < 1 || a.space.padding[d] < 0 || a.space.dilation[d] < 1)
      return "kernel, stride, padding or dilation is out of range";
  const int64_t groups = a.space.groups;
  if (groups < 1 || x.ndim < 3 || x.ndim > kAxes + 2 || y.ndim != x.ndim || x.shape[1] % groups || features % groups ||
      y.shape[0] != x.shape[0] || y.shape[1] != features)
    return "images, groups and the result do not go together";
  const Convolve conv(args);
  for (int d = 0; d < kAxes; ++d)
    if ((conv.y.of[d] - 1) * a.space.stride[d] + (conv.k.of[d] - 1) * a.space.dilation[d] >= conv.padded.of[d])
      return "the result is larger than the images allow";
  if (w.ndim != 5 || w.shape[0] != groups || w.shape[1] != conv.panels ||
      w.shape[2] != conv.runs * conv.groups_of_run || w.shape[3] != kColumns || w.shape[4] != kGroup)
    return "weights do not fit x and the result";
  return nullptr;
}

}  // namespace
}  // namespace int8

extern const Kernel k_int8_convolve = {.attrs = int8::ConvolveAttrs::schema,
                                       .run = int8::run,
                                       .cost = int8::cost,
                                       .shared = int8::shared,
                                       .check = int8::check,
                                       .prepare = int8::prepare};

}  // namespace rv::RV_ISA
