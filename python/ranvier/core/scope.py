"""Context managers and decorators that change something of the thread for a while."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Generator
from threading import get_ident
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Scope:
    """`with scope:` calls `_enter()`, and at the end `_leave(what that returned)`; `@scope` does so around each call.

    One object may be entered several times, also by several threads. A decorated generator or async function is inside
    while it runs, and not while it waits.
    """

    def _enter(self) -> Any:
        raise NotImplementedError

    def _leave(self, before: Any) -> None:
        raise NotImplementedError

    def __enter__(self) -> Any:
        # by thread: what to go back to, and the same of the entry before this one
        thread = get_ident()
        entries: dict[Any, Any] = self.__dict__
        entries[thread] = self._enter(), entries.get(thread)

    def __exit__(self, *exc: object) -> None:
        thread = get_ident()
        entries: dict[Any, Any] = self.__dict__
        before, earlier = entries.pop(thread)
        if earlier is not None:
            entries[thread] = earlier
        self._leave(before)

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def generate(*args: Any, **kwargs: Any) -> Generator:
            return (yield from self._steps(function(*args, **kwargs)))

        @functools.wraps(function)
        async def wait(*args: Any, **kwargs: Any) -> Any:
            return await _awaited(self._steps(function(*args, **kwargs)))

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            before = self._enter()
            try:
                return function(*args, **kwargs)
            finally:
                self._leave(before)

        if inspect.isgeneratorfunction(function):
            return generate  # type: ignore[return-value]
        return wait if inspect.iscoroutinefunction(function) else call  # type: ignore[return-value]

    def _steps(self, generator: Any) -> Generator:
        """The items of a generator or a coroutine, which is inside while it runs."""
        resume: Callable = functools.partial(generator.send, None)
        while True:
            try:
                with self:
                    item = resume()
            except StopIteration as end:
                return end.value
            try:
                sent = yield item
                resume = functools.partial(generator.send, sent)
            except GeneratorExit:
                with self:
                    generator.close()
                raise
            except BaseException as error:
                resume = functools.partial(generator.throw, error)


@types.coroutine
def _awaited(steps: Generator) -> Generator:
    return (yield from steps)
