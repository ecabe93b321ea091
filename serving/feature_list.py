"""The catalogue of a bundle's features, printed for people or for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from features.catalog import Feature

COLUMNS = [field.name for field in fields(Feature)]
PIPED_WIDTH = 200  # where no terminal says how wide it is, most rows fit one line


def print_features(catalog: Sequence[Feature], form: Literal["table", "csv", "json"]) -> None:
    """Print name, unit and meaning of each feature to standard output, in the order of the columns."""
    if form == "table":
        Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(_table(catalog))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([COLUMNS, *map(astuple, catalog)])
    else:
        print(json.dumps([asdict(feature) for feature in catalog], indent=1, ensure_ascii=False))


def _table(catalog: Sequence[Feature]) -> Table:
    table = Table(*COLUMNS)
    for feature in catalog:
        table.add_row(*(Text(cell) for cell in astuple(feature)))  # a campaign's name is no markup
    return table
