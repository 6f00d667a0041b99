"""The report: one HTML file that needs nothing beside it, neither files nor a network."""

from harness.page.page import page
from harness.page.pictures import pictures


__all__ = ["page", "pictures"]
