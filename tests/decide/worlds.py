"""Generated policies, and generated logs in which they allow, or nearly do: what the laws of the gate are tried on.

A log begins with evidence under which every generated policy could allow. Then people act: they measure well and badly, register
and train again, revoke, waive, vote, delegate, break the glass, and the root takes roles away. Everything is verified evidence in
the form in which a gate reads it; nothing is signed here, for what signatures prove is what an entry's principal says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import strategies as st

from ml_governance.decide import case_champion, expression
from ml_governance.decide.case_evidence import PREVIOUS, contents
from ml_governance.decide.cases import AT, SUBJECT
from ml_governance.decide.decision import Decision, evaluate
from ml_governance.decide.delegation import applied
from ml_governance.decide.policy import Policy, parse_policy
from ml_governance.evidence import keys, trust
from ml_governance.evidence.attestation import Attestation, EvidenceView, Void
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.charter import Charter
from ml_governance.evidence.envelope import Envelope, Signature
from ml_governance.evidence.holders import LogKey
from ml_governance.evidence.predicates import Promotion, Registration, Revocation, TrustUpdate
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.trust import ROOT, Principal, TrustedKey, TrustFile
from ml_governance.evidence.verdicts import Approval, ApprovalRequest, BreakGlass, Delegation, Waiver
from ml_governance.evidence.walk import NEVER_ERASED, STANDS
from ml_governance.evidence.wire import Content

PROJECT, STAGE = "credit", "production"
OTHER = Subject(name="credit-other/1", sha256=sha256_hex(b"another model"))
PEOPLE: dict[str, frozenset[str]] = {
    "ada": frozenset({"author"}),
    "vera": frozenset({"validator"}),
    "theo": frozenset({"validator"}),
    "rita": frozenset({"risk_officer", "policy_owner"}),
    "max": frozenset({"release_manager"}),
    "omar": frozenset({"author", "validator", "risk_officer"}),
    "nobody": frozenset(),
}
CHARTER = Charter(delegable=frozenset({"validator", "risk_officer"}))
HOUR = timedelta(hours=1)
expression.constant("true")  # loads the engine, which draws random numbers, before Hypothesis watches over those

# --- policies ---------------------------------------------------------------------------------------------


def _digest(name: str) -> str:
    return f"sha256:{sha256_hex(name.encode())}"


def _some(**options: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in options.items()})


ASKED_OF_DATA = _some(
    dataset=[[_digest("test")], [_digest("test"), _digest("other")]], max_attempts=[2, 4], no_overlap_with=["training"],
    predictions=["recomputed", "caller-supplied", "claimed"], max_age=["3h", "30d"], signed_by=["validator"],
)  # fmt: skip
BY_SEX = {"by": ["sex"], "levels": {"sex": ["f", "m"]}}
MEASURED = (
    {"evidence": "performance", "metric": "accuracy", "lower_bound_at_least": 0.7},
    {"evidence": "performance", "metric": "accuracy", "value_at_least": 0.7, **BY_SEX},
    {"evidence": "performance", "metric": "false_positive_rate", "upper_bound_at_most": 0.3, "confidence": 0.9},
    {"evidence": "performance", "metric": "roc_auc", "lower_bound_at_least": 0.7},
    {"evidence": "performance", "metric": "roc_auc", "value_at_least": 0.7},
    {"evidence": "performance", "metric": "accuracy", "champion": {"margin": 0.1, "first": "pass"}},
    {"evidence": "performance", "metric": "accuracy", "champion": {"margin": 0.1}, **BY_SEX},
    {"evidence": "fairness", "metric": "selection_rate_ratio", "lower_bound_at_least": 0.7, **BY_SEX},
    {"evidence": "fairness", "metric": "selection_rate_difference", "upper_bound_at_most": 0.3, "one_sided": False, **BY_SEX},
    {"evidence": "fairness", "metric": "equalized_odds_difference", "value_at_most": 0.3, **BY_SEX},
    {"evidence": "fairness", "metric": "roc_auc_difference", "value_at_most": 0.3, **BY_SEX},
    {"evidence": "explanation"},
)  # fmt: skip
CHECKS = (
    'evidence.predictions == "recomputed"',
    "details.drift < 0.3",
    'measurements.exists(m, m.metric == "accuracy")',
)
RECORDED = st.one_of(
    _some(inputs_digested=[True], inputs=[[_digest("data/0")]], max_age=["30d"]).map(
        lambda more: {"evidence": "training-run", **more}
    ),
    _some(signed_by=["risk_officer"], max_age=["3h"]).map(
        lambda more: {"evidence": "human-text", "text": "purpose", **more}
    ),
    st.just({"evidence": "registration"}),
)
WHEN = ('model.format == "file"', 'model.name == "credit-risk"', f'stage == "{STAGE}"', 'model.version == "9"')


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    """Return one rule of any kind, without its id."""
    rule: dict[str, Any] = {"title": "A rule", "on_inconclusive": draw(st.sampled_from(["review", "deny"]))}
    if draw(st.booleans()):
        rule["require"] = {**draw(st.sampled_from(MEASURED)), **draw(ASKED_OF_DATA)}
        check = draw(st.sampled_from((None, None, *CHECKS)))
        if check is not None:
            rule["check"] = check
    else:
        rule["require"] = draw(RECORDED)
    when = draw(st.sampled_from((None, None, *WHEN)))
    return rule if when is None else {**rule, "when": when}


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Return a policy."""
    slot = _some(count=[1, 2], expires=["2h", "7d"])
    value = {
        "policy": "laws", "version": 1, "stage": STAGE,
        "applies_to": {"model": draw(st.sampled_from(["*", "credit-*"]))},
        "promote": {"roles": ["release_manager"], "not": draw(st.sampled_from([[], ["author", "trainer"]]))},
        "approvals": [
            {"role": role, **draw(slot)}
            for role in draw(st.sets(st.sampled_from(["validator", "risk_officer"])).map(sorted))
            if role == "validator" or draw(st.booleans())
        ],
        "review": {"roles": ["risk_officer"]},
        "waivers": draw(st.sampled_from([{}, {"roles": ["risk_officer"], "max_days": 30}])),
        "custody": draw(st.sampled_from(["any", "separate"])),
        "mode": draw(st.sampled_from(["enforce", "warn"])),
        "rules": [
            {"id": f"LAW-{number:02}", **rule}
            for number, rule in enumerate(draw(st.lists(rules(), min_size=1, max_size=4)), 1)
        ],
    }  # fmt: skip
    if draw(st.booleans()):
        value["break_glass"] = {"roles": ["incident_manager"], "max_hours": 24, "reviewed_by": ["risk_officer"]}
    return parse_policy(json.dumps(value))


