"""What a model came from and what came of it, as a graph from the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from ml_governance.evidence.predicates import (
    Assessment,
    Deployment,
    Monitoring,
    Promotion,
    Registration,
    Revocation,
    SecurityScan,
    TrainingRun,
)
from ml_governance.evidence.verdicts import Approval, BreakGlass, DecisionRecord, Waiver

if TYPE_CHECKING:
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject

LAYERS = ("data", "run", "model", "assessment", "approval", "decision", "promotion", "use")
"""Kinds of nodes, in the order in which things happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Something in the graph.

    Parameters
    ----------
    id : str
        Unique in the graph.
    layer : str
        One of :data:`LAYERS`.
    label : str
        What it is called.
    detail : str
        What more there is to say in a few words.
    entries : tuple of int
        Ledger indices.
    """

    id: str
    layer: str
    label: str
    detail: str
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Nodes and arrows (from, to); an arrow points to what came later."""

    subject: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]

    def _repr_html_(self) -> str:
        return to_svg(self)


def trace(view: EvidenceView, subject: Subject) -> Graph:
    """Walk from a subject up to what it came from and down to what came of it.

    Parameters
    ----------
    view : EvidenceView
        Verified evidence.
    subject : Subject
        A model.
    """
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str], None] = {}

    def add(identity: str, layer: str, label: str, detail: str, index: int) -> str:
        known = nodes.get(identity)
        entries = (
            (index,) if known is None else (*known.entries, index) if index not in known.entries else known.entries
        )
        nodes[identity] = Node(
            id=identity,
            layer=layer,
            label=label,
            detail=detail or (known.detail if known else ""),
            entries=entries,
        )
        return identity

    model = f"model:{subject.sha256}"
    tokens = {}
    for entry in view.about(subject.sha256):
        _place(entry, subject, model, add, edges)
        if isinstance(entry.content, Promotion):
            tokens[f"intent:{entry.payload_digest}"] = f"promotion:{entry.content.token}"
    edges = {(tokens.get(start, start), end): None for start, end in edges}
    if model not in nodes:
        nodes[model] = Node(id=model, layer="model", label=subject.name, detail=subject.sha256[:12], entries=())
    for run in [node for node in nodes.values() if node.layer == "run"]:
        # START and FAIL are about the run, not yet about the model.
        for entry in view.about(run.id.removeprefix("run:"), TrainingRun.kind):
            add(run.id, "run", run.label, run.detail, entry.index)
    _upstream(view, nodes, add, edges)
    return Graph(subject=model, nodes=tuple(nodes.values()), edges=tuple(edges))


def _upstream(view: EvidenceView, nodes: dict[str, Node], add: Any, edges: dict[tuple[str, str], None]) -> None:
    """Walk from data to the runs that wrote exactly these bytes, to what those read, and so on."""
    todo = [node.id for node in nodes.values() if node.layer == "data"]
    seen = set(todo)
    while todo:
        data = todo.pop()
        for entry in view.about(data.removeprefix("data:"), TrainingRun.kind):
            content = entry.content
            if not isinstance(content, TrainingRun) or content.event.get("eventType") != "COMPLETE":
                continue
            source = entry.subjects[0]
            detail = f"by {entry.principal.id}, {content.capture}"
            run = add(f"run:{source.sha256}", "run", source.name, detail, entry.index)
            edges[run, data] = None
            for one in content.inputs:
                rows = f"{one.rows:,} rows" if one.rows is not None else "bytes"
                above = add(f"data:{one.sha256}", "data", one.name, f"{rows}, {one.sha256[:12]}", entry.index)
                edges[above, run] = None
                if above not in seen:
                    seen.add(above)
                    todo.append(above)


