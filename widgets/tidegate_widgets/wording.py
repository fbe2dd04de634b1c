"""The words of the run graph: states, lines of nodes, the note under the header, the inspector."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from tidegate.model.events import InputAsked, InputGiven
from tidegate.model.states import State, StateType
from tidegate.moments import duration
from tidegate.plurals import counted
from tidegate.sampling import SAMPLED

from .form import Form, told
from .graph_model import GraphModel
from .node import Node
from .picture_svg import shortened
from .protocol import Counts, Detail, Dial, ErrorView, Fact, Family, StateView
from .same_errors import SameError

_FAMILY: dict[StateType, Family] = {
    StateType.SCHEDULED: "attention",
    StateType.PENDING: "idle",
    StateType.RUNNING: "active",
    StateType.PAUSED: "attention",
    StateType.CANCELLING: "attention",
    StateType.COMPLETED: "done",
    StateType.FAILED: "bad",
    StateType.CRASHED: "bad",
    StateType.CANCELLED: "idle",
}


def state_view(state: State) -> StateView:
    """A state as shown."""
    return {
        "type": state.type.value,
        "name": state.name,
        "family": _FAMILY[state.type],
        "message": state.message,
    }


def counts_view(counts: Mapping[str, int]) -> Counts:
    """Counts by letter as counts by meaning."""
    return {
        "done": counts["d"],
        "running": counts["r"],
        "retrying": counts["a"],
        "failed": counts["f"],
        "cancelled": counts["c"],
        "waiting": counts["w"],
    }


def node_state(node: Node) -> State:
    """The state of a node: its only member's, or what its members amount to."""
    counts = node.counts
    if len(node.members) == 1:
        return node.state
    open_ = counts["r"] + counts["a"] + counts["w"] - node.not_ready
    if counts["r"] or (open_ and open_ < len(node.members)):
        return State(StateType.RUNNING, "Running")
    if open_:
        return State(StateType.PENDING, "Pending")
    if counts["f"]:
        return State(StateType.FAILED, "Failed", f"{counts['f']} of {len(node.members)} failed.")
    if counts["c"]:
        return State(StateType.CANCELLED, "Cancelled")
    if node.not_ready:
        return State(StateType.PENDING, "NotReady")
    return State(StateType.COMPLETED, "Completed")


def node_line(node: Node, waits_for: int) -> str:
    """The second line of a node; `waits_for` counts the upstream runs that have not ended."""
    counts, total = node.counts, len(node.members)
    if total > 1:
        line = f"{counts['d']:,} of {total:,}"
        if counts["r"]:
            line += f" · {counts['r']:,} running"
        if node.throttled:
            line += f" · {node.throttled:,} throttled"
        if counts["a"] > node.throttled:
            line += f" · {counts['a'] - node.throttled:,} to retry"
        if not (counts["r"] or counts["a"]) and node.ended:
            line += f" · {duration(node.seconds / node.ended)} each"
        return line
    if counts["d"]:
        return duration(node.seconds) + (f" · attempt {node.attempts}" if node.attempts > 1 else "")
    if node.state.type is StateType.PAUSED:
        return "paused"
    if counts["r"]:
        return "running" if node.attempts < 2 else f"running, attempt {node.attempts}"
    if counts["a"]:
        return f"{'throttled' if node.throttled else 'failed'}, attempt {node.attempts + 1} follows"
    if counts["f"] or counts["c"]:
        return node.state.name.lower() + (f" after {duration(node.seconds)}" if node.seconds else "")
    if node.not_ready:
        return "not ready: an input failed"
    return f"waits for {waits_for:,}" if waits_for else "waiting"


def box_line(model: GraphModel, line: str) -> str:
    """The line of a subflow that is open, with the flow run that is in it: ``6 of 15 done · 41.2s``."""
    done = sum(node.counts["d"] for node in model.nodes.values())
    return f"{done:,} of {model.total:,} done · {line}"


def node_alert(node: Node) -> str:
    """What needs attention in a group."""
    if len(node.members) == 1:
        return ""
    if node.counts["f"]:
        return f"{node.counts['f']:,} failed"
    return f"{node.not_ready:,} not ready" if node.not_ready else ""


