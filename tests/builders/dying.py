"""A double of a process that ends over the last thing that it tries."""

from edge.system.attempts import Attempts


class Dying(Attempts):
    """Leaves its file as a process does that is killed in the middle of what it tries."""

    def _remove(self, thread: int, key: str, *, well: bool) -> None:
        """Do nothing: the process has ended before."""
