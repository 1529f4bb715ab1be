"""``mlgov check``: measure what the policy asks for, decide, and tell what came of it, in one call.

It signs what whoever acts may sign: measurements that would count for a rule, and the decision. Without a key it judges the
evidence that is there, and signs nothing. Whatever goes wrong becomes part of the outcome, and the outcome blocks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_governance.assess.audit import KINDS, PREDICTED, check_kinds
from ml_governance.decide.policy import in_force
from ml_governance.decide.rules import makers
from ml_governance.errors import ConfigurationError, GovernanceError, VerificationError
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import PolicyInForce
from ml_governance.report import outcome as outcomes
from ml_governance.workspace import assessment, deciding, pins, tables, verifying
from ml_governance.workspace.assessment import Asked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ml_governance.assess.costs import Costs
    from ml_governance.assess.performance import Task
    from ml_governance.decide.decision import Decision
    from ml_governance.decide.policy import Policy, PolicyInForceRef
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.report.outcome import Outcome
    from ml_governance.workspace.session import Workspace

MAX_FILE = 1024 * 1024
PIN_NEXT = "find out who put another one in force, or pin the new one on purpose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What to check; each field overrides its like in governance.toml's ``[check]``.

    Parameters
    ----------
    model : str
        ``name/version``, or the first digits of a digest.
    stage : str
        The stage it is to enter.
    data : DataFrame, str, Path or None
        Held-out rows; without them nothing is measured, and the evidence that is there is judged.
    y_true : str or None
        Column of the label.
    by : tuple of str
        Sensitive columns.
    kinds : tuple of str
        What to measure; empty for what the policy's rules ask for.
    pos_label, background, confidence, min_group_size, training, against, rerun, task, costs, population
        As for :meth:`ml_governance.Workspace.assess`.
    monotone, shift, noise
        As for :func:`ml_governance.assess_robustness`.
    identifiers, time
        As for :func:`ml_governance.assess_data`.
    requirements, advisories, trusted
        As for :meth:`ml_governance.Workspace.scan`.
    """

    model: str
    stage: str = "production"
    data: Any = None
    y_true: str | None = None
    by: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    pos_label: Any = None
    background: Any = None
    confidence: float = 0.95
    min_group_size: int = 30
    training: tuple[Any, ...] = ()
    against: str | None = None
    rerun: str | None = None
    task: Task = "binary"
    costs: Costs | None = None
    population: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    monotone: Mapping[str, str] = field(default_factory=dict)
    shift: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    noise: float | None = None
    identifiers: tuple[str, ...] = ()
    time: str | None = None
    requirements: Any = None
    advisories: Any = None
    trusted: tuple[str, ...] = ()

    def asked(self, kinds: tuple[str, ...]) -> Asked:
        """Return what is asked of an assessment of some kinds; options of the other kinds are left out."""
        options: dict[str, dict[str, Any]] = {
            "robustness": {"monotone": self.monotone, "shift": self.shift, "noise": self.noise},
            "data-quality": {"population": self.population, "identifiers": self.identifiers, "time": self.time},
            "security-scan": {
                "requirements": self.requirements, "advisories": self.advisories, "trusted": self.trusted,
            },
        }  # fmt: skip
        return Asked(
            y_true=self.y_true, sensitive_features=self.by, kinds=kinds, pos_label=self.pos_label, background=self.background,
            confidence=self.confidence, min_group_size=self.min_group_size, training=self.training, against=self.against,
            rerun=self.rerun if "robustness" in kinds else None, task=self.task, costs=self.costs,
            options={
                kind: {name: value for name, value in given.items() if value}
                for kind, given in options.items() if kind in kinds
            },
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check came to.

    Parameters
    ----------
    outcome : Outcome
        For the formats of :mod:`ml_governance.report`, with the exit code.
    decision : Decision or None
        None if there is none.
    errors : tuple of GovernanceError
        What went wrong on the way; each counts for the exit code.
    entries : dict of str to int
        What was signed, by kind, with its ledger index.
    signed : bool
        Whether the decision was signed.
    """

    outcome: Outcome
    decision: Decision | None = None
    errors: tuple[GovernanceError, ...] = ()
    entries: dict[str, int] = field(default_factory=dict)
    signed: bool = False


def spec_of(ws: Workspace, **given: Any) -> Spec:
    """Merge options over ``[check]``.

    Raises
    ------
    ConfigurationError
        If no model is named.
    """
    section = ws.config.check
    values: dict[str, Any] = section.model_dump(exclude={"policy_sha256", "data_sha256"})
    for name in ("data", "background", "requirements", "advisories"):
        if values[name] is not None:
            values[name] = ws.root / values[name]
    values["training"] = tuple(ws.root / one for one in values["training"])
    if values["costs"] is not None:
        from ml_governance.assess.costs import Costs

        values["costs"] = Costs(**values["costs"])
    values |= {name: value for name, value in given.items() if value not in (None, ())}
    if values["model"] is None:
        raise ConfigurationError(
            "no model was named",
            expected="MODEL as an argument, or model = ... under [check] in governance.toml",
            next_step="name it by digest, the one that this pipeline made",
        )
    return Spec(**values)


def check(ws: Workspace, spec: Spec, *, held: pins.Pins, base: Path | None = None) -> Checked:
    """Check a model.

    Parameters
    ----------
    ws : Workspace
        With a signer, what may be signed is signed.
    spec : Spec
        What to check.
    held : Pins
        What must be so.
    base : Path, optional
        Root of the checkout, which file names are relative to.

    Returns
    -------
    Checked
        Errors of ours do not get out: they are in it, and it blocks.
    """
    return _Check(ws, spec, held, base).run()


class _Check:
    """One run of :func:`check`."""

    def __init__(self, ws: Workspace, spec: Spec, held: pins.Pins, base: Path | None) -> None:
        self.ws, self.spec, self.held, self.base = ws, spec, held, base
        self.errors: list[GovernanceError] = []
        self.notes: list[str] = []
        self.entries: dict[str, int] = {}
        self.file = "governance.toml"

    def run(self) -> Checked:
        try:
            subject, view, reference = self._pinned()
            if self.spec.data is not None:
                self._measure(subject, reference.policy, view)
            decision, text, signed = self._decide(subject, reference, view)
        except GovernanceError as error:
            self.errors.append(error)
            outcome = outcomes.of_errors(
                self.errors, model=self.spec.model, stage=self.spec.stage, file=self.file, notes=self.notes
            )
            return Checked(outcome=outcome, errors=tuple(self.errors), entries=self.entries)
        outcome = outcomes.of_decision(decision, policy_text=text, file=self.file, notes=self.notes, errors=self.errors)
        return Checked(
            outcome=outcome, decision=decision, errors=tuple(self.errors), entries=self.entries, signed=signed
        )

    def _pinned(self) -> tuple[Subject, EvidenceView, PolicyInForceRef]:
        """Hold root, log and policy against the pins before anything is believed or signed."""
        ws, held = self.ws, self.held
        stage = ws.config.stage(self.spec.stage)
        self.file = _relative(ws.root / stage.policy, self.base, stage.policy)
        pins.require(
            held.root,
            ws.config.trust_root,
            f"the trust root of {ws.root}",
            "find out who changed governance.toml",
        )
        subject, view = verifying.concerning(ws, self.spec.model, stage=self.spec.stage, pinned=held.read_checkpoints())
        reference = in_force(view, self.spec.stage)
        pins.require(held.policy, reference.sha256, f"the policy in force for {self.spec.stage}", PIN_NEXT)
        if not any(pin.outside for pin in held.policy):
            self.notes.append(f"the policy in force was not pinned; it is sha256:{reference.sha256}")
        if _digest(ws.root / stage.policy) != reference.sha256:
            self.notes.append(
                "the policy file in this checkout is not the one in force, and decides nothing; the lines named are those of the "
                "signed copy"
            )
        return subject, view, reference

    # --- measuring ----------------------------------------------------------------------------------------

    def _measure(self, subject: Subject, policy: Policy, view: EvidenceView) -> None:
        """Measure what counts; what goes wrong is kept, and the decision is made all the same, to be told with it."""
        spec = self.spec
        try:
            if not self.ws.acting:
                self.notes.append("nothing was measured: nobody acts, so nothing could be signed")
                return
            kinds = self._kinds(subject, policy, view)
            if not kinds:
                return
            if set(kinds) & set(PREDICTED) and (spec.y_true is None or not spec.by):
                raise ConfigurationError(
                    "data are named without their label or sensitive columns",
                    expected="y_true and by, under [check] in governance.toml or as options",
                )
            data = spec.data
            if self.held.data:
                data = tables.read(data)
                pins.require(
                    self.held.data,
                    data.resource.sha256,
                    f"the data {data.resource.name}",
                    "assess the rows that were agreed on, or pin the new ones on purpose",
                )
            found = assessment.assess(self.ws, subject, data, spec.asked(kinds))
            self.entries |= {kind: receipt.index for kind, receipt in found.receipts.items()}
        except GovernanceError as error:
            self.errors.append(error)

    def _kinds(self, subject: Subject, policy: Policy, view: EvidenceView) -> tuple[str, ...]:
        """Return the kinds to measure: those asked for, less those that whoever acts would sign in vain."""
        rules = [rule.require for rule in policy.rules]
        wanted = self.spec.kinds or tuple(kind for kind in KINDS if any(r.evidence == kind for r in rules))
        if wanted:
            wanted = check_kinds(wanted)
        me = self.ws.me(view)
        made = makers(subject, view)
        maker = me.id in made["author"] | made["trainer"]
        kinds = []
        for kind in wanted:
            if kind == "privacy" and not self.spec.training:
                self.notes.append("privacy was not measured: name the training data, as training under [check]")
                continue
            asked = [require.signed_by for require in rules if require.evidence == kind]
            if not asked or any(role is None or (role in me.roles and not maker) for role in asked):
                kinds.append(kind)
                continue
            why = "who made the model" if maker else f"whose roles are {', '.join(sorted(me.roles)) or 'none'}"
            roles = " or ".join(sorted({str(role).replace("_", " ") for role in asked}))
            self.notes.append(
                f"{kind} was not measured: it would be signed by {me.id}, {why}, and the policy asks for a {roles}"
            )
        return tuple(kinds)

    # --- deciding -----------------------------------------------------------------------------------------

    def _decide(self, subject: Subject, reference: PolicyInForceRef, view: EvidenceView) -> tuple[Decision, str, bool]:
        ws, stage = self.ws, self.spec.stage
        signed = ws.acting
        if signed:
            decision = ws.decide(subject, stage=stage)
        else:
            _, decision = deciding.judge(ws, subject, stage=stage, view=view)
            self.notes.append("the decision is not signed: nobody acts")
        content = reference.attestation.content
        if decision.policy_sha256 != reference.sha256 or not isinstance(content, PolicyInForce):
            raise VerificationError(
                f"another policy came into force while this was checked, sha256:{decision.policy_sha256}",
                expected=f"sha256:{reference.sha256}, which was in force when it began",
                next_step=PIN_NEXT,
            )
        return decision, content.text, signed


def _relative(path: Path, base: Path | None, otherwise: str) -> str:
    try:
        return path.resolve().relative_to((base or path.parent).resolve()).as_posix()
    except ValueError:
        return otherwise.replace(os.sep, "/")


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return sha256_hex(stream.read(MAX_FILE))
    except OSError:
        return None
