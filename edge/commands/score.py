"""``edge score``."""


def score() -> None:
    """Being written."""