# --- evidence ---------------------------------------------------------------------------------------------


def _numbers(rate: list[int], f: list[int], m: list[int], auc: list[float], **more: Any) -> dict[str, Any]:
    gap = [abs(auc[0] - 0.9), 0.0, 0.9]
    return {
        "all": rate, "groups": {"sex": {"f": f, "m": m}}, "scores": {"roc_auc": auc},
        "over": {"sex": {"roc_auc_difference": gap}}, "shared": {"data/0": 0, "data/1": 0}, "details": {"drift": 0.1}, **more,
    }  # fmt: skip


QUALITY: dict[str, dict[str, Any]] = {
    "good": _numbers([450, 50, 50, 450], [230, 20, 20, 230], [220, 30, 30, 220], [0.9, 0.88, 0.92, 0.87, 0.93]),
    "poor": _numbers([250, 250, 250, 250], [230, 20, 20, 230], [100, 10, 380, 10], [0.5, 0.45, 0.55, 0.44, 0.56],
                     shared={"data/0": 400, "data/1": 400}, details={"drift": 0.9}),
    "few": _numbers([4, 1, 0, 3], [5, 0, 0, 5], [4, 1, 1, 4], [0.9, 0.4, 1.0, 0.3, 1.0]),
    "undefined": _numbers([0, 0, 0, 0], [0, 0, 0, 0], [4, 1, 1, 4], [0.9]),
    "bare": {},
}  # fmt: skip


@cache
def assessment(kind: str, quality: str, dataset: str = "test", predictions: str = "recomputed") -> Content:
    """Return an assessment of a quality."""
    compact = {**QUALITY[quality], "dataset": dataset, "predictions": predictions}
    return next(iter(contents(kind, compact, model="credit-risk"))).content


def run(inputs: int = 1, event: str = "COMPLETE", capture: str = "observed") -> Content:
    """Return a training run."""
    return next(
        iter(contents("training-run", {"inputs": inputs, "event": event, "capture": capture}, model="credit-risk"))
    ).content


def text(name: str = "purpose") -> Content:
    """Return a signed text."""
    return next(iter(contents("human-text", {name: {}}, model="credit-risk"))).content


