"""Draws the card's picture, ``accuracy.png``; it needs the extra ``demo``."""

import io
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from edge.cli.plot import COLOURS
from edge.errors import ConfigError
from export.proof.card import Card, CardVariant

_WIDTH: Final = 6.4
_HEIGHT: Final = 5.6
_DPI: Final = 100
_GREY: Final = "#555555"
_MARKERS: Final = ("o", "^", "s", "D", "v", "P", "X")
# Smaller differences are the rounding of float32, so the two count as the same.
_SAME: Final = 1e-7


def can_plot() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def accuracy_png(card: Card) -> bytes:
    """Draw the loss of each input and, where there are prompts, the margins before and after.

    The same card and matplotlib give the same bytes.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import matplotlib.style  # noqa: PLC0415  an extra
        from matplotlib.figure import Figure  # noqa: PLC0415  an extra
    except ImportError as exc:
        raise ConfigError(
            "the picture of an accuracy card needs matplotlib, found none; install it with: "
            "pip install 'camera-edge-runtime[demo]', or build without the picture"
        ) from exc
    styled = [(variant, *_style(index)) for index, variant in enumerate(card.variants)]
    decided = [row for row in styled if row[0].measured.margins is not None]
    # Unchanged margins would only cover the diagonal.
    decided = [row for row in decided if _change(row[0]) > _SAME] or decided
    panels = 2 if decided else 1
    # A user's own settings must not change a bundle's bytes.
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(_WIDTH * panels, _HEIGHT), dpi=_DPI, layout="constrained")
        places = figure.subplots(1, panels, squeeze=False)[0]
        _draw_losses(places[0], styled)
        if decided:
            _draw_margins(places[1], card, decided)
        for axes in places:
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
            # The legend stands below, where it hides no curve and no dot.
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), frameon=False)
        figure.suptitle(f"{card.name}: each variant against its float original")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


_Styled = tuple[CardVariant, str, str]


def _style(index: int) -> tuple[str, str]:
    return COLOURS[index % len(COLOURS)], _MARKERS[index % len(_MARKERS)]


def _draw_losses(axes: Any, styled: list[_Styled]) -> None:
    """Draw the share of inputs that lost at most so much, over the loss."""
    largest = 1e-2
    for index, (variant, colour, marker) in enumerate(styled):
        cosines = variant.measured.main.cosines
        if cosines is None:
            continue
        lost = np.sort(np.maximum(1 - cosines, _SAME))
        largest = max(largest, float(lost[-1]))
        axes.step(
            [lost[0], *lost],
            [0, *(100 * np.arange(1, len(lost) + 1) / len(lost))],
            where="post",
            color=colour,
            # Curves that lie on each other: each is seen at the edge of the next.
            linewidth=max(4.5 - index, 1.5),
            marker=marker,
            markersize=5,
            markevery=[len(lost)],
            label=f"{variant.file}, {variant.measured.inputs} {variant.inputs}"
            + ("" if variant.verdict.passed else ": left out"),
        )
        for check in variant.verdict.checks:
            if check.name == "min_cosine":
                axes.axvline(1 - check.limit, color=colour, linestyle=":", linewidth=1.4)
                largest = max(largest, 1 - check.limit)
    axes.plot([], [], color=_GREY, linestyle=":", label="the most its gate lets the worst lose")
    axes.set_xscale("log")
    axes.set_xlim(_SAME * 0.7, largest * 2)
    axes.set_ylim(-2, 104)
    axes.set_title("What each input lost", loc="left")
    axes.set_xlabel("1 - cosine to the float original (left: the same; right: more lost)")
    axes.set_ylabel("inputs that lost no more, %")


def _draw_margins(axes: Any, card: Card, styled: list[_Styled]) -> None:
    """Draw the variant's margin over the original's, a dot for each input and prompt."""
    ends = []
    for variant, colour, marker in styled:
        margins = variant.measured.margins
        if margins is None:
            continue
        before, after = margins.reshape(2, -1)
        ends += [margins.min(), margins.max()]
        alerts = variant.measured.alerts
        common = "" if alerts is None else f", {alerts.count} of {alerts.total} alerts in common"
        axes.scatter(
            before, after, s=26, color=colour, marker=marker, alpha=0.6, linewidths=0,
            label=f"{variant.file}{common}",
        )  # fmt: skip
    low, high = min(ends), max(ends)
    pad = 0.05 * (high - low) or 0.01
    low, high = low - pad, high + pad
    axes.plot((low, high), (low, high), color=_GREY, linewidth=1, zorder=0)
    if card.threshold is not None and low < card.threshold < high:
        _draw_threshold(axes, card.threshold, low, high)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_title("What that does to margins", loc="left")
    axes.set_xlabel("margin of the float original (cosine less best background)")
    axes.set_ylabel("margin of the variant")


def _draw_threshold(axes: Any, threshold: float, low: float, high: float) -> None:
    line = {"color": "#000000", "linestyle": "--", "linewidth": 1.2}
    axes.axhline(threshold, **line, label=f"an alert from a margin of {threshold:g}")
    axes.axvline(threshold, **line)
    shade = {"color": "#BBBBBB", "alpha": 0.35, "linewidth": 0, "zorder": 0}
    axes.fill_between((low, threshold), threshold, high, **shade)
    axes.fill_between((threshold, high), low, threshold, label="one alerts, one does not", **shade)


def _change(variant: CardVariant) -> float:
    margins = variant.measured.margins
    return 0.0 if margins is None else float(np.abs(margins[1] - margins[0]).max())
