"""Asserts that a value is there, where only this test knows that it cannot be missing."""

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """Return the value; fails the test if it is None."""
    assert value is not None
    return value
