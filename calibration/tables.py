"""Makes a terminal table of verdicts."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from calibration import report
from calibration.judge import Judgement

_COLUMNS = (
    "clip", "rule", "events hit", "alerts true", "delay", "false alarms", "under alert", "threshold"
)  # fmt: skip


def verdict_table(verdicts: Sequence[Judgement]) -> Table:
    """Return a table with a row for each verdict."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for verdict in verdicts:
        table.add_row(
            *map(Text, (
                verdict.clip or "all",
                verdict.text or "all",
                report.of_text(verdict.recall),
                report.of_text(verdict.precision),
                report.delay_text(verdict),
                report.rate_text(verdict),
                report.percent(verdict.under_alert),
                verdict.state,
            ))
        )  # fmt: skip
    return table
