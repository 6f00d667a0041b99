"""The form of every error: what, where, what to do."""

from typing import Any, ClassVar


__all__ = [
    "HarnessError",
]


class HarnessError(Exception):
    """Base of all errors that the harness raises on purpose.

    Args:
        **facts: what the templates `what`, `where` and `fix` of the class name in braces; kept in `.facts`.
    """

    what: ClassVar[str]
    where: ClassVar[str] = ""
    fix: ClassVar[str]

    def __init__(self, **facts: Any) -> None:
        super().__init__(facts)
        self.facts = facts

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.facts)  # facts are keywords, which exceptions do not pickle by themselves

    def __str__(self) -> str:
        lines = [self.what.format(**self.facts)]
        for label in ("where", "fix"):
            if text := getattr(self, label).format(**self.facts):
                lines.append(f"  {label:<6} {text}")
        return "\n".join(lines)


def _rebuilt(kind: type[HarnessError], facts: dict[str, Any]) -> HarnessError:
    return kind(**facts)
