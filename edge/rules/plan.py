"""Makes the plan of a rule: the clauses of its text and how they hang together in time. Pure.

"a car stops then a person gets out" is two clauses in an order. The bank has a prompt for each
clause, and each camera has a tracker that makes one margin of theirs (``edge.rules.temporal``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edge.config.prompt import PromptConfig
from edge.errors import ConfigError
from edge.rules.temporal.clauses import Expr, Seen, clauses, parse


@dataclass(frozen=True, slots=True)
class RulePlan:
    """What a rule looks for.

    Attributes:
        expression: How its clauses hang together, left to right.
        clauses: Sentences of each clause, by its name: the rule's own name where there is one
            clause, ``name#1``, ``name#2`` where there are more (no rule may have such a name).
        text: The rule's text, for people; the first of several synonyms.
    """

    expression: Expr
    clauses: Mapping[str, tuple[str, ...]]
    text: str

    @property
    def has_time(self) -> bool:
        """Whether there is time in its sentence: an order, a duration or an absence."""
        return not isinstance(self.expression, Seen)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences of all clauses, left to right."""
        return tuple(sentence for own in self.clauses.values() for sentence in own)


def plan(name: str, prompt: PromptConfig) -> RulePlan:
    """Take a rule's text apart.

    Raises:
        ConfigError: The text cannot be understood, or it has time in it and is one of several.
    """
    try:
        expressions = [parse(text) for text in prompt.text]
    except ConfigError as exc:
        raise ConfigError(f"prompt {name!r}: {exc}") from None
    if all(isinstance(expression, Seen) for expression in expressions):
        return RulePlan(expressions[0], {name: prompt.text}, prompt.text[0])
    if len(expressions) > 1:
        raise ConfigError(
            f"prompt {name!r}: expected one sentence where there is time in it, found "
            f"{len(expressions)}; make a prompt of each"
        )
    parts = clauses(expressions[0])
    names = [name] if len(parts) == 1 else [f"{name}#{count}" for count in range(1, len(parts) + 1)]
    return RulePlan(
        expressions[0],
        {clause: (part,) for clause, part in zip(names, parts, strict=True)},
        prompt.text[0],
    )
