"""What a rule asks of the data behind evidence: which data, how often used, and that test data were not trained on."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from ml_governance.decide.bounds import Judged
from ml_governance.decide.champion import names_of, versions_of
from ml_governance.decide.selecting import Unusable
from ml_governance.evidence.predicates import Assessment, TrainingRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_governance.decide.require import Require
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject

OVERLAP = "rowOverlap"
"""Key of an assessment's details: a list of ``{"with": digest of other data, "rows": test rows that equal one of its rows}``."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def judge(require: Require, subject: Subject, entry: Attestation, evidence: EvidenceView) -> tuple[Judged, ...]:
    """Judge what a rule asks of the data behind an entry, one outcome for each condition."""
    content = entry.content
    if isinstance(content, TrainingRun):
        return _inputs(require, content)
    if not isinstance(content, Assessment):
        return ()
    judged = []
    for suffix, ask in (("dataset", _dataset), ("attempts", _attempts), ("overlap", _overlap)):
        try:
            judged += [Judged(suffix=suffix, **found) for found in ask(require, subject, entry, content, evidence)]
        except Unusable as problem:
            judged.append(Judged(suffix=suffix, status=problem.status, text=problem.text))
    return tuple(judged)


def _inputs(require: Require, content: TrainingRun) -> tuple[Judged, ...]:
    if not require.inputs:
        return ()
    if not content.inputs:
        return (Judged(suffix="inputs", status="missing", text="the training run names no input by digest"),)
    strange = [
        f"{one.name} (sha256:{one.sha256[:12]})"
        for one in content.inputs
        if f"sha256:{one.sha256}" not in require.inputs
    ]
    text = (
        f"was trained on {', '.join(strange)}, which the policy does not name"
        if strange
        else "was trained on data that the policy names"
    )
    return (Judged(suffix="inputs", status="fail" if strange else "pass", text=f"the model {text}"),)


def _dataset(
    require: Require, _subject: Subject, _entry: Attestation, content: Assessment, _evidence: EvidenceView
) -> Iterator[dict[str, Any]]:
    if not require.dataset:
        return
    known = f"sha256:{content.dataset.sha256}" in require.dataset
    yield {
        "status": "pass" if known else "fail",
        "text": f"the test data are {content.dataset.name} (sha256:{content.dataset.sha256[:12]}), which the policy "
        f"{'names' if known else 'does not name'}",
    }


def _attempts(
    require: Require, subject: Subject, entry: Attestation, content: Assessment, evidence: EvidenceView
) -> Iterator[dict[str, Any]]:
    """Count the recorded assessments on the same test data up to this one.

    What was revoked counts, for somebody saw it; so does what was erased or signed with a key taken back since, for nobody can
    tell on which data it was made.
    """
    if require.max_attempts is None:
        return
    versions = versions_of(names_of(subject, evidence), evidence) | {subject.sha256}
    own, strangers = 0, 0
    for one in evidence.of_kind(entry.kind):
        if (
            one.index <= entry.index
            and isinstance(one.content, Assessment)
            and one.content.dataset.sha256 == content.dataset.sha256
        ):
            mine = any(about.sha256 in versions for about in one.subjects)
            own, strangers = own + mine, strangers + (not mine)
    gone = sum(v.kind == entry.kind and bool(v.subjects & versions) and v.index < entry.index for v in evidence.void)
    total = own + gone
    also = f", {gone} of them no longer readable" if gone else ""
    others = f"; other models were assessed on them {strangers} times" if strangers else ""
    yield {
        "status": "pass" if total <= require.max_attempts else "fail",
        "text": f"this is attempt {total} on these test data over all versions of the model{also}, and {require.max_attempts} "
        f"are allowed{others}; what was not recorded is not counted",
        "value": float(total),
    }


def _overlap(
    require: Require, subject: Subject, _entry: Attestation, content: Assessment, evidence: EvidenceView
) -> Iterator[dict[str, Any]]:
    if require.no_overlap_with is None:
        return
    trained_on = {
        one.sha256: one.name
        for a in evidence.about(subject.sha256, TrainingRun.kind)
        if isinstance(a.content, TrainingRun)
        for one in a.content.inputs
    }
    if not trained_on:
        raise Unusable("missing", "no training run says by digest what the model was trained on")
    if content.dataset.sha256 in trained_on:
        yield {
            "status": "fail",
            "text": f"the test data are {trained_on[content.dataset.sha256]}, which the model was trained on",
        }
        return
    shared = _shared_rows(content)
    unknown = [name for sha256, name in trained_on.items() if sha256 not in shared]
    if unknown:
        raise Unusable(
            "missing",
            f"the test data have another digest than {', '.join(unknown)}, and whether they share rows was not measured: assess "
            "again with the training data at hand",
        )
    rows = content.dataset.rows
    if not rows:
        raise Unusable("error", "the evidence does not say how many rows the test data have")
    most = max(shared[sha256] for sha256 in trained_on)
    if most > rows:
        raise Unusable("error", f"the evidence says that {most:,} of {rows:,} test rows are in the training data")
    share = most / rows
    yield {
        "status": "pass" if share <= require.max_overlap else "fail",
        "text": f"{most:,} of {rows:,} test rows equal a row of the training data, and at most {require.max_overlap:.2%} may",
        "value": share,
        "n": rows,
    }


def _shared_rows(content: Assessment) -> dict[str, int]:
    found: dict[str, int] = {}
    listed = content.details.get(OVERLAP, [])
    for one in listed if isinstance(listed, list) else [listed]:
        sha256, rows = (one.get("with"), one.get("rows")) if isinstance(one, dict) else (None, None)
        whole = type(rows) is int or (type(rows) is float and math.isfinite(rows) and rows.is_integer())
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256) or not whole or int(rows) < 0:  # type: ignore[arg-type]
            raise Unusable("error", f"the evidence says of shared rows what cannot be read: {one!r:.200}")
        if sha256 in found:
            raise Unusable("error", f"the rows shared with sha256:{sha256[:12]} are reported twice")
        found[sha256] = int(rows)  # type: ignore[arg-type]
    return found