def _place_measured(
    entry: Attestation, content: Assessment, model: str, add: Any, edges: dict[tuple[str, str], None]
) -> None:
    by = entry.principal.id
    made = add(f"entry:{entry.index}", "assessment", content.kind, f"by {by}, {content.predictions}", entry.index)
    edges[model, made] = None
    if not isinstance(content, SecurityScan):  # whose data are the model's own files
        used = content.dataset
        rows = f"{used.rows:,} rows, " if used.rows is not None else ""
        data = add(f"data:{used.sha256}", "data", used.name, f"{rows}{used.sha256[:12]}", entry.index)
        edges[data, made] = None


def _place(entry: Attestation, subject: Subject, model: str, add: Any, edges: dict[tuple[str, str], None]) -> None:
    content, index, by = entry.content, entry.index, entry.principal.id
    if isinstance(content, Deployment | Monitoring):
        _place_in_use(entry, model, add, edges)
    elif isinstance(content, Registration):
        add(model, "model", subject.name, f"sha256 {subject.sha256[:12]}", index)
    elif isinstance(content, TrainingRun):
        run_subject = entry.subjects[0]
        run = add(f"run:{run_subject.sha256}", "run", run_subject.name, f"by {by}, {content.capture}", index)
        edges[run, model] = None
        for one in content.inputs:
            rows = f"{one.rows:,} rows" if one.rows is not None else "bytes"
            data = add(f"data:{one.sha256}", "data", one.name, f"{rows}, {one.sha256[:12]}", index)
            edges[data, run] = None
    elif isinstance(content, Assessment):
        _place_measured(entry, content, model, add, edges)
    elif isinstance(content, Approval | Waiver):
        made = add(f"entry:{index}", "approval", content.kind, f"by {by} as {content.role.replace('_', ' ')}", index)
        edges[model, made] = None
    elif isinstance(content, DecisionRecord):
        made = add(f"entry:{index}", "decision", f"{content.result} for {content.stage}", f"by {by}", index)
        edges[model, made] = None
        for source in (*content.input_attestations, *content.approvals, *content.waivers):
            edges[f"entry:{source.index}", made] = None
    elif isinstance(content, Promotion):
        made = add(
            f"promotion:{content.token}",
            "promotion",
            f"{content.name}/{content.version} to {content.stage}",
            f"by {by}: {content.result or content.phase}",
            index,
        )
        edges[model, made] = None
    elif isinstance(content, BreakGlass):
        made = add(f"entry:{index}", "decision", f"break-glass for {content.stage}", f"by {by}", index)
        edges[model, made] = None
    elif isinstance(content, Revocation):
        made = add(f"entry:{index}", "decision", "revocation", f"by {by}", index)
        edges[model, made] = None


def _place_in_use(entry: Attestation, model: str, add: Any, edges: dict[tuple[str, str], None]) -> None:
    """Place processes and windows, which may be many: one node for each stage stands for all of them, with every entry."""
    content, index = entry.content, entry.index
    if isinstance(content, Deployment):
        made = add(f"serving:{content.stage}", "use", f"served in {content.stage}", "processes", index)
        edges[f"intent:{content.promotion}", made] = None
    elif isinstance(content, Monitoring):
        made = add(f"windows:{content.stage}", "use", f"measured in {content.stage}", f"by {entry.principal.id}", index)
        edges[model, made] = None


def shown(graph: Graph) -> Graph:
    """Return the graph without arrows to nodes that are not in it, nor arrows that others make superfluous."""
    known = {node.id: node for node in graph.nodes}
    edges = [(a, b) for a, b in graph.edges if a in known and b in known]
    # A decision that rests on an assessment of the model needs no arrow from the model as well.
    fed = {b for a, b in edges if a != graph.subject}
    trimmed = [(a, b) for a, b in edges if not (a == graph.subject and b in fed and known[b].layer == "decision")]
    return Graph(subject=graph.subject, nodes=graph.nodes, edges=tuple(trimmed))


def to_dict(graph: Graph) -> dict[str, Any]:
    """Return plain JSON values."""
    return {
        "subject": graph.subject,
        "nodes": [
            {"id": n.id, "layer": n.layer, "label": n.label, "detail": n.detail, "entries": list(n.entries)}
            for n in graph.nodes
        ],
        "edges": [{"from": a, "to": b} for a, b in shown(graph).edges],
    }


