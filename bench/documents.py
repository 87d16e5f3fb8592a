"""Tables that are computed, and stand in documents between two markers."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
END = "<!-- end -->"


def begin(name: str) -> str:
    """The marker before a computed part; `END` is behind it."""
    return f"<!-- computed: {name} -->"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the cells of all columns but the first are numbers as a rule, so they are short."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def with_computed(text: str, computed: Mapping[str, str]) -> str:
    """The text with each computed part between its markers. Raises `ValueError` where one has no place."""
    for name, content in computed.items():
        marker = f"{begin(name)}\n"
        before, found, rest = text.partition(marker)
        _, ended, after = rest.partition(END)
        if not found or not ended:
            raise ValueError(f"there are no markers for {name}")
        text = f"{before}{marker}{content}\n{END}{after}"
    return text


def write(document: str, computed: Mapping[str, str]) -> None:
    """Puts the computed parts into a document of the project."""
    path = PROJECT / document
    path.write_text(with_computed(path.read_text("utf-8"), computed), "utf-8")
