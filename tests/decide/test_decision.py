"""What a policy decides, and the laws that no evidence may break."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.decide import approval, cases
from ml_governance.decide.cases import AT, PEOPLE, SUBJECT, run_cases
from ml_governance.decide.decision import SEPARATE_CUSTODY, SINGLE_CUSTODIAN, Decision, evaluate
from ml_governance.decide.policy import Policy, in_force, parse_policy
from ml_governance.decide.rbac import compile_roles, may
from ml_governance.errors import EvidenceError, MissingEvidenceError, PolicyError
from ml_governance.evidence.attestation import Attestation, EvidenceView, Void
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.predicates import PolicyInForce, Revocation
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verdicts import Approval, Waiver
from ml_governance.evidence.wire import Content
from ml_governance.workspace import packs

FOLDER = packs()["credit-scoring"]
TEXT = (FOLDER / "policy.yaml").read_text()
POLICY = parse_policy(TEXT)
TEXTS = {path.stem: path.read_text() for path in sorted((FOLDER / "cases").glob("*.yaml"))}
READ = {name: cases._read(name, text) for name, text in TEXTS.items()}


def view_of(name: str) -> EvidenceView:
    """Return the evidence of a case, with its approvals."""
    kept: list[EvidenceView] = []
    original = cases._view

    def remember(*entries: Any) -> EvidenceView:
        kept.append(original(*entries))
        return kept[-1]

    cases._view = remember
    try:
        cases.decide_case(POLICY, READ[name], READ)
    finally:
        cases._view = original
    return kept[-1]


def decide(
    view: EvidenceView, policy: Policy = POLICY, at: Any = AT, subject: Subject = SUBJECT, project: str = "credit"
) -> Decision:
    return evaluate(
        subject=subject,
        stage="production",
        project=project,
        policy=policy,
        policy_sha256=sha256_hex(b"policy"),
        evidence=view,
        at=at,
    )


def entry(view: EvidenceView, by: str, content: Content, age: timedelta = timedelta(minutes=1)) -> Attestation:
    return Attestation(
        index=view.size,
        kind=content.kind,
        payload_digest=sha256_hex(canonicalise([view.size, by, content.to_wire()])),
        subjects=(SUBJECT,),
        content=content,
        recorded_at=AT - age,
        keyid=by,
        principal=cases._person(by),
    )


def with_entry(view: EvidenceView, by: str, content: Content, age: timedelta = timedelta(minutes=1)) -> EvidenceView:
    return replace(view, attestations=(*view.attestations, entry(view, by, content, age)), size=view.size + 1)


ALLOWED = view_of("allow")


@pytest.mark.parametrize("name", TEXTS)
def test_the_shipped_cases(name: str) -> None:
    (result,) = [one for one in run_cases(POLICY, TEXTS) if one.name == name]
    assert result.passed, result.detail


def test_a_case_that_expects_another_outcome_fails() -> None:
    wrong = TEXTS["allow"].replace("result: allow, exit_code: 0", "result: deny, exit_code: 1")
    (result,) = run_cases(POLICY, {"allow": wrong})
    assert not result.passed and "expected deny" in result.detail
    for broken in ("title: x", "title: x\nexpect: {result: allow}\nmore: 1", TEXTS["stale"]):
        with pytest.raises(PolicyError):
            run_cases(POLICY, {"broken": broken})


def test_a_decision_is_no_truth_value() -> None:
    decision = decide(ALLOWED)
    assert decision.result == "allow"
    with pytest.raises(TypeError, match="no truth value"):
        bool(decision)


# --- laws -------------------------------------------------------------------------------------------------

RANK = {"allow": 2, "review": 1, "deny": 0}


@given(st.sampled_from(sorted(TEXTS)), st.sets(st.integers(0, 12)))
def test_dropping_evidence_never_helps(name: str, drop: set[int]) -> None:
    """Anything but a rejection or a revocation, which a verified-complete view cannot lose."""
    view = view_of(name)
    against = [a for a in view.attestations if isinstance(a.content, Approval) and a.content.verdict == "reject"]
    kept = tuple(a for a in view.attestations if a.index not in drop or a in against)
    if decide(view).result != "allow":
        assert decide(replace(view, attestations=kept)).result != "allow"


@given(st.sampled_from(sorted(TEXTS)), st.integers(0, 1000))
def test_ageing_never_helps(name: str, hours: int) -> None:
    view = view_of(name)
    assert RANK[decide(view, at=AT + timedelta(hours=hours)).result] <= RANK[decide(view).result]


@given(
    st.sampled_from(sorted(TEXTS)),
    st.integers(0, 12),
    st.sampled_from(["value", "numerator", "denominator", "status", "metric", "group"]),
)
def test_corrupting_a_number_never_helps(name: str, which: int, field: str) -> None:
    view = view_of(name)
    damaged = []
    for one in view.attestations:
        content: Any = one.content
        if hasattr(content, "measurements") and content.measurements:
            measurements = list(content.measurements)
            at = which % len(measurements)
            broken = {
                "value": None, "numerator": 1e9, "denominator": 0.0, "status": "undefined", "metric": "nothing", "group": ("Nobody",)
            }  # fmt: skip
            measurements[at] = measurements[at].model_copy(update={field: broken[field]})
            content = content.model_copy(update={"measurements": tuple(measurements)})
        damaged.append(replace(one, content=content))
    if decide(view).result != "allow":
        assert decide(replace(view, attestations=tuple(damaged))).result != "allow"


@given(st.permutations(range(ALLOWED.size)))
def test_the_order_of_other_kinds_is_irrelevant(order: list[int]) -> None:
    shuffled = replace(ALLOWED, attestations=tuple(ALLOWED.attestations[i] for i in order))
    assert decide(shuffled).result == "allow"


def test_evidence_counts_only_for_its_digest() -> None:
    other = Subject(name=SUBJECT.name, sha256="f" * 64)
    decision = decide(ALLOWED, subject=other)
    assert decision.result == "deny" and decision.exit_code == 4


def test_the_newest_evidence_counts_not_any_that_passes() -> None:
    failing = next(a.content for a in view_of("unequal").attestations if a.kind == "fairness")
    decision = decide(with_entry(ALLOWED, "vera", failing))
    assert decision.result == "deny"
    passing = next(a.content for a in ALLOWED.attestations if a.kind == "fairness")
    assert decide(with_entry(with_entry(ALLOWED, "vera", failing), "vera", passing)).result != "deny"


def test_new_evidence_voids_earlier_approvals() -> None:
    again = next(a.content for a in ALLOWED.attestations if a.kind == "performance")
    decision = decide(with_entry(ALLOWED, "vera", again))
    assert (decision.result, decision.approvals) == ("review", ())


# --- attacks ----------------------------------------------------------------------------------------------


def test_evidence_from_the_future_is_refused() -> None:
    content = next(a.content for a in ALLOWED.attestations if a.kind == "fairness")
    decision = decide(with_entry(ALLOWED, "vera", content, age=timedelta(hours=-3)))
    assert decision.exit_code == 4
    assert "future" in decision.explain()


def test_a_clock_behind_the_log_decides_nothing() -> None:
    assert "The clock says" in decide(ALLOWED, at=AT - timedelta(days=1)).explain()
    assert decide(ALLOWED, at=AT - timedelta(days=1)).exit_code == 4


def test_an_expired_trust_file_decides_nothing() -> None:
    decision = decide(replace(ALLOWED, trust_expires_at=AT))
    assert decision.exit_code == 4 and "trust file expired" in decision.explain()


def test_a_policy_for_other_models_denies() -> None:
    other = parse_policy(TEXT.replace('model: "credit-*"', 'model: "churn-*"'))
    assert decide(ALLOWED, policy=other).result == "deny"
    assert decide(ALLOWED, policy=parse_policy(TEXT.replace('project: "*"', "project: other"))).result == "deny"
    assert decide(ALLOWED, policy=parse_policy(TEXT.replace("stage: production", "stage: staging"))).result == "deny"


def test_revoked_evidence_and_approvals_do_not_count() -> None:
    fairness = next(a for a in ALLOWED.attestations if a.kind == "fairness")
    by_signer = with_entry(ALLOWED, "vera", Revocation(target=fairness.payload_digest, reason="wrong rows"))
    assert "was revoked" in decide(by_signer).explain()
    by_nobody = with_entry(ALLOWED, "ada", Revocation(target=fairness.payload_digest, reason="I dislike it"))
    assert decide(by_nobody).result == "allow"
    yes = next(a for a in ALLOWED.attestations if isinstance(a.content, Approval))
    withdrawn = with_entry(ALLOWED, yes.principal.id, Revocation(target=yes.payload_digest, reason="second thoughts"))
    assert decide(withdrawn).result == "review"


def test_a_person_who_lost_the_role_or_the_project_no_longer_counts() -> None:
    people = {**ALLOWED.principals, "rita": replace(ALLOWED.principals["rita"], roles=frozenset({"auditor"}))}
    assert decide(replace(ALLOWED, principals=people)).approvals_missing == ("risk_officer",)
    moved = {**ALLOWED.principals, "rita": replace(ALLOWED.principals["rita"], projects=frozenset({"other"}))}
    assert decide(replace(ALLOWED, principals=moved)).result == "review"
    gone = {name: person for name, person in ALLOWED.principals.items() if name != "rita"}
    assert decide(replace(ALLOWED, principals=gone)).result == "review"


@given(st.lists(st.tuples(st.sampled_from(sorted(PEOPLE)), st.sampled_from(["risk_officer", "validator"])), max_size=6))
def test_one_person_never_suffices_where_two_are_needed(votes: list[tuple[str, str]]) -> None:
    view = view_of("no-approvals")
    bound_to = decide(view).binding
    for by, role in votes:
        content = Approval(stage="production", binding=bound_to, verdict="approve", role=role, reason="x")
        view = with_entry(view, by, content)
    decision = decide(view)
    counting = {by for by, role in votes if role in PEOPLE[by] and by != "ada"}
    if decision.result == "allow":
        assert len(counting) >= 2
    if len(counting) < 2:
        assert decision.result == "review"


def test_people_fill_slots_as_well_as_they_can() -> None:
    """Omar fits both slots and rita one: the only way to fill both uses omar as validator, whatever the order."""
    for order in (("omar", "rita"), ("rita", "omar")):
        view = view_of("no-approvals")
        bound_to = decide(view).binding
        for by in order:
            for role in sorted(PEOPLE[by] & {"risk_officer", "validator"}):
                view = with_entry(
                    view, by, Approval(stage="production", binding=bound_to, verdict="approve", role=role, reason="x")
                )
        assert decide(view).result == "allow"


# --- waivers ----------------------------------------------------------------------------------------------


def waiver(view: EvidenceView, **changes: Any) -> Waiver:
    fields = {
        "stage": "production", "rule": "CRD-01", "binding": decide(view).binding, "role": "risk_officer", "reason": "pilot",
        "expires": AT + timedelta(days=10), **changes,
    }  # fmt: skip
    return Waiver(**fields)


def test_a_waiver_covers_a_failure_and_hides_nothing() -> None:
    view = view_of("unequal")
    waived = decide(with_entry(view, "rita", waiver(view)))
    assert waived.result == "allow"
    finding = next(f for f in waived.findings if f.id == "CRD-01/sex")
    assert finding.status == "waived" and finding.value is not None
    assert "waived by rita until" in finding.sentence


@pytest.mark.parametrize(
    ("by", "changes", "words"),
    [
        ("ada", {}, "may not waive"),
        ("vera", {}, "may not waive"),
        ("rita", {"binding": "0" * 64}, "another state"),
        ("rita", {"expires": AT + timedelta(days=40)}, "more than 30 days"),
        ("rita", {"expires": AT - timedelta(seconds=1)}, "ended at"),
        ("rita", {"rule": "CRD-04"}, "nothing to waive"),
    ],
)
def test_waivers_that_do_not_count_are_told(by: str, changes: dict[str, Any], words: str) -> None:
    view = view_of("unequal")
    decision = decide(with_entry(view, by, waiver(view, **changes)))
    assert decision.result == "deny"
    assert words in " ".join(decision.notes)


def test_missing_evidence_cannot_be_waived() -> None:
    view = view_of("missing")
    decision = decide(with_entry(view, "rita", waiver(view, rule="CRD-03")))
    assert decision.exit_code == 4


def test_that_a_policy_is_for_another_model_cannot_be_waived() -> None:
    for changed, rule in (('model: "churn-*"', "GATE-policy"), ('model: "credit-*"', "GATE-stage")):
        text = TEXT.replace('model: "credit-*"', changed)
        policy = parse_policy(text.replace("stage: production", "stage: staging") if rule == "GATE-stage" else text)
        bound_to = decide(ALLOWED, policy=policy).binding
        view = with_entry(ALLOWED, "rita", waiver(ALLOWED, rule=rule, binding=bound_to))
        decision = decide(view, policy=policy)
        assert next(f for f in decision.findings if f.id == rule).status == "fail"


def test_a_waiver_counts_for_the_assurance() -> None:
    view = view_of("unequal")
    view = with_entry(view, "omar", waiver(view))
    assert decide(view).result == "allow" and decide(view).assurance == SEPARATE_CUSTODY
    together = replace(view.attestations[-1], principal=replace(cases._person("omar"), custodian="account of ada"))
    assert decide(replace(view, attestations=(*view.attestations[:-1], together))).assurance == SINGLE_CUSTODIAN


# --- what was erased --------------------------------------------------------------------------------------


def erase(view: EvidenceView, index: int, *, erased: bool = True) -> EvidenceView:
    gone = next(a for a in view.attestations if a.index == index)
    about = frozenset(subject.sha256 for subject in gone.subjects)
    void = Void(index=index, kind=gone.kind, subjects=about, why="it is gone", by=gone.principal.id, erased=erased)
    kept = tuple(a for a in view.attestations if a.index != index)
    return replace(view, attestations=kept, void=(*view.void, void))


def vote(view: EvidenceView, by: str, role: str, verdict: Any) -> EvidenceView:
    content = Approval(stage="production", binding=decide(view).binding, verdict=verdict, role=role, reason="x")
    return with_entry(view, by, content)


def newest(view: EvidenceView) -> int:
    return view.attestations[-1].index


def test_an_erased_rejection_is_replaced_by_its_signer_alone() -> None:
    rejected = vote(ALLOWED, "vera", "validator", "reject")
    assert decide(rejected).result == "deny"
    erased = vote(erase(rejected, newest(rejected)), "rita", "risk_officer", "approve")
    assert decide(erased).exit_code == 4
    assert decide(vote(erased, "vera", "validator", "approve")).result == "allow"


def test_an_erased_report_is_replaced_by_one_that_counts() -> None:
    """A newer report by somebody whose reports do not count would bring an older one back."""
    failing = next(a.content for a in view_of("unequal").attestations if a.kind == "fairness")
    bad = with_entry(ALLOWED, "vera", failing)
    assert decide(bad).result == "deny"
    passing = next(a.content for a in ALLOWED.attestations if a.kind == "fairness")
    for erased in (True, False):
        hidden = with_entry(erase(bad, newest(bad), erased=erased), "ada", passing)
        assert decide(hidden).exit_code == 4
        assert not [f for f in decide(with_entry(hidden, "vera", passing)).findings if f.rule.startswith("GATE-void")]


def test_an_erased_policy_is_replaced_by_one_in_force() -> None:
    def policy(version: int) -> PolicyInForce:
        text = TEXT.replace(f"version: {POLICY.version}", f"version: {version}", 1)
        return PolicyInForce(
            name=POLICY.policy, version=version, stage="production", sha256=sha256_hex(text.encode()), text=text
        )

    two = with_entry(with_entry(ALLOWED, "rita", policy(1)), "rita", policy(2))
    owner = replace(cases._person("rita"), roles=frozenset({"policy_owner"}))
    owned = tuple(replace(a, principal=owner) if a.kind == "policy" else a for a in two.attestations)
    gone = erase(replace(two, attestations=owned), newest(two))
    assert in_force(gone, "production").version == 1
    by_a_stranger = with_entry(gone, "ada", policy(3))
    assert "GATE-void" in " ".join(f.rule for f in decide(by_a_stranger).findings)


def test_who_made_a_model_stays_known_when_the_record_is_erased() -> None:
    view = ALLOWED
    for one in [a for a in ALLOWED.attestations if a.kind in ("registration", "training-run")]:
        view = with_entry(erase(view, one.index), "omar", one.content)
    everything = replace(cases._person("ada"), roles=frozenset({"validator", "risk_officer", "release_manager"}))
    asked: dict[str, Any] = {
        "policy": POLICY, "subject": SUBJECT, "evidence": view, "project": "credit", "stage": "production",
    }  # fmt: skip
    for action in ("approve:validator", "promote"):
        assert not may(everything, action, **asked).allowed
        assert may(replace(everything, id="zoe"), action, **asked).allowed, "the roles alone would do"


def test_a_revocation_that_was_erased_blocks_whatever_it_was_about() -> None:
    fairness = next(a for a in ALLOWED.attestations if a.kind == "fairness")
    withdrawn = with_entry(ALLOWED, "rita", Revocation(target=fairness.payload_digest, reason="wrong rows"))
    elsewhere = replace(withdrawn.attestations[-1], subjects=(Subject(name="rows", sha256="e" * 64),))
    withdrawn = replace(withdrawn, attestations=(*withdrawn.attestations[:-1], elsewhere))
    assert decide(withdrawn).exit_code == 4
    assert decide(erase(withdrawn, newest(withdrawn))).exit_code == 4


def test_what_never_counted_against_a_model_blocks_nothing_when_it_is_gone() -> None:
    """A stolen key of a release manager would otherwise block for good every model that they had promoted."""
    view = with_entry(ALLOWED, "max", decide(ALLOWED).to_content())
    assert decide(erase(view, newest(view), erased=False)).result == "allow"


# --- rejections -------------------------------------------------------------------------------------------


def test_a_no_stays_when_its_signer_moves_on() -> None:
    rejected = vote(ALLOWED, "vera", "validator", "reject")
    moved = {**ALLOWED.principals, "vera": replace(ALLOWED.principals["vera"], roles=frozenset({"auditor"}))}
    assert decide(replace(rejected, principals=moved)).result == "deny"


def test_nobody_takes_back_a_no_to_their_own_work() -> None:
    everything = replace(cases._person("ada"), roles=frozenset({"author", "risk_officer"}))
    rejected = vote(ALLOWED, "vera", "validator", "reject")
    target = rejected.attestations[-1].payload_digest
    taken_back = with_entry(rejected, "ada", Revocation(target=target, reason="I disagree"))
    by_the_author = replace(taken_back.attestations[-1], principal=everything)
    assert decide(replace(taken_back, attestations=(*rejected.attestations, by_the_author))).result == "deny"
    again = with_entry(rejected, "vera", Revocation(target=target, reason="I was wrong"))
    assert "rejects this" not in decide(again).explain()


# --- roles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "action", "allowed", "words"),
    [
        ("rita", "approve:risk_officer", True, "may approve as risk officer"),
        ("vera", "approve:risk_officer", False, "has the role validator"),
        ("ada", "approve:validator", False, "nobody may approve their own work"),
        ("rita", "approve:auditor", False, "asks for no approval in the role"),
        ("max", "promote", True, "may promote"),
        ("vera", "promote", False, "takes release_manager"),
        ("rita", "waive", True, "may waive"),
        ("max", "waive", False, "takes risk_officer"),
        ("max", "fly", False, "a role that the policy does not name"),
    ],
)
def test_who_may_do_what(who: str, action: str, allowed: bool, words: str) -> None:
    verdict = may(cases._person(who), action, policy=POLICY, subject=SUBJECT, evidence=ALLOWED)
    assert verdict.allowed is allowed
    assert words in verdict.reason


def test_an_author_with_every_role_still_may_not() -> None:
    everything = replace(
        cases._person("ada"), roles=frozenset({"author", "validator", "risk_officer", "release_manager"})
    )
    for action in ("approve:validator", "approve:risk_officer", "waive", "promote"):
        assert not may(everything, action, policy=POLICY, subject=SUBJECT, evidence=ALLOWED).allowed


def test_names_cannot_smuggle_cedar() -> None:
    name = 'x"); permit(principal, action, resource'
    with pytest.raises(PolicyError, match="promote.roles.0"):
        parse_policy(TEXT.replace("roles: [release_manager]", f"roles: ['{name}']"))
    with pytest.raises(PolicyError, match="cannot be a role"):
        compile_roles(POLICY.model_copy(update={"promote": POLICY.promote.model_copy(update={"roles": [name]})}))
    strange = replace(
        cases._person("max"), id='max"; permit(principal, action, resource);', roles=frozenset({"author"})
    )
    assert not may(strange, "promote", policy=POLICY, subject=SUBJECT, evidence=ALLOWED).allowed


def test_one_person_alone_shows_no_separation() -> None:
    alone = tuple(a for a in ALLOWED.attestations if a.principal.id == "ada")
    assert alone
    assert decide(replace(ALLOWED, attestations=alone)).assurance == SINGLE_CUSTODIAN


def test_shared_custody_is_told() -> None:
    assert decide(ALLOWED).assurance == SEPARATE_CUSTODY
    shared = tuple(replace(a, principal=replace(a.principal, custodian="one laptop")) for a in ALLOWED.attestations)
    assert decide(replace(ALLOWED, attestations=shared)).assurance == SINGLE_CUSTODIAN


# --- which policy is in force -----------------------------------------------------------------------------


def enacted(version: int, text: str | None = None, **changes: Any) -> PolicyInForce:
    text = (text or TEXT).replace("version: 1", f"version: {version}", 1)
    fields = {
        "name": "credit-production",
        "version": version,
        "stage": "production",
        "sha256": sha256_hex(text.encode()),
        "text": text,
    }
    return PolicyInForce(**{**fields, **changes})


def test_the_newest_signed_policy_is_in_force() -> None:
    view = with_entry(with_entry(ALLOWED, "rita", enacted(1)), "rita", enacted(3))
    assert in_force(view, "production").version == 3
    downgraded = in_force(with_entry(view, "rita", enacted(2)), "production")
    assert downgraded.version == 3 and "does not replace" in downgraded.notes[0]
    smuggled = in_force(with_entry(view, "ada", enacted(9)), "production")
    assert smuggled.version == 3 and "no policy owner" in smuggled.notes[0]


def test_without_a_signed_policy_nothing_is_decided() -> None:
    with pytest.raises(MissingEvidenceError, match="no policy is in force"):
        in_force(ALLOWED, "production")
    for changes in ({"sha256": "0" * 64}, {"name": "other"}):
        with pytest.raises(EvidenceError):
            in_force(with_entry(ALLOWED, "rita", enacted(1, **changes)), "production")


def test_the_binding_is_over_what_was_judged() -> None:
    findings = decide(ALLOWED).findings
    one = approval.binding(SUBJECT, "production", "p", findings)
    assert one == approval.binding(SUBJECT, "production", "p", tuple(reversed(findings)))
    assert one != approval.binding(SUBJECT, "staging", "p", findings)
    assert one != approval.binding(SUBJECT, "production", "q", findings)
    assert one != approval.binding(SUBJECT, "production", "p", findings[1:])


def test_the_record_has_the_shape_of_a_verification_summary() -> None:
    wire = decide(ALLOWED).to_content().to_wire()
    assert wire["verificationResult"] == "PASSED"
    assert {"verifier", "timeVerified", "resourceUri", "policy", "inputAttestations"} <= set(wire)
    assert decide(view_of("uncertain")).to_content().verification_result == "FAILED"
    assert "<table>" in decide(ALLOWED)._repr_html_()
