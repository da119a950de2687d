"""``edge check``."""


def check() -> None:
    """Being written."""
