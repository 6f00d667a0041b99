"""Text that anybody may have written, made to say itself and do nothing: on a terminal, in a job's log, in XML."""

import re


_COMMAND = re.compile(r"^([^\S\n]*):(?=:)|#(?=#\w*\[)", re.MULTILINE)
"""Where a CI reads a command in a log: `::` that begins a line, blanks or not, and `##[` or `##vso[` anywhere."""


def inert(text: str) -> str:
    r"""Return text that only shows: lines stay, and so do tabs; what cannot be seen or is obeyed is spelt out.

    Escape sequences, carriage returns, what turns the direction of writing or has no width, and lone surrogates become
    escapes as Python writes them (`\x1b`, `\u202e`). Text that is inert stays as it is.
    """
    if not text.isprintable():
        text = "".join(each if each.isprintable() or each in "\n\t" else _escape(each) for each in text)
    return _COMMAND.sub(lambda found: f"{found[1] or ''}{_hex(found[0][-1])}", text)


def inert_line(text: str) -> str:
    r"""Return text that only shows, in one line: a line's end is spelt out, too."""
    return inert(text.replace("\n", r"\n").replace("\t", r"\t"))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _hex(character: str) -> str:
    return f"\\x{ord(character):02x}"
