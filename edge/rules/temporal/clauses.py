"""Takes sentences with time in them apart: order, simultaneity, duration, absence.

Two-tower models read a sentence as one picture: "a car stops then a person gets out" is to them a
car and a person in any order, and "no car" is a car. So the words about time are taken out of the
sentence, and the model is asked only about the clauses. A few patterns are enough for the forms
that people write in an alert rule (docs/events.md). A sentence that fits none of them stays one
clause, as it was written.
"""

import re
from dataclasses import dataclass
from typing import Final, NoReturn

from edge.errors import ConfigError
from edge.rules.temporal.words import COMPOUND, NEGATION, NOT_THEN, PRONOUN, is_verb, subject

WITHIN_S: Final = 30.0
"""Seconds within which the next clause must be seen, where the sentence gives no time."""
ABSENT_S: Final = 10.0
"""Seconds for which something must be absent, where the sentence gives no time."""
# Models read 80 tokens at most, so a longer text is no sentence.
_LONGEST: Final = 1000
# The samples of the whole time are held: a day of them is 20 MB.
_LONGEST_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The clause is seen."""

    text: str


@dataclass(frozen=True, slots=True)
class Then:
    """The steps are seen one after the other, each within ``within_s`` seconds of the last."""

    steps: tuple["Expr", ...]
    within_s: float


@dataclass(frozen=True, slots=True)
class While:
    """All parts are seen at once."""

    parts: tuple["Expr", ...]


@dataclass(frozen=True, slots=True)
class Lasting:
    """It is seen without a break for ``seconds``."""

    what: "Expr"
    seconds: float


@dataclass(frozen=True, slots=True)
class Gone:
    """It was seen, and then was not for ``seconds``."""

    what: "Expr"
    seconds: float


@dataclass(frozen=True, slots=True)
class Absent:
    """It was not seen for ``seconds``, whether it was seen before or not."""

    what: "Expr"
    seconds: float


Expr = Seen | Then | While | Lasting | Gone | Absent

_COUNT = r"(?P<count>\d+(?:\.\d+)?|an?|one|two|three|five|ten|fifteen|twenty|thirty|sixty)"
# "m" alone is no unit here: "5 m" are metres.
_UNIT = r"(?P<unit>s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?)"
_NUMBERS: Final = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "five": 5, "ten": 10, "fifteen": 15,
    "twenty": 20, "thirty": 30, "sixty": 60,
}  # fmt: skip
_I: Final = re.IGNORECASE
_WITHIN: Final = re.compile(rf",?\s*\bwithin\s+(?:the next\s+)?{_COUNT}\s*{_UNIT}\b(?!\s+of\b)", _I)
_LASTING: Final = re.compile(
    rf",?\s+for\s+(?:(?:at least|more than|longer than|over)\s+)?{_COUNT}\s*{_UNIT}$", _I
)
_THEN: Final = re.compile(r"(?:,\s*|\s+)(?:and\s+)?then\s+|,?\s+followed by\s+", _I)
_AFTER_FIRST: Final = re.compile(
    r"^(?:after|once)\s+(?P<first>[^,\s]+\s[^,]+),\s*(?P<second>.+)$", _I
)
_WHILE_FIRST: Final = re.compile(r"^while\s+(?P<first>[^,]+),\s*(?P<second>.+)$", _I)
_NO_LONGER_FIRST: Final = re.compile(r"^no longer\s+(?P<what>.+)$", _I)
_NO_LONGER: Final = re.compile(r"\s+no longer\b", _I)
_GONE: Final = re.compile(
    r"^(?!.*\b(?:that|who|which)\b)(?P<what>.+?)\s+(?:(?:is|are)\s+(?:gone|missing)|(?:has|have)\s+"
    r"(?:left|gone|disappeared|vanished)|disappears?|vanish(?:es)?)$",
    _I,
)
_NO: Final = re.compile(
    r"^(?:there\s+(?:is|are)\s+|there's\s+)?(?:no|not\s+an?|not\s+any|without\s+any)\s+(?P<what>.+)$",
    _I,
)
_NOBODY: Final = re.compile(r"^(?:there\s+is\s+)?(?:nobody|no\s+one|no-one)\b\s*(?P<rest>.*)$", _I)
_WITHOUT: Final = re.compile(r"^(?P<what>.+?)\s+without\s+(?P<part>.+)$", _I)


def parse(sentence: str) -> Expr:
    """Take a sentence apart.

    Raises:
        ConfigError: The sentence has a negation that no pattern of absence covers, a time that
            cannot be kept, or more than one time for an order; or it is far too long.
    """
    text = " ".join(sentence.split()).rstrip(". ")
    if not text:
        return Seen(sentence)  # the compiler reports what is wrong with it
    if len(text) > _LONGEST:
        raise ConfigError(
            f"expected a sentence of at most {_LONGEST} characters, found {len(text)}: shorten it"
        )
    bounds = list(_WITHIN.finditer(text))
    if len(steps := _ordered(_WITHIN.sub("", text).strip(" ,"))) > 1:
        if len(bounds) > 1:
            raise ConfigError(
                f"expected one time for all steps, found {len(bounds)} in {sentence!r}: say the "
                f"longest, or make a prompt of each"
            )
        within_s = _seconds(bounds[0], sentence) if bounds else WITHIN_S
        return Then(
            tuple(_simultaneous(step, sentence) for step in _with_subjects(steps)), within_s
        )
    return _simultaneous(text, sentence)


def clauses(expression: Expr) -> tuple[str, ...]:
    """The clauses of an expression, left to right."""
    match expression:
        case Seen(text):
            return (text,)
        case Then(parts, _) | While(parts):
            return tuple(clause for part in parts for clause in clauses(part))
        case Lasting(what, _) | Gone(what, _) | Absent(what, _):
            return clauses(what)


def meaning(expression: Expr) -> str:
    """The expression in words, for people."""
    match expression:
        case Seen(text):
            return repr(text)
        case Then(steps, within_s):
            return f", then within {within_s:g} s ".join(meaning(step) for step in steps)
        case While(parts):
            return " while ".join(meaning(part) for part in parts)
        case Lasting(what, seconds):
            return f"{meaning(what)} for {seconds:g} s"
        case Gone(what, seconds):
            return f"{meaning(what)}, then not for {seconds:g} s"
        case Absent(what, seconds):
            return f"{meaning(what)} not seen for {seconds:g} s"


def _ordered(text: str) -> list[str]:
    """The steps of an order, first to last; a single one where there is no order."""
    if match := _AFTER_FIRST.match(text):
        return [*_ordered(match["first"]), *_ordered(match["second"])]
    parts, start = [], 0
    for match in _THEN.finditer(text):
        if not NOT_THEN.search(text[: match.end()]):
            parts.append(text[start : match.start()])
            start = match.end()
    parts.append(text[start:])
    if len(parts) > 1:
        return [part.strip(" ,") for part in parts] if all(p.strip(" ,") for p in parts) else [text]
    for word, forwards in (("before", True), ("after", False)):
        left, found, right = _cut(text, word)
        if found and subject(left) and subject(right):
            return [left, right] if forwards else [right, left]
    return [text]


def _simultaneous(text: str, sentence: str) -> Expr:
    if match := _WHILE_FIRST.match(text):
        return While((_lasting(match["first"], sentence), _lasting(match["second"], sentence)))
    left, _, right = _cut(text, "while")
    # "while driving" describes the same picture; in "for a while" it is no conjunction.
    if left and right and not is_verb(right.split()[0]) and not left.endswith((" a", " in a")):
        return While((_lasting(left, sentence), _lasting(right, sentence)))
    return _lasting(text, sentence)


def _lasting(text: str, sentence: str) -> Expr:
    match = _LASTING.search(text)
    if not match:
        return _absent(text, ABSENT_S, sentence)
    seconds = _seconds(match, sentence)
    inner = _absent(text[: match.start()], seconds, sentence)
    return inner if isinstance(inner, Gone | Absent) else Lasting(inner, seconds)


def _absent(text: str, seconds: float, sentence: str) -> Expr:
    if match := _NO_LONGER_FIRST.match(text):
        return Gone(_seen(match["what"], sentence), seconds)
    if _NO_LONGER.search(text):
        return Gone(_seen(_NO_LONGER.sub("", text), sentence), seconds)
    if match := _GONE.match(text):
        return Gone(_seen(match["what"], sentence), seconds)
    if match := _NOBODY.match(text):
        return Absent(_seen(f"a person {match['rest']}".strip(), sentence), seconds)
    if (match := _NO.match(text)) and not COMPOUND.match(text):
        return Absent(_seen(match["what"], sentence), seconds)
    return _seen(text, sentence)


def _seen(text: str, sentence: str) -> Seen:
    if match := NEGATION.search(COMPOUND.sub("", text)):
        _refuse(text, match[0], sentence)
    return Seen(text)


def _refuse(text: str, word: str, sentence: str) -> NoReturn:
    if match := _WITHOUT.match(text):
        what, part = match["what"], match["part"]
        advice = f"text: {what!r} with negatives: {f'{what} with {part}'!r}"
    else:
        advice = "what is to be seen, and its opposite under negatives"
    raise ConfigError(
        f"expected a sentence about what is to be seen, found {word!r} in {sentence!r}, which "
        f"models read past; say {advice}"
    )


def _with_subjects(steps: list[str]) -> list[str]:
    """Give each step a subject: in "a car stops then it leaves" and "... then leaves" the car."""
    named = [steps[0]]
    for step in steps[1:]:
        who = subject(named[-1])
        bare = PRONOUN.sub("", step)
        if who and (bare != step or is_verb(step.split()[0])):
            named.append(f"{who} {bare}")
        else:
            named.append(step)
    return named


def _cut(text: str, word: str) -> tuple[str, bool, str]:
    match = re.search(rf",?\s+{word}\s+", text, _I)
    return (text[: match.start()], True, text[match.end() :]) if match else (text, False, "")


def _seconds(match: re.Match[str], sentence: str) -> float:
    count = match["count"].lower()
    number = float(_NUMBERS[count]) if count in _NUMBERS else float(count)
    seconds = number * {"s": 1, "m": 60, "h": 3600}[match["unit"][0].lower()]
    if not 0 < seconds <= _LONGEST_S:
        raise ConfigError(
            f"expected a time above 0 s and of 24 h at most, found {match[0].strip(' ,')!r:.60} in "
            f"{sentence!r:.200}"
        )
    return seconds
