"""Makes a terminal table of judgements."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from calibration.cli import report
from calibration.judge import Judgement

_COLUMNS = (
    "clip", "rule", "events hit", "alerts true", "delay", "false alarms", "under alert", "threshold"
)  # fmt: skip


def judgement_table(judgements: Sequence[Judgement]) -> Table:
    """Return a table with a row for each judgement."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for judgement in judgements:
        table.add_row(
            *map(Text, (
                judgement.clip or "all",
                judgement.text or "all",
                report.of_text(judgement.recall),
                report.of_text(judgement.precision),
                report.delay_text(judgement),
                report.rate_text(judgement),
                report.percent(judgement.under_alert),
                judgement.state,
            ))
        )  # fmt: skip
    return table
