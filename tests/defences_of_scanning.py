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
UNKNOWN = f"{S}test_what_cannot_be_followed_is_unknown_and_leaves_no_count_of_imports"

SCANNING = (
    defence(
        HIDDEN, "imports by a name that is computed",
        change("assess/pickles", 'raise _Broken("it imports what it computes while it is loaded")', 'return _Global("builtins", "int")'),
        f"{UNKNOWN}[an import whose name is computed]",
    ),
    defence(
        HIDDEN, "calls of what was computed",
        change("assess/pickles", 'raise _Broken("it calls what is not imported but computed")', "pass"),
        f"{UNKNOWN}[a call of what a call returned]",
    ),
    defence(
        HIDDEN, "attributes of what is imported",
        change("assess/pickles", 'raise _Broken(f"it changes {target.module}.{target.name} itself")', "pass"),
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
