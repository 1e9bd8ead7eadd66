// SPDX-License-Identifier: Apache-2.0
// Matrix products as other kernels call them (csrc/cpu/gemm/api.h). Values are small integers, so every sum is exact.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "core/units.h"
#include "cpu/gemm/algorithms/outer.h"
#include "cpu/gemm/api.h"

using namespace rv;
using namespace rv::RV_ISA::gemm;
using rv::RV_ISA::ceil_div;
using rv::RV_ISA::min;

namespace rv {
MatrixUnits matrix_units;
void Scratch::take(int64_t bytes) {
  data_ = static_cast<std::byte*>(std::aligned_alloc(64, static_cast<size_t>((bytes + 63) / 64 * 64)));
}
void Scratch::give_back() noexcept { std::free(data_); }
bool Share::more() { return false; }
void Team::share_out(int64_t, Work, void*) { std::abort(); }
void Team::fail(int64_t, int64_t, int64_t, int64_t) { std::abort(); }
namespace RV_ISA {
extern const Kernel k_tile;
const Kernel k_tile = {};
}  // namespace RV_ISA
}  // namespace rv

struct Memory {
  std::byte* p;
  explicit Memory(int64_t bytes) : p(static_cast<std::byte*>(std::aligned_alloc(64, (bytes / 64 + 1) * 64))) {}
  Memory(const Memory&) = delete;
  ~Memory() { std::free(p); }
};

int failures = 0;
void expect(bool good, const char* what, int64_t m = 0, int64_t n = 0, int64_t k = 0) {
  if (good) return;
  ++failures;
  std::printf("%s: %ld x %ld x %ld\n", what, static_cast<long>(m), static_cast<long>(n), static_cast<long>(k));
}

template <class T> std::vector<T> integers(int64_t count, int seed) {
  std::vector<T> v(static_cast<size_t>(count));
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<T>((i * 7 + i / 11 * 3 + static_cast<size_t>(seed)) % 9) - 4;
  return v;
}

Shape shape_of(int64_t m, int64_t n, int64_t k, bool a_columns = false, bool b_columns = false) {
  return {m, n, k, a_columns ? Strides{1, m} : Strides{k, 1}, b_columns ? Strides{1, k} : Strides{n, 1}, {n, 1}};
}

// A ahead, B ahead, both, neither: all the same.
template <class T> void products_ahead(int64_t m, int64_t n, int64_t k, Precision precision) {
  for (int layout = 0; layout < 4; ++layout) {
    const Shape s = shape_of(m, n, k, layout & 1, layout & 2);
    const std::vector<T> a = integers<T>(m * k, 1), b = integers<T>(k * n, 2), bias = integers<T>(n, 3);
    Team team(nullptr);
    const Packer<T> pack_a(Packer<T>::a, s, precision), pack_b(Packer<T>::b, s, precision);
    const Memory panels_a(pack_a.bytes()), panels_b(pack_b.bytes());
    pack_a.pack(a.data(), panels_a.p, team);
    pack_b.pack(b.data(), panels_b.p, team);
    for (int ahead = 0; ahead < 3; ++ahead) {
      std::vector<T> c(static_cast<size_t>(m * n), T(77));
      const Ahead from{ahead == 1 ? panels_a.p : nullptr, ahead == 2 ? panels_b.p : nullptr};
      Task<T> task = plan<T>(s, precision, from);
      task.q.place(b.data(), a.data(), nullptr);  // the last place counts
      task.q.place(a.data(), b.data(), c.data());
      const Memory scratch(bytes(task));
      run(task, Bias<T>{bias.data(), 1}, scratch.p, team);
      bool good = true;
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) {
          T sum = bias[static_cast<size_t>(j)];
          for (int64_t p = 0; p < k; ++p)
            sum +=
                a[static_cast<size_t>(i * s.a.row + p * s.a.col)] * b[static_cast<size_t>(p * s.b.row + j * s.b.col)];
          good = good && c[static_cast<size_t>(i * n + j)] == sum;
        }
      expect(good, ahead == 1 ? "A ahead" : ahead == 2 ? "B ahead" : "neither ahead", m, n, k);
    }
  }
}

// The patches of an image [channels, height, width] under a kernel of `size` x `size`, as B [channels size size,
// pixels].
struct Patches {
  const float* image;
  int64_t height, width, size;
  Source source = Source::copied;

  int64_t out_width() const { return width - size + 1; }
  void panels(float* to, int64_t j0, int64_t columns, int64_t p0, int64_t k) const {
    constexpr int64_t W = kCols<float>;
    for (int64_t j = 0; j < ceil_div(columns, W) * W; ++j)
      for (int64_t p = 0; p < k; ++p) {
        const int64_t q = p0 + p, c = q / (size * size), y = q / size % size, x = q % size, pixel = j0 + j;
        const int64_t at = (c * height + pixel / out_width() + y) * width + pixel % out_width() + x;
        to[j / W * W * k + p * W + j % W] = j < columns ? image[at] : 0;
      }
  }
};

