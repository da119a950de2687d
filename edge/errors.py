"""Everything that can go wrong, named by what the daemon does next.

::

    EdgeError
    ├─ ConfigError             a wrong setting                    exit 2 at start
    ├─ ModelError              bundle missing, corrupt, not ours  exit 3 at start
    │  └─ StruckOut            the daemon ended over it, twice    set it aside, go on without
    ├─ EngineError
    │  ├─ EngineUnavailable    runtime or device not there        exit 3 at start
    │  └─ InferenceError       one batch failed                   drop it, count it, go on
    ├─ SourceError             camera unreachable, stream broken  retry for ever, with back-off
    │  └─ SourceRefused        the camera said no (401, 403)      retry for ever, slowly
    ├─ PublishError            broker refused or lost             retry for ever
    ├─ SideFileError           a side file locked, failing, full   go on without, try again,
    │                          or of a newer version              report
    └─ OutboxError             no disk for the queue              exit 6 at start; later on, and
                                                                  on a full disk at the start,
                                                                  alerts go out from memory

A class exists only where the daemon acts differently. A message says what was expected, what was
found and what to do. Foreign exceptions are mapped where they enter (``raise ... from exc``);
nobody above a seam knows the foreign names.
"""


class EdgeError(Exception):
    """Base of every expected failure. ``exit_code`` is what the command line ends with."""

    exit_code = 1


class ConfigError(EdgeError):
    """A setting, argument or prompt is wrong; nothing was started."""

    exit_code = 2


class ModelError(EdgeError):
    """A bundle is missing, corrupt, from another format, or fails its golden self-test."""

    exit_code = 3


class StruckOut(ModelError):
    """The process has ended over something, twice in a row: it is not tried again for now.

    Args:
        message: What is set aside, and what to do.
        rule: Rule that it belongs to; None where it belongs to none.
    """

    def __init__(self, message: str, rule: str | None = None) -> None:
        super().__init__(message)
        self.rule = rule


class EngineError(EdgeError):
    """An inference runtime failed."""

    exit_code = 3


class EngineUnavailable(EngineError):
    """The runtime is not installed or has no such device. Never answered by a silent fall-back."""


class InferenceError(EngineError):
    """One batch failed: dropped and counted, the daemon goes on."""


class SourceError(EdgeError):
    """A camera or file cannot be read (any more)."""

    exit_code = 4


class SourceRefused(SourceError):
    """The camera answered and said no (wrong password, no rights): retried only slowly."""


class PublishError(EdgeError):
    """The broker is unreachable or refused us."""

    exit_code = 5


class SideFileError(EdgeError):
    """A file that the daemon can do without cannot be read or written now.

    Args:
        message: What is wrong, and what to do.
        trouble: Kind of the trouble (``edge.system.trouble``).
    """

    exit_code = 6

    def __init__(self, message: str, trouble: str) -> None:
        super().__init__(message)
        self.trouble = trouble


class OutboxError(EdgeError):
    """The queue on disk cannot be used: nothing starts; while running, alerts go from memory."""

    exit_code = 6
