"""`harness list` and `harness show`: the stored baselines, and one of them."""

import argparse
from typing import Any

from harness.baselines.files import scraps
from harness.baselines.inventory import inventory
from harness.commands.project import add_places, baselines, last_orphans, stored
from harness.report.words import inventory_text, stored_text


def add(subparsers: Any) -> None:
    """Add both commands."""
    parser = subparsers.add_parser("list", help="the baselines: when, where and from what they were made; orphans")
    add_places(parser)
    parser.set_defaults(run=_list)
    parser = subparsers.add_parser("show", help="all about one baseline but its numbers")
    parser.add_argument("name", help="a baseline's name, or its file name")
    add_places(parser)
    parser.set_defaults(run=_show)


def _list(given: argparse.Namespace) -> int:
    folder = baselines(given)
    print(inventory_text(inventory(folder), folder, last_orphans(given), scraps(folder)))
    return 0


def _show(given: argparse.Namespace) -> int:
    print("\n\n".join(stored_text(entry) for entry in stored(given, given.name)))
    return 0