// Weights ahead, patches gathered on the fly.
void convolution(int64_t channels, int64_t out_channels, int64_t height, int64_t width, int64_t size) {
  const Patches patches{nullptr, height, width, size};
  const int64_t m = out_channels, n = (height - size + 1) * patches.out_width(), k = channels * size * size;
  const std::vector<float> image = integers<float>(channels * height * width, 4), weights = integers<float>(m * k, 5);
  Team team(nullptr);
  const Packer<float> packer(Packer<float>::a, shape_of(m, n, k), Precision::highest);
  const Memory panels(packer.bytes());
  packer.pack(weights.data(), panels.p, team);
  const Strided<float> a{reinterpret_cast<const float*>(panels.p), 0, 0, Source::ahead};
  const Patches b{image.data(), height, width, size};
  const Blocks blocks = Blocks::of<float>(m, n, k, a.source, b.source);
  const Memory scratch(blocks.bytes<float>(m, n, a.source, b.source));
  std::vector<float> c(static_cast<size_t>(m * n));
  blocked<float>(blocks, m, n, k, a, b, c.data(), n, nullptr, scratch.p, team);
  bool good = true;
  for (int64_t o = 0; o < m; ++o)
    for (int64_t pixel = 0; pixel < n; ++pixel) {
      float sum = 0;
      for (int64_t q = 0; q < k; ++q) {
        const int64_t ch = q / (size * size), y = q / size % size, x = q % size, w = patches.out_width();
        sum += weights[static_cast<size_t>(o * k + q)] *
               image[static_cast<size_t>((ch * height + pixel / w + y) * width + pixel % w + x)];
      }
      good = good && c[static_cast<size_t>(o * n + pixel)] == sum;
    }
  expect(good, "convolution", m, n, k);
}

void choices() {
  struct Case {
    int64_t m, n, k;
    bool a_columns, b_columns;
    Algorithm avx512, avx2;
  };
  using enum Algorithm;
  for (const Case& c :
       {Case{4, 4, 2, false, false, outer, outer}, Case{1, 128, 784, false, false, strips, strips},
        Case{1, 512, 784, false, true, lines, lines}, Case{32, 128, 784, false, true, transposed, transposed},
        Case{8, 64, 1024, false, true, inner, inner}, Case{286, 2, 478, false, false, inner, inner},
        Case{64, 10, 32, true, false, transposed, transposed}, Case{64, 64, 2048, false, false, slices, slices},
        Case{300, 300, 4, false, false, strips, strips}, Case{1024, 1024, 1024, false, false, outer, outer}}) {
    const Algorithm found = choose<float>(shape_of(c.m, c.n, c.k, c.a_columns, c.b_columns)).algorithm;
    if (RV_ISA::kVecBytes >= 32)
      expect(found == (RV_ISA::kVecBytes == 64 ? c.avx512 : c.avx2), "algorithm", c.m, c.n, c.k);
  }
}

// "highest" brings speed alone, and takes tiles only with a margin.
void margin() {
#if defined(RV_AVX512)
  const auto terms = [](int64_t size, Precision precision) {
    return Split::of(precision, shape_of(size, size, size), Source::copied, Source::copied).terms;
  };
  matrix_units.tiles = Tiles::amx;
  expect(terms(1024, Precision::highest) == 0 && terms(256, Precision::highest) == 0, "AMX without a margin");
  expect(terms(1500, Precision::highest) == 3 && terms(1024, Precision::high) == 2, "AMX where it pays");
  matrix_units.tiles = Tiles::emulated;
  expect(terms(256, Precision::highest) == 3, "emulated tiles");
  for (const Precision precision : {Precision::highest, Precision::high, Precision::medium})
    products_ahead<float>(210, 300, 530, precision);
#endif
}

int main() {
  const int64_t sizes[][3] = {{1, 40, 20},  {2, 33, 600}, {15, 33, 17},    {60, 70, 3},    {57, 129, 700},
                              {113, 64, 5}, {4, 5, 6},    {150, 40, 1100}, {70, 1100, 30}, {130, 200, 64}};
  for (const auto& s : sizes) {
    products_ahead<float>(s[0], s[1], s[2], Precision::highest);
    products_ahead<double>(s[0], s[1], s[2], Precision::highest);
  }
  convolution(3, 8, 12, 15, 3);
  convolution(40, 70, 9, 9, 5);
  convolution(1, 20, 30, 30, 1);
  choices();
  margin();
  if (!failures) std::puts("good");
  return failures != 0;
}
