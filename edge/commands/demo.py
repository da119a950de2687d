"""``edge demo``."""


def demo() -> None:
    """Being written."""
