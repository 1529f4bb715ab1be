"""What approvals, waivers, withdrawals, break-glass and promotion are attacked with; joined to the others in defences.py."""

from __future__ import annotations

from tests.defences import change, defence

WAIVER = "waiver granted to oneself, without end date, for another subject"
REPLAY = "approval replayed for another subject, stage, policy or evidence"
WITHDRAWN = "withdrawn model, decision or evidence brought back"
GLASS = "glass broken by the wrong person, for the wrong model, unseen or for ever"
PASS = "pass reused or used for another stage"
BYTES = "artifact changed between gate and promotion, and after it"
ALIAS = "alias repointed behind the gate's back"
ROUND = "promotion that went round the gate"
KILLED = "promotion killed at any step"
RUN = "failing run deleted"

PROMOTION_LINES = (WAIVER, REPLAY, WITHDRAWN, GLASS, PASS, BYTES, ALIAS, ROUND, KILLED, RUN)

W, D, R = "promote/test_waivers.py::", "promote/test_withdrawal.py::", "promote/test_recovery.py::"

PROMOTION = (
    defence(
        WAIVER,
        "who made the model, when waivers are counted",
        change("decide/approval", 'barred = made["author"] | made["trainer"]', "barred: frozenset[str] = frozenset()"),
        f"{W}test_nobody_waives_for_their_own_work_whatever_the_policy_says",
    ),
    defence(
        WAIVER,
        "who made the model, when a waiver is signed",
        change("workspace/deciding", 'if me.id in made["author"] | made["trainer"]:', "if False:"),
        f"{W}test_nobody_waives_for_their_own_work_whatever_the_policy_says",
    ),
    defence(
        WAIVER,
        "an end, in the form of a waiver",
        change(
            "evidence/verdicts",
            "    expires: AwareDatetime\n\n\nclass VerifierId",
            "    expires: AwareDatetime | None = None\n\n\nclass VerifierId",
        ),
        f"{W}test_a_waiver_without_an_end_has_no_form",
    ),
    defence(
        WAIVER,
        "the policy's longest time, when waivers are counted",
        change(
            "decide/approval",
            "elif content.expires - entry.recorded_at > timedelta(days=policy.waivers.max_days):",
            "elif False:",
        ),
        f"{W}test_a_waiver_without_an_end_has_no_form",
    ),
    defence(
        WAIVER,
        "the policy's longest time, when a waiver is signed",
        change(
            "workspace/deciding",
            "if not timedelta(0) < expires - now <= timedelta(days=policy.waivers.max_days):",
            "if False:",
        ),
        f"{W}test_a_waiver_that_would_not_count_is_not_signed[options0-UsageError-within 30 days]",
        f"{W}test_a_waiver_that_would_not_count_is_not_signed[options2-UsageError-a time after]",
    ),
    defence(
        WAIVER,
        "the end of a waiver",
        change("decide/approval", "elif not entry.recorded_at - SKEW <= at < content.expires:", "elif False:"),
        f"{W}test_a_waiver_ends_at_the_end_of_its_day_in_utc",
    ),
    defence(
        WAIVER,
        "the binding of a waiver",
        change("decide/approval", "elif content.binding != bound_to:", "elif False:"),
        f"{W}test_a_waiver_for_something_else_does_not_count[binding]",
    ),
    defence(
        WAIVER,
        "the subject of a waiver",
        change(
            "decide/approval", "in evidence.about(subject.sha256, Waiver.kind):", "in evidence.of_kind(Waiver.kind):"
        ),
        f"{W}test_a_waiver_for_something_else_does_not_count[subject]",
    ),
    defence(
        WAIVER,
        "the stage of a waiver",
        change(
            "decide/approval",
            "if not isinstance(content, Waiver) or content.stage != stage:",
            "if not isinstance(content, Waiver):",
        ),
        f"{W}test_a_waiver_for_something_else_does_not_count[stage]",
    ),
    defence(
        REPLAY,
        "the binding of an approval",
        change("decide/approval", "if content.binding != bound_to:\n            why", "if False:\n            why"),
        f"{W}test_an_approval_of_another_model_is_worth_nothing",
        f"{W}test_an_approval_under_another_policy_is_worth_nothing",
        f"{W}test_an_approval_before_new_evidence_is_worth_nothing",
    ),
    defence(
        REPLAY,
        "the policy, in the binding",
        change("decide/approval", '"policy": policy_sha256,', ""),
        f"{W}test_an_approval_under_another_policy_is_worth_nothing",
    ),
    defence(
        REPLAY,
        "the evidence, in the binding",
        change(
            "decide/approval",
            '"evidence": sorted({payload for finding in findings for payload in finding.payloads}),',
            "",
        ),
        f"{W}test_an_approval_before_new_evidence_is_worth_nothing",
    ),
    defence(
        REPLAY,
        "the stage of an approval",
        change(
            "decide/approval",
            "if not isinstance(content, Approval) or content.stage != stage:",
            "if not isinstance(content, Approval):",
        ),
        f"{W}test_an_approval_for_another_stage_is_worth_nothing",
    ),
    defence(
        REPLAY,
        "a role, for whoever asks",
        change("evidence/door", "if isinstance(one.content, ApprovalRequest) and not principal.roles:", "if False:"),
        f"{W}test_a_request_without_a_word_or_a_role_is_refused",
    ),
    defence(
        WITHDRAWN,
        "that a model was withdrawn",
        change(
            "decide/circumstances",
            "if (withdrawn := withdrawal.model_finding(subject, evidence)) is not None:",
            "if (withdrawn := None) is not None:",
        ),
        f"{D}test_a_withdrawn_model_is_denied_for_ever_whoever_registers_its_bytes_again",
        f"{D}test_a_rollback_to_a_version_that_is_no_longer_valid_is_refused_and_says_why",
    ),
    defence(
        WITHDRAWN,
        "that a decision was withdrawn",
        change("decide/decision", "findings += withdrawal.decision_findings(subject, stage, bound_to, evidence)", ""),
        f"{D}test_a_withdrawn_decision_stands_against_what_it_was_about_until_that_changes",
    ),
    defence(
        WITHDRAWN,
        "who may withdraw, when a revocation is signed",
        change(
            "decide/withdrawal",
            "if target.principal.id != principal.id and not principal.roles & revokers(evidence):",
            "if False:",
        ),
        f"{D}test_only_its_signer_a_risk_officer_or_a_policy_owner_withdraws_something",
    ),
    defence(
        WITHDRAWN,
        "who may withdraw, when revocations are counted",
        change(
            "decide/rules",
            "signers.get(content.target) == entry.principal.id or entry.principal.roles & may_revoke",
            "True",
        ),
        f"{D}test_a_revocation_by_somebody_who_may_not_is_told_and_changes_nothing",
    ),
    defence(
        WITHDRAWN,
        "a no to one's own work",
        change(
            "decide/withdrawal",
            "if target.principal.id != principal.id and not any(voice.isdisjoint(own) for voice in speaking):",
            "if False:",
        ),
        f"{D}test_a_no_to_ones_own_work_is_not_withdrawn_by_oneself",
        "workspace/test_lent_roles.py::test_nobody_takes_back_a_no_to_the_work_of_whoever_lent_them_the_role",
    ),
    defence(
        WITHDRAWN,
        "a shared registration withdrawn for a model that its revocation does not name",
        change(
            "decide/withdrawal",
            "elif isinstance(target.content, Registration) and counting.get(content.target) is not None:",
            "elif entry.about(subject.sha256) and isinstance(target.content, Registration) and content.target in counting:",
        ),
        "workspace/test_concerning.py::"
        "test_a_registration_of_several_models_is_withdrawn_for_all_of_them_whichever_is_named[other]",
    ),
    defence(
        WITHDRAWN,
        "revocations of what can no longer be read",
        change("decide/withdrawal", "if content.target not in lost and not (lost and named):", "if True:"),
        f"{D}test_erased_registrations_do_not_bring_a_withdrawn_model_back",
    ),
    defence(
        GLASS,
        "the role, at the ledger's door",
        change(
            "evidence/door",
            "if isinstance(one.content, BreakGlass | BreakGlassReview) and one.content.role not in principal.roles:",
            "if False:",
        ),
        f"{D}test_the_ledger_refuses_a_use_or_a_review_in_a_role_that_its_signer_has_not",
    ),
    defence(
        GLASS,
        "a role of its own, in the policy",
        change("decide/problems", "if policy.break_glass is not None and (shared", "if False and (shared"),
        f"{D}test_a_policy_gives_break_glass_a_role_of_its_own",
    ),
    defence(
        GLASS,
        "who made the model, when the glass is broken",
        change("decide/breakglass", 'if principal.id in made["author"] | made["trainer"]:', "if False:"),
        f"{D}test_nobody_breaks_the_glass_for_their_own_work",
    ),
    defence(
        GLASS,
        "the policy's longest time",
        change(
            "decide/breakglass",
            "if not timedelta(0) < emergency.lasts <= timedelta(hours=policy.break_glass.max_hours):",
            "if False:",
        ),
        f"{D}test_glass_is_broken_for_a_reason_and_a_limited_time[options0-NotAuthorizedError-at most 24 hours]",
        f"{D}test_glass_is_broken_for_a_reason_and_a_limited_time[options1-NotAuthorizedError-at most 24 hours]",
    ),
    defence(
        GLASS,
        "withdrawn models",
        (
            change("decide/breakglass", "if gone is not None:", "if False:"),
            change("decide/breakglass", "if blocking:", "if False:"),
        ),
        f"{D}test_the_glass_is_not_broken_for_a_model_that_was_withdrawn",
    ),
    defence(
        GLASS,
        "withdrawn decisions",
        change("decide/breakglass", "taken_back = revoked(evidence)", "taken_back: dict[str, Attestation] = {}"),
        f"{D}test_the_glass_is_not_broken_after_a_decision_about_the_model_was_withdrawn",
    ),
    defence(
        GLASS,
        "what only the policy's own rules may be overridden of",
        change("decide/breakglass", "if blocking:", "if False:"),
        f"{D}test_broken_glass_overrides_rules_and_nothing_else",
    ),
    defence(
        GLASS,
        "uses, in every decision",
        change("decide/decision", ", *breakglass.notes(evidence, at))", ")"),
        f"{D}test_broken_glass_moves_the_alias_and_stands_in_every_decision_until_it_is_reviewed",
        f"{D}test_a_recorded_decision_names_glass_that_was_broken_for_another_model",
    ),
    defence(
        GLASS,
        "somebody else, who reviews",
        change("decide/breakglass", "if principal.id == use.principal.id:", "if False:"),
        f"{D}test_nobody_reviews_their_own_use",
    ),
    defence(
        GLASS,
        "uses whose key was taken back",
        change(
            "evidence/walk",
            "STANDS = (Revocation.kind, BreakGlass.kind, Delegation.kind)",
            "STANDS = (Revocation.kind, Delegation.kind)",
        ),
        f"{D}test_a_use_is_neither_withdrawn_nor_forgotten_with_its_key",
    ),
    defence(
        GLASS,
        "the end of a use",
        change("promote/recovery", "if use is not None and at >= use.content.expires:", "if False:"),
        f"{D}test_what_broken_glass_let_in_is_a_problem_once_its_time_is_over",
    ),
    defence(
        PASS,
        "passes that were used, in the ledger",
        change("evidence/ledger", "if guard is not None and guard.token is not None:", "if False:"),
        f"{R}test_a_pass_is_good_for_one_promotion",
        f"{R}test_the_pass_of_a_promotion_that_died_is_used_up[after the intent]",
    ),
    defence(
        PASS,
        "passes that were used, when promotions are read",
        change("decide/passage", "if one.used_at is not None:", "if False:"),
        f"{R}test_a_pass_is_good_for_one_promotion",
    ),
    defence(
        PASS,
        "the stage of a decision",
        (
            change("decide/passage", " or decision.stage != content.stage:", ":"),
            change("decide/passage", "pass_of(subject, content.stage,", "pass_of(subject, decision.stage,"),
        ),
        f"{R}test_a_pass_for_another_stage_or_of_another_decision_is_no_promotion[change0-is about something else]",
    ),
    defence(
        PASS,
        "the pass of a decision",
        change("decide/passage", "if content.token != pass_of(", "if False and content.token != pass_of("),
        f"{R}test_a_pass_for_another_stage_or_of_another_decision_is_no_promotion"
        "[change1-its pass is not that of its decision]",
    ),
    defence(
        BYTES,
        "the digest, right before the alias moves",
        change(
            "promote/gate",
            "    try:\n        recovery.same_bytes(registry, registration.name, registration.version, subject)\n",
            "    try:\n",
        ),
        "workspace/test_workspace.py::test_an_artifact_changed_between_gate_and_action_is_not_promoted",
    ),
    defence(
        BYTES,
        "the digest, before the glass is broken or the gate asked",
        (
            change(
                "promote/gate",
                "    recovery.same_bytes(registry, registration.name, registration.version, subject)\n    notes",
                "    notes",
            ),
            change(
                "promote/gate",
                "    try:\n        recovery.same_bytes(registry, registration.name, registration.version, subject)\n",
                "    try:\n",
            ),
        ),
        f"{D}test_broken_glass_still_wants_the_bytes_that_were_judged",
    ),
    defence(
        BYTES,
        "the digest, of what stands in a stage",
        change(
            "promote/recovery", "        same_bytes(registry, one.name, one.version, recorded.subject)", "        pass"
        ),
        f"{R}test_an_artifact_changed_after_its_promotion_is_told",
    ),
    defence(
        BYTES,
        "the digest, when a promotion that died is settled",
        change(
            "promote/recovery",
            "            same_bytes(registry, content.name, content.version, one.subject)",
            "            pass",
        ),
        f"{R}test_a_promotion_that_died_after_moving_the_alias_to_changed_bytes_is_not_called_done",
    ),
    defence(
        ALIAS,
        "the version that the log has",
        change("promote/recovery", "if now == recorded.content.version:", "if True:"),
        f"{R}test_an_alias_that_is_pointed_elsewhere_is_told_with_who_put_it_where_it_was",
        f"{R}test_an_alias_that_is_taken_away_or_set_without_a_promotion_is_told",
    ),
    defence(
        ALIAS,
        "aliases without a promotion",
        change("promote/recovery", "        if now is None:", "        if True:"),
        f"{R}test_an_alias_that_is_taken_away_or_set_without_a_promotion_is_told",
    ),
    defence(
        ALIAS,
        "what was withdrawn while it stood there",
        change("promote/recovery", "if gone is not None:", "if False:"),
        f"{R}test_what_was_withdrawn_after_its_promotion_is_told_while_it_stands[credit/1]",
        f"{R}test_what_was_withdrawn_after_its_promotion_is_told_while_it_stands[the decision]",
    ),
    defence(
        ALIAS,
        "the log, when a rollback looks for where it stands",
        change(
            "workspace/promoting",
            "now = standing.content.version if standing is not None else None",
            "now = ws.registry.alias(wanted, alias)",
        ),
        f"{D}test_a_rollback_goes_by_the_log_and_not_by_an_alias_that_somebody_moved",
    ),
    defence(
        ROUND,
        "the decision, made again",
        change("promote/history", "if comparable and (again.result,", "if False and (again.result,"),
        f"{R}test_a_promotion_on_a_forged_decision_is_told_because_the_decision_is_made_again",
    ),
    defence(
        ROUND,
        "what came in between decision and intent",
        change("decide/passage", "if between:", "if False:"),
        f"{R}test_a_decision_made_before_a_failing_report_is_no_way_past_it",
    ),
    defence(
        ROUND,
        "the time of the decision",
        change("decide/passage", "if abs(decision.time_verified - decided.recorded_at) > SKEW:", "if False:"),
        f"{R}test_a_decision_dated_to_when_its_evidence_was_fresh_is_told",
    ),
    defence(
        ROUND,
        "the role of whoever promoted",
        change("decide/passage", "if not entry.principal.roles & set(policy.promote.roles):", "if False:"),
        f"{R}test_a_promotion_without_the_role_is_told",
    ),
    defence(
        ROUND,
        "who made the model",
        change(
            "decide/passage",
            "if any(entry.principal.id in made[relation] for relation in policy.promote.not_):",
            "if False:",
        ),
        f"{R}test_a_promotion_by_whoever_made_the_model_is_told",
    ),
    defence(
        ROUND,
        "who decided",
        change("decide/passage", "if decided.principal.id != intent.principal.id:", "if False:"),
        f"{R}test_a_promotion_on_somebody_elses_decision_is_told",
    ),
    defence(
        ROUND,
        "what the gate would have said to broken glass",
        change("promote/history", 'if comparable and refused else ""', 'if False else ""'),
        f"{R}test_broken_glass_that_the_gate_would_have_refused_is_told",
    ),
    defence(
        KILLED,
        "promotions without an outcome, before the next",
        change(
            "promote/recovery", "for one in unfinished(evidence, project):\n        if", "for one in ():\n        if"
        ),
        f"{R}test_the_next_promotion_settles_what_died_without_a_doctor[after the intent]",
        f"{R}test_the_next_promotion_settles_what_died_without_a_doctor[after the alias]",
        f"{R}test_another_promotion_to_the_same_alias_waits_for_one_that_is_under_way",
    ),
    defence(
        KILLED,
        "time, for a promotion that is under way",
        change("promote/recovery", "if at - one.intent.recorded_at < GRACE:", "if False:"),
        f"{R}test_another_promotion_to_the_same_alias_waits_for_one_that_is_under_way",
    ),
    defence(
        KILLED,
        "promotions without an outcome, for the doctor",
        change("workspace/health", "elif one.outcome is None:", "elif False:"),
        f"{R}test_the_doctor_and_the_next_promotion_recover_from_a_kill_at_any_step[after the intent]",
    ),
    defence(
        KILLED,
        "where the alias stands, when a promotion is settled",
        change("promote/recovery", "    if now == content.version:", "    if False:"),
        f"{R}test_the_doctor_and_the_next_promotion_recover_from_a_kill_at_any_step[after the alias]",
        f"{R}test_the_next_promotion_settles_what_died_without_a_doctor[before the outcome is committed]",
    ),
    defence(
        KILLED,
        "clocks that differ, for a promotion that is under way",
        change("promote/recovery", "GRACE = SKEW + timedelta(minutes=5)", "GRACE = timedelta(minutes=2)"),
        f"{R}test_a_promotion_by_a_machine_whose_clock_is_behind_is_not_called_dead[9]",
    ),
    defence(
        KILLED,
        "one writer of a model's aliases at a time",
        change("promote/registry", "fcntl.flock(file, fcntl.LOCK_EX)", "pass"),
        "promote/test_registry.py::test_aliases_that_are_set_at_once_are_all_kept",
    ),
    defence(
        KILLED,
        "one outcome for each promotion",
        change("promote/gate", "guard=Guard(since=0, token=pass_of_outcome(intent.token))", "guard=None"),
        f"{R}test_a_promotion_has_one_outcome",
    ),
    defence(
        KILLED,
        "one outcome for each promotion that is settled",
        change("promote/recovery", "guard=Guard(since=0, token=pass_of_outcome(content.token))", "guard=None"),
        f"{R}test_two_doctors_settle_a_promotion_once",
    ),
    defence(
        KILLED,
        "who may settle a promotion",
        change(
            "promote/recovery",
            'return rbac.may(person, "promote", policy=policy, subject=one.subject, evidence=evidence).allowed',
            "return True",
        ),
        f"{R}test_only_who_may_promote_settles_a_promotion",
    ),
    defence(
        KILLED,
        "who may say what became of a promotion",
        change(
            "decide/passage",
            "return entry.principal.id == intent.principal.id or not _barred(",
            "return True or not _barred(",
        ),
        f"{R}test_an_outcome_by_somebody_who_may_not_promote_ends_nothing",
    ),
    defence(
        KILLED,
        "promotions, among what an intent must not be overtaken by",
        change("decide/passage", '"erasure", "promotion")', '"erasure")'),
        f"{R}test_a_promotion_elsewhere_between_decision_and_intent_starts_it_again",
    ),
    defence(
        RUN,
        "entries that are missing",
        change("evidence/walk", "if one.place != index:", "if False:"),
        f"{R}test_a_failing_run_that_is_deleted_is_missed",
    ),
)
