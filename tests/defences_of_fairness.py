"""What the numbers of fairness are attacked with: values, scores and small samples that would give a wrong or reassuring number."""

from __future__ import annotations

from tests.defences import change, defence

VALUES = "fairness: one group in several spellings, or several in one"
EXTREME = "fairness: counts, weights and errors that floats lose"
ENGINES = "fairness: scores that an engine counts otherwise than an array"
SKEW = "fairness: an interval that takes a skewed sample for a normal one"

FAIRNESS_LINES = (VALUES, EXTREME, ENGINES, SKEW)

V, S, M = "assess/test_values.py::", "assess/test_score_engines.py::", "assess/test_means.py::"

FAIRNESS = (
    defence(
        VALUES,
        "the reading of a text",
        change(
            "assess/classes",
            "        found.setdefault(reading(str(value)), [])",
            "        found.setdefault(str(value), [])",
        ),
        f"{V}test_two_spellings_of_one_group_are_refused[no width-pandas]",
        f"{V}test_two_spellings_of_one_label_are_refused[pandas]",
    ),
    defence(
        VALUES,
        "taking blank text for a missing value",
        change("assess/classes", "        return not reading(value)\n", "        return False\n"),
        f"{V}test_text_that_shows_nothing_is_missing_as_in_csv[pandas]",
    ),
    defence(
        VALUES,
        "telling truth values from numbers",
        change("assess/blocks", "        return _told_apart(values)\n", "        pass\n"),
        f"{V}test_truth_values_are_no_numbers[list]",
    ),
    defence(
        VALUES,
        "one clock for all instants",
        change("assess/cells", "value = value.astimezone(UTC)", "pass"),
        f"{V}test_an_instant_is_named_in_utc_wherever_it_is_read[DuckDB]",
    ),
    defence(
        VALUES,
        "one name for one whole number",
        change("assess/cells", "value = int(value)  #", "value += 0.0  #"),
        f"{V}test_whole_numbers_keep_their_name_beside_a_missing_one[pandas]",
    ),
    defence(
        VALUES,
        "refusing a group of a published table that is there twice",
        change("assess/cube", "        if key in found:\n", "        if False:\n"),
        f"{V}test_published_tables_name_every_group_once_by_text[counts0-twice]",
    ),
    defence(
        EXTREME,
        "the largest number of rows",
        change("assess/cube", "    if total > MAX_ROWS:\n", "    if False:\n"),
        f"{V}test_more_rows_than_floats_count_are_refused[9007199254740992]",
    ),
    defence(
        EXTREME,
        "the range of weights",
        change("assess/cube", "    if extreme.size:\n", "    if False:\n"),
        f"{V}test_weights_whose_squares_are_lost_are_refused[1e-200]",
    ),
    defence(
        EXTREME,
        "the range of errors",
        change("assess/regression", "    if lost or not np.isfinite(sums).all():\n", "    if False:\n"),
        f"{M}test_numbers_whose_powers_floats_lose_are_refused[1e-200]",
    ),
    defence(
        ENGINES,
        "setting the guessed bin right by its edges",
        change(
            "assess/score_scan",
            '(place + above.cast(nw.Float64) - below.cast(nw.Float64)).alias("place")',
            'place.alias("place")',
        ),
        f"{S}test_every_edge_is_in_the_same_bin_on_every_engine[DuckDB]",
    ),
    defence(
        ENGINES,
        "counting what is no probability",
        change("assess/score_scan", "    labels.check_scores(", "    (lambda *_: None)("),
        f"{S}test_bad_scores_are_counted_over_all_parts[Dask]",
    ),
    defence(
        ENGINES,
        "holding the scores against the labels",
        change(
            "assess/score_scan",
            "np.array_equal(made.cube.counts.sum(axis=-1), cube.counts.sum(axis=-1))",
            "True",
        ),
        f"{S}test_rows_that_differ_when_they_are_read_again_are_refused",
    ),
    defence(
        ENGINES,
        "counting labels and scores of a stream in one pass",
        change(
            "assess/score_stream", "    return nw.from_native(data, pass_through=True) is data\n", "    return False\n"
        ),
        f"{S}test_every_engine_has_the_scores_of_the_arrays[None-Arrow stream]",
    ),
    defence(
        SKEW,
        "taking the skew out of the statistic",
        change("assess/means", "    if abs(x) < 1e-9:\n        return t - skew / 6\n", "    return t\n"),
        f"{M}test_intervals_of_skewed_means_hold_with_fifty_rows[squares of exponential errors]",
    ),
)
