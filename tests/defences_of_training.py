"""What the capture of training is attacked with, and fails with; joined to the others in defences.py."""

from __future__ import annotations

from tests.defences import change, defence

PICKLE = "training: a pickle where something safer would do, or code in a file that passes for data"
STEPS = "training: other data in the next step than the last one wrote"
PARENT = "training: a parent that nobody can read"
DEAD = "training: a run that died, or that somebody else ends"
HOOK = "training: a ledger or registry that fails around a training"
THREADS = "training: records of several threads in one chain"
GENERATOR = "training: a generator whose run ends before its work"
SESSION = "training: a run smuggled into a session of autologging"
BLIND = "training: autologging that nobody sees"
IMPORT = "training: an error of ours in somebody's MLflow"
SHOWN = "training: a shortened digest passed for the whole one"

TRAINING_LINES = (PICKLE, STEPS, PARENT, DEAD, HOOK, THREADS, GENERATOR, SESSION, BLIND, IMPORT, SHOWN)

S, I, P = "capture/test_serialisation.py::", "capture/test_interrupted.py::", "capture/test_pipelines.py::"  # noqa: E741
M, R = "integrations/test_mlflow_plugins.py::", "integrations/test_mlflow_runs.py::"

TRAINING = (
    defence(
        PICKLE,
        "the table of formats",
        change("capture/serialisation", "    for one in _STACKS:\n        if one.name", "    for one in ():\n        if one.name"),
        f"{S}test_scikit_learn_models_are_written_without_pickle_and_predict_the_same[LogisticRegression]",
    ),
    defence(
        PICKLE,
        "the reason for a pickle",
        change("capture/serialisation", 'loading="code", why=why)', 'loading="data")'),
        f"{S}test_a_pickle_is_never_silent",
    ),
    defence(
        PICKLE,
        "the types that are trusted when loading",
        change(
            "capture/skops_file",
            "return skops.load(file, trusted=list(SKLEARN_DATA))",
            "return skops.load(file, trusted=skops.get_untrusted_types(file=file))",
        ),
        f"{S}test_a_skops_file_with_a_strange_type_is_not_loaded",
    ),
    defence(
        STEPS,
        "the comparison with what was written",
        change("capture/training", "if found.sha256 != name.sha256:", "if False:"),
        f"{P}test_what_was_changed_between_two_steps_is_not_used",
    ),
    defence(
        PARENT,
        "the form of a run's id",
        change("capture/orchestrator", "        return str(uuid.UUID(text))\n", "        return text\n"),
        f"{P}test_a_parent_that_cannot_be_read_is_refused_before_the_body_begins[variables1]",
        f"{P}test_a_parent_that_cannot_be_read_is_refused_before_the_body_begins[variables8]",
    ),
    defence(
        PARENT,
        "the bound on a context that unpacks",
        change(
            "capture/orchestrator",
            "    text = zlib.decompressobj().decompress(data, MAX_CONTEXT + 1)\n    if len(text) > MAX_CONTEXT:",
            "    text = zlib.decompress(data)\n    if False:",
        ),
        f"{P}test_a_parent_that_cannot_be_read_is_refused_before_the_body_begins[variables12]",
    ),
    defence(
        DEAD,
        "the doctor's question for an end",
        change("workspace/health", 'if event.get("eventType") == "START" and one', "if False and one"),
        f"{I}test_a_run_that_is_killed_has_no_end_and_the_doctor_says_so[kill -9]",
    ),
    defence(
        DEAD,
        "the process that a run belongs to",
        change("capture/training", "if os.getpid() != self._pid:", "if False:"),
        f"{I}test_a_process_forked_inside_the_body_does_not_end_the_run_of_its_parent",
    ),
    defence(
        HOOK,
        "patience with the ledger inside the body",
        change(
            "capture/training",
            'warnings.warn(f"mlgov: {subject.name} is not recorded yet: {_found(error)}", stacklevel=4)',
            "raise",
        ),
        f"{I}test_a_ledger_that_is_full_later_stops_no_training_and_loses_no_model",
    ),
    defence(
        HOOK,
        "the model that the registry did not take",
        change("capture/training", "            return self._rescued(model, name, error)\n", "            raise\n"),
        f"{I}test_a_model_that_the_registry_does_not_take_is_kept_and_the_run_fails",
    ),
    defence(
        HOOK,
        "the failure at the end",
        change("capture/training", "        if error is None and self._lost:\n", "        if False:\n"),
        f"{I}test_a_model_that_the_registry_does_not_take_is_kept_and_the_run_fails",
    ),
    defence(
        HOOK,
        "what a function returned",
        change("capture/wrapping", "        error.result = value\n", "        pass\n"),
        f"{I}test_what_a_function_returned_comes_with_the_exception",
    ),
    defence(
        THREADS,
        "a session for each thread",
        change("workspace/session", "if threading.get_ident() == self._thread:", "if True:"),
        f"{I}test_runs_in_threads_have_sessions_of_their_own_and_none_gets_lost",
    ),
    defence(
        THREADS,
        "waiting for the thread that began",
        change("capture/training", "if threading.get_ident() == self._thread and not self._waiting:", "if False:"),
        f"{I}test_a_ledger_that_is_full_later_stops_no_training_and_loses_no_model",
    ),
    defence(
        GENERATOR,
        "the wrapper of generators",
        change("capture/wrapping", "if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):", "if False:"),
        f"{I}test_the_run_of_a_generator_lasts_until_its_last_value",
        f"{I}test_the_run_of_an_asynchronous_generator_too",
    ),
    defence(
        SESSION,
        "the token of a run",
        change("integrations/mlflow_autolog", "if is_genuine(said, self.secret) and tokens.count(said) == 1:", "if True:"),
        f"{M}test_runs_that_only_bear_a_session_s_name_are_not_signed",
        f"{M}test_a_token_that_two_runs_have_makes_neither_genuine",
    ),
    defence(
        BLIND,
        "the question whether MLflow knows the plugin",
        change("integrations/mlflow_autolog", 'if not any(one.startswith("ml_governance.plugins.") for one in found):', "if False:"),
        f"{M}test_autologging_is_refused_where_nothing_would_be_seen",
    ),
    defence(
        IMPORT,
        "silence where the plugin fails",
        change("plugins/mlflow_context", "            return {}\n", "            raise\n"),
        f"{M}test_the_context_plugin_answers_and_never_raises[surrogate]",
    ),
    defence(
        IMPORT,
        "imports inside the function",
        change(
            "plugins/mlflow_context",
            "import hashlib\nimport hmac\n",
            "import hashlib\nimport hmac\nimport pandas\n",
        ),
        f"{M}test_the_modules_that_mlflow_loads_import_only_the_standard_library",
    ),
    defence(
        SHOWN,
        "the tag with the whole digest",
        change("integrations/mlflow_runs", "InputTag(DIGEST_TAG, data.sha256)", "InputTag(DIGEST_TAG, data.sha256[:36])"),
        f"{R}test_a_run_is_shown_with_inputs_parameters_model_and_end[sqlite]",
    ),
)  # fmt: skip
