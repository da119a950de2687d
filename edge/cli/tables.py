"""Makes terminal tables of scores."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from edge.cli.score_video import ScoredFrame, margins_by_prompt
from edge.rules.bank import PromptBank, explain
from edge.scoring.boxes import Detections

_BARS = "▁▂▃▄▅▆▇█"
_SPARK_WIDTH = 32
# Maximum rows for a long recording; each row has the highest margin of its stretch of time.
_MOST_ROWS = 40
_CONCEPTS = 4
_HIT = "bold green"


def picture_table(
    bank: PromptBank, frame: ScoredFrame, threshold: float, axes: Sequence[str] | None
) -> Table:
    """Return the table of one picture: a row per prompt."""
    table = _table("prompt", "score", "margin")
    covered = any(prompt.coverage is not None for prompt in bank.prompts)
    if covered:
        table.add_column("covered", justify="right")
    if axes is not None:
        table.add_column("understood as", style="dim", ratio=1)
    for column, prompt in enumerate(bank.prompts):
        row = [Text(prompt.name), Text(f"{frame.cosine[column]:.3f}")]
        row.append(_margin(float(frame.margin[column]), threshold))
        if covered:
            row.append(Text("" if prompt.coverage is None else f"{prompt.coverage:.2f}"))
        if axes is not None:
            row.append(Text(concepts(bank.rows[prompt.texts.start], axes)))
        table.add_row(*row)
    return table


def summary_table(bank: PromptBank, frames: Sequence[ScoredFrame], threshold: float) -> Table:
    """Return the summary of a recording: a row per prompt, all sparklines on one scale."""
    table = _table("prompt", "best", "at", "above")
    table.add_column(_span(frames), no_wrap=True)
    series = margins_by_prompt(bank, frames)
    low = min(float(values.min()) for values in series.values())
    high = max(float(values.max()) for values in series.values())
    for name, values in series.items():
        best = int(values.argmax())
        table.add_row(
            Text(name),
            _margin(float(values[best]), threshold),
            clock(frames[best].t),
            f"{np.mean(values >= threshold):.0%}",
            sparkline(values, threshold, low, high),
        )
    return table


def time_table(bank: PromptBank, frames: Sequence[ScoredFrame], threshold: float) -> Table:
    """Return the margins of a recording: a row per time, a column per prompt."""
    size = ceil(len(frames) / _MOST_ROWS)
    table = _table("time" if size == 1 else f"best of {size} frames from")
    for name in bank.names:
        table.add_column(Text(name), justify="right", max_width=24)
    for start in range(0, len(frames), size):
        margins = np.max([frame.margin for frame in frames[start : start + size]], axis=0)  # [P]
        cells = (_margin(float(margin), threshold) for margin in margins)
        table.add_row(clock(frames[start].t), *cells)
    return table


def boxes_table(labels: Sequence[str], found: Detections) -> Table:
    """Return the boxes of a detector: a row per box, with its place in pixels."""
    table = _table("phrase", "score", "left", "top", "right", "bottom")
    for label, score, edges in zip(labels, found.scores, found.pixels, strict=True):
        table.add_row(Text(label), f"{score:.3f}", *(f"{edge:.0f}" for edge in edges))
    return table


def sparkline(values: NDArray[np.float32], threshold: float, low: float, high: float) -> Text:
    """Draw bars on a scale from ``low`` to ``high``; bars at or above the threshold have colour.

    Each bar is the highest value of its part.
    """
    line = Text()
    for part in np.array_split(values, min(len(values), _SPARK_WIDTH)):
        top = float(part.max())
        height = (top - low) / (high - low) if high > low else 0.0
        style = _HIT if top >= threshold else "dim"
        line.append(_BARS[min(len(_BARS) - 1, int(height * len(_BARS)))], style)
    return line


def concepts(row: NDArray[np.float32], axes: Sequence[str]) -> str:
    """Return the axes with the most weight in a sentence's row [D], and the share of each."""
    return ", ".join(f"{axis} {weight:.2f}" for axis, weight in explain(row, axes, _CONCEPTS))


def clock(t: float) -> str:
    """Format seconds as ``1:02:03.5``; hours only if there are any."""
    minutes, seconds = divmod(round(t, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


def _span(frames: Sequence[ScoredFrame]) -> str:
    return f"{clock(frames[0].t)} … {clock(frames[-1].t)}"


def _margin(margin: float, threshold: float) -> Text:
    return Text(f"{margin:+.3f}", _HIT if margin >= threshold else "")


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="", pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table
