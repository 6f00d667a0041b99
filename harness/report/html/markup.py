"""HTML that cannot be forgotten to escape: whatever is not `Markup` is text."""

from html import escape


_VOID = ("img", "input", "meta")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | None) -> Markup:
    """Return an element.

    Args:
        tag: its name.
        *children: what it holds; a str that is no `Markup` is escaped.
        **attributes: a trailing `_` is dropped and others become `-`; None leaves the attribute out.
    """
    opening = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(child if isinstance(child, Markup) else escape(child) for child in children)
    return Markup(f"<{tag}{opening}>" if tag in _VOID else f"<{tag}{opening}>{inner}</{tag}>")
