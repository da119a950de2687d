"""Draws what came through the gate, and what was decoded."""

from pathlib import Path
from typing import Any


def plot(path: Path, rows: list[dict[str, Any]]) -> None:
    """Draw a line for each file: pictures decoded with and without the gate, and events missed.

    Args:
        path: Picture to write.
        rows: Rows of the study.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra

    names = [f"{row['scene']}, {row['variant']}" for row in rows]
    figure = Figure(figsize=(11, 2 + 0.19 * len(rows)), dpi=110, layout="constrained")
    axes = figure.subplots()
    places = range(len(rows))
    for name, words, mark in (
        ("decoded_without", "without gate", "|"),
        ("decoded", "with gate", "o"),
        ("decoded_quiet", "with gate, while nothing happens", "."),
    ):
        axes.scatter([row[name] for row in rows], places, marker=mark, label=words)
    missed = [place for place in places if rows[place]["seen"] < rows[place]["events"]]
    axes.scatter([1.04] * len(missed), missed, marker="x", color="red", label="an event missed")
    axes.set_yticks(list(places), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("share of the pictures that were decoded")
    axes.axvline(0.3, color="0.7", zorder=0)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.03), ncols=4, fontsize=8)
    figure.savefig(path)
