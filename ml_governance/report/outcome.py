"""The outcome of a check, as every format for pipelines tells it: one case for each rule, and what happened to it.

Everything in it is a stranger's text until it has been made visible: model names, reasons, groups. :func:`visible` takes out
what moves cursors, turns the order of characters or is no character at all; each format escapes the rest in its own way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ml_governance.decide.finding import EVIDENCE_PROBLEMS, OPEN
from ml_governance.decide.reading import read_yaml
from ml_governance.errors import PolicyError
from ml_governance.evidence.canonical import canonicalise, sha256_hex

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_governance.decide.decision import Decision
    from ml_governance.decide.finding import Finding
    from ml_governance.errors import GovernanceError

Kind = Literal["passed", "failed", "error", "waived"]
MAX_TEXT = 4000
"""Most characters of one text that a format shows."""
ORDER: tuple[int, ...] = (130, 5, 2, 4, 1, 3, 0)
"""Exit codes, the one that wins first."""
RESULTS = {0: "allow", 1: "deny", 2: "error", 3: "review", 4: "deny", 5: "error"}
APPROVALS = "GATE-approvals"

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U0001fffe\U0001ffff\U000e0000-\U000e007f]"
)


def visible(text: str, limit: int = MAX_TEXT) -> str:
    r"""Return text in which every character can be seen, and not too many of them.

    Control characters, surrogates, non-characters, and those that are invisible or turn the order of others become ``\xNN``
    or ``\uNNNN``; line breaks and tabs stay.
    """
    cut = f"{text[:limit]} ... and {len(text) - limit:,} more characters" if len(text) > limit else text
    return _INVISIBLE.sub(_shown, cut)


def one_line(text: str, limit: int = MAX_TEXT) -> str:
    """Return visible text on one line."""
    return " ".join(visible(text, limit).split())


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def worst(codes: Sequence[int]) -> int:
    """Return the exit code that wins where several apply: 5 over 2 over 4 over 1 over 3.

    Raises
    ------
    ValueError
        If one is no exit code of ours.
    """
    return min(codes, key=ORDER.index)


WARNS = frozenset({"inconclusive", "insufficient", "pending"})
"""What says neither yes nor no: formats that know warnings have it as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What happened to one rule.

    Parameters
    ----------
    id : str
        The rule's id, or ``GATE-...`` for what no rule says.
    title : str
        The rule in its owner's words.
    kind : {'passed', 'failed', 'error', 'waived'}
        ``error`` is evidence that is missing, stale or cannot be used, and a check that broke.
    status : str
        The worst status of its findings.
    text : str
        Each finding as a sentence, one a line.
    advice : tuple of str
        What would make it pass.
    line : int
        Where it stands in the policy, from 1.
    controls : tuple of str
        Controls that it is evidence for.
    """

    id: str
    title: str
    kind: Kind
    status: str
    text: str
    advice: tuple[str, ...] = ()
    line: int = 1
    controls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a check came to.

    Parameters
    ----------
    model, sha256, stage : str
        What was judged; the digest is empty where nothing was found to judge.
    result : {'allow', 'deny', 'review', 'error'}
        ``error`` where there is no decision.
    exit_code : int
        Of the table in :mod:`ml_governance.cli`.
    policy : str
        Name, version and digest in words; empty where none was found.
    file : str
        The policy's file, relative to the checkout, with ``/``.
    cases : tuple of Case
        In the order of the policy, then what no rule says.
    notes : tuple of str
        What a reader should know.
    at : str
        When it was decided, ISO 8601; empty without a decision.
    """

    model: str
    sha256: str
    stage: str
    result: str
    exit_code: int
    policy: str
    file: str
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()
    at: str = ""

    @property
    def title(self) -> str:
        """Return the outcome on one line."""
        return one_line(f"{self.result.upper()}: {self.model} for {self.stage}", 400)

    def count(self, kind: Kind) -> int:
        """Return how many cases are of a kind."""
        return sum(case.kind == kind for case in self.cases)

    def fingerprint(self, case: Case) -> str:
        """Return what stays the same for the same rule, model and stage from run to run, so that nobody is told twice."""
        return sha256_hex(canonicalise([visible(self.model), visible(self.stage), visible(case.id)]))


