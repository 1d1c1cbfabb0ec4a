"""Which pages there are, and what they have in common."""

from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
HEADER = "<!-- Made by `make reference` from the code. Do not edit: the next run overwrites it. -->\n\n"


def pages() -> dict[str, str]:
    """Every generated page's name and text."""
    from scripts.reference import commands, configuration, errors, readiness

    texts = {
        "commands.md": commands.page(),
        "file.md": configuration.page(),
        "errors.md": errors.page(),
        "readiness.md": readiness.page(),
    }
    return {name: HEADER + text.rstrip() + "\n" for name, text in texts.items()}


def cell(text: str) -> str:
    """Text that fits into a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *([cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
