"""Values that may be None by their type and must not be in the test that reads them."""

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def known(value: T | None) -> T:
    """The value, which is not None."""
    assert value is not None
    return value


def all_known(values: Iterable[T | None]) -> list[T]:
    """The values, none of which is None."""
    return [known(value) for value in values]
