"""What an MLflow server with the governed store is attacked with; joined to the others in defences.py."""

from __future__ import annotations

from tests.defences import change, defence

ALIAS = "server: an alias set without the gate"
NAMES = "server: a name that passes for another"
ROUND = "server: ways round the gate"
WHO = "server: somebody else's word for who asks"
BYTES = "server: other bytes than were judged"
RACE = "server: two at once"
ANNOUNCED = "server: a promotion announced and misused"
BROKEN = "server: a gate that breaks"
NEW = "server: a method that nobody has read"
CODE = "server: programs of its clients, run with its key"

SERVER_LINES = (ALIAS, NAMES, ROUND, WHO, BYTES, RACE, ANNOUNCED, BROKEN, NEW, CODE)

S = "integrations/test_governed_store.py::"
W = "integrations/test_write_once.py::"
RULES, STORE, PLACES, INTERNALS, SERVING = (
    "integrations/mlflow_rules", "integrations/mlflow_store", "integrations/mlflow_places", "integrations/mlflow_internals",
    "workspace/gatekeeper",
)  # fmt: skip

SERVER = (
    defence(
        ALIAS,
        "the rule of aliases",
        change(
            RULES,
            "if not asked.governed or protected is None:\n        return OPENED\n    if alias !=",
            "if True:\n        return OPENED\n    if alias !=",
        ),
        f"{S}test_a_version_that_nobody_approved_is_refused_with_what_would_make_it_pass",
        f"{S}test_arguments_by_name_or_by_place_meet_the_same_rule",
    ),
    defence(
        ALIAS,
        "the command that mends a refusal",
        change(SERVING, "error.next_step = _next(error.decision)", "pass"),
        f"{S}test_a_version_that_nobody_approved_is_refused_with_what_would_make_it_pass",
    ),
    defence(
        ALIAS,
        "refusals in the log",
        change(STORE, "gate.refused(request, why)", "pass"),
        f"{S}test_nobody_promotes_whom_the_policy_does_not_let[root-nobody whom the trust file names]",
    ),
    defence(
        ALIAS,
        "for whom a promotion was, in the log",
        change(
            SERVING, 'f"{subject.name} for {asked.stage}, asked for by {self._id(request.user)}"', 'f"{subject.name}"'
        ),
        f"{S}test_an_approved_version_is_promoted_and_the_log_says_for_whom[max-max]",
    ),
    defence(
        BYTES,
        "files of models written once",
        change(
            "integrations/mlflow_artifacts",
            "standing = self._standing(where)",
            "standing = None",
        ),
        f"{W}test_a_models_file_is_written_once_and_taken_again_only_with_the_same_bytes",
        f"{W}test_a_folder_with_one_changed_file_is_refused",
    ),
    defence(
        BYTES,
        "one spelling of an artifact's path",
        change("integrations/mlflow_artifacts", "if path and (path != posixpath.normpath(path)", "if False and (path"),
        f"{W}test_a_second_spelling_of_a_path_is_no_way_round[two slashes]",
    ),
    defence(
        BYTES,
        "what may hold a model is not deleted",
        change(
            "integrations/mlflow_artifacts",
            "if _OF_A_MODEL.search(where) or not _OF_A_RUN.search(where) or self._holds_a_model(where):",
            "if False:",
        ),
        f"{W}test_nothing_that_may_hold_a_model_is_deleted[1]",
    ),
    defence(
        BYTES,
        "a run that holds a model is not deleted",
        change("integrations/mlflow_artifacts", " or self._holds_a_model(where):", ":"),
        f"{W}test_a_run_in_whose_folder_an_experiment_keeps_models_is_not_deleted",
    ),
    defence(
        BYTES,
        "a folder of a model is no file",
        change("integrations/mlflow_artifacts", " and not standing.is_dir", ""),
        f"{W}test_a_file_does_not_take_the_place_of_a_models_folder",
    ),
    defence(
        BYTES,
        "places in which a run can write",
        change(
            "integrations/mlflow_artifacts",
            'if parts.scheme != "mlflow-artifacts" or "%" in place or model is None or _OF_A_RUN.search(place[: model.start()]):',
            "if False:",
        ),
        f"{W}test_a_version_in_a_place_that_a_run_can_write_to_is_not_judged[file:///srv/artifacts/{'1/models/m-' + 'a' * 32}/artifacts]",
    ),
    defence(
        BYTES,
        "artifacts of another server",
        change(INTERNALS, "if parts.netloc not in", "if False and parts.netloc not in"),
        f"{W}test_bytes_that_lie_here_do_not_speak_for_another_server",
    ),
    defence(
        NAMES,
        "what databases take for equal",
        change(
            "integrations/mlflow_protection",
            'return unicodedata.normalize("NFKD", plain.casefold()).rstrip()',
            "return text",
        ),
        f"{S}test_an_alias_that_a_database_could_take_for_a_stages_is_refused[Production]",
        f"{S}test_a_name_that_a_database_could_take_for_a_released_one_is_refused[Credit-Prod]",
    ),
    defence(
        NAMES,
        "invisible characters and accents",
        change(
            "integrations/mlflow_protection",
            '_IGNORED = frozenset({"Mn", "Cf", "Cc"})',
            "_IGNORED: frozenset[str] = frozenset()",
        ),
        f"{S}test_a_name_that_a_database_could_take_for_a_released_one_is_refused[cr\\xe9dit-prod]",
    ),
    defence(
        NAMES,
        "renaming to and from governed names",
        change(RULES, "if not asked.governed and not asked.protection.governs(new):", "if True:"),
        f"{S}test_governed_names_are_not_changed_nor_taken",
    ),
    defence(
        NAMES,
        "released names, reserved when the server starts",
        change(STORE, "for name in gate.protection.released:", "for name in ():"),
        f"{S}test_a_released_name_is_there_before_anybody_takes_it_and_holds_only_what_was_approved",
    ),
    defence(
        NAMES,
        "what entered a released name, compared with the log",
        change("workspace/health", "*released.reconcile(names, view, project=project, registry=registry, at=at),", ""),
        f"{S}test_reconciling_tells_what_entered_a_released_name_past_the_gate",
    ),
    defence(
        BYTES,
        "the bytes in a released name, compared with the log",
        change("promote/released", "same_bytes(registry, one.name, version, passage.subject)", "pass"),
        f"{S}test_reconciling_tells_of_bytes_and_withdrawals_in_a_released_name",
    ),
    defence(
        NAMES,
        "what may enter a released name",
        change(
            RULES,
            'if source is None or asked.protection.like_released(source["name"]) is not None:',
            "if source is None:\n        return OPENED\n    if False:",
        ),
        f"{S}test_nothing_enters_a_released_name_but_a_registered_version[file:///tmp/model]",
    ),
    defence(
        ROUND,
        "MLflow's old stages",
        change(
            RULES,
            '    if not asked.governed:\n        return OPENED\n    aliases = ", ".join',
            '    if True:\n        return OPENED\n    aliases = ", ".join',
        ),
        f"{S}test_mlflows_old_stages_are_no_second_way_in[Production]",
    ),
    defence(
        ROUND,
        "the deletion of a stage's alias",
        change(RULES, "if withdrawn is None:", "if False:"),
        f"{S}test_a_stages_alias_is_removed_only_of_what_was_withdrawn",
    ),
    defence(
        ROUND,
        "versions that stand or stood in a stage, kept",
        (
            change(RULES, "if version == asked.version and alias in asked.protection.aliases:", "if False:"),
            change(RULES, "if promoted is not None:", "if False:"),
        ),
        f"{S}test_a_version_that_was_in_a_stage_is_not_deleted[text]",
    ),
    defence(
        ROUND,
        "versions that stood in a stage, as the log tells it",
        change(RULES, "if promoted is not None:", "if False:"),
        f"{S}test_a_version_that_was_in_a_stage_is_not_deleted[text]",
        f"{S}test_a_model_with_a_version_that_was_in_a_stage_is_not_deleted",
    ),
    defence(
        ROUND,
        "one way of writing a version",
        change(RULES, "return str(int(version))", "return str(version)"),
        f"{S}test_a_version_that_was_in_a_stage_is_not_deleted[zero]",
        f"{S}test_a_version_that_was_in_a_stage_is_not_deleted[space]",
    ),
    defence(
        ROUND,
        "our tags",
        change(RULES, "return any(key.casefold().startswith(TAG) for key in keys)", "return False"),
        f"{S}test_our_tags_say_what_is_true_or_are_not_written",
    ),
    defence(
        ROUND,
        "the text of a prompt",
        change(
            RULES,
            "if asked.governed and key in PROMPT_TAGS and asked.facts.tags(asked.name, asked.version).get(key) != value:",
            "if False:",
        ),
        f"{S}test_what_a_prompt_says_is_written_once",
    ),
    defence(
        WHO,
        "the check that somebody is authenticated",
        change(
            INTERNALS,
            'if not any(getattr(check, "__module__", "") == _AUTH for check in checks):\n        return None',
            "return str(flask.request.authorization.username)",
        ),
        f"{S}test_a_header_that_nothing_checked_names_nobody",
    ),
    defence(
        WHO,
        "the question who checked the header",
        change(
            INTERNALS,
            'if getattr(configured, "authorization_function", None) != f"{_AUTH}:authenticate_request_basic_auth":',
            "if False:",
        ),
        f"{S}test_a_header_counts_where_mlflows_own_function_checked_it_and_not_where_anothers_did",
    ),
    defence(
        WHO,
        "the question whether anybody checked it on that path",
        change(INTERNALS, "if unchecked is None or unchecked(flask.request.path):", "if False:"),
        f"{S}test_a_header_names_nobody_on_a_path_that_mlflow_lets_everybody_ask",
    ),
    defence(
        WHO,
        "an id that is somebody else's",
        change(SERVING, "if user not in people and owners:", "if False:"),
        f"{S}test_nobody_promotes_whom_the_policy_does_not_let[mia-says that mia@bank.example is]",
    ),
    defence(
        WHO,
        "the server's own id",
        change(SERVING, "if person.id == server.id:", "if False:"),
        f"{S}test_nobody_promotes_whom_the_policy_does_not_let[server-bears the id of this server]",
    ),
    defence(
        CODE,
        "the question whether the server runs its clients' code",
        change(STORE, "internals.check_runs_nobodys_code()", "pass"),
        f"{S}test_a_server_that_runs_its_clients_code_has_no_gate_and_does_not_start[true-MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS]",
        f"{S}test_a_server_that_runs_its_clients_code_has_no_gate_and_does_not_start[maybe-MLFLOW_ENABLE_REMOTE_ASSISTANT]",
    ),
    defence(
        BYTES,
        "one upload to a place at a time",
        change(
            "integrations/mlflow_artifacts",
            'with locked(_turn(f"{self.artifact_uri}/{where.casefold()}")):',
            "if True:",
        ),
        f"{W}test_an_upload_that_takes_long_does_not_end_over_what_came_meanwhile",
    ),
    defence(
        BYTES,
        "whose folder orders the uploads",
        change(
            "integrations/mlflow_artifacts",
            "if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():",
            "if False:",
        ),
        f"{W}test_what_is_no_folder_of_the_server_orders_no_uploads[a link to a folder]",
        f"{W}test_what_is_no_folder_of_the_server_orders_no_uploads[a file]",
    ),
    defence(
        BYTES,
        "all that MLflow's note may say",
        change(
            "workspace/admission",
            "return len(text) <= _LONGEST_NOTE and _NOTE.fullmatch(text) is not None",
            "return True",
        ),
        "operate/test_verify_deployment.py::test_what_mlflow_adds_to_a_download_is_left_out_and_nothing_else_is[code under its name]",
    ),
    defence(
        WHO,
        "the person, in the server's place",
        change(SERVING, "return self._person(request.user, server, evidence)", "return server"),
        f"{S}test_nobody_promotes_whom_the_policy_does_not_let[root-nobody whom the trust file names]",
        f"{S}test_nobody_promotes_whom_the_policy_does_not_let[nobody-to promote credit/1 takes release_manager]",
        f"{S}test_the_makers_user_does_not_promote_their_own_model_through_the_server",
    ),
    defence(
        WHO,
        "whether the server itself may promote",
        change(SERVING, "if not said.allowed:", "if False:"),
        f"{S}test_a_server_that_may_not_promote_moves_nothing",
    ),
    defence(
        WHO,
        "the role of who says what a registry was asked",
        change("evidence/mandate", "if isinstance(content, RegistryRequest) and not by.roles:", "if False:"),
        f"{S}test_who_has_no_role_does_not_say_what_a_registry_was_asked",
    ),
    defence(
        BYTES,
        "the name of the registration",
        change(SERVING, "(content.registry, content.name) != (self.uri, asked.name):", "content.registry != self.uri:"),
        f"{S}test_the_same_bytes_under_another_name_are_not_what_was_approved",
    ),
    defence(
        BYTES,
        "where the copy in a released name has its artifacts",
        change(PLACES, "if self._seen is None or place != self._seen[0]:", "if False:"),
        f"{S}test_the_copy_in_a_released_name_has_the_bytes_that_were_digested",
    ),
    defence(
        BYTES,
        "the version's identity, in the transaction",
        change(PLACES, "if self._seen is None or self._identity(name, version) != self._seen:", "if False:"),
        f"{S}test_a_version_that_was_made_anew_meanwhile_is_not_promoted",
    ),
    defence(
        RACE,
        "compare-and-swap",
        change(PLACES, "if now != self._stood:", "if False:"),
        f"{S}test_an_alias_that_somebody_else_moved_meanwhile_is_not_moved",
    ),
    defence(
        RACE,
        "one transaction, from the look to the act",
        change(INTERNALS, "if session.get_transaction() is not begun:", "if False:"),
        f"{S}test_what_mlflow_commits_on_its_own_is_no_promotion",
    ),
    defence(
        RACE,
        "subjects of their own for what was asked",
        change(
            SERVING,
            'digest = sha256_hex(canonicalise({"registry": self.uri, "name": request.name}))',
            'digest = next(iter({s.sha256 for a in self._acting().view().of_kind("registration") for s in a.subjects if s.name == "credit/1"}))',
        ),
        f"{S}test_refusals_of_others_do_not_keep_a_promotion_from_its_moment",
    ),
    defence(
        ANNOUNCED,
        "the end of an announcement",
        change(
            SERVING,
            "or one.content.version != asked.version or not young or one",
            "or one.content.version != asked.version or one",
        ),
        f"{S}test_an_announcement_ends_soon",
    ),
    defence(
        ANNOUNCED,
        "the version of an announcement",
        change(
            SERVING,
            "or one.content.version != asked.version or not young",
            "or not young",
        ),
        f"{S}test_an_announcement_is_for_one_version_alone",
    ),
    defence(
        ANNOUNCED,
        "the decision, made again",
        change(SERVING, 'if decision.result != "allow" and one.emergency is None:', "if False:"),
        f"{S}test_what_was_withdrawn_since_its_announcement_is_not_promoted",
    ),
    defence(
        ANNOUNCED,
        "the bytes of an announcement",
        (
            change(SERVING, "if not same:", "if False:"),
            change(SERVING, "recovery.same_bytes(place, content.name, content.version, one.subject)", "pass"),
        ),
        f"{S}test_an_announcement_is_for_its_bytes",
    ),
    defence(
        ANNOUNCED,
        "where the alias stood",
        change(SERVING, "if stands != content.previous:", "if False:"),
        f"{S}test_an_announcement_moves_the_alias_from_where_it_stood",
        f"{S}test_an_announcement_moves_the_alias_once",
    ),
    defence(
        BROKEN,
        "refusing whatever breaks",
        change(STORE, "raise _answer(error) from error", "raise"),
        f"{S}test_a_gate_that_cannot_decide_refuses_and_nobody_tries_again[gone]",
        f"{S}test_whatever_breaks_inside_the_gate_is_a_refusal[error0]",
    ),
    defence(
        BROKEN,
        "the record before the deed",
        change(STORE, "gate.allowed(request, ruling.why)", "pass"),
        f"{S}test_what_was_never_in_a_stage_is_deleted_on_the_record",
        f"{S}test_what_cannot_be_recorded_is_not_done",
    ),
    defence(
        NEW,
        "refusing what is in no table",
        change(STORE, "(real,), wrapped | unknown)", "(real,), wrapped)"),
        f"{S}test_a_method_that_nobody_has_read_is_refused",
    ),
    defence(
        NEW,
        "reading a store's own way of what is composed",
        change(STORE, "return getattr(store, name) is getattr(internals.abstract_store(), name)", "return True"),
        f"{S}test_a_method_that_nobody_has_read_is_refused",
    ),
)
