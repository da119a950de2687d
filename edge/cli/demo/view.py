"""Shows the progress of the demo: a live table on a terminal, plain lines elsewhere."""

from collections import Counter
from types import TracebackType
from typing import Final, Self

from rich.bar import Bar
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edge.cli.demo.record import Record
from edge.delivery.payloads import AlertPayload

_BAR: Final = 28
_COLOURS: Final = {"start": "bold red", "update": "yellow", "end": "green"}


class DemoView:
    """Table of the prompts, with arriving alerts above it; use it as a context manager.

    Args:
        console: Output; only a terminal gets the table.
        record: Messages received so far.
        prompts: Sentences by name.
        threshold: Margin from which a sample counts.
    """

    def __init__(
        self, console: Console, record: Record, prompts: dict[str, str], threshold: float
    ) -> None:
        self._console = console
        self._record = record
        self._prompts = prompts
        self._threshold = threshold
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def alert(self, alert: AlertPayload) -> None:
        """Print an alert that has just arrived."""
        lasted = "" if alert.ended_at is None else f", lasted {_seconds(alert):.1f} s"
        self._console.print(
            Text.assemble(
                f"{alert.at.astimezone():%H:%M:%S} ",
                (f"{alert.type:6}", _COLOURS[alert.type]),
                f" {alert.prompt.text!r}  margin {alert.margin:+.2f}{lasted}",
            )
        )

    def refresh(self) -> None:
        """Draw the table anew."""
        if self._live:
            self._live.update(
                Group(self._table(), Text(self._caption(), style="dim")), refresh=True
            )

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for title in ("prompt", "margin", "", "state", "alerts"):
            table.add_column(title)
        seen = [alert.newest for alert in self._record.alerts.values()]
        counts = Counter(alert.prompt.id for alert in seen)
        running = {alert.prompt.id for alert in seen if alert.ended_at is None}
        for name, sentence in self._prompts.items():
            column = self._record.margins[name]
            margin = column[-1] if column else None
            hit = margin is not None and margin >= self._threshold
            table.add_row(
                Text(sentence),
                "" if margin is None else f"{margin:+.2f}",
                Bar(1, 0, max(margin or 0, 0), width=_BAR, color="red" if hit else "blue"),
                Text("ALERT", "bold red") if name in running else Text("quiet", "dim"),
                str(counts[name]),
            )
        return table

    def _caption(self) -> str:
        state = self._record.state
        if state is None:
            return f"daemon {self._record.status or 'starting'}"
        trouble = f": {state.error}" if state.error else ""
        return (
            f"daemon {self._record.status}, camera {state.state}{trouble}, "
            f"{state.samples} samples; an alert needs margins from {self._threshold:g}"
        )


def _seconds(alert: AlertPayload) -> float:
    return ((alert.ended_at or alert.at) - alert.started_at).total_seconds()
