"""Einstein summation, taken apart into permutes, sums, products and batched matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.errors import DTypeError, ShapeError
from .matmul import matmul
from .public import Array
from .reduction import sum as sum_
from .shape import diagonal, permute, reshape

__all__ = ["einsum"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

Label = Any  # a letter, or a number for an axis of the ellipsis (-1 is its last)
Term = tuple[Any, list]  # a tensor and the labels of its axes


def einsum(equation: str | Array, *operands: Array | Sequence[Any]) -> Array:
    """Sums of products over named axes.

    `equation` names the axes of each operand by letters, and those of the result behind "->". Letters that the result
    lacks are summed over; a letter twice in one operand takes its diagonal; "..." stands for any further axes, which
    broadcast. Without "->" the result has the ellipsis and then, in alphabetical order, the letters that occur once.
    Operands with lists of axis numbers in place of an equation are taken too: `einsum(a, [0, 1], b, [1, 2], [0, 2])`.
    With more than two operands, the pair that is cheapest to multiply comes first.

    Raises:
        ShapeError: an equation that does not parse or does not fit the operands.

    >>> import ranvier as rv
    >>> rv.einsum("ij,jk->ik", rv.ones(2, 3), rv.ones(3, 4)).shape
    (2, 4)
    >>> rv.einsum("ii", rv.tensor([[1.0, 2.0], [3.0, 4.0]])).item()
    5.0
    """
    if not isinstance(equation, str):
        equation, operands = _from_lists((equation, *operands))
    elif len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = tuple(operands[0])
    names, result = _parse(equation, operands)
    terms, sizes = _prepare(equation, names, operands)
    for label in result:
        if label not in sizes:
            raise _error(equation, operands, f"the result's {label!r} is in no operand")
    terms = [_sum_private(term, i, terms, result) for i, term in enumerate(terms)]
    while len(terms) > 1:
        i, j = _cheapest(terms, sizes)
        b, a = terms.pop(j), terms.pop(i)
        needed = {label for _, labels in terms for label in labels} | set(result)
        terms.append(_multiply(a, b, needed, sizes))
    x, labels = terms[0]
    order = [labels.index(label) for label in result]
    return x if order == list(range(len(order))) else permute(x, order)


def _error(equation: str, operands: Sequence, what: str) -> ShapeError:
    return ShapeError(f"einsum: {equation!r} on shapes {', '.join(str(x.shape) for x in operands)}: {what}")


def _from_lists(arguments: tuple) -> tuple[str, tuple]:
    """The equation of alternating operands and lists of axis numbers."""

    def term(axes: Any) -> str:
        if not isinstance(axes, (tuple, list)):
            raise DTypeError(f"einsum: {axes!r:.60} must be an equation, or a list of axis numbers behind its operand")
        for axis in axes:
            if axis is not Ellipsis and not 0 <= axis < len(_LETTERS):
                raise ShapeError(f"einsum: axis number {axis} must be in [0, {len(_LETTERS) - 1}]")
        return "".join("..." if axis is Ellipsis else _LETTERS[axis] for axis in axes)

    if len(arguments) < 2:
        raise DTypeError("einsum: needs an equation and operands")
    operands = arguments[0 : len(arguments) // 2 * 2 : 2]
    equation = ",".join(term(axes) for axes in arguments[1::2])
    return equation + ("->" + term(arguments[-1]) if len(arguments) % 2 else ""), operands


def _split(equation: str, term: str, operands: Sequence) -> tuple[str, bool, str]:
    """Letters before the ellipsis, whether there is one, letters behind it."""
    before, dots, behind = term.partition("...")
    for letter in before + behind:
        if letter not in _LETTERS:
            raise _error(equation, operands, f"{letter!r} in {term!r} must be a letter, or '...' once")
    return before, bool(dots), behind


def _parse(equation: str, operands: Sequence) -> tuple[list[list[Label]], list[Label]]:
    """The labels of each operand's axes, and of the result's."""
    for position, x in enumerate(operands):
        if not hasattr(x, "shape"):
            raise DTypeError(f"einsum: operand {position}, {x!r:.60}, must be a Tensor or a NumPy array")
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise _error(equation, operands, f"it names {len(terms)} operands, but there are {len(operands)}")
    names, dots = [], 0
    for term, x in zip(terms, operands):
        before, has_dots, behind = _split(equation, term, operands)
        extra = x.ndim - len(before) - len(behind)
        if extra < 0 or extra and not has_dots:
            raise _error(
                equation, operands, f"{term!r} names {len(before + behind)} axes of {x.shape}, which has {x.ndim}"
            )
        names.append([*before, *range(-extra, 0), *behind])
        dots = max(dots, extra)
    if arrow:
        before, has_dots, behind = _split(equation, right, operands)
        result = [*before, *(range(-dots, 0) if has_dots else ()), *behind]
        if len(set(result)) != len(result):
            raise _error(equation, operands, f"the result {right!r} names an axis twice")
    else:
        letters = [label for name in names for label in name if isinstance(label, str)]
        result = [*range(-dots, 0), *(letter for letter in _LETTERS if letters.count(letter) == 1)]
    return names, result


def _prepare(equation: str, names: list[list[Label]], operands: Sequence) -> tuple[list[Term], dict[Label, int]]:
    """Operands without repeated labels and without axes of size 1 that broadcast, and the size of each label."""
    sizes: dict[Label, int] = {}
    for labels, x in zip(names, operands):
        for label, size in zip(labels, x.shape):
            before = sizes.get(label, 1)
            if size != before and size != 1 and before != 1:
                axis = label if isinstance(label, str) else "..."
                raise _error(equation, operands, f"axis {axis!r} has sizes {before} and {size}")
            sizes[label] = size if before == 1 else before
    terms = []
    for labels, x in zip(names, operands):
        keep = [d for d in range(x.ndim) if x.shape[d] == sizes[labels[d]]]
        if len(keep) < x.ndim:
            x, labels = reshape(x, tuple(x.shape[d] for d in keep)), [labels[d] for d in keep]
        for label in dict.fromkeys(labels):
            while labels.count(label) > 1:
                first = labels.index(label)
                second = labels.index(label, first + 1)
                x = diagonal(x, 0, first, second)
                labels = [other for d, other in enumerate(labels) if d not in (first, second)] + [label]
        terms.append((x, labels))
    return terms, sizes


def _sum_private(term: Term, index: int, terms: list[Term], result: list[Label]) -> Term:
    """`term` summed over the labels that nothing else has."""
    x, labels = term
    others = {label for i, (_, names) in enumerate(terms) if i != index for label in names} | set(result)
    axes = [d for d, label in enumerate(labels) if label not in others]
    if not axes:
        return term
    return sum_(x, axes), [label for label in labels if label in others]


def _cheapest(terms: list[Term], sizes: dict[Label, int]) -> tuple[int, int]:
    """The pair with the fewest multiplications; the first of equals."""
    best, pair = -1, (0, 1)
    for i in range(len(terms)):
        for j in range(i + 1, len(terms)):
            cost = 1
            for label in {*terms[i][1], *terms[j][1]}:
                cost *= sizes[label]
            if best < 0 or cost < best:
                best, pair = cost, (i, j)
    return pair


def _multiply(a: Term, b: Term, needed: set[Label], sizes: dict[Label, int]) -> Term:
    """The product of two terms, summed over the labels that are not needed any more."""
    (x, names_x), (y, names_y) = a, b
    both = [label for label in names_x if label in names_y]
    batch, over = [label for label in both if label in needed], [label for label in both if label not in needed]
    left, right = [label for label in names_x if label not in both], [label for label in names_y if label not in both]

    def shape(labels: list[Label]) -> tuple[int, ...]:
        return tuple(sizes[label] for label in labels)

    def size(labels: list[Label]) -> int:
        n = 1
        for label in labels:
            n *= sizes[label]
        return n

    def arrange(z: Any, names: list[Label], order: list[Label]) -> Any:
        return z if names == order else permute(z, [names.index(label) for label in order])

    if over:
        rows = reshape(arrange(x, names_x, batch + left + over), (size(batch), size(left), size(over)))
        columns = reshape(arrange(y, names_y, batch + over + right), (size(batch), size(over), size(right)))
        product = matmul(rows, columns)
    else:
        ones_left, ones_right = (1,) * len(left), (1,) * len(right)
        rows = reshape(arrange(x, names_x, batch + left), (*shape(batch), *shape(left), *ones_right))
        columns = reshape(arrange(y, names_y, batch + right), (*shape(batch), *ones_left, *shape(right)))
        product = rows * columns
    return reshape(product, shape(batch + left + right)), batch + left + right
