"""``edge-export``: errors become a message and an exit code.

The commands are imported only inside, because their packages are an extra that a device lacks.
"""

from edge.system.command_line import app_of, run

# What the commands import at their top, beyond the device's own packages.
_EXTRA = {"onnx", "onnxruntime", "openvino", "safetensors", "sympy", "tokenizers"}


def main() -> None:
    """Run ``edge-export``; a user's mistake is a message and an exit code, no stack trace."""
    run("edge-export", app_of("export.cli.commands", _EXTRA, "builds models", "export"))


if __name__ == "__main__":  # as `accelerate launch -m export.cli.main` does
    main()
