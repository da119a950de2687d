"""The type of the fixture ``eventually``, which waits for a condition."""

from collections.abc import Callable
from typing import Protocol


class Eventually(Protocol):
    """Polls until ``condition`` holds; fails after ``seconds`` and says ``what`` did not happen."""

    def __call__(self, condition: Callable[[], object], what: str, seconds: float = 15) -> None: ...
