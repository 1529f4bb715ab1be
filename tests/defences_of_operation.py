"""What serving, watching and loading are attacked with; joined to the others in defences.py."""

from __future__ import annotations

from tests.defences import change, defence

WITHDRAWN = "in use: what was withdrawn, replaced or voided is served on"
ROUND = "in use: a promotion that went round the gate is served"
STALE = "in use: an old look at the log, an old copy of it, or a clock behind it"
BYTES = "in use: bytes changed after promotion are loaded"
WHO = "in use: served by whoever may not"
BUNDLE = "in use: a bundle that hides a withdrawal, or proves itself"
ROWS = "in use: rows or ids of people in the windows"
COUNTS = "in use: predictions counted twice, lost or mixed up"
BASELINE = "in use: a baseline chosen afterwards"
WATCHED = "in use: a model that nobody watches, or watched by its maker"
LOADED = "in use: MLflow loads what may not be served"

OPERATION_LINES = (WITHDRAWN, ROUND, STALE, BYTES, WHO, BUNDLE, ROWS, COUNTS, BASELINE, WATCHED, LOADED)

D, V = "operate/test_deployment.py::", "operate/test_verify_deployment.py::"
W, M = "operate/test_windows.py::", "operate/test_monitor.py::"
L, S = "plugins/test_verified_repository.py::", "plugins/test_loading.py::"

