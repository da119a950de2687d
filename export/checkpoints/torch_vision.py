"""Works around a torchvision that was built for another torch.

Such a torchvision fails at its import, even where none of its operators is needed.
"""

import logging
import sys
from importlib import import_module  # noqa: TID251  it may fail
from types import ModuleType
from typing import Any, cast

_log = logging.getLogger(__name__)

_REGISTRATIONS = "torchvision._meta_registrations"


def hide_misfit() -> None:
    """Make a torchvision that was built for another torch look as if it were not installed.

    Its import ends with a RuntimeError about an operator. So does the import of any model of
    transformers, which imports torchvision where it is installed but does not need it here.
    """
    if "torchvision" in sys.modules:
        return
    exc = _failure()
    if exc is not None:
        _log.warning("torchvision does not fit torch and is left out: %s", exc)
        _forget()
        # None blocks an import, and makes a search for the module find nothing.
        cast("dict[str, Any]", sys.modules)["torchvision"] = None


def settle_misfit() -> None:
    """Import a torchvision that was built for another torch without its operators.

    timm imports its Python parts and runs none of its operators. Only one module fails, which
    registers the operators for tracing with abstract tensors; that module is skipped.
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
    """Return the error of importing torchvision; None without an error or where it is missing."""
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