def to_text(graph: Graph) -> str:
    """Return the graph as an indented list: what it came from, itself, what came of it."""
    lines = []
    titles = {
        "data": "data", "run": "training", "model": "model", "assessment": "assessments", "approval": "approvals and waivers",
        "decision": "decisions", "promotion": "promotions", "use": "in use",
    }  # fmt: skip
    for layer in LAYERS:
        members = [node for node in graph.nodes if node.layer == layer]
        if members:
            lines.append(titles[layer])
        for node in members:
            entries = ", ".join(f"#{index}" for index in node.entries)
            lines.append(f"  {node.label}  ({node.detail}){f'  {entries}' if entries else ''}")
    return "\n".join(lines)


COLUMNS = (("data",), ("run",), ("model",), ("assessment", "approval"), ("decision", "promotion"), ("use",))
"""Which layers stand in one column of the drawing."""

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 204, 46, 48, 16, 12
MAX_TEXT = 25


def to_svg(graph: Graph) -> str:
    """Return a drawing, layer by layer from left to right, that follows the colours of the page it is in."""
    graph = shown(graph)
    layers = [[node for layer in column for node in graph.nodes if node.layer == layer] for column in COLUMNS]
    layers = [layer for layer in layers if layer]
    tallest = max(len(layer) for layer in layers)
    width = 2 * MARGIN + len(layers) * BOX_WIDTH + (len(layers) - 1) * GAP_X
    height = 2 * MARGIN + tallest * (BOX_HEIGHT + GAP_Y) - GAP_Y
    place: dict[str, tuple[float, float]] = {}
    for column, layer in enumerate(layers):
        top = (height - len(layer) * (BOX_HEIGHT + GAP_Y) + GAP_Y) / 2
        for row, node in enumerate(layer):
            place[node.id] = (MARGIN + column * (BOX_WIDTH + GAP_X), top + row * (BOX_HEIGHT + GAP_Y))
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="lineage" viewBox="0 0 {width} {height:g}" width="{width}" role="img" '
            f'aria-labelledby="lineage-title lineage-desc">'
        ),
        '<title id="lineage-title">Lineage</title>',
        f'<desc id="lineage-desc">{escape("; ".join(to_text(graph).splitlines()))}</desc>',
        (
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 8 4 0 8z" fill="currentColor" opacity=".55"/></marker></defs>'
        ),
    ]
    for start, end in graph.edges:
        (x1, y1), (x2, y2) = place[start], place[end]
        a, b = (x1 + BOX_WIDTH, y1 + BOX_HEIGHT / 2), (x2 - 2, y2 + BOX_HEIGHT / 2)
        bend = max(24.0, (b[0] - a[0]) / 2)
        parts.append(
            f'<path d="M{a[0]:g} {a[1]:g}C{a[0] + bend:g} {a[1]:g} {b[0] - bend:g} {b[1]:g} {b[0]:g} {b[1]:g}" fill="none" '
            'stroke="currentColor" stroke-width="1.2" opacity=".4" marker-end="url(#arrow)"/>'
        )
    for node in graph.nodes:
        x, y = place[node.id]
        strong = ' stroke-width="2.2"' if node.id == graph.subject else ""
        label, detail = escape(_short(node.label)), escape(_short(node.detail, 31))
        ink = 'fill="currentColor"'
        parts.append(
            f'<g class="node {node.layer}"><rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" '
            f'fill="var(--paper, #fff)" stroke="currentColor"{strong}/>'
            f'<text x="{x + 10:g}" y="{y + 19:g}" font-size="12.5" font-weight="600" {ink}>{label}</text>'
            f'<text x="{x + 10:g}" y="{y + 35:g}" font-size="11" {ink} fill-opacity=".75">{detail}</text></g>'
        )
    return "".join(parts) + "</svg>"


def _short(text: str, limit: int = MAX_TEXT) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
