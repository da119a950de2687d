"""Writes the report of a run to its file or to standard output, and shows progress meanwhile."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from benchmarks.measuring import machine
from benchmarks.report.document import BundleUsed, Header
from benchmarks.report.sections import ReportSection, show, to_markdown
from edge.errors import ConfigError
from edge.model.bundle.read import Bundle

# Progress is drawn rarely, and only between timed calls.
_REDRAW_S = 0.2


@dataclass
class Output:
    """Output of a report; it is made before the measurement and checks its file at once.

    Attributes:
        json: File of the JSON document, ``-`` for standard output, None for no document.
        markdown: Whether tables are printed as Markdown.
        load_before: Load average before the measurement.

    Raises:
        ConfigError: The folder of the file is missing.
    """

    json: str | None
    markdown: bool = field(kw_only=True)
    load_before: tuple[float, float, float] = field(default_factory=machine.load_average)

    def __post_init__(self) -> None:
        if self.json not in (None, "-") and not Path(self.json).absolute().parent.is_dir():
            raise ConfigError(f"--json: expected a file in a directory that is there: {self.json}")

    def header(self, bench: str, bundle: Bundle) -> Header:
        """Return the facts of the run after the measurement of ``bundle``."""
        manifest = bundle.manifest
        return Header(
            bench=bench,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            commit=machine.commit(),
            machine=machine.this_machine(),
            load_before=self.load_before,
            load_after=machine.load_average(),
            versions=machine.versions(),
            bundle=BundleUsed(
                manifest.name, manifest.model.id, manifest.model.revision, bundle.hash
            ),
            memory=machine.memory(),
        )

    def deliver(self, document: str, sections: Sequence[ReportSection]) -> None:
        """Write the JSON document to its file, and print the tables.

        Raises:
            ConfigError: The file cannot be written.
        """
        if self.json == "-":
            typer.echo(document)
            return
        if self.json is not None:
            try:
                Path(self.json).write_text(document + "\n")
            except OSError as exc:
                raise ConfigError(f"--json: {exc}; name a file that can be written") from exc
        if self.markdown:
            typer.echo(to_markdown(sections), nl=False)
        else:
            show(Console(highlight=False), sections)


@contextmanager
def progress(what: str, steps: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on standard error; yield a function to call after each step.

    Args:
        what: Word before the bar.
        steps: Number of steps.
    """
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    # Progress has no thread, because a thread would affect the measurement.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        task, drawn = progress.add_task(what, total=steps), 0.0

        def tick() -> None:
            nonlocal drawn
            now = time.monotonic()
            progress.update(task, advance=1, refresh=now >= drawn + _REDRAW_S)
            drawn = now if now >= drawn + _REDRAW_S else drawn

        yield tick
