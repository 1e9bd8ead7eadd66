# Made by tests/support/stubs.py; do not edit.
# mypy: disable-error-code="overload-overlap"
from collections.abc import Sequence
from typing import Any, Literal, overload

from .ops import RunningResult, SlogdetResult, SortResult, TensorLike
from .random import Generator
from .tensor import Tensor

class Methods:
    def __abs__(self) -> Tensor: ...
    def __add__(self, other: TensorLike) -> Tensor: ...
    def __and__(self, other: TensorLike) -> Tensor: ...
    def __eq__(self, other: TensorLike) -> Tensor: ...  # type: ignore[override]
    def __floordiv__(self, other: TensorLike) -> Tensor: ...
    def __ge__(self, other: TensorLike) -> Tensor: ...
    def __gt__(self, other: TensorLike) -> Tensor: ...
    def __iadd__(self, other: TensorLike) -> Tensor: ...
    def __iand__(self, other: TensorLike) -> Tensor: ...
    def __ifloordiv__(self, other: TensorLike) -> Tensor: ...
    def __ilshift__(self, other: TensorLike) -> Tensor: ...
    def __imatmul__(self, other: TensorLike) -> Tensor: ...
    def __imod__(self, other: TensorLike) -> Tensor: ...
    def __imul__(self, other: TensorLike) -> Tensor: ...
    def __invert__(self) -> Tensor: ...
    def __ior__(self, other: TensorLike) -> Tensor: ...
    def __ipow__(self, exponent: TensorLike) -> Tensor: ...
    def __irshift__(self, other: TensorLike) -> Tensor: ...
    def __isub__(self, other: TensorLike) -> Tensor: ...
    def __itruediv__(self, other: TensorLike) -> Tensor: ...
    def __ixor__(self, other: TensorLike) -> Tensor: ...
    def __le__(self, other: TensorLike) -> Tensor: ...
    def __lshift__(self, other: TensorLike) -> Tensor: ...
    def __lt__(self, other: TensorLike) -> Tensor: ...
    def __matmul__(self, other: TensorLike) -> Tensor: ...
    def __mod__(self, other: TensorLike) -> Tensor: ...
    def __mul__(self, other: TensorLike) -> Tensor: ...
    def __ne__(self, other: TensorLike) -> Tensor: ...  # type: ignore[override]
    def __neg__(self) -> Tensor: ...
    def __or__(self, other: TensorLike) -> Tensor: ...
    def __pos__(self) -> Tensor: ...
    def __pow__(self, exponent: TensorLike) -> Tensor: ...
    def __radd__(self, other: TensorLike) -> Tensor: ...
    def __rand__(self, other: TensorLike) -> Tensor: ...
    def __rfloordiv__(self, other: TensorLike) -> Tensor: ...
    def __rlshift__(self, other: TensorLike) -> Tensor: ...
    def __rmatmul__(self, other: TensorLike) -> Tensor: ...
    def __rmod__(self, other: TensorLike) -> Tensor: ...
    def __rmul__(self, other: TensorLike) -> Tensor: ...
    def __ror__(self, other: TensorLike) -> Tensor: ...
    def __rpow__(self, exponent: TensorLike) -> Tensor: ...
    def __rrshift__(self, other: TensorLike) -> Tensor: ...
    def __rshift__(self, other: TensorLike) -> Tensor: ...
    def __rsub__(self, other: TensorLike) -> Tensor: ...
    def __rtruediv__(self, other: TensorLike) -> Tensor: ...
    def __rxor__(self, other: TensorLike) -> Tensor: ...
    def __sub__(self, other: TensorLike) -> Tensor: ...
    def __truediv__(self, other: TensorLike) -> Tensor: ...
    def __xor__(self, other: TensorLike) -> Tensor: ...
    def abs(self) -> Tensor:
        """|input|; its derivative at 0 is 0."""
    def abs_(self) -> Tensor:
        """`abs`, in place."""
    def absolute(self) -> Tensor:
        """|input|; its derivative at 0 is 0."""
    def absolute_(self) -> Tensor:
        """`abs`, in place."""
    def acos(self) -> Tensor:
        """The angle in [0, pi] whose cosine is input; NaN outside of [-1, 1]."""
    def acos_(self) -> Tensor:
        """`acos`, in place."""
    def acosh(self) -> Tensor:
        """The number >= 0 whose `cosh` is input: log1p(t + sqrt(t) sqrt(t + 2)), t = x - 1; NaN below 1."""
    def acosh_(self) -> Tensor:
        """`acosh`, in place."""
    def add(self, other: TensorLike, *, alpha: float = 1) -> Tensor:
        """input + alpha * other. Shapes broadcast; of bools: or."""
    def add_(self, other: TensorLike, *, alpha: float = 1) -> Tensor:
        """`add`, in place."""
    def addbmm(self, batch1: TensorLike, batch2: TensorLike, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """beta * input + alpha * (the sum of the products of bmm(batch1, batch2)); `input` broadcasts."""
    def addcdiv(self, tensor1: TensorLike, tensor2: TensorLike, *, value: float = 1) -> Tensor:
        """input + value * tensor1 / tensor2"""
    def addcdiv_(self, tensor1: TensorLike, tensor2: TensorLike, *, value: float = 1) -> Tensor:
        """`addcdiv`, in place."""
    def addcmul(self, tensor1: TensorLike, tensor2: TensorLike, *, value: float = 1) -> Tensor:
        """input + value * tensor1 * tensor2"""
    def addcmul_(self, tensor1: TensorLike, tensor2: TensorLike, *, value: float = 1) -> Tensor:
        """`addcmul`, in place."""
    def addmm(self, mat1: TensorLike, mat2: TensorLike, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """beta * input + alpha * (mat1 @ mat2); `input` broadcasts."""
    def addmv(self, mat: TensorLike, vec: TensorLike, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """beta * input + alpha * (mat @ vec); `input` broadcasts."""
    def addr(self, vec1: TensorLike, vec2: TensorLike, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """beta * input + alpha * outer(vec1, vec2)"""
    def all(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Whether every element over `dim` is not 0; true where there are none. Bools, also of uint8."""
    def allclose(self, other: TensorLike, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
        """Whether all elements are close (see `isclose`)."""
    def amax(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Greatest element over `dim`; NaN where one is NaN. Equal ones share the gradient evenly."""
    def amin(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Least element over `dim`; see `amax`."""
    def aminmax(self, *, dim: Any = None, keepdim: bool = False, axis: Any = None, keepdims: bool = False) -> Any:
        """(amin, amax) over `dim`."""
    def any(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Whether some element over `dim` is not 0. Bools, also of uint8."""
    def arccos(self) -> Tensor:
        """The angle in [0, pi] whose cosine is input; NaN outside of [-1, 1]."""
    def arccos_(self) -> Tensor:
        """`acos`, in place."""
    def arccosh(self) -> Tensor:
        """The number >= 0 whose `cosh` is input: log1p(t + sqrt(t) sqrt(t + 2)), t = x - 1; NaN below 1."""
    def arccosh_(self) -> Tensor:
        """`acosh`, in place."""
    def arcsin(self) -> Tensor:
        """The angle in [-pi/2, pi/2] whose sine is input; NaN outside of [-1, 1]."""
    def arcsin_(self) -> Tensor:
        """`asin`, in place."""
    def arcsinh(self) -> Tensor:
        """The number whose `sinh` is input: sign(x) log1p(|x| + x^2 / (1 + sqrt(x^2 + 1)))."""
    def arcsinh_(self) -> Tensor:
        """`asinh`, in place."""
    def arctan(self) -> Tensor:
        """The angle in [-pi/2, pi/2] whose tangent is input."""
    def arctan2(self, other: TensorLike) -> Tensor:
        """The angle in [-pi, pi] from the x axis to the point (x, y) = (other, input)."""
    def arctan2_(self, other: TensorLike) -> Tensor:
        """`atan2`, in place."""
    def arctan_(self) -> Tensor:
        """`atan`, in place."""
    def arctanh(self) -> Tensor:
        """The number whose `tanh` is input: (log(1 + x) - log(1 - x)) / 2; NaN outside of [-1, 1]."""
    def arctanh_(self) -> Tensor:
        """`atanh`, in place."""
    def argmax(self, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Position of the first greatest element along `dim`, or in C order; a NaN counts as the greatest."""
    def argmin(self, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Position of the first least element along `dim`, or in C order; a NaN counts as the least."""
    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = True, *, axis: int = -1) -> Tensor:
        """The positions that sort `input` along `dim`."""
    def argwhere(self) -> Tensor:
        """The positions of the elements that are not 0, (count, axes); see `nonzero`."""
    def argwhere_(self) -> Tensor:
        """`argwhere`, in place."""
    def asin(self) -> Tensor:
        """The angle in [-pi/2, pi/2] whose sine is input; NaN outside of [-1, 1]."""
    def asin_(self) -> Tensor:
        """`asin`, in place."""
    def asinh(self) -> Tensor:
        """The number whose `sinh` is input: sign(x) log1p(|x| + x^2 / (1 + sqrt(x^2 + 1)))."""
    def asinh_(self) -> Tensor:
        """`asinh`, in place."""
    def atan(self) -> Tensor:
        """The angle in [-pi/2, pi/2] whose tangent is input."""
    def atan2(self, other: TensorLike) -> Tensor:
        """The angle in [-pi, pi] from the x axis to the point (x, y) = (other, input)."""
    def atan2_(self, other: TensorLike) -> Tensor:
        """`atan2`, in place."""
    def atan_(self) -> Tensor:
        """`atan`, in place."""
    def atanh(self) -> Tensor:
        """The number whose `tanh` is input: (log(1 + x) - log(1 - x)) / 2; NaN outside of [-1, 1]."""
    def atanh_(self) -> Tensor:
        """`atanh`, in place."""
    def atleast_1d(self) -> Tensor:
        """`input`; a number as a vector of one."""
    def atleast_2d(self) -> Tensor:
        """`input`; a vector as a row, a number as (1, 1)."""
    def atleast_3d(self) -> Tensor:
        """`input`; a matrix with a last axis of 1, a vector as (1, n, 1)."""
    def baddbmm(self, batch1: TensorLike, batch2: TensorLike, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """beta * input + alpha * bmm(batch1, batch2); `input` broadcasts."""
    def bernoulli(self, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
        """1 with the probability that `input` gives for each element (or with probability `p` everywhere), else 0."""
    def bernoulli_(self, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
        """Fill with 1 with probability `p`, a number or a tensor that broadcasts, else 0."""
    def bincount(self, weights: TensorLike | None = None, minlength: int = 0) -> Tensor:
        """How often each number 0, 1, ... occurs in a vector of integers >= 0; with `weights` their sums, in the dtype of"""
    def bitwise_and(self, other: TensorLike) -> Tensor:
        """input & other, of integers or bools."""
    def bitwise_and_(self, other: TensorLike) -> Tensor:
        """`bitwise_and`, in place."""
    def bitwise_left_shift(self, other: TensorLike) -> Tensor:
        """input * 2**other, of integers."""
    def bitwise_left_shift_(self, other: TensorLike) -> Tensor:
        """`bitwise_left_shift`, in place."""
    def bitwise_not(self) -> Tensor:
        """~input, of integers or bools."""
    def bitwise_not_(self) -> Tensor:
        """`bitwise_not`, in place."""
    def bitwise_or(self, other: TensorLike) -> Tensor:
        """input | other, of integers or bools."""
    def bitwise_or_(self, other: TensorLike) -> Tensor:
        """`bitwise_or`, in place."""
    def bitwise_right_shift(self, other: TensorLike) -> Tensor:
        """input / 2**other, rounded down, of integers."""
    def bitwise_right_shift_(self, other: TensorLike) -> Tensor:
        """`bitwise_right_shift`, in place."""
    def bitwise_xor(self, other: TensorLike) -> Tensor:
        """input ^ other, of integers or bools."""
    def bitwise_xor_(self, other: TensorLike) -> Tensor:
        """`bitwise_xor`, in place."""
    def bmm(self, mat2: TensorLike) -> Tensor:
        """A batch of matrix products: (b, n, k) @ (b, k, m) -> (b, n, m)."""
    @overload
    def broadcast_to(self, shape: Sequence[int]) -> Tensor:
        """The same as `expand`."""
    @overload
    def broadcast_to(self, newshape: Sequence[int]) -> Tensor:
        """The same as `expand`."""
    def bucketize(self, boundaries: TensorLike, *, right: bool = False) -> Tensor:
        """The number of the bucket of each element: boundaries[i - 1] < x <= boundaries[i]; with `right` <= and <."""
    def ceil(self) -> Tensor:
        """The least integer that is not below input; integers are returned as they are."""
    def ceil_(self) -> Tensor:
        """`ceil`, in place."""
    def celu(self, alpha: float = 1.0, inplace: bool = False) -> Tensor:
        """input where it is positive, else alpha * (exp(input / alpha) - 1)."""
    def celu_(self, alpha: float = 1.0, inplace: bool = False) -> Tensor:
        """`celu`, in place."""
    def cholesky(self, *, upper: bool = False) -> Tensor:
        """The lower triangular L with L L^T = input, symmetric and positive definite; upper: L^T."""
    def chunk(self, chunks: int, dim: int = 0, *, axis: int = 0) -> tuple[Tensor, ...]:
        """At most `chunks` views of equal size along `dim` (the last may be shorter); of an empty axis all of them."""
    def clamp(self, min: TensorLike | None = None, max: TensorLike | None = None, *, a_min: TensorLike | None = None, a_max: TensorLike | None = None) -> Tensor:
        """min(max(input, min), max); the bounds are numbers or tensors, None for no bound."""
    def clamp_(self, min: TensorLike | None = None, max: TensorLike | None = None, *, a_min: TensorLike | None = None, a_max: TensorLike | None = None) -> Tensor:
        """`clamp`, in place."""
    @overload
    def clamp_max(self, max: TensorLike) -> Tensor:
        """min(input, max)"""
    @overload
    def clamp_max(self, a_max: TensorLike) -> Tensor:
        """min(input, max)"""
    @overload
    def clamp_max_(self, max: TensorLike) -> Tensor:
        """`clamp_max`, in place."""
    @overload
    def clamp_max_(self, a_max: TensorLike) -> Tensor:
        """`clamp_max`, in place."""
    @overload
    def clamp_min(self, min: TensorLike) -> Tensor:
        """max(input, min)"""
    @overload
    def clamp_min(self, a_min: TensorLike) -> Tensor:
        """max(input, min)"""
    @overload
    def clamp_min_(self, min: TensorLike) -> Tensor:
        """`clamp_min`, in place."""
    @overload
    def clamp_min_(self, a_min: TensorLike) -> Tensor:
        """`clamp_min`, in place."""
    def clip(self, min: TensorLike | None = None, max: TensorLike | None = None, *, a_min: TensorLike | None = None, a_max: TensorLike | None = None) -> Tensor:
        """min(max(input, min), max); the bounds are numbers or tensors, None for no bound."""
    def clip_(self, min: TensorLike | None = None, max: TensorLike | None = None, *, a_min: TensorLike | None = None, a_max: TensorLike | None = None) -> Tensor:
        """`clamp`, in place."""
    def clone(self) -> Tensor:
        """A copy in C order, which gradients flow through."""
    def combinations(self, r: int = 2, with_replacement: bool = False) -> Tensor:
        """The selections of r elements of a vector, in its order, as rows; with_replacement: one element may be taken again."""
    def copysign(self, other: TensorLike) -> Tensor:
        """|input| with the sign of `other`, which may be that of -0."""
    def copysign_(self, other: TensorLike) -> Tensor:
        """`copysign`, in place."""
    def corrcoef(self) -> Tensor:
        """Pearson's correlations of variables (rows), observed together (columns)."""
    def cos(self) -> Tensor:
        """Cosine."""
    def cos_(self) -> Tensor:
        """`cos`, in place."""
    def cosh(self) -> Tensor:
        """(e^x + e^-x) / 2"""
    def cosh_(self) -> Tensor:
        """`cosh`, in place."""
    def count_nonzero(self, dim: Any = None, *, axis: Any = None) -> Tensor:
        """How many elements over `dim` are not 0, as int64."""
    def cov(self, *, correction: float = 1, ddof: float = 1) -> Tensor:
        """The covariance matrix of variables (rows), observed together (columns): sum d_i d_j / (n - correction); of one"""
    def cross(self, other: TensorLike, dim: int | None = None, *, axis: int | None = None) -> Tensor:
        """The cross product of vectors of 3 along `dim` (None: the first axis of size 3)."""
    @overload
    def cummax(self, dim: int) -> RunningResult[Tensor]:
        """The largest element so far along `dim`, and its position: of equal ones the last. Outside of compiled functions."""
    @overload
    def cummax(self, axis: int) -> RunningResult[Tensor]:
        """The largest element so far along `dim`, and its position: of equal ones the last. Outside of compiled functions."""
    @overload
    def cummax_(self, dim: int) -> Tensor:
        """`cummax`, in place."""
    @overload
    def cummax_(self, axis: int) -> Tensor:
        """`cummax`, in place."""
    @overload
    def cummin(self, dim: int) -> RunningResult[Tensor]:
        """The least element so far along `dim`, and its position: of equal ones the last. Outside of compiled functions."""
    @overload
    def cummin(self, axis: int) -> RunningResult[Tensor]:
        """The least element so far along `dim`, and its position: of equal ones the last. Outside of compiled functions."""
    @overload
    def cummin_(self, dim: int) -> Tensor:
        """`cummin`, in place."""
    @overload
    def cummin_(self, axis: int) -> Tensor:
        """`cummin`, in place."""
    @overload
    def cumprod(self, dim: int, *, dtype: Any = None) -> Tensor:
        """Running products along `dim`: y[i] = x[0] * ... * x[i]. Integers and bools are multiplied as int64."""
    @overload
    def cumprod(self, axis: int, *, dtype: Any = None) -> Tensor:
        """Running products along `dim`: y[i] = x[0] * ... * x[i]. Integers and bools are multiplied as int64."""
    @overload
    def cumprod_(self, dim: int, *, dtype: Any = None) -> Tensor:
        """`cumprod`, in place."""
    @overload
    def cumprod_(self, axis: int, *, dtype: Any = None) -> Tensor:
        """`cumprod`, in place."""
    @overload
    def cumsum(self, dim: int, *, dtype: Any = None) -> Tensor:
        """Running sums along `dim`: y[i] = x[0] + ... + x[i]. Integers and bools are summed as int64."""
    @overload
    def cumsum(self, axis: int, *, dtype: Any = None) -> Tensor:
        """Running sums along `dim`: y[i] = x[0] + ... + x[i]. Integers and bools are summed as int64."""
    @overload
    def cumsum_(self, dim: int, *, dtype: Any = None) -> Tensor:
        """`cumsum`, in place."""
    @overload
    def cumsum_(self, axis: int, *, dtype: Any = None) -> Tensor:
        """`cumsum`, in place."""
    def deg2rad(self) -> Tensor:
        """Degrees as an angle in radians."""
    def deg2rad_(self) -> Tensor:
        """`deg2rad`, in place."""
    def det(self) -> Tensor:
        """The determinant of square matrices. Its gradient needs the inverse."""
    def diag(self, diagonal: int = 0) -> Tensor:
        """Of a vector the matrix with it on the given diagonal; of a matrix that diagonal."""
    def diag_embed(self, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
        """Matrices over the axes (dim1, dim2) with the last axis of `input` on a diagonal, 0 elsewhere."""
    def diagflat(self, offset: int = 0) -> Tensor:
        """The matrix with all elements of `input`, in order, on a diagonal."""
    def diagonal(self, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        """The diagonal of axes (dim1, dim2) as a new last axis, a view."""
    def diagonal_scatter(self, src: TensorLike, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        """A copy of `input` with diagonal(input, offset, dim1, dim2) = src."""
    def diagonal_scatter_(self, src: TensorLike, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        """`diagonal_scatter`, in place."""
    def diff(self, n: int = 1, dim: int = -1, *, axis: int = -1) -> Tensor:
        """The differences of neighbours along `dim`, taken n times; of bools: whether they differ."""
    def dist(self, other: TensorLike, p: float = 2) -> Tensor:
        """The p-norm of input - other, a number."""
    def div(self, other: TensorLike, *, rounding_mode: str | None = None) -> Tensor:
        """input / other; integers give floats. rounding_mode "floor" rounds down, "trunc" toward zero."""
    def div_(self, other: TensorLike, *, rounding_mode: str | None = None) -> Tensor:
        """`div`, in place."""
    def divide(self, other: TensorLike, *, rounding_mode: str | None = None) -> Tensor:
        """input / other; integers give floats. rounding_mode "floor" rounds down, "trunc" toward zero."""
    def divide_(self, other: TensorLike, *, rounding_mode: str | None = None) -> Tensor:
        """`div`, in place."""
    def dot(self, tensor: TensorLike) -> Tensor:
        """The sum of the products of two vectors' elements."""
    @overload
    def dsplit(self, sections: Any) -> tuple[Tensor, ...]:
        """tensor_split along axis 2."""
    @overload
    def dsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """tensor_split along axis 2."""
    def elu(self, alpha: float = 1.0, inplace: bool = False) -> Tensor:
        """input where it is positive, else alpha * (exp(input) - 1)."""
    def elu_(self, alpha: float = 1.0, inplace: bool = False) -> Tensor:
        """`elu`, in place."""
    def empty_like(self, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        """empty(input.shape) in input's dtype."""
    def eq(self, other: TensorLike) -> Tensor:
        """input == other, elementwise."""
    def eq_(self, other: TensorLike) -> Tensor:
        """`eq`, in place."""
    def equal(self, other: TensorLike) -> bool:
        """Whether both have the same shape and the same elements, of whatever dtypes."""
    def erf(self) -> Tensor:
        """2 / sqrt(pi) * the integral of exp(-t^2) from 0 to input."""
    def erf_(self) -> Tensor:
        """`erf`, in place."""
    def exp(self) -> Tensor:
        """e ** input."""
    def exp2(self) -> Tensor:
        """2 ** input."""
    def exp2_(self) -> Tensor:
        """`exp2`, in place."""
    def exp_(self) -> Tensor:
        """`exp`, in place."""
    def expand(self, *sizes_: Any, sizes: Any = ...) -> Tensor:
        """Axes of size 1 repeated without copying, -1 leaves an axis as it is; new axes come in front."""
    def expand_as(self, other: TensorLike) -> Tensor:
        """expand(input, other.shape)."""
    @overload
    def expand_dims(self, dim: int) -> Tensor:
        """With a new axis of size 1 at `dim`."""
    @overload
    def expand_dims(self, axis: int) -> Tensor:
        """With a new axis of size 1 at `dim`."""
    def expm1(self) -> Tensor:
        """e ** input - 1, precise also near 0."""
    def expm1_(self) -> Tensor:
        """`expm1`, in place."""
    def exponential_(self, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
        """Fill with random numbers of the exponential distribution of rate `lambd`: -log(1 - u) / lambd."""
    def fix(self) -> Tensor:
        """input without its fraction; integers are returned as they are."""
    def fix_(self) -> Tensor:
        """`trunc`, in place."""
    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Axes start_dim..end_dim as one."""
    def flip(self, *dims_: Any, dims: Any = ..., axis: Any = ..., axes: Any = ..., reps: Any = ...) -> Tensor:
        """The order of the elements reversed along `dims`: of a tensor a copy, as PyTorch's, of an array a view, as NumPy's."""
    def fliplr(self) -> Tensor:
        """flip along axis 1."""
    def flipud(self) -> Tensor:
        """flip along axis 0."""
    def float_power(self, exponent: TensorLike) -> Tensor:
        """input ** exponent in float64."""
    def float_power_(self, exponent: TensorLike) -> Tensor:
        """`float_power`, in place."""
    def floor(self) -> Tensor:
        """The greatest integer that is not above input; integers are returned as they are."""
    def floor_(self) -> Tensor:
        """`floor`, in place."""
    def floor_divide(self, other: TensorLike) -> Tensor:
        """floor(input / other). Integers stay integers; divided by 0 they give 0."""
    def floor_divide_(self, other: TensorLike) -> Tensor:
        """`floor_divide`, in place."""
    def fmax(self, other: TensorLike) -> Tensor:
        """The greater of both; of a number and NaN the number. Of equals, `input` gets the gradient."""
    def fmax_(self, other: TensorLike) -> Tensor:
        """`fmax`, in place."""
    def fmin(self, other: TensorLike) -> Tensor:
        """The lesser of both; of a number and NaN the number. Of equals, `input` gets the gradient."""
    def fmin_(self, other: TensorLike) -> Tensor:
        """`fmin`, in place."""
    def fmod(self, other: TensorLike) -> Tensor:
        """The remainder of division toward zero: it has the sign of input, as C's fmod."""
    def fmod_(self, other: TensorLike) -> Tensor:
        """`fmod`, in place."""
    def frac(self) -> Tensor:
        """input - trunc(input): what is behind the point, with input's sign."""
    def frac_(self) -> Tensor:
        """`frac`, in place."""
    def full_like(self, fill_value: TensorLike, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        """full(input.shape, fill_value) in input's dtype."""
    @overload
    def gather(self, dim: int, index: TensorLike) -> Tensor:
        """Elements of `input` picked along `dim`: out[.., i, ..] = input[.., index[.., i, ..], ..]."""
    @overload
    def gather(self, axis: int, index: TensorLike) -> Tensor:
        """Elements of `input` picked along `dim`: out[.., i, ..] = input[.., index[.., i, ..], ..]."""
    @overload
    def gather_(self, dim: int, index: TensorLike) -> Tensor:
        """`gather`, in place."""
    @overload
    def gather_(self, axis: int, index: TensorLike) -> Tensor:
        """`gather`, in place."""
    def ge(self, other: TensorLike) -> Tensor:
        """input >= other, elementwise."""
    def ge_(self, other: TensorLike) -> Tensor:
        """`ge`, in place."""
    def gelu(self, approximate: str = 'none') -> Tensor:
        """input * Phi(input) with the normal distribution function Phi; approximate="tanh" approximates it."""
    def gelu_(self, approximate: str = 'none') -> Tensor:
        """`gelu`, in place."""
    def geometric_(self, p: float, *, generator: Generator | None = None) -> Tensor:
        """Fill with the number of trials up to the first success, each with probability `p`."""
    def ger(self, vec2: TensorLike) -> Tensor:
        """out[i, j] = input[i] * vec2[j]."""
    def glu(self, dim: int = -1, *, axis: int = -1) -> Tensor:
        """a * sigmoid(b), where a and b are the halves of input along `dim`."""
    def glu_(self, dim: int = -1, *, axis: int = -1) -> Tensor:
        """`glu`, in place."""
    def greater(self, other: TensorLike) -> Tensor:
        """input > other, elementwise."""
    def greater_(self, other: TensorLike) -> Tensor:
        """`gt`, in place."""
    def greater_equal(self, other: TensorLike) -> Tensor:
        """input >= other, elementwise."""
    def greater_equal_(self, other: TensorLike) -> Tensor:
        """`ge`, in place."""
    def gt(self, other: TensorLike) -> Tensor:
        """input > other, elementwise."""
    def gt_(self, other: TensorLike) -> Tensor:
        """`gt`, in place."""
    def hardshrink(self, lambd: float = 0.5) -> Tensor:
        """input, and 0 where it lies in [-lambd, lambd]."""
    def hardshrink_(self, lambd: float = 0.5) -> Tensor:
        """`hardshrink`, in place."""
    def hardsigmoid(self, inplace: bool = False) -> Tensor:
        """min(max(input + 3, 0), 6) / 6."""
    def hardsigmoid_(self, inplace: bool = False) -> Tensor:
        """`hardsigmoid`, in place."""
    def hardswish(self, inplace: bool = False) -> Tensor:
        """input * hardsigmoid(input)."""
    def hardswish_(self, inplace: bool = False) -> Tensor:
        """`hardswish`, in place."""
    def hardtanh(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
        """min(max(input, min_val), max_val); unlike clamp's, its derivative at the bounds is 0."""
    def hardtanh_(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
        """`hardtanh`, in place."""
    def heaviside(self, values: TensorLike) -> Tensor:
        """0 below 0 and for NaN, `values` at 0, 1 above."""
    def heaviside_(self, values: TensorLike) -> Tensor:
        """`heaviside`, in place."""
    @overload
    def hsplit(self, sections: Any) -> tuple[Tensor, ...]:
        """tensor_split along axis 1 (vectors: axis 0)."""
    @overload
    def hsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """tensor_split along axis 1 (vectors: axis 0)."""
    def hypot(self, other: TensorLike) -> Tensor:
        """sqrt(input^2 + other^2), the length of a hypotenuse, without overflow."""
    def hypot_(self, other: TensorLike) -> Tensor:
        """`hypot`, in place."""
    @overload
    def index_add(self, dim: int, index: TensorLike, source: TensorLike, *, alpha: float = 1) -> Tensor:
        """A copy of `input` with alpha * source[.., k, ..] added to its slice index[k] along `dim`, in order of k."""
    @overload
    def index_add(self, axis: int, index: TensorLike, source: TensorLike, *, alpha: float = 1) -> Tensor:
        """A copy of `input` with alpha * source[.., k, ..] added to its slice index[k] along `dim`, in order of k."""
    @overload
    def index_add_(self, dim: int, index: TensorLike, source: TensorLike, *, alpha: float = 1) -> Tensor:
        """`index_add`, in place."""
    @overload
    def index_add_(self, axis: int, index: TensorLike, source: TensorLike, *, alpha: float = 1) -> Tensor:
        """`index_add`, in place."""
    @overload
    def index_copy(self, dim: int, index: TensorLike, source: TensorLike) -> Tensor:
        """A copy of `input` whose slice index[k] along `dim` is source[.., k, ..]."""
    @overload
    def index_copy(self, axis: int, index: TensorLike, source: TensorLike) -> Tensor:
        """A copy of `input` whose slice index[k] along `dim` is source[.., k, ..]."""
    @overload
    def index_copy_(self, dim: int, index: TensorLike, source: TensorLike) -> Tensor:
        """`index_copy`, in place."""
    @overload
    def index_copy_(self, axis: int, index: TensorLike, source: TensorLike) -> Tensor:
        """`index_copy`, in place."""
    @overload
    def index_fill(self, dim: int, index: TensorLike, value: float) -> Tensor:
        """A copy of `input` whose slices `index` along `dim` are filled with `value`."""
    @overload
    def index_fill(self, axis: int, index: TensorLike, value: float) -> Tensor:
        """A copy of `input` whose slices `index` along `dim` are filled with `value`."""
    @overload
    def index_fill_(self, dim: int, index: TensorLike, value: float) -> Tensor:
        """`index_fill`, in place."""
    @overload
    def index_fill_(self, axis: int, index: TensorLike, value: float) -> Tensor:
        """`index_fill`, in place."""
    def index_put(self, indices: Sequence[TensorLike], values: TensorLike, accumulate: bool = False) -> Tensor:
        """A copy of `input` with input[indices] = values, or += values."""
    def index_put_(self, indices: Sequence[TensorLike], values: TensorLike, accumulate: bool = False) -> Tensor:
        """`index_put`, in place."""
    @overload
    def index_select(self, dim: int, index: TensorLike) -> Tensor:
        """The slices of `input` along `dim` that the vector `index` names, in its order."""
    @overload
    def index_select(self, axis: int, index: TensorLike) -> Tensor:
        """The slices of `input` along `dim` that the vector `index` names, in its order."""
    @overload
    def index_select_(self, dim: int, index: TensorLike) -> Tensor:
        """`index_select`, in place."""
    @overload
    def index_select_(self, axis: int, index: TensorLike) -> Tensor:
        """`index_select`, in place."""
    def inner(self, other: TensorLike) -> Tensor:
        """Dot products along the last axes: out[i..., j...] = sum over p of input[i..., p] other[j..., p]."""
    def inverse(self) -> Tensor:
        """The inverse of square matrices."""
    def isclose(self, other: TensorLike, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
        """Where |input - other| <= atol + rtol * |other|; infinities are close to themselves."""
    def isfinite(self) -> Tensor:
        """Whether each element is neither NaN nor infinite."""
    def isfinite_(self) -> Tensor:
        """`isfinite`, in place."""
    def isin(self, test_elements: TensorLike) -> Tensor:
        """Whether each element is one of `test_elements`."""
    def isinf(self) -> Tensor:
        """Whether each element is inf or -inf."""
    def isinf_(self) -> Tensor:
        """`isinf`, in place."""
    def isnan(self) -> Tensor:
        """Whether each element is NaN."""
    def isnan_(self) -> Tensor:
        """`isnan`, in place."""
    def isneginf(self) -> Tensor:
        """Whether each element is -inf."""
    def isneginf_(self) -> Tensor:
        """`isneginf`, in place."""
    def isposinf(self) -> Tensor:
        """Whether each element is inf."""
    def isposinf_(self) -> Tensor:
        """`isposinf`, in place."""
    def kron(self, other: TensorLike) -> Tensor:
        """Kronecker's product: each element of `input` times all of `other`, side by side."""
    def kthvalue(self, k: int, dim: int = -1, keepdim: bool = False, *, axis: int = -1, keepdims: bool = False) -> SortResult[Tensor]:
        """The k-th smallest value (from 1) along `dim`, and its position: in ascending order, of equal ones the first."""
    def le(self, other: TensorLike) -> Tensor:
        """input <= other, elementwise."""
    def le_(self, other: TensorLike) -> Tensor:
        """`le`, in place."""
    def leaky_relu(self, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
        """input where it is positive, else negative_slope * input."""
    def leaky_relu_(self, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
        """`leaky_relu`, in place."""
    def lerp(self, end: TensorLike, weight: TensorLike) -> Tensor:
        """input + weight * (end - input); exactly `end` for the weight 1."""
    def lerp_(self, end: TensorLike, weight: TensorLike) -> Tensor:
        """`lerp`, in place."""
    def less(self, other: TensorLike) -> Tensor:
        """input < other, elementwise."""
    def less_(self, other: TensorLike) -> Tensor:
        """`lt`, in place."""
    def less_equal(self, other: TensorLike) -> Tensor:
        """input <= other, elementwise."""
    def less_equal_(self, other: TensorLike) -> Tensor:
        """`le`, in place."""
    def linear(self, weight: TensorLike, bias: TensorLike | None = None) -> Tensor:
        """`input @ weight.T + bias`: the fully connected layer."""
    def log(self) -> Tensor:
        """Natural logarithm; -inf at 0, NaN below."""
    def log10(self) -> Tensor:
        """Logarithm to base 10."""
    def log10_(self) -> Tensor:
        """`log10`, in place."""
    def log1p(self) -> Tensor:
        """log(1 + input), precise also near 0."""
    def log1p_(self) -> Tensor:
        """`log1p`, in place."""
    def log2(self) -> Tensor:
        """Logarithm to base 2."""
    def log2_(self) -> Tensor:
        """`log2`, in place."""
    def log_(self) -> Tensor:
        """`log`, in place."""
    def log_normal_(self, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
        """Fill with e to the power of normal random numbers."""
    @overload
    def log_softmax(self, dim: int, *, dtype: Any = None) -> Tensor:
        """log(softmax(x)) along `dim`, accurate where the softmax is tiny."""
    @overload
    def log_softmax(self, axis: int, *, dtype: Any = None) -> Tensor:
        """log(softmax(x)) along `dim`, accurate where the softmax is tiny."""
    def logaddexp(self, other: TensorLike) -> Tensor:
        """log(e^input + e^other), without overflow."""
    def logaddexp2(self, other: TensorLike) -> Tensor:
        """log2(2^input + 2^other), without overflow."""
    def logaddexp2_(self, other: TensorLike) -> Tensor:
        """`logaddexp2`, in place."""
    def logaddexp_(self, other: TensorLike) -> Tensor:
        """`logaddexp`, in place."""
    def logdet(self) -> Tensor:
        """log(det(input)); NaN where the determinant is negative."""
    def logical_and(self, other: TensorLike) -> Tensor:
        """Both are not 0."""
    def logical_and_(self, other: TensorLike) -> Tensor:
        """`logical_and`, in place."""
    def logical_not(self) -> Tensor:
        """input is 0."""
    def logical_not_(self) -> Tensor:
        """`logical_not`, in place."""
    def logical_or(self, other: TensorLike) -> Tensor:
        """At least one is not 0."""
    def logical_or_(self, other: TensorLike) -> Tensor:
        """`logical_or`, in place."""
    def logical_xor(self, other: TensorLike) -> Tensor:
        """Exactly one is not 0."""
    def logical_xor_(self, other: TensorLike) -> Tensor:
        """`logical_xor`, in place."""
    def logit(self, eps: float | None = None) -> Tensor:
        """log(x / (1 - x)), the inverse of sigmoid; with `eps`, x is clamped to [eps, 1 - eps] first."""
    def logit_(self, eps: float | None = None) -> Tensor:
        """`logit`, in place."""
    def logsigmoid(self) -> Tensor:
        """log(sigmoid(input)), precise also where sigmoid underflows."""
    def logsigmoid_(self) -> Tensor:
        """`logsigmoid`, in place."""
    def logsumexp(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Tensor:
        """log(sum(exp(x))) over `dim`, without overflow; integers become floats."""
    def lt(self, other: TensorLike) -> Tensor:
        """input < other, elementwise."""
    def lt_(self, other: TensorLike) -> Tensor:
        """`lt`, in place."""
    def masked_fill(self, mask: TensorLike, value: TensorLike) -> Tensor:
        """`value` where `mask` is true, else `input`; all broadcast."""
    def masked_fill_(self, mask: TensorLike, value: TensorLike) -> Tensor:
        """`masked_fill`, in place."""
    def masked_scatter(self, mask: TensorLike, source: TensorLike) -> Tensor:
        """A copy of `input` whose elements under a true `mask` are the first ones of `source`, in order."""
    def masked_scatter_(self, mask: TensorLike, source: TensorLike) -> Tensor:
        """`masked_scatter`, in place."""
    def masked_select(self, mask: TensorLike) -> Tensor:
        """The elements of `input` where `mask` is true (both broadcast), as a vector."""
    def masked_select_(self, mask: TensorLike) -> Tensor:
        """`masked_select`, in place."""
    def matmul(self, other: TensorLike) -> Tensor:
        """The matrix product, as `input @ other`."""
    def matrix_power(self, n: int) -> Tensor:
        """The product of n factors `input`, matrices of equal sides; n = 0: the identity, n < 0: of the inverse."""
    @overload
    def max(self, dim: int, keepdim: bool = False, *, keepdims: bool = False) -> SortResult[Tensor]:
        """Greatest element; with `dim` the pair (values, indices) along it; of two tensors their `maximum`."""
    @overload
    def max(self, axis: int, keepdim: bool = False) -> SortResult[Tensor]:
        """Greatest element; with `dim` the pair (values, indices) along it; of two tensors their `maximum`."""
    @overload
    def max(self, dim: TensorLike | None = None, keepdim: bool = False, *, axis: TensorLike | None = None, keepdims: bool = False) -> Tensor:
        """Greatest element; with `dim` the pair (values, indices) along it; of two tensors their `maximum`."""
    def maximum(self, other: TensorLike) -> Tensor:
        """The greater of both; NaN where either is NaN. Equal values share the gradient."""
    def maximum_(self, other: TensorLike) -> Tensor:
        """`maximum`, in place."""
    def mean(self, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Arithmetic mean over `dim`; NaN where there are no elements. Input (or `dtype`) must be float."""
    @overload
    def median(self, dim: int, keepdim: bool = False, *, keepdims: bool = False) -> SortResult[Tensor]:
        """The middle element, of two the lesser; NaN where one is NaN. With `dim` the pair (values, indices) along it; the"""
    @overload
    def median(self, axis: int, keepdim: bool = False) -> SortResult[Tensor]:
        """The middle element, of two the lesser; NaN where one is NaN. With `dim` the pair (values, indices) along it; the"""
    @overload
    def median(self, dim: None = None, keepdim: bool = False, *, axis: None = None, keepdims: bool = False) -> Tensor:
        """The middle element, of two the lesser; NaN where one is NaN. With `dim` the pair (values, indices) along it; the"""
    @overload
    def min(self, dim: int, keepdim: bool = False, *, keepdims: bool = False) -> SortResult[Tensor]:
        """Least element; with `dim` the pair (values, indices) along it; of two tensors their `minimum`."""
    @overload
    def min(self, axis: int, keepdim: bool = False) -> SortResult[Tensor]:
        """Least element; with `dim` the pair (values, indices) along it; of two tensors their `minimum`."""
    @overload
    def min(self, dim: TensorLike | None = None, keepdim: bool = False, *, axis: TensorLike | None = None, keepdims: bool = False) -> Tensor:
        """Least element; with `dim` the pair (values, indices) along it; of two tensors their `minimum`."""
    def minimum(self, other: TensorLike) -> Tensor:
        """The lesser of both; NaN where either is NaN. Equal values share the gradient."""
    def minimum_(self, other: TensorLike) -> Tensor:
        """`minimum`, in place."""
    def mish(self, inplace: bool = False) -> Tensor:
        """input * tanh(softplus(input))."""
    def mish_(self, inplace: bool = False) -> Tensor:
        """`mish`, in place."""
    def mm(self, mat2: TensorLike) -> Tensor:
        """The product of two matrices: (n, k) @ (k, m) -> (n, m)."""
    def mod(self, other: TensorLike) -> Tensor:
        """input - floor_divide(input, other) * other: the result has the sign of `other`, as Python's %."""
    def mod_(self, other: TensorLike) -> Tensor:
        """`remainder`, in place."""
    def mode(self, dim: int = -1, keepdim: bool = False, *, axis: int = -1, keepdims: bool = False) -> SortResult[Tensor]:
        """The most frequent value along `dim`, of several the least, and the last of its positions. Has no gradient."""
    def moveaxis(self, source: Any, destination: Any) -> Tensor:
        """Axes `source` moved to the places `destination`; the others keep their order."""
    def movedim(self, source: Any, destination: Any) -> Tensor:
        """Axes `source` moved to the places `destination`; the others keep their order."""
    def msort(self) -> Tensor:
        """Values in order along axis 0."""
    def mul(self, other: TensorLike) -> Tensor:
        """input * other; of bools: and."""
    def mul_(self, other: TensorLike) -> Tensor:
        """`mul`, in place."""
    def multinomial(self, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Tensor:
        """Positions drawn with probabilities proportional to `input`, (categories,) or (rows, categories) -> int64"""
    def multiply(self, other: TensorLike) -> Tensor:
        """input * other; of bools: and."""
    def multiply_(self, other: TensorLike) -> Tensor:
        """`mul`, in place."""
    def mv(self, vec: TensorLike) -> Tensor:
        """A matrix times a vector: (n, m) @ (m) -> (n)."""
    def nan_to_num(self, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
        """NaN replaced by `nan`, inf and -inf by `posinf` and `neginf` (None: the extremes of the dtype). No gradient there."""
    def nan_to_num_(self, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
        """`nan_to_num`, in place."""
    def nanmean(self, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`mean` of the elements that are not NaN; NaN where there are none."""
    @overload
    def nanmedian(self, dim: int, keepdim: bool = False, *, keepdims: bool = False) -> SortResult[Tensor]:
        """`median` of the elements that are not NaN; NaN where all are."""
    @overload
    def nanmedian(self, axis: int, keepdim: bool = False) -> SortResult[Tensor]:
        """`median` of the elements that are not NaN; NaN where all are."""
    @overload
    def nanmedian(self, dim: None = None, keepdim: bool = False, *, axis: None = None, keepdims: bool = False) -> Tensor:
        """`median` of the elements that are not NaN; NaN where all are."""
    def nansum(self, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`sum` of the elements that are not NaN."""
    @overload
    def narrow(self, dim: int, start: int, length: int) -> Tensor:
        """Elements start..start+length-1 of axis `dim`."""
    @overload
    def narrow(self, axis: int, start: int, length: int) -> Tensor:
        """Elements start..start+length-1 of axis `dim`."""
    def ne(self, other: TensorLike) -> Tensor:
        """input != other, elementwise."""
    def ne_(self, other: TensorLike) -> Tensor:
        """`ne`, in place."""
    def neg(self) -> Tensor:
        """-input."""
    def neg_(self) -> Tensor:
        """`neg`, in place."""
    def negative(self) -> Tensor:
        """-input."""
    def negative_(self) -> Tensor:
        """`neg`, in place."""
    @overload
    def nonzero(self, *, as_tuple: Literal[False] = False) -> Tensor:
        """The positions of the elements that are not 0: (count, axes), or a tuple with one vector an axis."""
    @overload
    def nonzero(self, *, as_tuple: bool) -> Any:
        """The positions of the elements that are not 0: (count, axes), or a tuple with one vector an axis."""
    @overload
    def nonzero_(self, *, as_tuple: Literal[False] = False) -> Tensor:
        """`nonzero`, in place."""
    @overload
    def nonzero_(self, *, as_tuple: bool) -> Tensor:
        """`nonzero`, in place."""
    def norm(self, p: float | str = 2.0, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
        """The p-norm (sum |x|^p)^(1/p) over `dim`; p=inf and -inf: the extremes of |x|; p=0: how many are not 0."""
    def normal_(self, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
        """Fill with normal random numbers."""
    def not_equal(self, other: TensorLike) -> Tensor:
        """input != other, elementwise."""
    def not_equal_(self, other: TensorLike) -> Tensor:
        """`ne`, in place."""
    def numel(self) -> int:
        """The number of elements."""
    def ones_like(self, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        """ones(input.shape) in input's dtype."""
    def outer(self, vec2: TensorLike) -> Tensor:
        """out[i, j] = input[i] * vec2[j]."""
    def pad(self, pad: Sequence[int], mode: str = 'constant', value: float | None = None) -> Tensor:
        """`input` with a border. `pad` lists the sizes (before, after) from the last axis to the first."""
    def pad_(self, pad: Sequence[int], mode: str = 'constant', value: float | None = None) -> Tensor:
        """`pad`, in place."""
    def permute(self, *dims_: Any, dims: Any = ..., axis: Any = ..., axes: Any = ..., reps: Any = ...) -> Tensor:
        """Axes in the order `dims`."""
    def pinverse(self, rcond: float | None = None) -> Tensor:
        """Moore and Penrose's pseudoinverse: singular values up to `rcond` times the largest count as 0 (None: the dtype's"""
    def positive(self) -> Tensor:
        """input itself."""
    def positive_(self) -> Tensor:
        """`positive`, in place."""
    def pow(self, exponent: TensorLike) -> Tensor:
        """input ** exponent. Integers stay integers, bools become int64; a negative exponent then is an error."""
    def pow_(self, exponent: TensorLike) -> Tensor:
        """`pow`, in place."""
    def power(self, exponent: TensorLike) -> Tensor:
        """input ** exponent. Integers stay integers, bools become int64; a negative exponent then is an error."""
    def power_(self, exponent: TensorLike) -> Tensor:
        """`pow`, in place."""
    def prelu(self, weight: TensorLike) -> Tensor:
        """input where it is positive, else weight * input; weight has one element, or one a channel (axis 1)."""
    def prelu_(self, weight: TensorLike) -> Tensor:
        """`prelu`, in place."""
    def prod(self, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Product over `dim`. Integers and bools are multiplied as int64; `dtype` is cast to first."""
    def quantile(self, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = 'linear', axis: int | None = None, keepdims: bool = False) -> Tensor:
        """What a share q of the elements does not exceed, between sorted neighbours by `interpolation` ("linear", "lower","""
    def rad2deg(self) -> Tensor:
        """An angle in radians as degrees."""
    def rad2deg_(self) -> Tensor:
        """`rad2deg`, in place."""
    def random_(self, low: int = 0, high: int | None = None, *, generator: Generator | None = None) -> Tensor:
        """Fill with integers uniform in [low, high); random_(high) starts at 0. None: all that the dtype holds exactly."""
    def ravel(self) -> Tensor:
        """All elements in one axis."""
    def reciprocal(self) -> Tensor:
        """1 / input."""
    def reciprocal_(self) -> Tensor:
        """`reciprocal`, in place."""
    def relu(self, inplace: bool = False) -> Tensor:
        """max(input, 0); its derivative at 0 is 0."""
    def relu6(self, inplace: bool = False) -> Tensor:
        """min(max(input, 0), 6)."""
    def relu6_(self, inplace: bool = False) -> Tensor:
        """`relu6`, in place."""
    def relu_(self, inplace: bool = False) -> Tensor:
        """`relu`, in place."""
    def remainder(self, other: TensorLike) -> Tensor:
        """input - floor_divide(input, other) * other: the result has the sign of `other`, as Python's %."""
    def remainder_(self, other: TensorLike) -> Tensor:
        """`remainder`, in place."""
    def repeat(self, *repeats_: Any, repeats: Any = ...) -> Tensor:
        """`input` side by side repeats[d] times along each axis; further repeats in front add axes."""
    def repeat_(self, *repeats_: Any, repeats: Any = ...) -> Tensor:
        """`repeat`, in place."""
    def repeat_interleave(self, repeats: Any, dim: int | None = None, *, axis: int | None = None) -> Tensor:
        """Each element (or slice along `dim`) `repeats` times in a row; None: of the input as a vector."""
    def repeat_interleave_(self, repeats: Any, dim: int | None = None, *, axis: int | None = None) -> Tensor:
        """`repeat_interleave`, in place."""
    def reshape(self, *shape_: Any, shape: Any = ..., newshape: Any = ...) -> Tensor:
        """`input` with the same elements in another shape; one size may be -1. A view where the layout allows."""
    @overload
    def roll(self, shifts: Any, dims: Any = None, *, axis: Any = None, axes: Any = None, reps: Any = None) -> Tensor:
        """Elements moved by `shifts` places along `dims`, those that leave the end come in at the start; None: as a vector."""
    @overload
    def roll(self, shift: Any, dims: Any = None) -> Tensor:
        """Elements moved by `shifts` places along `dims`, those that leave the end come in at the start; None: as a vector."""
    @overload
    def roll_(self, shifts: Any, dims: Any = None, *, axis: Any = None, axes: Any = None, reps: Any = None) -> Tensor:
        """`roll`, in place."""
    @overload
    def roll_(self, shift: Any, dims: Any = None) -> Tensor:
        """`roll`, in place."""
    def rot90(self, k: int = 1, dims: Sequence[int] = (0, 1), *, axis: Sequence[int] = (0, 1), axes: Sequence[int] = (0, 1), reps: Sequence[int] = (0, 1)) -> Tensor:
        """`input` turned by k quarters in the plane of `dims`, from the first towards the second."""
    def rot90_(self, k: int = 1, dims: Sequence[int] = (0, 1), *, axis: Sequence[int] = (0, 1), axes: Sequence[int] = (0, 1), reps: Sequence[int] = (0, 1)) -> Tensor:
        """`rot90`, in place."""
    def round(self, *, decimals: int = 0) -> Tensor:
        """The nearest integer, of two the even one; or the nearest multiple of 10 ** -decimals."""
    def round_(self, *, decimals: int = 0) -> Tensor:
        """`round`, in place."""
    def rsqrt(self) -> Tensor:
        """1 / sqrt(input)."""
    def rsqrt_(self) -> Tensor:
        """`rsqrt`, in place."""
    @overload
    def scatter(self, dim: int, index: TensorLike, src: TensorLike | None = None, *, value: Any = None, reduce: str | None = None) -> Tensor:
        """A copy of `input` with out[.., index[.., i, ..], ..] = src[.., i, ..] (or `value`) along `dim`; reduce="add": += it."""
    @overload
    def scatter(self, axis: int, index: TensorLike, src: TensorLike | None = None, *, value: Any = None, reduce: str | None = None) -> Tensor:
        """A copy of `input` with out[.., index[.., i, ..], ..] = src[.., i, ..] (or `value`) along `dim`; reduce="add": += it."""
    @overload
    def scatter_(self, dim: int, index: TensorLike, src: TensorLike | None = None, *, value: Any = None, reduce: str | None = None) -> Tensor:
        """`scatter`, in place."""
    @overload
    def scatter_(self, axis: int, index: TensorLike, src: TensorLike | None = None, *, value: Any = None, reduce: str | None = None) -> Tensor:
        """`scatter`, in place."""
    @overload
    def scatter_add(self, dim: int, index: TensorLike, src: TensorLike) -> Tensor:
        """A copy of `input` with out[.., index[.., i, ..], ..] += src[.., i, ..] along `dim`, in order of i."""
    @overload
    def scatter_add(self, axis: int, index: TensorLike, src: TensorLike) -> Tensor:
        """A copy of `input` with out[.., index[.., i, ..], ..] += src[.., i, ..] along `dim`, in order of i."""
    @overload
    def scatter_add_(self, dim: int, index: TensorLike, src: TensorLike) -> Tensor:
        """`scatter_add`, in place."""
    @overload
    def scatter_add_(self, axis: int, index: TensorLike, src: TensorLike) -> Tensor:
        """`scatter_add`, in place."""
    @overload
    def scatter_reduce(self, dim: int, index: TensorLike, src: TensorLike, reduce: str, *, include_self: bool = True) -> Tensor:
        """A copy of `input` where each place out[.., index[.., i, ..], ..] along `dim` is the sum, product, mean, largest or"""
    @overload
    def scatter_reduce(self, axis: int, index: TensorLike, src: TensorLike, reduce: str, *, include_self: bool = True) -> Tensor:
        """A copy of `input` where each place out[.., index[.., i, ..], ..] along `dim` is the sum, product, mean, largest or"""
    @overload
    def scatter_reduce_(self, dim: int, index: TensorLike, src: TensorLike, reduce: str, *, include_self: bool = True) -> Tensor:
        """`scatter_reduce`, in place."""
    @overload
    def scatter_reduce_(self, axis: int, index: TensorLike, src: TensorLike, reduce: str, *, include_self: bool = True) -> Tensor:
        """`scatter_reduce`, in place."""
    @overload
    def select(self, dim: int, index: int) -> Tensor:
        """Element `index` of axis `dim`, without the axis."""
    @overload
    def select(self, axis: int, index: int) -> Tensor:
        """Element `index` of axis `dim`, without the axis."""
    @overload
    def select_scatter(self, src: TensorLike, dim: int, index: int) -> Tensor:
        """A copy of `input` with select(input, dim, index) = src."""
    @overload
    def select_scatter(self, src: TensorLike, axis: int, index: int) -> Tensor:
        """A copy of `input` with select(input, dim, index) = src."""
    @overload
    def select_scatter_(self, src: TensorLike, dim: int, index: int) -> Tensor:
        """`select_scatter`, in place."""
    @overload
    def select_scatter_(self, src: TensorLike, axis: int, index: int) -> Tensor:
        """`select_scatter`, in place."""
    def selu(self, inplace: bool = False) -> Tensor:
        """The self-normalising elu: 1.0507 * elu(input, 1.6733)."""
    def selu_(self, inplace: bool = False) -> Tensor:
        """`selu`, in place."""
    def sgn(self) -> Tensor:
        """1, 0 or -1; 0 for NaN. Of bools: themselves."""
    def sgn_(self) -> Tensor:
        """`sign`, in place."""
    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-input))."""
    def sigmoid_(self) -> Tensor:
        """`sigmoid`, in place."""
    def sign(self) -> Tensor:
        """1, 0 or -1; 0 for NaN. Of bools: themselves."""
    def sign_(self) -> Tensor:
        """`sign`, in place."""
    def signbit(self) -> Tensor:
        """Whether the sign is minus, also of -0."""
    def signbit_(self) -> Tensor:
        """`signbit`, in place."""
    def silu(self, inplace: bool = False) -> Tensor:
        """input * sigmoid(input), also known as swish."""
    def silu_(self, inplace: bool = False) -> Tensor:
        """`silu`, in place."""
    def sin(self) -> Tensor:
        """Sine."""
    def sin_(self) -> Tensor:
        """`sin`, in place."""
    def sinc(self) -> Tensor:
        """sin(pi x) / (pi x), and 1 at 0; 0 at other integers."""
    def sinc_(self) -> Tensor:
        """`sinc`, in place."""
    def sinh(self) -> Tensor:
        """(e^x - e^-x) / 2"""
    def sinh_(self) -> Tensor:
        """`sinh`, in place."""
    def slice_scatter(self, src: TensorLike, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1, *, axis: int = 0) -> Tensor:
        """A copy of `input` with the slice start:end:step of axis `dim` = src."""
    def slice_scatter_(self, src: TensorLike, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1, *, axis: int = 0) -> Tensor:
        """`slice_scatter`, in place."""
    def slogdet(self) -> SlogdetResult[Tensor]:
        """(sign, log |det|) of square matrices, without overflow; (0, -inf) of singular ones."""
    @overload
    def softmax(self, dim: int, *, dtype: Any = None) -> Tensor:
        """exp(x_i) / sum_j exp(x_j) along `dim`, without overflow. A line of -inf only gives NaN."""
    @overload
    def softmax(self, axis: int, *, dtype: Any = None) -> Tensor:
        """exp(x_i) / sum_j exp(x_j) along `dim`, without overflow. A line of -inf only gives NaN."""
    def softplus(self, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
        """log(1 + exp(beta * input)) / beta; input itself where beta * input is above `threshold`."""
    def softplus_(self, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
        """`softplus`, in place."""
    def softshrink(self, lambd: float = 0.5) -> Tensor:
        """input moved toward 0 by `lambd`, and 0 where it is nearer than that."""
    def softshrink_(self, lambd: float = 0.5) -> Tensor:
        """`softshrink`, in place."""
    def softsign(self) -> Tensor:
        """input / (1 + |input|)."""
    def softsign_(self) -> Tensor:
        """`softsign`, in place."""
    def sort(self, dim: int = -1, descending: bool = False, stable: bool = True, *, axis: int = -1) -> SortResult[Tensor]:
        """Values in order along `dim`, and the positions that they had. Always stable."""
    def split(self, split_size_or_sections: Any, dim: int = 0, *, axis: int = 0) -> tuple[Tensor, ...]:
        """Views of `split_size` rows each along `dim` (the last may be shorter), or of the given sizes."""
    def sqrt(self) -> Tensor:
        """Square root; NaN below 0. Its derivative at 0 is inf."""
    def sqrt_(self) -> Tensor:
        """`sqrt`, in place."""
    def square(self) -> Tensor:
        """input * input; of bools in int64."""
    def square_(self) -> Tensor:
        """`square`, in place."""
    def squeeze(self, dim: Any = None, *, axis: Any = None) -> Tensor:
        """Without the axes of size 1 (all, or those of `dim`)."""
    def std(self, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None, axis: Any = None, keepdims: bool = False, ddof: float | None = None) -> Tensor:
        """Standard deviation over `dim`, the square root of `var`; its gradient is 0 where it is 0."""
    def std_mean(self, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None, axis: Any = None, keepdims: bool = False, ddof: float | None = None) -> tuple[Tensor, Tensor]:
        """(standard deviation, mean) over `dim`; see `std`."""
    def sub(self, other: TensorLike, *, alpha: float = 1) -> Tensor:
        """input - alpha * other."""
    def sub_(self, other: TensorLike, *, alpha: float = 1) -> Tensor:
        """`sub`, in place."""
    def subtract(self, other: TensorLike, *, alpha: float = 1) -> Tensor:
        """input - alpha * other."""
    def subtract_(self, other: TensorLike, *, alpha: float = 1) -> Tensor:
        """`sub`, in place."""
    def sum(self, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Sum over `dim`. Integers and bools are summed as int64; `dtype` is cast to first."""
    def swapaxes(self, dim0: int, dim1: int) -> Tensor:
        """Axes dim0 and dim1 exchanged."""
    def swapdims(self, dim0: int, dim1: int) -> Tensor:
        """Axes dim0 and dim1 exchanged."""
    def t(self) -> Tensor:
        """The transposed matrix; 0-d and 1-d tensors as they are."""
    def take(self, index: TensorLike) -> Tensor:
        """The elements at the positions `index` of `input` as a vector, in the shape of index."""
    def take_(self, index: TensorLike) -> Tensor:
        """`take`, in place."""
    def take_along_axis(self, indices: TensorLike, dim: int | None = None, *, axis: int | None = None) -> Tensor:
        """`gather` where input and indices broadcast outside of `dim`; None: both as vectors."""
    def take_along_axis_(self, indices: TensorLike, dim: int | None = None, *, axis: int | None = None) -> Tensor:
        """`take_along_dim`, in place."""
    def take_along_dim(self, indices: TensorLike, dim: int | None = None, *, axis: int | None = None) -> Tensor:
        """`gather` where input and indices broadcast outside of `dim`; None: both as vectors."""
    def take_along_dim_(self, indices: TensorLike, dim: int | None = None, *, axis: int | None = None) -> Tensor:
        """`take_along_dim`, in place."""
    def tan(self) -> Tensor:
        """Tangent, sin / cos."""
    def tan_(self) -> Tensor:
        """`tan`, in place."""
    def tanh(self) -> Tensor:
        """Hyperbolic tangent."""
    def tanh_(self) -> Tensor:
        """`tanh`, in place."""
    def tanhshrink(self) -> Tensor:
        """input - tanh(input)."""
    def tanhshrink_(self) -> Tensor:
        """`tanhshrink`, in place."""
    @overload
    def tensor_split(self, sections: int | Sequence[int], dim: int = 0, *, axis: int = 0) -> tuple[Tensor, ...]:
        """Exactly `sections` views along `dim`, sizes differing by at most one; or cut before each of the given positions."""
    @overload
    def tensor_split(self, indices_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        """Exactly `sections` views along `dim`, sizes differing by at most one; or cut before each of the given positions."""
    def threshold(self, threshold: float, value: float, inplace: bool = False) -> Tensor:
        """input where it is above `threshold`, else `value`."""
    def threshold_(self, threshold: float, value: float, inplace: bool = False) -> Tensor:
        """`threshold`, in place."""
    def tile(self, *dims_: Any, dims: Any = ..., axis: Any = ..., axes: Any = ..., reps: Any = ...) -> Tensor:
        """The same as `repeat`, but missing numbers in front count as 1."""
    def tile_(self, *dims_: Any, dims: Any = ..., axis: Any = ..., axes: Any = ..., reps: Any = ...) -> Tensor:
        """`tile`, in place."""
    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, axis: int = -1) -> SortResult[Tensor]:
        """The k largest (or smallest) values along `dim`, in order, and their positions; of equal values the first."""
    def trace(self) -> Tensor:
        """The sum of a matrix's diagonal."""
    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Axes dim0 and dim1 exchanged."""
    def tril(self, diagonal: int = 0) -> Tensor:
        """Each matrix of `input` with 0 above the diagonal."""
    def tril_(self, diagonal: int = 0) -> Tensor:
        """`tril`, in place."""
    def triu(self, diagonal: int = 0) -> Tensor:
        """Each matrix of `input` with 0 below the diagonal."""
    def triu_(self, diagonal: int = 0) -> Tensor:
        """`triu`, in place."""
    def true_divide(self, other: TensorLike, *, rounding_mode: str | None = None) -> Tensor:
        """input / other; integers give floats. rounding_mode "floor" rounds down, "trunc" toward zero."""
    def true_divide_(self, other: TensorLike, *, rounding_mode: str | None = None) -> Tensor:
        """`div`, in place."""
    def trunc(self) -> Tensor:
        """input without its fraction; integers are returned as they are."""
    def trunc_(self) -> Tensor:
        """`trunc`, in place."""
    def unbind(self, dim: int = 0, *, axis: int = 0) -> tuple[Tensor, ...]:
        """The elements of axis `dim` as a tuple."""
    @overload
    def unflatten(self, dim: int, sizes: Sequence[int]) -> Tensor:
        """Axis `dim` split into `sizes`; one of them may be -1."""
    @overload
    def unflatten(self, axis: int, sizes: Sequence[int]) -> Tensor:
        """Axis `dim` split into `sizes`; one of them may be -1."""
    def unfold(self, dimension: int, size: int, step: int) -> Tensor:
        """Windows of `size` along an axis, one every `step`, as a new last axis."""
    def uniform_(self, low: float = 0.0, high: float = 1.0, *, generator: Generator | None = None) -> Tensor:
        """Fill with random numbers, uniform in [low, high)."""
    @overload
    def unique(self, sorted: bool = True, return_inverse: Literal[False] = False, return_counts: Literal[False] = False, dim: int | None = None, *, axis: int | None = None) -> Tensor:
        """The different elements (or slices along `dim`) in ascending order; with their position for each element of `input`,"""
    @overload
    def unique(self, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None, *, axis: int | None = None) -> Any:
        """The different elements (or slices along `dim`) in ascending order; with their position for each element of `input`,"""
    def unique_consecutive(self, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None, *, axis: int | None = None) -> Any:
        """Without elements (or slices along `dim`) that equal the one before; further results as `unique`'s."""
    @overload
    def unsqueeze(self, dim: int) -> Tensor:
        """With a new axis of size 1 at `dim`."""
    @overload
    def unsqueeze(self, axis: int) -> Tensor:
        """With a new axis of size 1 at `dim`."""
    def var(self, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None, axis: Any = None, keepdims: bool = False, ddof: float | None = None) -> Tensor:
        """Variance over `dim`: sum (x - mean)^2 / max(0, n - correction); correction 1, or 0 with unbiased=False."""
    def var_mean(self, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None, axis: Any = None, keepdims: bool = False, ddof: float | None = None) -> tuple[Tensor, Tensor]:
        """(variance, mean) over `dim` in one pass over the data; see `var`."""
    def vdot(self, other: TensorLike) -> Tensor:
        """`dot`, by its other name."""
    def view(self, *shape_: Any, shape: Any = ..., newshape: Any = ...) -> Tensor:
        """The same as `reshape` (PyTorch's name for it)."""
    @overload
    def vsplit(self, sections: Any) -> tuple[Tensor, ...]:
        """tensor_split along axis 0."""
    @overload
    def vsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """tensor_split along axis 0."""
    def xlogy(self, other: TensorLike) -> Tensor:
        """input * log(other); 0 where input is 0, unless other is NaN."""
    def xlogy_(self, other: TensorLike) -> Tensor:
        """`xlogy`, in place."""
    def zeros_like(self, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        """zeros(input.shape) in input's dtype."""
