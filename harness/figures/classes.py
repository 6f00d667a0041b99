"""What the classes of the known data sets are called."""

from harness.record import Record


__all__ = ["class_name"]

_NAMES = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "synthetic": (
        "disc",
        "ring",
        "square",
        "frame",
        "plus",
        "diagonal cross",
        "horizontal stripes",
        "vertical stripes",
        "checkerboard",
        "triangle",
    ),
}


def class_name(record: Record, label: int) -> str:
    """Return a class's name in the record's data set, or its number."""
    names = _NAMES.get(record.data.get("name", ""), ())
    return names[label] if 0 <= label < len(names) else f"class {label}"
