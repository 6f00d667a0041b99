"""The programs that faults are planted in: the one that stands in `program.py`, and another model and optimizer."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.study.runs import REFERENCE, Variant, edited


@dataclass(frozen=True)
class Architecture:
    """A form of the program.

    Args:
        id: of its reference.
        what: model and optimizer.
        edits: that make it of the program, as those of a `Variant`.
        harmless: faults by id whose edits fit, but are none there, and why.
    """

    id: str
    what: str
    edits: tuple[tuple[str, str], ...] = ()
    harmless: Mapping[str, str] = field(default_factory=dict)

    @property
    def reference(self) -> Variant:
        """The program in this form, sound."""
        return Variant(self.id, self.what, self.edits)

    def planted(self, fault: Variant) -> Variant:
        """Return a fault of the program in this form; its edits come after the form's."""
        return dataclasses.replace(fault, id=f"{fault.id}-{self.id}", edits=(*self.edits, *fault.edits))

    def why_not(self, fault: Variant) -> str:
        """Return why a fault cannot be planted here, or nothing."""
        try:
            edited(self.planted(fault))
        except ValueError:
            return "its text is not there"
        return self.harmless.get(fault.id, "")


FIRST = Architecture(REFERENCE.id, "convolutions, BatchNorm, ReLU; SGD with Nesterov momentum")

_ATTENTION = """\
x = x.flatten(2).mT
        q, k, v = self.qkv(x).chunk(3, -1)
        x = (x + F.scaled_dot_product_attention(q, k, v)).mean(1)"""

SECOND = Architecture(
    "second",
    "convolutions, LayerNorm, GELU and ReLU, attention; AdamW",
    edits=(
        ('"lr": 0.05', '"lr": 0.003'),
        ('"wd": 5e-4', '"wd": 0.05'),
        ("BN = dict(momentum=0.1, ", "NORM = dict("),
        ("self.b1 = nn.BatchNorm2d(12, **BN)", "self.b1 = nn.GroupNorm(1, 12, **NORM)"),
        ("self.b2 = nn.BatchNorm2d(24, **BN)", "self.b2 = nn.GroupNorm(1, 24, **NORM)"),
        ("self.b3 = nn.BatchNorm2d(24, **BN)", "self.b3 = nn.GroupNorm(1, 24, **NORM)"),
        ("self.b4 = nn.BatchNorm2d(48, **BN)", "self.b4 = nn.GroupNorm(1, 48, **NORM)"),
        ("        self.fc = ", "        self.qkv = nn.Linear(48, 144)\n        self.fc = "),
        ("F.relu(self.b1(", "F.gelu(self.b1("),
        ("F.relu(self.b4(", "F.gelu(self.b4("),
        ("x = x.mean((2, 3))", _ATTENTION),
        ('SGD(groups, lr=CFG["lr"], momentum=CFG["mom"], ', 'AdamW(groups, lr=CFG["lr"], betas=(CFG["mom"], 0.999), '),
        ("nesterov=True)", "eps=1e-8)"),
    ),
    harmless={"O11": "AdamW's decay is decoupled", "R05": "there are no running statistics"},
)

ARCHITECTURES = (FIRST, SECOND)
