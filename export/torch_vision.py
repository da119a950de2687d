"""torchvision is wanted by open_clip alone; one that misfits torch must not stop the others."""

import logging
import sys
from importlib import import_module
from typing import Any, cast

_log = logging.getLogger(__name__)


def hide_misfit() -> None:
    """Let a torchvision that was built for another torch look as if it were not installed.

    Importing it ends with a RuntimeError about an operator, and so does importing any model of
    transformers, which looks whether it is there and needs it for nothing that is done here.
    """
    if "torchvision" in sys.modules:
        return
    try:
        import_module("torchvision")
    except ModuleNotFoundError:
        return
    except (RuntimeError, ImportError) as exc:
        _log.warning("torchvision does not fit torch and is left out: %s", exc)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        # None is how an import is blocked; to look for it finds nothing.
        cast("dict[str, Any]", sys.modules)["torchvision"] = None
