"""The command ``edge check``: reports whether the daemon can run here, and what to fix."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.cli.checks.everything import check_config
from edge.cli.checks.model import check_model
from edge.cli.checks.result import CheckResult, exit_code, failure
from edge.config.document import SECRETS
from edge.config.files import open_secrets, require_files
from edge.config.load import load_config
from edge.config.models import EngineConfig
from edge.errors import ConfigError
from edge.system import paths

_STYLES = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}
_CHECK_WIDTH = 16
# Without a terminal, each result is one line of any length.
_NO_WRAP = 100_000


def check(
    config: Annotated[
        Path | None, typer.Argument(help="Configuration file; without it: bundle and engine only.")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="This model instead of the configured. [default: the user's own]"),
    ] = None,
    *,
    cameras: Annotated[bool, typer.Option(help="Open each camera.")] = True,
    broker: Annotated[bool, typer.Option(help="Connect to the broker.")] = True,
    tune: Annotated[
        bool, typer.Option("--tune", help="Measure again which variant of the model is fastest.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Try everything that `edge run` will need, and say what to do about what fails.

    Examples: `edge check /etc/edge/edge.yaml`, `edge check --bundle bundles/concepts`,
    `edge check --tune`

    The exit code is that of the failure `edge run` would meet first: 2 configuration, 3 model or
    engine, 4 camera, 5 broker, 6 disk; 0 without failures.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _NO_WRAP
    results = []
    for result in _results(config, bundle, cameras=cameras, broker=broker, tune=tune):
        results.append(result)
        if not as_json:
            console.print(_line(result))
    code = exit_code(results)
    if as_json:
        typer.echo(json.dumps(_document(results, code), ensure_ascii=False))
    raise typer.Exit(code)


def _results(
    path: Path | None, bundle: Path | None, *, cameras: bool, broker: bool, tune: bool
) -> Iterator[CheckResult]:
    if path is None:
        yield from check_model(bundle or paths.default_bundle(), EngineConfig(), tune=tune)
        return
    try:
        config = load_config(path)
        if broker:
            require_files(path, config)
    except ConfigError as exc:
        yield failure("configuration", exc)
        return
    if (advice := open_secrets(path)) is not None:
        yield CheckResult(SECRETS, "the passwords of this configuration", (advice,))
    if bundle is not None:
        config = config.model_copy(update={"bundle": bundle})
    yield from check_config(config, cameras=cameras, broker=broker, tune=tune)


def _line(result: CheckResult) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=4, no_wrap=True)
    table.add_column(min_width=_CHECK_WIDTH)
    table.add_column()
    style = _STYLES[result.verdict]
    text = Text(result.found, style if result.exit_code else "")
    for remark in result.advice:
        text.append(f"\n→ {remark}", style)
    table.add_row(Text(result.verdict, style), Text(result.check), text)
    return table


def _document(results: list[CheckResult], code: int) -> dict[str, object]:
    return {
        "checks": [
            {
                "check": result.check,
                "verdict": result.verdict,
                "found": result.found,
                "advice": result.advice,
            }
            for result in results
        ],
        "exit_code": code,
    }