def registered(name: str = "credit-risk", version: str = "1", kind: Any = "file") -> Content:
    """Return a registration."""
    return Registration(registry="cases", name=name, version=version, format=kind, files=1, size=1)


def promoted(name: str, version: str) -> Content:
    """Return the outcome of a promotion."""
    return Promotion(
        phase="outcome", stage=STAGE, registry="cases", name=name, version=version, alias=STAGE, decision="0" * 64,
        token=sha256_hex(f"{name}/{version}".encode()), result="done",
    )  # fmt: skip


# --- the log ----------------------------------------------------------------------------------------------


@cache
def _key(name: str) -> keys.PublicKey:
    return keys.KeySigner(ec.derive_private_key(int(sha256_hex(name.encode())[:32], 16), ec.SECP256R1())).public


def person(name: str, roles: frozenset[str]) -> Principal:
    return Principal(
        id=name, name=name, custodian=f"account of {name}", roles=roles, projects=frozenset({PROJECT}),
        keys=(TrustedKey(public=_key(name), valid_from=0, valid_until=None),),
    )  # fmt: skip


@dataclass(slots=True)
class Log:
    """A log while it is written."""

    policy: Policy
    roles: dict[str, frozenset[str]] = field(default_factory=lambda: {**PEOPLE, **case_champion.THEN})
    entries: list[Attestation] = field(default_factory=list)
    version: int = 0

    def add(self, by: str, content: Content, subject: Subject = SUBJECT, age: timedelta = HOUR) -> None:
        who = ROOT if by == ROOT.id else person(by, self.roles[by])
        self.entries.append(entry(len(self.entries), who, content, subject, AT - age))

    def trust(self, age: timedelta) -> None:
        """Put a trust file in force that says what people's roles are now."""
        self.version += 1
        file = TrustFile(
            version=self.version, origin="laws", issued_at=AT - timedelta(days=9), expires_at=AT + timedelta(days=365),
            root_keys=(_key("the root"),), root_threshold=1, log_keys=(LogKey(name="laws", public="00" * 32),),
            principals=tuple(person(name, roles) for name, roles in sorted(self.roles.items())),
            previous=None if self.version == 1 else "0" * 64, charter=CHARTER,
        )  # fmt: skip
        envelope = Envelope(
            payload=trust.payload_of(file), payload_type=trust.TRUST_TYPE, signatures=(Signature(keyid="0", sig=b"0"),)
        )
        content = TrustUpdate(version=self.version, envelope=envelope.to_dict())
        self.add(ROOT.id, content, Subject(name=f"trust/{self.version}", sha256=file.digest), age)

    def view(self) -> EvidenceView:
        return EvidenceView(
            origin="laws", size=len(self.entries), root_hash="0" * 64, attestations=tuple(self.entries),
            principals={name: person(name, roles) for name, roles in self.roles.items()}, charter=CHARTER,
            trust_expires_at=AT + timedelta(days=365), newest=max(one.recorded_at for one in self.entries),
        )  # fmt: skip


def entry(index: int, who: Principal, content: Content, subject: Subject, at: Any) -> Attestation:
    return Attestation(
        index=index, kind=content.kind, payload_digest=sha256_hex(canonicalise([index, who.id, content.to_wire()])),
        subjects=(subject,), content=content, recorded_at=at, keyid=_key(who.id).keyid, principal=who,
    )  # fmt: skip


def started(policy: Policy) -> Log:
    """Return a log with evidence under which a policy can allow, about a model and about the one in use."""
    log, old = Log(policy), timedelta(hours=4)
    log.trust(timedelta(days=8))
    log.add("omar", registered(version="0"), PREVIOUS, old)
    log.add("vera", assessment("performance", "good"), PREVIOUS, old)

    def add(by: str, content: Content) -> Attestation:
        log.add(by, content, PREVIOUS, old)
        return log.entries[-1]

    case_champion.promotion(
        policy, PREVIOUS, "credit-risk", stage=STAGE, project=PROJECT, by="max", at=AT - old, add=add, view=log.view
    )
    log.add("ada", run(), age=old)
    log.add("ada", registered(), age=old)
    for kind in ("fairness", "performance", "explanation"):
        log.add("vera", assessment(kind, "good"), age=2 * HOUR)
    log.add("rita", text(), age=2 * HOUR)
    return log


# --- what people do ---------------------------------------------------------------------------------------