def of_decision(
    decision: Decision,
    *,
    policy_text: str,
    file: str,
    notes: Sequence[str] = (),
    errors: Sequence[GovernanceError] = (),
) -> Outcome:
    """Return a decision as cases.

    Parameters
    ----------
    decision : Decision
        What was decided.
    policy_text : str
        The text of the policy that judged, for the lines of its rules.
    file : str
        Where people edit it.
    notes : sequence of str
        What a reader should know besides the decision's own notes.
    errors : sequence of GovernanceError
        What went wrong on the way; each becomes a case and counts for the exit code.
    """
    lines = rule_lines(policy_text)
    by_rule: dict[str, list[Finding]] = {}
    for finding in decision.findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    order = sorted(by_rule, key=lambda rule: (lines.get(rule, len(policy_text)), rule))
    cases = [_case(by_rule[rule], decision, lines.get(rule, 1)) for rule in order]
    if decision.approvals_missing:
        roles = " and as ".join(role.replace("_", " ") for role in decision.approvals_missing)
        cases.append(
            Case(
                id=APPROVALS, title="Everybody who must approve has approved", kind="failed", status="pending",
                text=f"Waiting for an approval as {roles}.",
                advice=tuple(one.text for one in decision.advice if one.about == "approvals"), line=lines.get("approvals", 1),
            )
        )  # fmt: skip
    cases += [_broken(error, position) for position, error in enumerate(errors)]
    code = worst([decision.exit_code, *(error.exit_code for error in errors)])
    return Outcome(
        model=decision.subject.name, sha256=decision.subject.sha256, stage=decision.stage,
        result=decision.result if code == decision.exit_code else RESULTS[code], exit_code=code,
        policy=f"{decision.policy_name} version {decision.policy_version} (sha256:{decision.policy_sha256})", file=file,
        cases=tuple(cases), notes=(*decision.notes, f"assurance: {decision.assurance}", *notes), at=decision.at.isoformat(),
    )  # fmt: skip


def of_errors(
    errors: Sequence[GovernanceError], *, model: str, stage: str, file: str, notes: Sequence[str] = ()
) -> Outcome:
    """Return a check that came to no decision; it blocks, and says why."""
    code = worst([error.exit_code for error in errors])
    return Outcome(
        model=model, sha256="", stage=stage, result=RESULTS[code] if code in (2, 5) else "deny", exit_code=code, policy="",
        file=file, cases=tuple(_broken(error, position) for position, error in enumerate(errors)), notes=tuple(notes),
    )  # fmt: skip


def rule_lines(text: str) -> Mapping[str, int]:
    """Return the line of each rule by id, and of the key ``approvals``; empty if the text is no YAML of ours."""
    try:
        value, lines = read_yaml(text)
    except PolicyError:
        return {}
    if not isinstance(value, dict) or not isinstance(value.get("rules"), list):
        return {}
    found = {
        str(rule["id"]): lines[("rules", position)]
        for position, rule in enumerate(value["rules"])
        if isinstance(rule, dict) and "id" in rule
    }
    return {**found, **({"approvals": lines[("approvals",)]} if ("approvals",) in lines else {})}


def _case(findings: Sequence[Finding], decision: Decision, line: int) -> Case:
    first = findings[0]  # the worst: a decision orders them so
    blocking = [f for f in findings if f.status not in ("pass", "waived") and not _accepted(f, decision)]
    if any(f.status in EVIDENCE_PROBLEMS for f in findings):
        kind: Kind = "error"
    elif blocking:
        kind = "failed"
    elif any(f.status == "waived" for f in findings):
        kind = "waived"
    else:
        kind = "passed"
    about = {f.id for f in findings}
    return Case(
        id=first.rule, title=first.title, kind=kind, status=first.status, line=line, controls=first.controls,
        text="\n".join(f"{f.status} {f.id}: {decision.said(f)}" for f in findings),
        advice=tuple(f"{one.about}: {one.text}" for one in decision.advice if one.about in about),
    )  # fmt: skip


def _accepted(finding: Finding, decision: Decision) -> bool:
    return finding.status in OPEN and finding.id in decision.accepted


def _broken(error: GovernanceError, position: int) -> Case:
    return Case(
        id="GATE-check" if not position else f"GATE-check-{position}", title="The check could be carried out", kind="error",
        status="error", text=f"{type(error).__name__}: {error.found}",
        advice=tuple(filter(None, (error.expected and f"expected: {error.expected}", error.next_step and f"next: {error.next_step}"))),
    )  # fmt: skip
