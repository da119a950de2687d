"""Notes what nobody expected while samples are processed, by the part that meets it."""

import logging

logger = logging.getLogger(__name__)


class Defects:
    """Defects that cost samples now.

    Attributes:
        found: Type and text of each, by the name of the part.
    """

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def note(self, part: str, error: Exception) -> None:
        """Report a defect; log it, with its traceback, when it changes."""
        text = f"{type(error).__name__}: {error}"
        if self.found.get(part) != text:
            logger.error("%s: samples are lost: %s", part, text, exc_info=error)
        self.found[part] = text

    def over(self, part: str) -> None:
        """Forget the defect of a part that works again, or is gone."""
        self.found.pop(part, None)
