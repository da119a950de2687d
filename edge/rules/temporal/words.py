"""Knows the few words that ``edge.rules.temporal.clauses`` must recognise."""

import re
from typing import Final

# Two-tower models mostly read past a negation: "no helmet" lands beside "helmet".
NEGATION: Final = re.compile(
    r"\b(?:no|not|without|nobody|nothing|none|never|neither|nor|\w+n't)\b", re.IGNORECASE
)
# Things with a negation in their name.
COMPOUND: Final = re.compile(
    r"\bno[- ](?:parking|entry|smoking|trespassing|stopping|exit|waiting|swimming|dumping)\b",
    re.IGNORECASE,
)
# "then" as part of another expression.
NOT_THEN: Final = re.compile(r"\b(?:now and|since|by|until|till|back|even) then\s*$", re.IGNORECASE)
PRONOUN: Final = re.compile(r"^(?:it|he|she|they)\s+", re.IGNORECASE)

_VERBS: Final = frozenset(
    # A list of 150 short words is easier read as text.
    """appear approach arrive ask attack bend block board break bring burn carry catch change chase
    check circle clean climb close collapse collide come cover crash crawl creep cross crouch cut
    cycle dance deliver depart dig disappear do drag draw drift drink drive drop dump eat embrace
    enter escape exit explode fall fight fill find fire fish flee fly follow gather get give go grab
    greet hand hang hide hit hold hug hurt ignite is jump keep kick kiss kneel knock ladder lay lead
    lean leave let lie lift light linger load lock look loiter meet move open overtake paint park
    pass pay peer pick place play point pour press pull punch push put reach read remove repair rest
    return reverse ride ring rise roll run sell shake shoot shop shout show sit sleep slide slip
    smash smoke speak speed spill spin spray stagger stand start steal step stop strike stumble
    sweep swim swing take talk throw touch trip try turn unload unlock use vanish visit wait walk
    wander wash watch wave wear weld work wrap write""".split()  # noqa: SIM905
)
_IRREGULAR: Final = frozenset("is are was were has have does goes lying sitting running".split())  # noqa: SIM905
_ARTICLES: Final = frozenset({"a", "an", "the"})
_ENDINGS: Final = ("s", "es", "ing", "ed", "d")


def is_verb(word: str) -> bool:
    """Whether ``word`` is a form of a verb that rules are about."""
    bare = word.strip(",.").lower()
    if bare in _IRREGULAR:
        return True
    for ending in _ENDINGS:
        stem = bare.removesuffix(ending)
        if stem == bare:
            continue
        doubled = stem[:-1] if len(stem) > 2 and stem[-1] == stem[-2] else stem
        if {stem, stem + "e", doubled, stem.removesuffix("i") + "y"} & _VERBS:
            return True
    return False


def subject(clause: str) -> str | None:
    """The words of a clause before its first verb; None where it has no verb.

    A word between an article and another word is no verb: "a moving bus", "the closed gate".
    """
    words = clause.split()
    for place, word in enumerate(words[1:], start=1):
        describes = words[place - 1].lower() in _ARTICLES and place + 1 < len(words)
        if is_verb(word) and not describes:
            return " ".join(words[:place])
    return None
