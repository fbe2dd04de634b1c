"""Flow runs as a table, for people and for plain text."""

from __future__ import annotations

from html import escape

from tidegate.model.views import FlowRow
from tidegate.moments import duration, moment

HEAD = ("run", "flow", "name", "state", "created", "took")


class RunTable(list[FlowRow]):
    """Flow runs, newest first; shows itself as a table."""

    def rows(self) -> list[tuple[str, ...]]:
        """The cells as text."""
        return [_cells(row) for row in self]

    def _repr_html_(self) -> str:
        if not self:
            return "<p>No flow run yet.</p>"
        head = "".join(f"<th>{name}</th>" for name in HEAD)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        if not self:
            return "No flow run yet."
        table = [HEAD, *self.rows()]
        widths = [max(len(row[at]) for row in table) for at in range(len(HEAD))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        )


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
