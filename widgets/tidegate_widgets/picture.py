"""The static picture of a run: what remains in a saved notebook, and what shows where no script runs.

It is one HTML fragment without ids, scripts or addresses.  Text is in the colour of the page around it and
states are in middle tones, so that it reads on light and dark pages alike.
"""

from typing import Final

from tidegate.moments import duration

from .palette import FAMILIES, shape_of
from .picture_svg import COUNTS, FULL, NO_EDGES, bar, graph, icon, plain, shortened
from .protocol import QuestionView, RunView, View

LIMIT: Final = 60_000
"""Bytes of UTF-8 that a picture has at most; strips, then texts, then edges are left out to keep to it."""

# JupyterLab says "Error displaying widget" for a widget whose kernel is gone; the picture after it says more.
# The error is the output node itself, while a live widget is inside of one.
_STYLE = (
    "<style>.jp-OutputArea-child:has(>.jp-OutputArea-output.jupyter-widgets)"
    ":has(+.jp-OutputArea-child [data-tidegate-picture]){display:none}</style>"
)
_PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width,initial-scale=1">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src 'unsafe-inline'\">"
    "<style>:root{{color-scheme:light dark}}body{{margin:24px}}</style><title>{title}</title></head>"
    "<body>{body}</body></html>"
)
_ROW = "display:flex;flex-wrap:wrap;align-items:center;gap:4px 12px"
_QUIET = "opacity:.8;font-size:12px"
_NOTE = "margin-top:8px;font-size:12px"
_SHOWN_FIELDS = 8


def summary(view: View) -> str:
    """The run in one line of plain text: ``airports 'amber-otter': Failed · 3,378 tasks, 12 failed · 2m 46s``."""
    run = view["run"]
    tasks = f"{run['total']:,} task{'' if run['total'] == 1 else 's'}"
    if run["counts"]["failed"]:
        tasks += f", {run['counts']['failed']:,} failed"
    parts = [f"{_name(run['flow'])} '{_name(run['name'])}': {_name(run['state']['name'])}", tasks]
    if run["started"] is not None:
        parts.append(duration(run["elapsed"]))
    return " · ".join(parts)


def picture(view: View) -> str:
    """The run as an HTML fragment of at most `LIMIT` bytes; its wrapper carries ``data-tidegate-picture``."""
    text = ""
    for level in range(FULL, NO_EDGES + 1):
        text = _fragment(view, _body(view, level))
        if len(text.encode()) <= LIMIT:
            return text
    return _fragment(view, _line("The graph is too large for a saved picture.", _QUIET))


def page(view: View) -> str:
    """A complete HTML page that shows the picture."""
    return _PAGE.format(title=plain(summary(view), 240), body=picture(view))


def _name(text: str) -> str:
    return shortened(text, 80)


def _fragment(view: View, body: str) -> str:
    run = view["run"]
    head = _head(run)
    total = ""
    if run["total"]:
        segments = bar(run["counts"], run["total"], 0, 0, 1000, 8)
        total = (
            '<svg width="100%" height="8" viewBox="0 0 1000 8" preserveAspectRatio="none" fill="currentColor"'
            f' aria-hidden="true" style="display:block;margin-top:8px">{segments}</svg>'
        )
    notes = "".join(_line(plain(line, 400), _NOTE) for line in (run["note"], run.get("answered", "")) if line)
    if "question" in run:
        notes += _question(run["question"], run.get("questions", 1))
    return (
        f'<div class="tidegate-picture" data-tidegate-picture="{plain(run["id"])}" style="font:13px/1.4 system-ui,'
        "-apple-system,'Segoe UI','Noto Sans',sans-serif;border:1px solid rgba(128,128,128,.4);border-radius:8px;"
        f'padding:10px 12px">{_STYLE}{head}{total}{notes}{body}</div>'
    )


def _head(run: RunView) -> str:
    state = run["state"]
    family = state["family"]
    colour = FAMILIES[family].middle
    pill = (
        f'<span style="{_ROW};gap:6px;padding:1px 9px 1px 5px;border-radius:11px;font-weight:600;'
        f'background:{colour}2e">{icon(shape_of(state), family)}{plain(state["name"])}</span>'
    )
    took = ""
    if run["started"] is not None:
        word = "elapsed" if run["running"] else "took"
        took = f'<span style="{_QUIET}">{word} <b>{duration(run["elapsed"])}</b></span>'
    counts = "".join(
        f'<span style="{_ROW};gap:5px;font-size:12px">{icon(name, each)}<span><b>{number:,}</b> {word}</span></span>'
        for word, each, name in COUNTS
        if (number := run["counts"][word])
    )
    return (
        f'<div style="{_ROW}">{pill}<b style="font-size:14px">{plain(run["flow"])}</b>'
        f'<span style="{_QUIET}">{plain(run["name"])}</span>{took}<span style="flex:1"></span>{counts}</div>'
    )


def _question(question: QuestionView, open_: int) -> str:
    """What is asked, and how to answer where no form can be drawn."""
    fields = question["fields"]
    names = ", ".join(plain(each["label"], 40) for each in fields[:_SHOWN_FIELDS])
    more = f" and {len(fields) - _SHOWN_FIELDS} more" if len(fields) > _SHOWN_FIELDS else ""
    inner = f" ({names}{more})" if any(each["name"] for each in fields) else ""
    how = f"Answer from code in this process: <code>{plain(question['code'], 400)}</code>"
    asks = f"<b>{plain(question['asker'], 180)}</b> asks" if question["asker"] else "Asks"
    behind = open_ - 1
    others = f" {behind:,} more question{'s wait' if behind > 1 else ' waits'}." if behind else ""
    return _line(f"{asks} for <b>{plain(question['title'])}</b>{inner}. {how}{others}", _NOTE)


def _body(view: View, level: int) -> str:
    if not view["nodes"]:
        return _line("No task has run.", _QUIET)
    nodes = len(view["nodes"])
    kept = view["run"].get("artifacts", {"count": 0})["count"]
    artifacts = f" · {kept:,} artifact{'' if kept == 1 else 's'} in the record" if kept else ""
    foot = f"{view['run']['total']:,} task runs · {nodes:,} shown as nodes{artifacts} · saved picture"
    return (
        f'<div style="overflow-x:auto;margin-top:6px">{graph(view, level, plain(summary(view), 240))}</div>'
        f"{_line(foot, 'margin-top:4px;opacity:.7;font-size:11.5px')}"
    )


def _line(text: str, style: str) -> str:
    return f'<div style="{style}">{text}</div>'
