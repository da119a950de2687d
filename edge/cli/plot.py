"""Draws margins over time and detected boxes as pictures; needs the extra ``demo``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigError

_INCHES = (10.0, 4.5)
_DPI = 120
# Okabe and Ito's colours, which colour-blind people can also distinguish.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def check_plot(path: Path) -> None:
    """Check before the work starts that ``plot_scores`` can write ``path``.

    Raises:
        ConfigError: matplotlib is not installed, or ``path`` cannot become a picture.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  an extra
    except ImportError as exc:
        raise ConfigError(
            "a picture needs matplotlib, found none; install it with: "
            "pip install 'camera-edge-runtime[demo]'"
        ) from exc
    kinds = FigureCanvasAgg.get_supported_filetypes()
    if path.suffix.removeprefix(".").lower() not in kinds:
        raise ConfigError(f"{path}: expected a picture such as scores.png, found {path.suffix!r}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: expected an existing folder, found no {path.parent}")


def plot_scores(
    path: Path,
    times: Sequence[float] | NDArray[np.floating],
    scores: Mapping[str, Sequence[float] | NDArray[np.floating]],
    threshold: float,
    title: str,
) -> None:
    """Draw one line per prompt, and where the threshold lies.

    Args:
        path: Picture to write; its ending chooses the format.
        times: Seconds.
        scores: Margins by prompt, one for each time.
        threshold: Margin from which a sample counts.
        title: Title above the plot.

    Raises:
        ConfigError: As ``check_plot``, or the file cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for index, (prompt, margins) in enumerate(scores.items()):
        colour = COLOURS[index % len(COLOURS)]
        values = np.asarray(margins)
        axes.plot(times, values, color=colour, linewidth=1.6, marker=".", label=prompt)
        hits = values >= threshold
        axes.fill_between(
            times, threshold, values, where=hits, interpolate=True, color=colour, alpha=0.15
        )
    label = f"threshold {threshold:g}"
    axes.axhline(threshold, color="#666666", linestyle="--", linewidth=1.2, label=label)
    axes.set_title(title, loc="left")
    axes.set_xlabel("seconds")
    axes.set_ylabel("margin")
    axes.margins(x=0.01)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=min(len(scores) + 1, 4), frameon=False)
    save_figure(figure, path)


def draw_boxes(
    path: Path,
    rgb: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    classes: NDArray[np.intp],
    labels: Sequence[str],
) -> None:
    """Draw boxes into a copy of a picture, of the same size.

    Args:
        path: Picture to write; its ending chooses the format.
        rgb: uint8 [H, W, 3].
        boxes: float32 [B, 4]: left, top, right, bottom in pixels.
        classes: intp [B], class of each box; one colour for each class.
        labels: Text at each box.

    Raises:
        ConfigError: As ``check_plot``, or the file cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra
    from matplotlib.patches import Rectangle  # noqa: PLC0415

    height, width = rgb.shape[:2]
    # At 100 dots to the inch a label of 9 points is 12 pixels high.
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(rgb, extent=(0, width, height, 0), aspect="auto", interpolation="nearest")
    axes.set_axis_off()
    for (left, top, right, bottom), index, label in zip(boxes, classes, labels, strict=True):
        colour = COLOURS[index % len(COLOURS)]
        axes.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, lw=2)
        )
        axes.text(
            left, max(top, 14), label, fontsize=9, color="white", va="bottom", clip_on=True,
            parse_math=False,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    save_figure(figure, path)


def save_figure(figure: Any, path: Path) -> None:
    """Write a matplotlib figure; the ending of ``path`` chooses the format.

    Raises:
        ConfigError: The file cannot be written.
    """
    try:
        figure.savefig(path)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot write the picture: {exc.strerror}") from exc
