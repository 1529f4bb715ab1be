"""What whoever lends a role, owns a policy, or gives bytes another name is held against; joined to the others in defences.py."""

from __future__ import annotations

from tests.defences import change, defence

VOICE = "one voice passed for two, through a role that was lent"
NAME = "bytes approved under one name promoted under another"
NUMBER = "a number that its own report doubts, or that cannot be"

FORGED = "records of a promotion signed by hand, by one person"
USED = "a weak model that a release manager alone says is in use"

VOICE_LINES = (VOICE, NAME, FORGED, USED, NUMBER)

L, W, R = "workspace/test_lent_roles.py::", "promote/test_waivers.py::", "promote/test_recovery.py::"
G, U, C = "promote/test_withdrawal.py::", "decide/test_usable.py::", "decide/test_champion.py::"
ALONE = f"{C}test_a_weak_model_that_a_release_manager_alone_says_is_in_use_is_not_compared_with"

VOICES = (
    defence(
        VOICE,
        "for whom a delegate takes back a no, when it is counted",
        change(
            "decide/approval",
            "return mine or any(voice.isdisjoint(own_work) for voice in by.voices(may_revoke))",
            "return mine or by.id not in own_work",
        ),
        f"{L}test_nobody_takes_back_a_no_to_the_work_of_whoever_lent_them_the_role",
    ),
    defence(
        VOICE,
        "roles of break-glass that are one's own",
        change(
            "decide/breakglass",
            "[one for one in roles if one in principal.own and role in (None, one)]",
            "[one for one in roles if one in principal.roles and role in (None, one)]",
        ),
        f"{L}test_break_glass_is_used_and_reviewed_in_roles_of_ones_own",
    ),
    defence(
        VOICE,
        "who put the policy in force that gives them the glass",
        change(
            "decide/breakglass",
            "if in_force(evidence, decision.stage).attestation.principal.id == principal.id:",
            "if False:",
        ),
        f"{G}test_nobody_breaks_the_glass_by_a_policy_that_they_put_in_force_themselves",
    ),
    defence(
        VOICE,
        "a use of break-glass that was erased",
        change("decide/breakglass", "if lost.kind == BreakGlass.kind", "if False"),
        f"{G}test_glass_that_was_erased_is_told_although_nobody_can_review_it_any_more",
    ),
    defence(
        NAME,
        "the names, in the binding",
        change("decide/approval", '**({"names": sorted(names)} if len(names) > 1 else {}),', ""),
        f"{W}test_an_approval_before_the_bytes_had_another_name_is_worth_nothing",
    ),
    defence(
        NAME,
        "the registration under the name that was asked for",
        change("workspace/session", 'if f"{one.name}/{one.version}" == subject.name)', "if True)"),
        f"{W}test_a_promotion_moves_the_alias_of_the_name_that_was_asked_for",
    ),
    defence(
        NAME,
        "the name of a promotion, when the log is examined",
        change("decide/passage", "if not _registered(subject, content.name, intent.index, evidence):", "if False:"),
        f"{R}test_a_promotion_under_a_name_that_the_bytes_never_had_is_told",
    ),
    defence(
        FORGED,
        "who had to stand behind a promotion, whatever version its decision names",
        change("promote/history", "return passage.alone(one, decision, reference.policy, then, project)", "return ''"),
        f"{R}test_a_forged_decision_is_told_although_something_was_erased[True-nobody had approved what its decision names]",
        f"{R}test_a_promotion_behind_which_too_few_people_stand_is_told",
    ),
    defence(
        FORGED,
        "the versions that were in use when a decision names another",
        change("promote/history", "if __version__ not in in_use:", "if True:"),
        f"{R}test_an_allowed_decision_of_before_is_no_way_past_a_failing_report_whatever_version_it_names",
    ),
    defence(
        FORGED,
        "the stage whose promotion moved an alias",
        change("promote/recovery", "if recorded is not None and recorded.content.stage != stage:", "if False:"),
        f"{R}test_an_alias_that_a_promotion_to_another_stage_moved_is_told",
    ),
    defence(
        USED,
        "whether the champion went through the gate",
        change("decide/champion", "        if not fault and one is not None:", "        if one is not None:"),
        f"{ALONE}[nobody approved]",
        f"{ALONE}[a decision that denies]",
        "workspace/test_concerning.py::test_a_release_manager_alone_puts_no_weak_model_up_to_be_compared_with",
    ),
    defence(
        USED,
        "who approved what the champion's decision names",
        change(
            "decide/passage",
            "    fault = _missing(one, reference.policy, then, ballot)\n    if fault:",
            "    fault = _missing(one, reference.policy, then, ballot)\n    if False:",
        ),
        f"{ALONE}[another binding]",
        f"{ALONE}[approved by the promoter]",
    ),
    defence(
        USED,
        "evidence that came after the approvals",
        change("decide/passage", "if any(index > seen for index in found.evidence):", "if False:"),
        f"{C}test_an_approval_from_before_the_evidence_shows_no_promotion",
    ),
    defence(
        USED,
        "the rules, applied again",
        change("decide/passage", 'if found.status != "pass" and not (accepted or excused):', "if False:"),
        f"{C}test_an_approved_model_that_fails_its_own_rules_is_no_champion",
    ),
    defence(
        USED,
        "the policy that the champion's decision was made by",
        change("decide/passage", 'if decision.policy.digest.get("sha256") != reference.sha256:', "if False:"),
        f"{C}test_a_decision_by_a_policy_that_was_not_in_force_makes_no_champion",
    ),
    defence(
        USED,
        "the doubt, while a promotion past the gate is the newest",
        change("decide/rules", 'status="inconclusive" if one.status == "pass" else one.status', "status=one.status"),
        f"{C}test_nothing_passes_by_comparison_while_it_is_in_doubt_which_model_is_in_use",
    ),
    defence(
        USED,
        "the order in which promotions were announced",
        change(
            "decide/champion",
            "key=lambda a: known[a.index].intent.index if a.index in known else a.index",
            "key=lambda a: a.index",
        ),
        f"{C}test_an_outcome_that_is_signed_late_brings_no_old_model_back",
    ),
    defence(
        USED,
        "what the champion rests on, withdrawn since",
        change("decide/champion", "since = passage.taken_back(one, evidence)", 'since = ""'),
        f"{C}test_a_model_in_use_whose_decision_was_withdrawn_is_still_compared_with_and_lets_nothing_pass",
    ),
    defence(
        NUMBER,
        "what whoever measured it says of its rows",
        change(
            "decide/selecting",
            '        if one.status == "insufficient":\n            raise',
            "        if False:\n            raise",
        ),
        f"{U}test_a_number_that_rests_on_too_few_rows_of_a_kind_passes_no_rule[asked1]",
        f"{U}test_such_a_number_is_not_compared_with_the_model_in_use",
    ),
    defence(
        NUMBER,
        "the range of a metric",
        change("decide/selecting", "    if known is None:\n        return\n", "    return\n"),
        f"{U}test_a_number_that_no_such_metric_can_have_is_an_error[7.0-asked1]",
    ),
)
