"""Writes the manual pages of a command line from its commands, so that none is ever stale. Pure."""

import re
from collections.abc import Iterator
from typing import Any, Final

_EXIT: Final = {
    0: "Done.",
    1: "The answer is no.",
    2: "A setting or an argument is wrong.",
    3: "The model or its engine cannot be used.",
    4: "A camera or a file cannot be read.",
    5: "The broker cannot be reached, or refuses.",
    6: "The disk cannot be used.",
}


def pages(name: str, command: Any, context_type: Any, date: str) -> Iterator[tuple[str, str]]:
    """Yield name and text (groff, man macros) of the page of a command and of each below it.

    Args:
        name: Name of the command: words with blanks between them.
        command: The command, as typer makes it.
        context_type: Class of a context, from typer.
        date: Date in the foot of the pages.
    """
    context = context_type(command, info_name=name)
    children = {
        child: command.get_command(context, child) for child in getattr(command, "commands", {})
    }
    yield name.replace(" ", "-"), _page(name, command, context, children, date)
    for child, below in children.items():
        yield from pages(f"{name} {child}", below, context_type, date)


def _page(name: str, command: Any, context: Any, children: dict[str, Any], date: str) -> str:
    head, *paragraphs = re.split(r"\n\s*\n", (command.help or "").strip())
    title = name.replace(" ", "-")
    lines = [
        f'.TH "{title.upper()}" "1" "{date}" "edge-runtime" "Camera edge runtime"',
        ".SH NAME", f"{title} \\- {_text(head).rstrip('.')}",
        ".SH SYNOPSIS", f".B {_escaped(name)}",
        _text(" ".join(command.collect_usage_pieces(context))),
    ]  # fmt: skip
    if paragraphs:
        lines.append(".SH DESCRIPTION")
        lines += [line for paragraph in paragraphs for line in (".PP", _text(paragraph))]
    if children:
        lines.append(".SH COMMANDS")
        for child, below in children.items():
            short = re.split(r"\n\s*\n", (below.help or "").strip())[0]
            lines += [".TP", f".B {_escaped(child)}", f"{_text(short)}"]
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    lines.append(".SH OPTIONS")
    for words, meaning in filter(None, records):
        lines += [".TP", f".B {_escaped(words)}", _text(meaning) or "\\&"]
    lines.append(".SH EXIT STATUS")
    for code, meaning in _EXIT.items():
        lines += [".TP", f".B {code}", meaning]
    lines += [".SH SEE ALSO", *_see(name, children)]
    return "\n".join(lines) + "\n"


def _see(name: str, children: dict[str, Any]) -> list[str]:
    above = name.rpartition(" ")[0]
    others = ([above] if above else []) + [f"{name} {child}" for child in children]
    pages = [other.replace(" ", "-") for other in others]
    return [f".BR {_escaped(page)} (1)," for page in pages[:-1]] + [
        f".BR {_escaped(page)} (1)" for page in pages[-1:]
    ]


def _text(text: str) -> str:
    """Return a paragraph of markdown as groff: words in back quotes are bold."""
    flowing = _escaped(" ".join(text.split()))
    marked = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", flowing)
    return f"\\&{marked}" if marked[:1] in {".", "'"} else marked


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")