names, numbers = st.sampled_from(sorted(PEOPLE)), st.integers(0, 30)
subjects = st.sampled_from([SUBJECT, SUBJECT, SUBJECT, OTHER, PREVIOUS])
ACTS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "measures": st.tuples(
        subjects, st.sampled_from(["fairness", "performance", "explanation"]), st.sampled_from(sorted(QUALITY)),
        st.sampled_from(["test", "test", "other"]), st.sampled_from(["recomputed", "recomputed", "claimed"]),
    ),
    "trains": st.tuples(subjects, st.integers(0, 2), st.sampled_from(["COMPLETE", "FAIL"]), st.sampled_from(["observed", "claimed"])),
    "registers": st.tuples(subjects, st.sampled_from(["credit-risk", "credit-other", "churn"]), st.sampled_from(["file", "joblib"])),
    "writes": st.tuples(subjects, st.sampled_from(["purpose", "limits"])),
    "promotes": st.tuples(st.sampled_from([OTHER, PREVIOUS]), st.sampled_from(["credit-risk", "credit-other"])),
    "revokes": st.tuples(numbers),
    "waives": st.tuples(st.integers(1, 4), st.integers(-1, 40), st.sampled_from(["risk_officer", "validator"])),
    "votes": st.tuples(st.sampled_from(["approve", "reject"]), st.sampled_from(["validator", "risk_officer", "release_manager"])),
    "delegates": st.tuples(names, st.sampled_from(["validator", "risk_officer"]), st.integers(-1, 20)),
    "breaks": st.tuples(), "asks": st.tuples(), "decides": st.tuples(),
    "loses roles": st.tuples(names), "gets roles": st.tuples(names),
}  # fmt: skip
AGAINST = ("measures", "trains", "registers", "revokes", "votes")
acts = st.lists(
    st.sampled_from((*ACTS, *AGAINST, *AGAINST)).flatmap(lambda verb: st.tuples(st.just(verb), names, ACTS[verb])),
    min_size=1,
    max_size=4,
)
AUTHORITY = ("revokes", "waives", "votes", "delegates", "breaks", "asks", "decides", "promotes", "writes")
"""What takes a role; whoever has none adds nothing by it."""


def act(log: Log, verb: str, by: str, details: tuple[Any, ...], age: timedelta = HOUR) -> None:
    """Let somebody do something, whether they may or not: what does not count must not."""
    if verb == "measures":
        about, *how = details
        log.add(by, assessment(*how), about, age)
    elif verb == "trains":
        about, *how = details
        log.add(by, run(*how), about, age)
    elif verb == "registers":
        about, name, kind = details
        log.add(by, registered(name, "1", kind), about, age)
    elif verb == "writes":
        log.add(by, text(details[1]), details[0], age)
    elif verb == "promotes":
        log.add(by, promoted(details[1], "1"), details[0], age)
    elif verb == "revokes":
        target = log.entries[details[0] % len(log.entries)]
        log.add(by, Revocation(target=target.payload_digest, reason="x"), target.subjects[0], age)
    elif verb == "delegates":
        to, role, days = details
        content = Delegation(role=role, to=to, project=PROJECT, expires=AT + timedelta(days=days), reason="x")
        log.add(by, content, Subject(name=to, sha256=sha256_hex(to.encode())), age)
    elif verb in ("loses roles", "gets roles"):
        log.roles[details[0]] = frozenset() if verb == "loses roles" else PEOPLE[details[0]]
        log.trust(age)
    else:
        decision = decide(log.view(), log.policy)
        log.add(by, _said(verb, details, decision), age=age)


def _said(verb: str, details: tuple[Any, ...], decision: Decision) -> Content:
    bound = {"stage": STAGE, "binding": decision.binding}
    if verb == "waives":
        rule, days, role = details
        return Waiver(**bound, rule=f"LAW-{rule:02}", role=role, reason="x", expires=AT + timedelta(days=days))
    if verb == "votes":
        return Approval(**bound, verdict=details[0], role=details[1], reason="x", resolves=_open(decision))
    if verb == "breaks":
        return BreakGlass(**bound, decision="0" * 64, role="incident_manager", reason="x", expires=AT + HOUR)
    return ApprovalRequest(**bound, comment="x") if verb == "asks" else decision.to_content()


