"""Tests the model again while it serves, because memory and drivers can fail in service."""

import logging
import time

from edge.errors import EngineError, ModelError
from edge.scoring.open import Models
from edge.system.ending import Ended

logger = logging.getLogger(__name__)


class ModelProof:
    """What the last self-test of the model has shown.

    Args:
        models: Graphs, which were tested when they were opened.

    Attributes:
        error: Why the model does not answer right, or the fastest variant does not; None: it does.
        at: ``time.monotonic()`` of the last test that it has passed; None where it passed none.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self.error: str | None = models.failed
        self.at: float | None = time.monotonic() if models.proven else None

    def renew(self) -> None:
        """Run the self-test again."""
        try:
            self._models.prove_again()
        except (EngineError, ModelError) as exc:
            self.error, self.at = str(exc), None
            logger.error("the model no longer answers right: %s", exc)  # noqa: TRY400  expected: no traceback
        except Ended:
            logger.debug("a self-test of the model is given up, as asked")
        else:
            self.error = None
            self.at = time.monotonic() if self._models.proven else None
