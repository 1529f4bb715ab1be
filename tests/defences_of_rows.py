"""How the quality of data and privacy are made to look better than they are; joined to the others in defences.py."""

from __future__ import annotations

from tests.defences import change, defence

HIDDEN = "data: copies, leaks and gaps that are hidden"
FLATTERED = "privacy: an attack that is weaker than it looks, or noise that looks like one"
ALIKE = "data: a leak that ranks do not see, or folds that are what they judge"
SILENT = "data: options and rows that measure nothing"
FEW = "rules: a number of all rows that rests on too few"
DRAWN = "audits: rows that were drawn in silence, or a model that was not asked"

ROWS_LINES = (HIDDEN, FLATTERED, ALIKE, SILENT, FEW, DRAWN)

Q, P, W = "assess/test_data_quality.py::", "assess/test_privacy.py::", "workspace/test_rows.py::"
H, A = "assess/test_hostile_rows.py::", "assess/test_audit.py::"
REFUSED = f"{H}test_what_measures_nothing_is_refused_by_name"

ROWS = (
    defence(
        ALIKE,
        "numbers as categories too",
        change("assess/separability", "two if _surely(two) > one.strength else one", "one"),
        f"{H}test_a_number_that_gives_the_label_away_at_both_ends_is_a_leak",
    ),
    defence(
        ALIKE,
        "folds that learn from common rows",
        change("assess/separability", "spread * (1 / number + 1 / (FOLDS - 1))", "spread / number"),
        f"{H}test_the_folds_of_a_category_do_not_make_a_leak_of_chance",
    ),
    defence(
        ALIKE,
        "draws of its own",
        change("assess/halves", "np.random.default_rng((_OWN, seed))", "np.random.default_rng(seed)"),
        f"{H}test_folds_and_halves_have_nothing_to_do_with_rows_of_the_same_seed[0]",
    ),
    defence(
        SILENT,
        "thresholds that are none",
        change("assess/labels", "if not 0 <= threshold <= 1:", "if False:"),
        f"{REFUSED}[a threshold]",
    ),
    defence(
        SILENT,
        "sizes that are none",
        change("assess/contrasts", "if not min_group_size >= 1:", "if min_group_size < 1:"),
        f"{REFUSED}[a size]",
    ),
    defence(
        SILENT,
        "ranges that are none",
        change("assess/data_quality", "if not low <= high]", "if False]"),
        f"{REFUSED}[a range]",
    ),
    defence(
        SILENT,
        "what lies under a mask",
        change("assess/membership", 'labels.numbers(loss, "loss", "the loss of each row")', "np.asarray(loss)"),
        f"{REFUSED}[masked losses]",
    ),
    defence(
        SILENT,
        "a class of people that is none",
        change("assess/anonymity", "not (isinstance(k, int | np.integer) and k >= 2)", "k < 2"),
        f"{REFUSED}[k]",
    ),
    defence(
        HIDDEN,
        "leaving identifiers out where rows are compared",
        change("assess/column_checks", "whole and rows >= IDENTIFIER_ROWS and not missing and used == rows", "False"),
        f"{Q}test_an_identifier_hides_no_copies",
    ),
    defence(
        HIDDEN,
        "text of blanks as no value",
        change("assess/columns", "    if blank.any():\n", "    if False:\n"),
        f"{Q}test_missing_values_are_counted_for_every_column_and_group_with_wilson_intervals",
    ),
    defence(
        HIDDEN,
        "turning an AUC under one half round",
        change("assess/separability", "max(self.value, 1 - self.value) if self.turned else self.value", "self.value"),
        f"{Q}test_the_auc_of_a_number_is_that_of_scikit_learn_turned_round",
    ),
    defence(
        HIDDEN,
        "scoring a category by other folds",
        change("assess/separability", "        known = whole - held\n", "        known = whole\n"),
        f"{Q}test_a_category_of_many_values_does_not_look_like_a_leak",
    ),
    defence(
        HIDDEN,
        "a group that the population does not name",
        change(
            "assess/representation", "        if share is None:\n", "        if share is None and not (share := 1.0):\n"
        ),
        f"{Q}test_a_group_that_nobody_said_the_size_of_is_undefined_and_an_absent_one_is_zero",
    ),
    defence(
        FLATTERED,
        "judging the threshold on the other half",
        change("assess/membership", "    tested = ~learnt\n", "    tested = learnt\n"),
        f"{P}test_the_advantage_is_judged_on_rows_that_did_not_set_the_threshold",
    ),
    defence(
        FLATTERED,
        "losses that differ by rounding are level",
        change("assess/membership", "np.ldexp(np.round(np.ldexp(digits, 40)), power - 40)", "loss"),
        f"{P}test_the_auc_of_the_attack_is_that_of_scikit_learn[0-60]",
    ),
    defence(
        FLATTERED,
        "leaving out test rows that are training rows",
        change("assess/kinds", "np.flatnonzero(~trained.known)", "np.arange(len(given.rows))"),
        f"{W}test_rows_and_losses_are_measured_signed_and_judged",
    ),
    defence(
        DRAWN,
        "saying from how many rows an explanation drew",
        change("assess/explanation", "if len(pick) < len(rows):", "if False:"),
        f"{A}test_whatever_was_drawn_says_from_how_many_rows_and_all_can_be_had",
    ),
    defence(
        DRAWN,
        "saying from how many rows the attacked ones were drawn",
        change("assess/kinds", '({} if every == used else {"drawn_from": every})', "{}"),
        f"{A}test_whatever_was_drawn_says_from_how_many_rows_and_all_can_be_had",
    ),
    defence(
        DRAWN,
        "asking a pipeline that answers in a way of its own",
        change("assess/predicting", "if not plain or len(model.steps) < 2 or", "if len(model.steps) < 2 or"),
        f"{A}test_a_pipeline_that_answers_in_its_own_way_is_asked_itself",
    ),
    defence(
        DRAWN,
        "asking a pipeline whose answer was replaced",
        change("assess/predicting", ' or {"predict", "predict_proba"} & vars(model).keys()', ""),
        f"{A}test_a_pipeline_that_answers_in_its_own_way_is_asked_itself",
    ),
    defence(
        SILENT,
        "labels that the model never says",
        change("assess/robustness", "if strange and (", "if False and ("),
        "assess/test_robustness.py::test_what_cannot_be_used_is_refused_in_words[wrong16-the model never says '1']",
    ),
    defence(
        FEW,
        "what the assessment calls insufficient",
        change("decide/selecting", 'if one.status == "insufficient" and not one.by:', "if False:"),
        "decide/test_champion.py::test_a_number_of_all_rows_that_rests_on_too_few_is_insufficient",
    ),
)
