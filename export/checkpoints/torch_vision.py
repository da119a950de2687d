"""A torchvision that was built for another torch must not stop what needs none of its operators."""

import logging
import sys
from importlib import import_module  # noqa: TID251  it may fail
from types import ModuleType
from typing import Any, cast

_log = logging.getLogger(__name__)

_REGISTRATIONS = "torchvision._meta_registrations"


def hide_misfit() -> None:
    """Let a torchvision that was built for another torch look as if it were not installed.

    Importing it ends with a RuntimeError about an operator, and so does importing any model of
    transformers, which looks whether it is there and needs it for nothing that is done here.
    """
    if "torchvision" in sys.modules:
        return
    exc = _failure()
    if exc is not None:
        _log.warning("torchvision does not fit torch and is left out: %s", exc)
        _forget()
        # None is how an import is blocked; to look for it finds nothing.
        cast("dict[str, Any]", sys.modules)["torchvision"] = None


def settle_misfit() -> None:
    """Import a torchvision that was built for another torch without its operators.

    timm imports its Python parts and runs none of its operators. What fails is only that these are
    made known to tracing with abstract tensors, in a module of its own, which is skipped.
    """
    if sys.modules.get("torchvision") is not None:
        return
    sys.modules.pop("torchvision", None)  # hidden before
    if _failure() is None:
        return
    _forget()
    sys.modules[_REGISTRATIONS] = ModuleType(_REGISTRATIONS)
    if (exc := _failure()) is not None:
        _log.warning("torchvision does not fit torch: %s", exc)
        _forget()


def _failure() -> Exception | None:
    """What importing it ends with; None where it goes well, or is not installed."""
    try:
        import_module("torchvision")
    except ModuleNotFoundError:
        return None
    except (RuntimeError, ImportError) as exc:
        return exc
    return None


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
