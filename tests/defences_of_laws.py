"""What the laws of the gate rest on, and the attacks on policies with what stops each; joined to the others in defences.py."""

from __future__ import annotations

from tests.defences import CHARTER, ENGINE, LENT, SEVERAL, change, defence
from tests.defences_of_promotion import ALIAS, BYTES, PASS, REPLAY, RUN, WAIVER

DIGEST = "laws: evidence for another digest"
LOST = "laws: evidence lost, aged or damaged, for or against"
NAME = "laws: a role or a name that somebody claims"
LEFT_OUT = "laws: a metric, a group or an attribute left out"
WIDE = "laws: a wide interval passed as a point estimate"
TEXT = "laws: a policy swapped, downgraded or unsigned"
EXPRESSION = "rules: an expression that says neither yes nor no, or never ends"
NUMBER = "laws: what is no number, or no rule, where one belongs"

LAW_LINES = (DIGEST, LOST, NAME, LEFT_OUT, WIDE, TEXT, NUMBER)

W, D, P = "decide/test_laws.py::", "decide/test_decision.py::", "decide/test_policy.py::"
VOID = f"{W}test_whatever_counts_no_more_allows_nothing"

LAWS = (
    defence(
        DIGEST,
        "the digest, where entries are looked up",
        change(
            "evidence/attestation",
            'return self.once("subjects", self._by_subject).get((sha256, kind), ())',
            "return tuple(one for one in self.attestations if kind in (None, one.kind))",
        ),
        f"{W}test_what_was_signed_for_other_bytes_counts_for_none",
        f"{W}test_what_is_said_of_other_bytes_changes_nothing",
    ),
    defence(
        LOST,
        "entries that nothing replaces where a policy reads every one of their kind",
        change("decide/circumstances", "if _every_one_is_read(gone.kind, policy):", "if False:"),
        VOID,
    ),
    defence(
        LOST,
        "the stage, for the yes that replaces an erased no",
        change("decide/circumstances", ' and getattr(a.content, "stage", "") == stage]', "]"),
        f"{W}test_an_erased_no_is_not_replaced_by_its_signers_yes_to_another_stage",
    ),
    defence(
        LOST,
        "entries that count no more",
        change("decide/circumstances", "if _still_matters(gone, subject, stage, policy, evidence):", "if False:"),
        VOID,
    ),
    defence(
        LOST,
        "the greatest age of evidence",
        change("decide/rules", "if require.max_age is not None and age > require.max_age:", "if False:"),
        f"{W}test_time_that_passes_allows_nothing_and_leaves_nothing_fresh",
        f"{D}test_the_shipped_cases[stale]",
    ),
    defence(
        LOST,
        "evidence and clocks from the future",
        (
            change("decide/rules", "if age < -SKEW:", "if False:"),
            change("decide/circumstances", "if latest - clock > SKEW:", "if False:"),
        ),
        f"{W}test_nothing_is_allowed_while_an_entry_is_from_the_future",
    ),
    defence(
        LOST,
        "counts held against the number that was signed with them",
        change("decide/selecting", " or abs(k / n - one.value) > TOLERANCE:", ":"),
        f"{W}test_damaged_numbers_allow_nothing",
    ),
    defence(
        LOST,
        "the newest report, whatever came before",
        change("decide/rules", "newest = about[-1]", "newest = about[0]"),
        f"{W}test_the_newest_report_counts_and_not_the_one_that_passed",
        f"{D}test_the_newest_evidence_counts_not_any_that_passes",
    ),
    defence(
        LOST,
        "what was withdrawn",
        change("decide/rules", "if withdrawn is not None:", "if False:"),
        f"{W}test_a_withdrawal_stops_what_rests_on_what_was_withdrawn",
    ),
    defence(
        NAME,
        "the role of whoever approves, then and now",
        (
            change("decide/approval", "elif not _holds(entry.principal, content.role, project):", "elif False:"),
            change(
                "decide/approval",
                """elif content.verdict == "approve" and not _holds(
            evidence.principals.get(entry.principal.id), content.role, project
        ):""",
                "elif False:",
            ),
        ),
        f"{W}test_whoever_has_no_role_allows_nothing_by_what_they_claim",
        f"{W}test_a_role_that_somebody_claims_and_does_not_hold_counts_for_nothing",
    ),
    defence(
        NAME,
        "the bar on approving one's own work",
        change("decide/approval", "elif entry.principal.id in own_work:", "elif False:"),
        f"{W}test_whoever_made_a_model_is_never_among_those_who_approve_it",
    ),
    defence(
        NAME,
        "the bar on validating one's own work",
        change(
            "decide/rules",
            'about = tuple(a for a in about if a.principal.id not in made["author"] | made["trainer"])',
            "pass",
        ),
        f"{D}test_the_shipped_cases[own-validation]",
    ),
    defence(
        LEFT_OUT,
        "the levels that a policy names",
        change("decide/selecting", "wanted = [tuple(level.split(CROSS)) if len(by) > 1 else (level,) for level in "
               "require.levels[attribute]]\n        absent = ", "wanted = [group for group in found]\n        absent = "),
        f"{D}test_the_shipped_cases[group-left-out]",
    ),
    defence(
        LEFT_OUT,
        "an attribute by which nothing was measured",
        change(
            "decide/selecting",
            'raise Unusable("missing", f"{shown} was not measured by {attribute}")',
            'raise Unusable("pass", "")',
        ),
        f"{W}test_an_attribute_or_a_metric_that_is_left_out_is_missing",
    ),
    defence(
        LEFT_OUT,
        "a metric that was not measured",
        change("decide/selecting", 'raise Unusable("missing", f"{shown} was not measured")', 'raise Unusable("pass", "")'),
        f"{W}test_an_attribute_or_a_metric_that_is_left_out_is_missing",
    ),
    defence(
        WIDE,
        "the bound of the interval",
        change(
            "decide/bounds",
            'return "pass" if lower >= number else "fail" if upper < number else "inconclusive"',
            'return "pass" if value >= number else "fail" if upper < number else "inconclusive"',
        ),
        f"{W}test_the_newest_report_counts_and_not_the_one_that_passed",
        f"{D}test_the_shipped_cases[uncertain]",
    ),
    defence(
        TEXT,
        "the role of whoever signs a policy",
        change("decide/policy", 'if "policy_owner" not in entry.principal.roles:', "if False:"),
        f"{D}test_the_newest_signed_policy_is_in_force",
    ),
    defence(
        TEXT,
        "versions that only rise",
        change("decide/policy", "elif current is not None and content.version <= _content(current).version:", "elif False:"),
        f"{D}test_the_newest_signed_policy_is_in_force",
    ),
    defence(
        TEXT,
        "the digest of the text",
        change("decide/policy", "if sha256_hex(content.text.encode()) != content.sha256:", "if False:"),
        f"{D}test_without_a_signed_policy_nothing_is_decided",
    ),
    defence(
        NUMBER,
        "types that are never converted",
        change("decide/require", 'frozen=True, extra="forbid", strict=True,', 'frozen=True, extra="forbid", strict=False,'),
        f"{P}test_a_text_or_a_truth_value_is_no_number[text]",
        f"{P}test_a_text_or_a_truth_value_is_no_number[truth]",
    ),
    defence(
        NAME,
        "the role of whoever says a risk tier",
        change("decide/facts", "a.principal.voices(MAY_TIER))", "[frozenset({a.principal.id})])"),
        "decide/test_facts.py::test_a_risk_tier_is_the_newest_word_of_somebody_who_may_say_it[texts6-error]",
    ),
    defence(
        NAME,
        "who made the model, for its risk tier",
        change("decide/facts", "any(voice.isdisjoint(made) for voice in", "any(True for voice in"),
        "decide/test_facts.py::test_whoever_made_a_model_does_not_say_its_tier",
        "workspace/test_lent_roles.py::test_whoever_has_a_makers_role_does_not_say_how_risky_the_model_is",
    ),
    defence(
        EXPRESSION,
        "what all expressions of a policy cost together",
        change("decide/problems", "if count > expression.MAX_EXPRESSIONS or passes > expression.MAX_PASSES:", "if False:"),
        *(f"decide/test_expression.py::test_what_all_expressions_of_a_policy_cost_together_is_bounded[{check}]" for check in (
            "details.drift < 1.0-100", "measurements.all(m, m.n > 1)-40",
        )),
    ),
    defence(
        NUMBER,
        "at least one rule",
        change("decide/policy", "rules: Annotated[list[Rule], Field(min_length=1)]", "rules: list[Rule]"),
        f"{P}test_empty_and_duplicate_rules_are_refused",
    ),
)  # fmt: skip

