"""Counts the lines of a target's modules that inputs reach: those inside functions."""

import importlib
import inspect
import sys
import threading
from collections.abc import Iterable, Sequence
from types import CodeType, FrameType
from typing import Any, Self

Line = tuple[str, int]


def lines_of(modules: Sequence[str]) -> frozenset[Line]:
    """Return the lines of all functions of these modules; ``module:names`` for some of them."""
    found: set[Line] = set()
    for each in modules:
        name, _, wanted = each.partition(":")
        module = importlib.import_module(name)
        names = tuple(wanted.split(","))
        path = str(module.__file__)
        waiting = _inner(compile(inspect.getsource(module), path, "exec"))
        while waiting:
            code = waiting.pop()
            waiting += _inner(code)
            ours = code.co_qualname.startswith(names)
            if ours and code.co_name.isidentifier() and code.co_flags & inspect.CO_OPTIMIZED:
                first = code.co_firstlineno
                found |= {(path, line) for _, _, line in code.co_lines() if line and line > first}
    return frozenset(found)


class Reached:
    """Lines that calls inside the ``with`` block reach, in all threads.

    Attributes:
        lines: The lines so far.
    """

    def __init__(self, wanted: Iterable[Line]) -> None:
        self._wanted = frozenset(wanted)
        self._files = {path for path, _ in self._wanted}
        self.lines: set[Line] = set()

    def __enter__(self) -> Self:
        sys.settrace(self._call)
        threading.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        threading.settrace(None)

    def _call(self, frame: FrameType, _event: str, _value: Any) -> Any:
        return self._line if frame.f_code.co_filename in self._files else None

    def _line(self, frame: FrameType, event: str, _value: Any) -> Any:
        if event == "line":
            line = (frame.f_code.co_filename, frame.f_lineno)
            if line in self._wanted:
                self.lines.add(line)
        return self._line


def _inner(code: CodeType) -> list[CodeType]:
    return [each for each in code.co_consts if isinstance(each, CodeType)]