OPERATION = (
    defence(
        WITHDRAWN,
        "the withdrawal of the model",
        change("operate/standing", "    if gone is not None:\n", "    if False:\n"),
        f"{V}test_exit_codes_say_why_not",
    ),
    defence(
        WITHDRAWN,
        "the withdrawal of what the promotion rests on",
        change(
            "operate/standing", "if against is not None and (one is decided or one.index in rests_on):", "if False:"
        ),
        *(
            f"{D}test_what_a_promotion_rests_on_is_withdrawn_and_it_is_served_no_more[{kind}]"
            for kind in ("decision-the decision at #", "fairness-the fairness at #", "approval-the approval at #")
        ),
    ),
    defence(
        WITHDRAWN,
        "what counts no more",
        change("operate/standing", "if lost.index in rests_on or lost.index == decided.index:", "if False:"),
        f"{D}test_what_a_promotion_rests_on_counts_no_more_and_it_is_not_served[fairness]",
    ),
    defence(
        WITHDRAWN,
        "the promotion that stands now",
        change("operate/standing", "if current is not None and current.intent.index == one.intent.index:", "if True:"),
        f"{D}test_a_version_that_another_one_has_replaced_is_served_no_more",
    ),
    defence(
        WITHDRAWN,
        "the end of a break-glass",
        (
            change(
                "operate/standing",
                "if use is None or at >= use.content.expires or _condemned(use):",
                "if use is None or _condemned(use):",
            ),
        ),
        f"{D}test_a_model_that_entered_by_break_glass_is_served_until_that_ends",
    ),
    defence(
        WITHDRAWN,
        "the review of a break-glass",
        change("operate/standing", "at >= use.content.expires or _condemned(use):", "at >= use.content.expires:"),
        f"{D}test_an_emergency_that_was_not_justified_is_over",
    ),
    defence(
        WITHDRAWN,
        "that a refusal is for good",
        change("operate/deployment", "            self._refusal = error\n            raise\n", "            raise\n"),
        f"{D}test_a_revocation_stops_a_deployment_within_the_stated_interval_and_for_good",
    ),
    defence(
        ROUND,
        "the gate, asked again of every promotion",
        change("operate/standing", "if current is not None and current.intent.index == one.intent.index:", "if True:"),
        f"{D}test_a_promotion_that_went_round_the_gate_is_not_served",
    ),
    defence(
        STALE,
        "the interval of the looks",
        change(
            "operate/deployment",
            "if self._refusal is None and not self._closed and timedelta(0) <= at - self._looked < self.check_every:",
            "if self._refusal is None and not self._closed:",
        ),
        f"{D}test_a_revocation_stops_a_deployment_within_the_stated_interval_and_for_good",
    ),
    defence(
        STALE,
        "the end of the grace",
        change(
            "operate/deployment",
            "if due or not timedelta(0) <= old < self.check_every + self.grace or (until is not None and at >= until):",
            "if due:",
        ),
        f"{D}test_a_deployment_outlives_a_log_that_cannot_be_reached_by_its_grace_and_no_longer",
    ),
    defence(
        STALE,
        "what the handle has seen before",
        change(
            "workspace/deploying",
            "pinned = [] if note is None else [parse_body(split_note(note)[0])]",
            "pinned: list[Any] = []",
        ),
        f"{D}test_a_log_that_was_rolled_back_stops_a_deployment",
    ),
    defence(
        STALE,
        "the end of the trust file",
        change("operate/standing", "    if at >= evidence.trust_expires_at:\n", "    if False:\n"),
        f"{D}test_a_model_is_not_served_on_a_trust_file_that_has_expired",
        f"{V}test_an_old_bundle_is_refused_where_its_age_is_limited",
    ),
    defence(
        STALE,
        "the clock",
        change("operate/standing", "if evidence.newest is not None and at < evidence.newest - SKEW:", "if False:"),
        f"{D}test_a_model_is_not_served_on_a_clock_behind_the_log",
    ),
    defence(
        BYTES,
        "the digest of the copy that is loaded",
        change("assess/recompute", "    if found != sha256:\n", "    if False:\n"),
        f"{D}test_bytes_that_changed_after_promotion_are_not_loaded[edited]",
        f"{D}test_bytes_that_changed_after_promotion_are_not_loaded[added]",
    ),
    defence(
        BYTES,
        "the digest of what the registry holds",
        change("workspace/admission", "        if found != subject.sha256:\n", "        if False:\n"),
        f"{V}test_changed_bytes_may_not_be_served[name]",
    ),
    defence(
        WHO,
        "the roles that deploy, when it is opened",
        change("workspace/deploying", "    if not verdict.allowed:\n", "    if False:\n"),
        f"{D}test_who_may_not_deploy_serves_nothing[vera]",
    ),
    defence(
        WHO,
        "the roles that deploy, at the log's door",
        change("evidence/mandate", ', Deployment.kind: "deploy"', ""),
        f"{D}test_the_charter_can_name_a_role_that_deploys_and_promotes_nothing",
    ),
    defence(
        BUNDLE,
        "what does not verify in it",
        change(
            "workspace/admission",
            "if found.problems or not found.root_known or found.trust is None:",
            "if found.trust is None:",
        ),
        f"{V}test_a_bundle_that_left_the_withdrawal_out_does_not_verify",
    ),
    defence(
        BUNDLE,
        "its age",
        change(
            "workspace/admission",
            "if max_age is not None and (view.newest is None or at - view.newest > max_age):",
            "if False:",
        ),
        f"{V}test_an_old_bundle_is_refused_where_its_age_is_limited",
    ),
    defence(
        BUNDLE,
        "the checkpoint that it must continue",
        change("workspace/admission", "root=root, pinned=pinned)", "root=root)"),
        f"{V}test_a_withdrawal_is_in_every_bundle_that_is_made_after_it",
    ),
    defence(
        BUNDLE,
        "the root from elsewhere",
        change("cli/serving", "        if root is None:\n", "        if False:\n"),
        f"{V}test_a_bundle_counts_under_the_root_that_was_brought_along",
    ),
    defence(
        ROWS,
        "the hash of ids",
        change(
            "operate/windows",
            "pd.util.hash_array(texts, hash_key=self._key, categorize=False)",
            "texts.astype('S8').view('u8')",
        ),
        f"{W}test_a_level_that_few_rows_have_is_in_no_baseline_and_in_no_window",
    ),
    defence(
        ROWS,
        "the key of the hash",
        change(
            "operate/windows",
            "hash_key=self._key, ",
            "",
        ),
        f"{W}test_hashes_of_ids_cannot_be_tried_without_the_file",
    ),
    defence(
        ROWS,
        "the mode of the file",
        change("operate/windows", "path.touch(mode=0o600)", "path.touch(mode=0o644)"),
        f"{W}test_a_level_that_few_rows_have_is_in_no_baseline_and_in_no_window",
    ),
    defence(
        ROWS,
        "counting levels with few rows together",
        change("assess/baseline", "if rows >= min_rows and level != OTHER", "if level != OTHER"),
        f"{W}test_a_level_that_few_rows_have_is_in_no_baseline_and_in_no_window",
    ),
    defence(
        COUNTS,
        "forgetting a prediction once its label has come",
        change(
            "operate/windows",
            "DELETE FROM waiting WHERE id = ? RETURNING begins, layout, cell, flag",
            "SELECT begins, layout, cell, flag FROM waiting WHERE id = ?",
        ),
        f"{W}test_a_label_counts_once_for_the_window_of_its_prediction",
    ),
    defence(
        COUNTS,
        "a line of its own for a fork",
        change("operate/buffer", "            one.begin_anew()\n", "            return\n"),
        f"{W}test_a_fork_counts_for_itself",
    ),
    defence(
        COUNTS,
        "the lock of a process's counts",
        change(
            "operate/buffer",
            "        begins = start_of(at, self.length)\n        with self._lock:\n",
            "        begins = start_of(at, self.length)\n        if True:\n",
        ),
        f"{W}test_threads_lose_nothing_of_each_other",
    ),
    defence(
        COUNTS,
        "the bound of what waits for labels",
        change("operate/windows", "if count > MAX_WAITING:", "if False:"),
        f"{W}test_what_waits_for_labels_is_bounded_and_what_gave_way_is_told",
    ),
    defence(
        COUNTS,
        "the baseline that a window was counted on",
        change("operate/windows", "        if others:\n", "        if False:\n"),
        f"{W}test_windows_on_another_baseline_are_not_added",
    ),
    defence(
        COUNTS,
        "the form of a count",
        change("operate/counting", "if type(value) is not int or value < 0:", "if False:"),
        f"{W}test_a_window_that_somebody_edited_is_not_read[change0]",
    ),
    defence(
        COUNTS,
        "trying again to write",
        change(
            "operate/buffer",
            "            self.trouble = error.found\n            return\n",
            "            self.trouble = error.found\n",
        ),
        f"{W}test_a_full_disk_loses_nothing_that_can_still_be_written",
    ),
    defence(
        BASELINE,
        "that it stands in the evidence which was approved",
        change("workspace/deploying", "if entry.index in standing.inputs and isinstance", "if isinstance"),
        f"{M}test_the_baseline_is_that_of_the_evidence_that_was_approved",
    ),
    defence(
        WATCHED,
        "that a model was deployed",
        change("decide/facts", '"deployed": _deployed(subject, evidence, stage)', '"deployed": False'),
        f"{M}test_rows_that_moved_fail_and_re_open_the_gate",
    ),
    defence(
        WATCHED,
        "who made the model",
        change("decide/rules", 'if a.principal.id not in made["author"] | made["trainer"])', ")"),
        f"{M}test_whoever_made_the_model_does_not_vouch_for_it_in_production",
    ),
    defence(
        WATCHED,
        "a column that is not counted",
        change(
            "assess/splits",
            '_ORDER = ("undefined", "insufficient", "ok")',
            '_ORDER = ("ok", "insufficient", "undefined")',
        ),
        f"{W}test_a_column_that_stopped_to_come_is_no_column_without_drift",
    ),
    defence(
        LOADED,
        "asking for the evidence",
        change("plugins/verified_repository", "            admission.from_environment(whole, at=utc_now())\n", ""),
        f"{L}test_what_was_promoted_comes_whole_or_in_part_and_what_was_not_does_not",
        f"{L}test_a_new_file_in_a_released_model_is_caught_when_a_part_of_it_is_loaded",
    ),
    defence(
        LOADED,
        "the whole, where a part is asked for",
        change(
            "plugins/verified_repository",
            'super().download_artifacts("", str(home)',
            "super().download_artifacts(artifact_path, str(home)",
        ),
        f"{L}test_what_was_promoted_comes_whole_or_in_part_and_what_was_not_does_not",
    ),
    defence(
        LOADED,
        "a folder of its own",
        change(
            "plugins/verified_repository",
            'super().download_artifacts("", str(home), lineage_header_info)',
            'super().download_artifacts("", None, lineage_header_info)',
        ),
        f"{L}test_what_is_loaded_is_a_copy_in_which_nobody_else_writes",
    ),
    defence(
        LOADED,
        "other files in the target",
        change(
            "plugins/verified_repository",
            "    if other:\n",
            "    if False:\n",
        ),
        f"{L}test_what_was_promoted_comes_whole_or_in_part_and_what_was_not_does_not",
        f"{L}test_a_link_where_a_model_is_downloaded_to_leads_nowhere",
    ),
    defence(
        LOADED,
        "that anything but off is on",
        change(
            "plugins/verified_loading",
            'if os.environ.get(VARIABLE, "").strip().lower() in OFF:',
            'if os.environ.get(VARIABLE) != "1":',
        ),
        f"{L}test_a_typing_error_turns_verification_on",
    ),
    defence(
        LOADED,
        "importing nothing that weighs",
        change(
            "plugins/verified_loading",
            "import os\nfrom typing import Any\n",
            "import os\nfrom typing import Any\n\nimport ml_governance.workspace  # noqa: F401\n",
        ),
        f"{S}test_importing_mlflow_brings_in_the_stub_and_nothing_else_of_ours",
        f"{S}test_the_stub_brings_in_nothing_that_python_has_not",
    ),
)
