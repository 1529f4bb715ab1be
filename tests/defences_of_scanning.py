"""What the scan of an artifact and the measurement of robustness are attacked with, and fail with; joined to the others in defences.py."""

from __future__ import annotations

from tests.defences import change, defence

HIDDEN = "scan: code that a file hides from whoever reads it"
SILENT = "scan: what was not looked at passes for clean"
TRUSTED = "scan: what runs commands is called harmless"
SWAPPED = "scan: other bytes than the registered ones"
CHANCE = "robustness: chance that passes for a finding, or hides one"
TOLD = "robustness: a cell of the rows in the evidence"

SCANNING_LINES = (HIDDEN, SILENT, TRUSTED, SWAPPED, CHANCE, TOLD)

S, R, W = "assess/test_scan.py::", "assess/test_robustness.py::", "workspace/test_scanning.py::"
D = "assess/test_scan_disguises.py::"
ARRAYS = f"{D}test_no_array_of_joblib_is_a_place_to_hide"
UNKNOWN = f"{S}test_what_cannot_be_followed_is_unknown_and_leaves_no_count_of_imports"

SCANNING = (
    defence(
        HIDDEN, "imports by a name that is computed",
        change("assess/pickles", 'raise Broken("it imports what it computes while it is loaded")', 'return Global("builtins", "int")'),
        f"{UNKNOWN}[an import whose name is computed]",
    ),
    defence(
        HIDDEN, "calls of what was computed",
        change("assess/pickles", 'raise Broken("it calls what is not imported but computed")', "pass"),
        f"{UNKNOWN}[a call of what a call returned]",
    ),
    defence(
        HIDDEN, "attributes of what is imported",
        change("assess/pickles", 'raise Broken(f"it changes {target.module}.{target.name} itself")', "pass"),
        f"{UNKNOWN}[attributes set on an import]",
    ),
    defence(
        HIDDEN, "frames around arrays", change("assess/pickles", "if self.stream.tell() < self.frame_end:", "if False:"),
        f"{S}test_an_array_inside_a_frame_is_no_place_to_hide",
    ),
    defence(
        HIDDEN, "the reading of arrays as opcodes",
        change("assess/pickles", "imports=past.imports | {one for one in plain.imports if _there(one[0])}", "imports=past.imports"),
        f"{S}test_bytes_of_an_array_that_are_a_call_to_pickle_are_found",
    ),
    defence(
        HIDDEN, "bytes before names",
        change("assess/artifact_formats", "return of_pickle(path, found, trusted)  # whatever", "pass  # whatever"),
        f"{S}test_a_pickle_that_is_also_something_else_is_a_pickle",
    ),
    defence(
        HIDDEN, "objects of joblib's class made by the way", change("assess/pickles", "if self.arrays and self.wrappers:", "if False:"),
        f"{ARRAYS}[an object made by a helper of scikit-learn]",
    ),
    defence(
        HIDDEN, "the form of joblib's arrays", change("assess/pickle_values", " or not set(state) <= _STATE", ""),
        f"{ARRAYS}[a shape under a key that is made]", f"{D}test_the_method_of_its_own_is_not_found_by_luck",
    ),
    defence(
        HIDDEN, "arrays that are told twice", change("assess/pickle_values", " or made.changes != 1", ""),
        f"{ARRAYS}[a state that is set twice]",
    ),
    defence(
        HIDDEN, "types of arrays made anew",
        change("assess/pickle_values", "    if (size, flags & _OWNS_OBJECTS) != ", "    if False and (size, flags & _OWNS_OBJECTS) != "),
        f"{ARRAYS}[an item of another size]", f"{D}test_pointers_that_are_said_to_be_numbers_are_unknown",
    ),
    defence(
        HIDDEN, "the fields of types of arrays", change("assess/pickles", "if id(target) in machine.fixed:", "if False:"),
        f"{D}test_the_fields_of_a_type_are_not_changed_afterwards",
    ),
    defence(
        HIDDEN, "tags of YAML as the parser reads them",
        change("assess/artifact_texts", "if strange:", 'if "!!python" in text:'),
        f"{D}test_tags_of_python_are_found_however_they_are_written[escaped]",
    ),
    defence(
        HIDDEN, "files outside a model of MLflow", change("assess/artifact_texts", "and _elsewhere(value)", "and False"),
        f"{D}test_a_model_of_mlflow_loads_what_is_in_it_and_nothing_else[above]",
    ),
    defence(
        HIDDEN, "code paths of a model of MLflow", change("assess/artifact_texts", "elif key in _CODE:", "elif False:"),
        f"{D}test_a_model_of_mlflow_loads_what_is_in_it_and_nothing_else[code file]",
    ),
    defence(
        HIDDEN, "one list of members in a zip",
        change("assess/artifact_zips", "if not _plain(stream, size, archive.start_dir):", "if False:"),
        f"{D}test_a_zip_that_another_reader_would_read_otherwise_is_unknown",
    ),
    defence(
        SILENT, "lines of pip that name more", change("assess/dependencies", "_OPTION.fullmatch(line)", 'line.startswith("-")'),
        f"{D}test_a_line_that_may_name_more_is_never_left_out[-rother.txt]",
    ),
    defence(
        SILENT, "comments that end with their line",
        change("assess/dependencies", 'if line.endswith("\\\\") and not _COMMENT.match(line):', 'if line.endswith("\\\\"):'),
        f"{D}test_requirements_are_read_as_pip_reads_them",
    ),
    defence(
        SILENT, "the encoding of requirements", change("assess/dependencies", "if told and told[1]", "if False and told[1]"),
        f"{D}test_requirements_in_another_encoding_are_refused",
    ),
    defence(
        SILENT, "local builds", change("assess/advisories", "public = Version(own.public)", "public = own"),
        f"{D}test_a_local_build_is_as_vulnerable_as_what_it_was_built_from",
    ),
    defence(
        SILENT, "two pins of one name",
        change("assess/scan", "found = {(one.name, one.version): known", 'found = {(one.name, "1.0"): known'),
        f"{D}test_a_second_pin_of_the_same_name_hides_nothing_of_the_first",
    ),
    defence(
        SILENT, "the unknown format",
        change(
            "assess/artifact_formats", '    return unknown(path, "its format is not known")',
            '    return File(path=path, format="x", loading="data")',
        ),
        f"{S}test_a_format_that_nobody_knows_is_unknown[model.onnx]",
    ),
    defence(
        SILENT, "vulnerabilities that were not looked up",
        change("assess/scan", 'unlooked: str | None = "no advisories were given"', "unlooked: str | None = None"),
        f"{S}test_what_was_not_looked_up_is_undefined_and_never_zero[none given]",
    ),
    defence(
        TRUSTED, "the list of dangerous imports", change("assess/scan", "    if worse:", "    if False:"),
        f"{S}test_only_what_is_harmless_may_be_trusted",
    ),
    defence(
        SWAPPED, "the digest of the copy", change("workspace/scanning", "copied(artifact, Path(folder), subject.sha256)", "artifact"),
        f"{W}test_bytes_that_were_changed_after_registration_are_not_scanned",
    ),
    defence(
        CHANCE, "the other half of the rows",
        change("assess/shift", "first, second = np.sort(order[: n // 2]), np.sort(order[n // 2 :])", "first = second = np.sort(order)"),
        f"{R}test_the_worst_of_many_columns_of_chance_is_not_worse_than_the_truth",
    ),
    defence(
        CHANCE, "noise of its own",
        change("assess/robustness", "np.random.default_rng((_TAG, *seed, draw))", "np.random.default_rng((*seed, draw))"),
        f"{R}test_noise_has_nothing_to_do_with_rows_that_were_drawn_with_the_same_seed",
    ),
    defence(
        TOLD, "errors by their type alone", change("assess/deciding", "return Refusal(type(error).__name__)", "return Refusal(str(error))"),
        f"{R}test_what_a_model_does_not_take_is_undefined_and_its_error_is_not_quoted",
    ),
)  # fmt: skip
