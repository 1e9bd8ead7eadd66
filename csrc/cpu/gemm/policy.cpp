// SPDX-License-Identifier: Apache-2.0
#include "cpu/gemm/policy.h"

#include "cpu/gemm/micro.h"
#include "cpu/gemm/pack.h"

namespace rv::RV_ISA::gemm {
namespace {

using namespace policy;

// Predicates are named after causes.
template <class T> struct Rules : Shape {
  static constexpr int64_t L = kLanes<T>, item = sizeof(T), page = page_bytes / item;

  explicit Rules(const Shape& s) : Shape(s) {}
  bool along_k() const { return a.col == 1 && b.row == 1 && n > 0; }
  int64_t b_bytes() const { return n * k * item; }
  static Source copied(bool yes) { return yes ? Source::copied : Source::in_place; }

  Choice choose() const {
    if (b.col == 1 && c_is_most_traffic())
      return {Algorithm::strips, Source::in_place, Source::in_place, m == 1 ? row_slices() : 1};
    if (along_k() && one_row_reads_large_b()) return {Algorithm::lines};
    if (along_k() && transpose_of_b_is_dearer_than_sums()) return {Algorithm::inner};
    if (along_k() && a_is_the_smaller_copy()) return {Algorithm::transposed};
    if (columns_too_few()) return {Algorithm::inner};
    if (columns_too_few_for_a_in_columns()) return {Algorithm::transposed};
    const bool pack_b = n > 1 && (b.col != 1 || copy_of_b_pays());
    const bool pack_a = !a.has_unit() || (pack_b && copy_of_a_pays());
    const bool slices = tiles_too_few() && k >= slices_k && k >= slices_ratio * max(m, n);
    return {slices ? Algorithm::slices : Algorithm::outer, copied(pack_a), copied(pack_b), slices ? slices_of_k() : 1};
  }
  Choice choose_ahead(Source from_a, Source from_b) const {
    if (from_b != Source::ahead) from_b = copied(n > 1 && (b.col != 1 || copy_of_b_pays()));
    if (from_a != Source::ahead) from_a = copied(!a.has_unit() || copy_of_a_pays());
    return {Algorithm::outer, from_a, from_b};
  }
  Choice forced(Variant v) const {
    const auto choice = [&](Algorithm algorithm, bool copy_a, bool copy_b) -> Choice {
      const int64_t slices = algorithm == Algorithm::slices             ? slices_of_k()
                             : algorithm == Algorithm::strips && m == 1 ? row_slices()
                                                                        : 1;
      return {algorithm, copied(copy_a || !a.has_unit()), copied(n > 1 && (copy_b || b.col != 1)), slices};
    };
#define VARIANT(name, algorithm, copy_a, copy_b) \
  if (v == Variant::name) return choice(Algorithm::algorithm, copy_a, copy_b);
#include "cpu/gemm/variants.def"
    return choose();
  }

  // ---- copies
  // Rows so far apart of which a micro-tile reads more than a set of L1 has lines.
  static bool rows_collide(int64_t row) { return kRows > line_rows && row != 0 && row % page == 0; }
#if defined(RV_AVX512)
  bool copy_of_b_pays() const {
    const bool far_and_colliding = rows_collide(b.row) && m >= copy_b_far_rows && is_far<T>(n, k);
    return copy_of_a_pays() || far_and_colliding || (m >= copy_b_rows && n >= copy_b_cols && k >= copy_b_k);
  }
  bool copy_of_a_pays() const {
    if (a.col == 1)
      return rows_collide(a.row) && k > copy_a_k &&
             (b.col == 1 ? m > 4 * kRows && n >= copy_a_cols : m >= 2 * kRows && n > kCols<T>);
    return a.col >= page * 3 / 4 && m >= 2 * kRows &&
           ((n >= copy_a_cols && k >= copy_at_k) ||
            (rows_collide(a.col) && n >= copy_at_few_cols && k >= copy_at_long_k));
  }
#else
  bool copy_of_b_pays() const {
    const bool many_uses = m >= copy_b_rows && (n >= copy_b_cols || b.row >= page / 2);
    return k > strip_rows && (many_uses || copy_of_a_pays());
  }
  bool copy_of_a_pays() const {
    const bool far = m >= copy_far_rows && b_bytes() > copy_far_bytes;
    const bool long_rows = m >= copy_long_rows && n >= copy_long_cols;
    const int64_t least_cols = a.col >= page / 2 ? copy_a_cols : n % L ? copy_a_ragged_cols : copy_a_whole_cols;
    return k > strip_rows && (far || long_rows || (m >= copy_a_rows && n >= least_cols));
  }
#endif

  // ---- slices, strips, lines
  bool tiles_too_few() const {
    return m * n <= slices_c && ceil_div(m, small_tile_rows) * ceil_div(n, small_tile_cols) < slices_tiles;
  }
  int64_t slices_of_k() const { return min(most_slices, k / slice_k); }
  bool c_is_most_traffic() const {
    if (m == 1) return n > narrow_vectors * L || (n > 1 && k >= strip_row_k);
    if (n < strip_cols * L) return false;
    const int64_t least_cols = k <= strip_middle_k ? strip_cols : strip_long_cols;
    return k <= strip_short_k || (k <= strip_rows && m >= strip_some_rows && n >= least_cols * L);
  }
  int64_t row_slices() const {
    const bool small = n <= narrow_vectors * L || b_bytes() < row_small_bytes;
    return small ? 1 : max(1, min(most_slices, k / row_slice_k));
  }
  bool one_row_reads_large_b() const {
    return b.col != 1 && m == 1 && n >= L && k >= lines_k * L && b_bytes() > lines_bytes;
  }

  // ---- dot products
  bool transpose_of_b_is_dearer_than_sums() const {
    if (m == 1) return b.col != 1 || n == 1 || k == 1;
    if (b.col == 1) return false;
    if (n * 2 <= inner_narrow_cols * L) return k >= inner_cols_k * L;
    if (n * 2 <= inner_more_cols * L) return k >= inner_long_k * L;
    if (m <= inner_few_rows) return k >= inner_few_rows_k * L && k >= inner_k_of_row * m;
    return m <= inner_groups * kInnerRows && k >= inner_long_k * L;
  }
  bool columns_too_few() const {
    if (a.col != 1 || n < 2 || n > inner_copy_cols || m < inner_copy_rows || is_far<T>(n, k)) return false;
    if (inner_copy_vectors > 0) return k >= inner_copy_vectors * L && (m > inner_copy_slice_rows || k < slices_k);
    return k >= (n == 2 ? inner_copy_two_k : n <= inner_copy_few_cols ? inner_copy_few_k : inner_copy_k);
  }

  // ---- C^T
  bool a_is_the_smaller_copy() const {
    const bool full = ceil_div(m, L) * L * transposed_full <= m * (transposed_full + 1);
    return b.col != 1 && !rows_collide(b.col) && m > L && n >= m && k >= transposed_k * L &&
           k >= transposed_k_of_row * m && panel_elements(m, kCols<T>, a.row == 1 ? 0 : k) * item <= transposed_bytes &&
           full;
  }
  bool columns_too_few_for_a_in_columns() const {
    return a.row == 1 && b.has_unit() && n > 1 && n <= narrow_cols * L / 4 && n != L && m >= narrow_rows * L &&
           k >= narrow_least_k && k < narrow_most_k;
  }

  // ---- panels made ahead: few columns and hardly any k have algorithms of their own
  bool ahead_pays() const { return m >= ahead_rows && n > L && k > 0 && choose().algorithm != Algorithm::strips; }
};

}  // namespace

template <class T> Choice choose(const Shape& s) { return Rules<T>(s).choose(); }
template <class T> Choice choose_ahead(const Shape& s, Source a, Source b) { return Rules<T>(s).choose_ahead(a, b); }
template <class T> bool ahead_pays(const Shape& s) { return Rules<T>(s).ahead_pays(); }
bool fits(const Shape& s, Variant v) {
  const bool along_k = s.a.col == 1 && (s.b.row == 1 || s.k == 1) && s.n > 0;
  switch (v) {
    case Variant::transposed: return s.n > 0 && (s.a.row == 1 || along_k) && s.b.has_unit();
    case Variant::strips: return s.b.col == 1;
    case Variant::lines: return along_k && s.m == 1;
    case Variant::inner: return along_k;
    case Variant::slices: return s.k >= 2 * slice_k;
    default: return true;
  }
}
template <class T> Choice forced(const Shape& s, Variant v) { return Rules<T>(s).forced(v); }

#define RV_POLICY(T)                                             \
  template Choice choose<T>(const Shape&);                       \
  template Choice choose_ahead<T>(const Shape&, Source, Source); \
  template bool ahead_pays<T>(const Shape&);                     \
  template Choice forced<T>(const Shape&, Variant);
RV_POLICY(float)
RV_POLICY(double)

}  // namespace rv::RV_ISA::gemm
