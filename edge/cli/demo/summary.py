"""Sums up the demo for people and as JSON."""

import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from edge.cli.demo.scene import CONFIG, URL_VARIABLE
from edge.cli.demo.show import Outcome, Wish


def failure(outcome: Outcome) -> str | None:
    """Return why the demo did not show what it should; None if it did."""
    record = outcome.record
    if outcome.exit_code:
        reason = f"the daemon ended with exit code {outcome.exit_code}"
    elif record.alerts:
        return None
    elif record.times:
        reason = (
            f"no alert in {record.times[-1]:.0f} s: an alert needs two of three samples with a "
            f"margin from {outcome.threshold:g}, the largest were "
            + ", ".join(f"{value:+.2f} {name}" for name, value in _largest(outcome).items())
        )
    else:
        error = record.state.error if record.state else None
        reason = f"no picture arrived from the camera{f': {error}' if error else ''}"
    return f"{reason}\nThe end of the daemon's log:\n{outcome.last_words}"


def facts(wish: Wish, outcome: Outcome) -> dict[str, Any]:
    """Return the document that ``--json`` prints."""
    record, largest = outcome.record, _largest(outcome)
    counts = _counts(outcome)
    return {
        "out": str(wish.out),
        "seconds": record.times[-1] if record.times else 0.0,
        "samples": len(record.times),
        "first_alert_s": outcome.first_alert_s,
        "threshold": outcome.threshold,
        "prompts": {
            name: {
                "text": sentence,
                "alerts": counts[name],
                "largest_margin": largest.get(name),
            }
            for name, sentence in outcome.sentences.items()
        },
        "alerts": [
            {
                "id": seen.newest.id,
                "prompt": seen.newest.prompt.id,
                "started_at": seen.newest.model_dump(mode="json")["started_at"],
                "snapshot": str(seen.snapshot) if seen.snapshot else None,
            }
            for seen in record.alerts.values()
        ],
        "messages": dict(record.kinds),
        "notes": outcome.notes,
    }


def tell(console: Console, wish: Wish, outcome: Outcome) -> None:
    """Print the summary and what to try next."""
    record, counts, largest = outcome.record, _counts(outcome), _largest(outcome)
    count = len(record.alerts)
    console.print(
        f"\n[bold]{count} alert{'' if count == 1 else 's'}[/bold] in {record.times[-1]:.0f} s of "
        f"video, {sum(record.kinds.values())} MQTT messages; the first alert arrived "
        f"{outcome.first_alert_s:.1f} s after the start of the demo"
    )
    for name, sentence in outcome.sentences.items():
        alerts = f"alerts: {counts[name]}" if counts[name] else "stayed quiet"
        console.print(f"  {escape(repr(sentence))}  {alerts}, largest margin {largest[name]:+.2f}")
    for note in outcome.notes:
        console.print(f"  note: {escape(note)}")
    console.print(f"\nwritten to [bold]{escape(str(wish.out))}/[/bold]")
    for name, what in _FILES.items():
        console.print(f"  {name:18}{what}")
    console.print("\ntry next")
    for command, what in _next(wish):
        console.print(f"  {escape(command)}\n      {what}")


_FILES = {
    "snapshots/": "the picture of each alert, as it came over MQTT",
    "scores.png": "margins over time, from the embeddings that came over MQTT",
    "transcript.jsonl": "every MQTT message",
    CONFIG: "the daemon's configuration, to start your own from",
    "daemon.log": "what the daemon said",
}


def _next(wish: Wish) -> list[tuple[str, str]]:
    own = Path(sys.argv[0])  # may be in a virtual environment that is not in the PATH
    edge = own if own.name == "edge" and not shutil.which("edge") else "edge"
    watched = wish.video if wish.url is None else f"${URL_VARIABLE}"
    return [
        (f'{edge} demo --prompt "a truck" --prompt "a motorcycle"', "other sentences"),
        (f"{edge} demo --video FILE --prompt ...", "your own recording, H.264 or H.265"),
        (f"{edge} demo --url rtsp://USER:PASSWORD@CAMERA/PATH --prompt ...", "your own camera"),
        (f'{edge} score "{watched}" "a truck" --plot truck.png', "how well a sentence fits"),
        (
            f"{edge} check {wish.out / CONFIG}",
            "once it names your broker and your cameras",
        ),
        (f"{edge} alerts --host BROKER", "print the alerts that a broker has"),
    ]


def _counts(outcome: Outcome) -> Counter[str]:
    return Counter(seen.newest.prompt.id for seen in outcome.record.alerts.values())


def _largest(outcome: Outcome) -> dict[str, float]:
    return {name: max(column) for name, column in outcome.record.margins.items() if column}