@dataclass(frozen=True, slots=True, repr=False)
class World:
    """A policy and a log to judge by it."""

    policy: Policy
    log: Log
    acts: tuple[Any, ...]

    def __repr__(self) -> str:
        said = [[part.name if isinstance(part, Subject) else part for part in one[2]] for one in self.acts]
        done = "; ".join(f"{by} {verb} {what}" for (verb, by, _), what in zip(self.acts, said, strict=True))
        return f"World({done}, {json.dumps(self.policy.model_dump(mode='json', exclude_defaults=True, by_alias=True))})"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))


@st.composite
def worlds(draw: st.DrawFn, ahead: bool = False) -> World:
    """Return a world; with ``ahead`` its last act may come from the future."""
    policy, done = draw(policies()), draw(acts)
    log = started(policy)
    for position, (verb, by, details) in enumerate(done):
        late = ahead and position == len(done) - 1
        act(log, verb, by, details, -HOUR if late else (1 - position / 10) * HOUR)
    return World(policy, log, tuple(done))


def world_of(require: dict[str, Any], *done: tuple[str, str, tuple[Any, ...]], model: str = "*") -> World:
    """Return a world of one rule and no approvals but a validator's."""
    value = {
        "policy": "laws", "version": 1, "stage": STAGE, "applies_to": {"model": model},
        "promote": {"roles": ["release_manager"]}, "approvals": [{"role": "validator"}], "review": {"roles": ["risk_officer"]},
        "rules": [{"id": "LAW-01", "title": "A rule", "require": require}],
    }  # fmt: skip
    log = started(policy := parse_policy(json.dumps(value)))
    for position, (verb, by, details) in enumerate(done):
        act(log, verb, by, details, (1 - position / 10) * HOUR)
    return World(policy, log, done)


# --- judging ----------------------------------------------------------------------------------------------


def decide(view: EvidenceView, policy: Policy, *, at: Any = AT, subject: Subject = SUBJECT) -> Decision:
    """Judge as a workspace does, delegations included."""
    here = applied(view.within(PROJECT), project=PROJECT, at=at)
    return evaluate(
        subject=subject, stage=STAGE, project=PROJECT, policy=policy, policy_sha256="0" * 64, evidence=here, at=at
    )


def _open(decision: Decision) -> tuple[str, ...]:
    return tuple(one.id for one in decision.findings if one.status in ("inconclusive", "insufficient"))


def settled(
    view: EvidenceView, policy: Policy, *, at: Any = AT, subject: Subject = SUBJECT, accepting: tuple[str, ...] = ()
) -> Decision:
    """Judge after everybody who may has said yes to just this, and has accepted these findings by name.

    So that no law holds only because consent was given to something else.
    """
    bound_to = decide(view, policy, at=at, subject=subject).binding
    votes = []
    for number, (name, role) in enumerate(
        (name, role) for name, who in sorted(view.principals.items()) for role in sorted(who.roles)
    ):
        yes = Approval(stage=STAGE, binding=bound_to, verdict="approve", role=role, reason="x", resolves=accepting)
        votes.append(entry(view.size + number, view.principals[name], yes, subject, at))
    more = replace(view, attestations=(*view.attestations, *votes), size=view.size + len(votes))
    return decide(more, policy, at=at, subject=subject)


def stands(view: EvidenceView, policy: Policy) -> tuple[str, tuple[str, ...]]:
    """Return the most favourable answer that people can bring about, and what they had to accept for it."""
    accepting = _open(decide(view, policy))
    return settled(view, policy, accepting=accepting).result, accepting


def voidable(one: Attestation, *, erased: bool) -> bool:
    """Tell whether a log can come to hold an entry that counts no more: erased on the record, or by a key taken back."""
    if erased:
        return one.kind not in (*NEVER_ERASED, Revocation.kind)
    rejects = isinstance(one.content, Approval) and one.content.verdict == "reject"
    return one.principal is not ROOT and one.kind not in STANDS and not rejects


def voided(view: EvidenceView, last: dict[int, bool]) -> EvidenceView:
    """Return a view in which entries count no more; of each, counted from the newest, ``last`` says whether it was erased."""
    gone = {view.size - 1 - back: erased for back, erased in last.items()}
    lost = [a for a in view.attestations if a.index in gone and voidable(a, erased=gone[a.index])]
    void = tuple(
        Void(index=a.index, kind=a.kind, subjects=frozenset(s.sha256 for s in a.subjects), why="it is gone",
             by=a.principal.id, erased=gone[a.index])
        for a in lost
    )  # fmt: skip
    return replace(view, attestations=tuple(a for a in view.attestations if a not in lost), void=(*view.void, *void))
