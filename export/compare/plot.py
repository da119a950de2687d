"""Draws cost against agreement as a picture; it needs the extra ``demo``."""

from pathlib import Path
from typing import Any, Final

from edge.cli.plot import COLOURS, check_plot, save_figure
from export.compare.two_bundles import Agreed, Compared

_INCHES: Final = (11.0, 5.2)
_DPI: Final = 120
_MARKERS: Final = ("o", "^", "s", "D", "v", "P")


def plot_compared(path: Path, compared: Compared, agreed: Agreed) -> None:
    """Draw each variant at its time and its agreement.

    The left side shows mean cosines to the reference, the right side shares of the same first
    choice. Lines show the range from the lowest to the highest round, and the interval of a share.

    Args:
        path: File of the picture; its ending chooses the format.
        compared: The comparison, for times.
        agreed: Agreement of the same comparison.

    Raises:
        ConfigError: matplotlib is not installed, or the file cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    cosines, choices = figure.subplots(1, 2)
    for index, point in enumerate((f"A {agreed.reference}", *agreed.rows)):
        name, _, variant = point.partition(" ")
        ms = compared.costs[name].ms[variant]
        style = {
            "color": COLOURS[index % len(COLOURS)],
            "marker": _MARKERS[index % len(_MARKERS)],
            "linestyle": "none",
            "xerr": [[ms.median - ms.low], [ms.high - ms.median]],
            "label": point if index else f"{point}, the reference",
        }
        # The reference has no row: it agrees with itself.
        one = agreed.rows.get(point)
        cosines.errorbar(ms.median, 1 if one is None else one.cosines.mean(), **style)
        chosen = None if one is None else one.measured.same_prompt
        if chosen is None:
            choices.errorbar(ms.median, 100, **style)
            continue
        low, high = chosen.share.interval
        share = chosen.share.value
        reach = [[100 * (share - low)], [100 * (high - share)]]
        choices.errorbar(ms.median, 100 * share, yerr=reach, **style)
    cosines.set_ylabel("mean cosine to the reference")
    choices.set_ylabel("same first choice, % of pictures")
    _finish(figure, (cosines, choices), agreed)
    save_figure(figure, path)


def _finish(figure: Any, places: tuple[Any, ...], agreed: Agreed) -> None:
    for axes in places:
        axes.set_xlabel("milliseconds a picture, one thread (left: cheaper)")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"What each costs and how much it agrees, {agreed.pictures} pictures, "
        f"{len(agreed.sentences)} sentences"
    )
    handles, labels = places[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
