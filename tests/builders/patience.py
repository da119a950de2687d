"""The types of the fixtures that wait for a condition."""

from collections.abc import Callable
from typing import Protocol


class Eventually(Protocol):
    """Polls until ``condition`` holds; fails after ``seconds`` and says ``what`` did not happen."""

    def __call__(self, condition: Callable[[], object], what: str, seconds: float = 15) -> None: ...


class Until(Protocol):
    """Polls until ``holds`` is true; fails after ``deadline_s`` and says ``what`` did not happen."""

    def __call__(
        self, what: str, holds: Callable[[], object], deadline_s: float = 15.0
    ) -> None: ...