def note(model: GraphModel, counts: Counter[str]) -> str:
    """The line under the header; empty where the graph says it all."""
    if model.problem:
        return f"Not being saved. {model.problem}"
    state = model.state
    if state.is_suspended() and state.message.startswith(SAMPLED):
        return state.message  # how long the rest takes is what it was made for
    if state.is_suspended():
        return f"Suspended by {model.by or 'the flow'} at {_clock(state.timestamp)}. What completed is kept."
    if state.type is StateType.PAUSED:
        return _paused(model, counts)
    if state.type is StateType.CANCELLING:
        left = counts["r"]
        return f"Cancelled by {model.by}. {_runs(left)} still to end." if left else f"Cancelled by {model.by}."
    if state.name == "Interrupted":
        return f"{state.message} What had finished is in the record."
    if state.type in (StateType.FAILED, StateType.CRASHED) and not counts["f"]:
        return state.message
    if counts["f"]:
        return failures(model, counts["f"])
    return state.message if state.type is StateType.CANCELLED else ""


def answered(asked: InputAsked, given: InputGiven, asker: str = "") -> str:
    """The line on a question that was answered; `asker` names the subflow that asked."""
    form = Form.of(asked.key, asked.title, json.loads(asked.schema))
    what = f"{form.title} was answered"
    if asker:
        what = f"{'The question' if form.whole else form.title} of {asker} was answered"
    elif form.whole:
        what = "Answered"
    return f"{what} by {shortened(given.by, 80)} at {_clock(given.at)}: {told(given.answer)}"


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def _paused(model: GraphModel, counts: Counter[str]) -> str:
    at = _clock(model.state.timestamp)
    busy = counts["r"]
    if model.state.name == "Suspending":
        has = "has" if busy == 1 else "have"
        when = f"when {_runs(busy)} that had started {has} ended" if busy else "at its next call of a task"
        what = (
            "The cell is released" if model.created is not None and model.created.body else "Its process lets go of it"
        )
        return f"Suspended by {model.by or 'the flow'} at {at}. {what} {when}."
    ending = f"{_runs(busy)} that had started {'goes' if busy == 1 else 'go'} on; no" if busy else "No"
    return f"Paused by {model.by or 'the flow'} at {at}. {ending} new task run starts."


def _runs(count: int) -> str:
    return counted(count, "task run")


def failures(model: GraphModel, total: int) -> str:
    """Failures in one line, the same error once: ``locate[3], [17]: ValueError: bad row``."""
    errors = [(node, same) for node in model.nodes.values() for same in node.errors]
    parts = []
    for node, same in errors[:2]:
        shown = same.examples(node.members, 3) if len(node.members) > 1 else []
        places = ", ".join(f"[{place}]" for _, place in shown)
        more = f" and {len(same.places) - 3:,} more" if len(same.places) > 3 else ""
        parts.append(f"{node.task}{places}{more}: {shortened(same.text, 120)}")
    return "  ·  ".join(parts) + (f" … {total:,} failed in all." if len(errors) > 2 else "")


def versions_text(model: GraphModel, node: Node) -> str:
    """With which versions of the code its task runs began: ``version 1: 3 runs, version 2: 9 runs``."""
    began = Counter(map(model.version, node.members))
    parts = [f"version {each}: {_runs(began[each])}" for each in sorted(began) if each]
    return ", ".join(parts) or "none has begun"


def detail(model: GraphModel, node: Node, dials: Sequence[Dial] = ()) -> Detail:
    """What the inspector shows about a node, which has these dials."""
    members = len(node.members)
    facts: list[Fact] = []
    if members > 1:
        facts.append({"label": "Runs", "text": f"{members:,}"})
    if node.attempts > 1:
        facts.append({"label": "Attempts", "text": f"up to {node.attempts}" if members > 1 else str(node.attempts)})
    if node.ended:
        text = duration(node.seconds / node.ended)
        facts.append({"label": "Duration", "text": f"{text} on average" if members > 1 else text})
    if len(node.versions) > 1:
        facts.append({"label": "Code", "text": versions_text(model, node)})
    sources = [model.nodes[source].task for source, target in model.edges if target == node.site]
    if sources:
        facts.append({"label": "Inputs", "text": ", ".join(sources)})
    state = node_state(node)
    if state.message and not node.failures:
        facts.append({"label": "Message", "text": state.message})
    return {
        "node": model.base + node.site,
        "name": node.task,
        "state": state_view(state),
        "facts": facts,
        "member": model.base + node.members[0] if members == 1 else None,
        "errors": [_error(model, node, same) for same in node.errors],
        "dials": list(dials),
    }


def _error(model: GraphModel, node: Node, same: SameError) -> ErrorView:
    runs = same.examples(node.members)
    first = node.failure(runs[0][0])
    many = len(node.members) > 1
    return {
        "error": same.text,
        "total": len(same.places),
        "runs": [
            {"number": model.base + number, "label": f"{node.task}[{place}]" if many else node.task}
            for number, place in runs
        ],
        "traceback": "" if first is None else first.traceback,
    }
