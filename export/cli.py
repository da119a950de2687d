"""``edge-export``: errors become a message and an exit code.

The commands are imported only inside, because their packages are an extra that a device lacks.
"""

from importlib import import_module
from typing import Any

from rich.console import Console

from edge.errors import ConfigError, EdgeError
from edge.redact import redact

# What the commands import at their top, beyond the device's own packages.
_EXTRA = {"onnx", "onnxruntime", "openvino", "safetensors", "sympy", "tokenizers"}


def main() -> None:
    """Run ``edge-export``; a user's mistake is a message and an exit code, no stack trace."""
    try:
        _commands()()
    except EdgeError as exc:
        Console(stderr=True).print(
            f"edge-export: {redact(str(exc))}",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise SystemExit(exc.exit_code) from None


def _commands() -> Any:
    try:
        return import_module("export.commands").app
    except ModuleNotFoundError as exc:
        if exc.name not in _EXTRA:
            raise  # a slip of ours
        raise ConfigError(
            f"expected the package {exc.name}, found none; install what builds models with: "
            "pip install 'camera-edge-runtime[export]'"
        ) from exc