ATTACKS: dict[str, tuple[str, ...]] = {
    "edited evidence": ("payload bit flipped", "leaf row edited", "blob edited"),
    "report of another model or dataset replayed": (
        DIGEST, "envelope replayed", "copied to another log", "rules: many tries on one test set", "easier rows in a pipeline",
    ),
    "self-approval": (NAME, SEVERAL),
    "self-approval through a second key of the same person": ("one key under two ids", SEVERAL, REPLAY),
    "self-approval through a role given to oneself": (LENT, CHARTER),
    "future-dated or expired evidence": (LOST, "entry from the far future", "clock moved back"),
    "metric or group left out": (LEFT_OUT,),
    "many tries on one test set": ("rules: many tries on one test set",),
    "wide interval passed as a point estimate": (WIDE,),
    "policy swapped, downgraded or unsigned": (TEXT, "another policy in force than the pinned one"),
    "waiver granted to oneself, without end date, for another subject": (WAIVER,),
    "failing run deleted": (RUN, "middle leaf deleted", "tail truncated"),
    "artifact changed between gate and promotion, and after it": (BYTES,),
    "alias repointed behind the gate's back": (ALIAS,),
    "pass reused or used for another stage": (PASS,),
    "engine error": (ENGINE, EXPRESSION),
    "NaN": (LOST, NUMBER, EXPRESSION),
    "empty list": (NUMBER,),
    'string "0.9" where a number belongs': (NUMBER,),
    "protected attribute dropped from the assessment": (LEFT_OUT,),
    "test set that is the training set": ("rules: test set that is the training set",),
}  # fmt: skip
"""Every attack on policies in the words of their design, and the lines of the table whose defences stop it."""
