"""Recording or not: context managers, decorators, generators, threads."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest
import ranvier as rv


def test_no_grad_and_enable_grad():
    x = rv.ones(1, requires_grad=True)
    with rv.no_grad():
        assert not (x * 2).requires_grad
        with rv.enable_grad():
            assert (x * 2).requires_grad
    with rv.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad

    @rv.no_grad()
    def f():
        return x * 2

    assert not f().requires_grad and rv.is_grad_enabled()


def test_no_grad_is_left_after_an_error():
    with pytest.raises(ZeroDivisionError), rv.no_grad():
        1 / 0
    assert rv.is_grad_enabled()


def _recorded():
    return rv.is_grad_enabled()


@pytest.mark.parametrize(
    ("decorate", "wanted"),
    [(rv.no_grad, False), (rv.no_grad(), False), (rv.inference_mode, False), (rv.inference_mode(), False),
     (rv.inference_mode(True), False), (rv.inference_mode(False), True), (rv.enable_grad, True), (rv.enable_grad(), True),
     (lambda f: rv.set_grad_enabled(False)(f), False), (lambda f: rv.set_grad_enabled(True)(f), True)],
)  # fmt: skip
@pytest.mark.parametrize("outside", [True, False])
def test_decorated_functions(decorate, wanted, outside):
    with rv.set_grad_enabled(outside):
        f = decorate(_recorded)
        assert rv.is_grad_enabled() is outside
        assert f() is wanted and f.__name__ == "_recorded"
        assert rv.is_grad_enabled() is outside


def test_set_grad_enabled_as_a_statement_and_again():
    rv.set_grad_enabled(False)
    assert not rv.is_grad_enabled()
    mode = rv.set_grad_enabled(True)
    for _ in range(3):
        with mode:
            assert rv.is_grad_enabled()
            with mode:
                pass
            assert rv.is_grad_enabled()
        assert not rv.is_grad_enabled()
    rv.set_grad_enabled(True)


def test_what_cannot_be_decorated():
    for mode in (rv.no_grad, rv.enable_grad, rv.inference_mode):
        with pytest.raises(rv.DTypeError, match=f"{mode.__name__}: 3 must be a function"):
            mode(3)


@pytest.mark.parametrize(
    "decorate", [rv.no_grad, rv.no_grad(), rv.inference_mode(), lambda f: rv.set_grad_enabled(False)(f)]
)
def test_generator_functions(decorate):
    ends = []

    @decorate
    def items():
        try:
            sent = yield _recorded()
            sent = yield sent, _recorded()
            try:
                yield sent
            except ValueError as error:
                yield str(error), _recorded()
            with rv.enable_grad():
                yield _recorded()
            return "end"
        finally:
            ends.append(_recorded())

    def outside():
        return (yield from items())

    it = outside()
    assert next(it) is False and rv.is_grad_enabled()
    assert it.send(1) == (1, False) and rv.is_grad_enabled()
    assert it.send(2) == 2 and rv.is_grad_enabled()
    assert it.throw(ValueError("thrown")) == ("thrown", False) and rv.is_grad_enabled()
    assert next(it) is True and rv.is_grad_enabled()
    with pytest.raises(StopIteration) as end:
        next(it)
    assert end.value.value == "end" and rv.is_grad_enabled()
    it = items()
    next(it)
    it.close()
    assert ends == [False, False] and rv.is_grad_enabled()
    w = rv.ones(2, requires_grad=True)
    assert all(t.requires_grad for t in [w * 2 for _ in items()])


def test_async_functions():
    seen = []

    @rv.no_grad
    async def task(name, event):
        seen.append((name, _recorded()))
        await event.wait()
        seen.append((name, _recorded()))
        return name

    async def main():
        event = asyncio.Event()
        tasks = [asyncio.create_task(task(name, event)) for name in "ab"]
        await asyncio.sleep(0)
        assert rv.is_grad_enabled()  # while they wait
        event.set()
        return [await t for t in tasks]

    assert inspect.iscoroutinefunction(task)
    assert asyncio.run(main()) == ["a", "b"]
    assert len(seen) == 4 and not any(recorded for _, recorded in seen) and rv.is_grad_enabled()


def test_one_object_in_two_threads():
    no_grad, numpy = rv.no_grad(), rv.backend("numpy")
    here, there = threading.Barrier(2), []

    @no_grad
    @numpy
    def meet():
        here.wait(10)  # both are inside
        here.wait(10)
        return rv.is_grad_enabled()

    def run(enabled):
        rv.set_grad_enabled(enabled)
        for enter in (meet, entered):
            enter()
            there.append(rv.is_grad_enabled() is enabled and rv.zeros(2).exp().tolist() == [1, 1])

    def entered():
        with no_grad, numpy:
            meet()

    threads = [threading.Thread(target=run, args=(enabled,)) for enabled in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert there == [True] * 4
