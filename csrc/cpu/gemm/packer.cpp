// SPDX-License-Identifier: Apache-2.0
#include "cpu/gemm/api.h"

#include "cpu/gemm/algorithms/outer.h"

namespace rv::RV_ISA::gemm {

template <class T>
Packer<T>::Packer(Side side, const Shape& shape, [[maybe_unused]] Precision precision) : side_(side), shape_(shape) {
  if constexpr (same_type<T, float>)
    split_ = Split::of(precision, shape, side == a ? Source::ahead : Source::copied,
                       side == b ? Source::ahead : Source::copied);
}
template <class T> int64_t Packer<T>::bytes() const {
  const int64_t extent = side_ == a ? shape_.m : shape_.n;
  if (split_) return split_.ahead_bytes(extent, shape_.k);
  return panel_elements(extent, side_ == a ? kRows : kCols<T>, shape_.k) * static_cast<int64_t>(sizeof(T));
}
template <class T> void Packer<T>::pack(const T* operand, std::byte* to, Team& team) const {
  const Strides& s = side_ == a ? shape_.a : shape_.b;
  const int64_t extent = side_ == a ? shape_.m : shape_.n, s_outer = side_ == a ? s.row : s.col,
                s_k = side_ == a ? s.col : s.row;
  if constexpr (same_type<T, float>)
    if (split_) return split_ahead(split_, {operand, s_outer, s_k, extent, side_ == b}, shape_.k, to, team);
  const Strided<T> from{operand, s_outer, s_k, Source::copied};
  if (side_ == a) pack_rows_ahead(reinterpret_cast<T*>(to), from, extent, shape_.k, team);
  else pack_columns_ahead(reinterpret_cast<T*>(to), from, extent, shape_.k, team);
}

template class Packer<float>;
template class Packer<double>;

}  // namespace rv::RV_ISA::gemm
