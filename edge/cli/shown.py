"""Makes what boxes say readable in a terminal, which they must not steer. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from edge.delivery.payloads import AlertPayload, PromptsStatePayload, StatePayload, VisitRef
from edge.system.visible import printable

_COLOURS: Final = {"start": "bold red", "update": "yellow", "end": "green"}
_BARS: Final = "▁▂▃▄▅▆▇█"
_BLANKS: Final = "\t\n\r"  # which JSON allows between its words


def json_line(payload: bytes) -> str:
    """Return valid JSON as one line, in which control characters are written as escapes."""
    return "".join(_escaped(char) for char in payload.decode())


def alert_line(alert: AlertPayload) -> Text:
    """Return an alert as one line."""
    rest = ""
    if alert.ended_at is not None:
        rest = f" after {span((alert.ended_at - alert.started_at).total_seconds())}"
    rest += " (interrupted)" if alert.interrupted else ""
    rest += " (a test)" if alert.test else ""
    rest += _in_visit(alert.visit)
    side = "under" if alert.margin < alert.threshold else "over"
    who = f"{alert.device}/{alert.camera} {alert.prompt.id}"
    return Text.assemble(
        f"{alert.at.astimezone():%Y-%m-%d %H:%M:%S %Z} ",
        (f"{alert.type:6}", _COLOURS[alert.type]),
        f" {printable(who)}: {printable(repr(alert.prompt.text))} ",
        f"margin {alert.margin:+.3f} {side} {alert.threshold:.3f}{rest}",
    )


def span(seconds: float) -> str:
    """Return a length of time in words: ``3.4 s``, ``2 min 5 s``, ``1 h 20 min``."""
    tenths = round(seconds, 1)
    if tenths < 60:
        return f"{tenths:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


def hours_shown(states: Iterable[StatePayload]) -> Table:
    """Return the false alarms that are expected in each hour: a row per camera and rule.

    Bars of one row are on one scale; a dot is an hour that was never watched.
    """
    table = Table(
        "camera", "rule", "working days, from 0 h", "a day", "weekends", "a day",
        title="False alarms expected at the present thresholds", title_justify="left",
    )  # fmt: skip
    for state in states:
        for rule, calibration in state.calibration.items():
            hours = calibration.by_hour
            if hours is None:
                continue
            kinds = hours.working_days, hours.weekends
            most = max((one or 0.0 for kind in kinds for one in kind), default=0.0)
            cells = [
                cell
                for kind in kinds
                for cell in (_bars(kind, most), f"{sum(filter(None, kind)):.2g}")
            ]
            table.add_row(_words(f"{state.device}/{state.camera}"), _words(rule), *cells)
    return table


def _bars(values: Sequence[float | None], most: float) -> str:
    """Return one character for each value, on a scale from 0 to ``most``."""
    top = len(_BARS) - 1
    return "".join(
        "·" if value is None else _BARS[round(top * value / most) if most else 0]
        for value in values
    )


def _in_visit(visit: VisitRef | None) -> str:
    """Return which alert of a visit it is, in words; nothing of the first one."""
    if visit is None or visit.number == 1:
        return ""
    teen = visit.number % 100 in {11, 12, 13}
    ending = "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(visit.number % 10, "th")
    return f" ({visit.number}{ending} of one visit)"


def prompts_shown(state: PromptsStatePayload) -> Iterator[Table | Text]:
    """Yield the table of the rules of a box, and what there is to say about them."""
    origin = "its configuration" if state.source == "file" else "set over MQTT"
    since = f"{state.applied_at.astimezone():%Y-%m-%d %H:%M:%S}"
    title = f"{state.device}: {origin}, since {since}, hash {state.hash[:12]}"
    columns = "rule", "", "threshold", "cameras", "sentence"
    table = Table(*columns, title=Text(printable(title)), title_justify="left")
    for name, rule in state.prompts.items():
        fixed = rule.get("threshold")
        table.add_row(
            _words(name),
            _words(_off(state, rule) or "on"),
            _words(_asked(rule)) if fixed is None else _words(fixed),
            _words(", ".join(state.cameras.get(name, ()))),
            _words(rule.get("text", ())),
        )
    yield table
    for name, lesson in state.lessons.items():
        yield _words(f"{name} was taught by {lesson.describe()}")
    yield from _notes(state)
    if state.error is not None:
        yield Text(printable(f"the last command was refused: {state.error}"), style="red")


def in_force_shown(state: PromptsStatePayload) -> Iterator[Text]:
    """Yield what is in force after a command, a line for each rule, and what there is to mend."""
    profile = "" if state.profile is None else f", profile {state.profile}"
    off = {name: _off(state, rule) for name, rule in state.prompts.items()}
    count = sum(why is None for why in off.values())
    yield _words(f"{state.device}: {count} rule{'s' * (count != 1)} in force{profile}")
    for name, why in off.items():
        if why is not None:
            yield _words(f"  {name} is {why}")
        elif name in state.cameras:
            yield _words(f"  {name} on {', '.join(state.cameras[name]) or 'no camera'}")
        else:  # an earlier version does not say where
            yield _words(f"  {name}")
    yield from _notes(state)


def _off(state: PromptsStatePayload, rule: Mapping[str, Any]) -> str | None:
    """Return in words that a rule is off, and why; None where it is on at its times."""
    if not rule.get("enabled", True):
        return "off"
    profiles = rule.get("profiles")
    if not profiles or "profile" not in state.model_fields_set:  # by an earlier version
        return None
    named = profiles if isinstance(profiles, list | tuple) else (profiles,)
    if state.profile in named:
        return None
    return f"off, it is for the profile {' or '.join(map(str, named))}"


def _notes(state: PromptsStatePayload) -> Iterator[Text]:
    for note in state.notes:
        yield _words(f"note: {note}")


def _asked(rule: Mapping[str, Any]) -> str:
    """Return what a rule asks of a learned threshold, in words."""
    even = ", evenly by hour" if rule.get("even") is True else ""
    start = rule.get("start")
    side = "" if start is None else f", {start} at first"
    return f"{rule.get('false_alarms_per_day')} false alarms a day{even}{side}"


def _words(value: Any) -> Text:
    """Return a value of a rule, of which another version may have other kinds."""
    parts = value if isinstance(value, list | tuple) else (value,)
    return Text(printable(" | ".join(str(part) for part in parts)))


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    if char in _BLANKS:
        return " "
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
