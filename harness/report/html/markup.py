"""HTML that cannot be forgotten to escape: whatever is not `Markup` is text."""

from html import escape


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | None) -> Markup:
    """Return an element of children, escaped unless they are `Markup`, and of attributes that are not None.

    A trailing `_` of an attribute's name is dropped, others become `-`.
    """
    given = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value is not None}
    opening = "".join(f' {name}="{escape(value)}"' for name, value in given.items())
    inner = "".join(child if isinstance(child, Markup) else escape(child) for child in children)
    return Markup(f"<{tag}{opening}>" if tag in ("img", "input") else f"<{tag}{opening}>{inner}</{tag}>")
