"""Tables, for people and for plain text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tidegate.model.views import FlowRow
from tidegate.moments import duration, moment


class Table:
    """Rows of text under a head; shows itself as a table, in a page and in plain text."""

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
        self.head = tuple(head)
        self.rows = [tuple(row) for row in rows]
        self.title = title

    def _repr_html_(self) -> str:
        title = f"<p>{escape(self.title)}</p>" if self.title else ""
        head = "".join(f"<th>{escape(name)}</th>" for name in self.head)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows)
        return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        table = [self.head, *self.rows]
        widths = [max(len(row[at]) for row in table) for at in range(len(self.head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join([self.title, *lines] if self.title else lines)


class RunTable(list[FlowRow]):
    """Flow runs, newest first; shows itself as a table."""

    @property
    def _table(self) -> Table:
        return Table(("run", "flow", "name", "state", "created", "took"), [_cells(row) for row in self])

    def _repr_html_(self) -> str:
        return self._table._repr_html_() if self else "<p>No flow run yet.</p>"

    def __repr__(self) -> str:
        return repr(self._table) if self else "No flow run yet."


def _cells(row: FlowRow) -> tuple[str, ...]:
    seconds = row.ended - row.started if row.ended is not None and row.started is not None else None
    return (
        str(row.number),
        row.flow,
        row.name,
        row.state.name,
        moment(row.created),
        "" if seconds is None else duration(seconds),
    )
