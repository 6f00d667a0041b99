"""The page as a whole."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from string import Template

from harness.page.figure import figure_part
from harness.page.history import history_part
from harness.page.markup import Markup, element
from harness.page.training import training_part
from harness.report import result_headline, result_title, session_text, size_text, trends
from harness.results import Result


__all__ = ["page"]


def page(results: Sequence[Result], pictures: Mapping[str, bytes] | None = None) -> str:
    """Return results as one HTML page that requests nothing from anywhere.

    Args:
        results: of a session, in the order in which they are to be shown.
        pictures: path, as results name it, to the bytes of its PNG file.
    """
    own = files("harness.page")
    template, style, script = (
        own.joinpath(name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")
    )
    keyed = [(f"check-{number}", result) for number, result in enumerate(results, start=1)]
    return Template(template).substitute(
        policy=_policy(style, script),
        style=style,
        script=script,
        headline=_headline(results),
        contents=element("ul", *(_entry(key, result) for key, result in keyed)),
        checks=Markup("\n".join(_check(key, result, pictures or {}) for key, result in keyed)),
    )


def _headline(results: Sequence[Result]) -> Markup:
    lines = [element("p", session_text(results), class_="headline")]
    lines += [element("p", line, class_="trend") for line in trends(results)]
    return Markup("\n".join(lines))


def _policy(style: str, script: str) -> str:
    """Return a policy under which a browser runs this script and this style only, and loads nothing."""
    return f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _entry(key: str, result: Result) -> Markup:
    title = element("a", result_title(result), href=f"#{key}")
    return element("li", _chip(result), element("span", title, " ", element("small", _where(result))), _meter(result))


def _chip(result: Result) -> Markup:
    state = "passed" if result["passed"] else "failed"
    return element("span", result["verdict"], class_=f"chip {state} {result['verdict']}")


def _meter(result: Result) -> Markup:
    return element("small", "" if result["kind"] == "error" else size_text(result), class_="margin")


def _where(result: Result) -> str:
    return result["test"] + (f", {result['name']}" if result["name"] else "")


def _check(key: str, result: Result, pictures: Mapping[str, bytes]) -> Markup:
    heading = element("h2", result_title(result))
    summary = element("summary", _chip(result), heading, element("small", _where(result)))
    opened = None if result["passed"] else ""
    return element("details", summary, *_parts(key, result, pictures), id=key, class_="check", open=opened)


def _parts(key: str, result: Result, pictures: Mapping[str, bytes]) -> Iterator[Markup]:
    yield element("p", result_headline(result), class_="lead")
    if result["training"]:
        yield from training_part(result, result["training"])
    if result["figure"]:
        yield from figure_part(result["figure"], pictures, key)
    if result["history"]:
        yield from history_part(result)
    if result["accept"] and (not result["passed"] or result["kind"] == "equivalence"):
        yield element("h3", "Accept")
        yield element("p", "If the change is wanted, this line makes it the baseline:")
        yield element("pre", result["accept"], class_="accept", tabindex="0")
    if "\n" in result["text"]:
        said = element("pre", result["text"], tabindex="0")
        opened = None if result["training"] or result["figure"] else ""  # there is nothing else to see
        yield element("details", element("summary", "As pytest prints it"), said, open=opened)
