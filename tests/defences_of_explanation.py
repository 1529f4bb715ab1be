"""What explanations are attacked with: models read wrongly, reasons that may not be, and more said than the rows bear."""

from __future__ import annotations

from tests.defences import change, defence

TREES = "explanation: trees read or tabulated otherwise than the model grew them"
FORM = "explanation: a sum over columns where there is none, or of other columns"
REASONS = "explanation: a reason that may not be given, or that changes from draw to draw"
RANKING = "explanation: more said of a ranking than its rows bear"
GAP = "explanation: a part of a gap found by looking at many"
FLIP = "explanation: a counterfactual that flips nothing, or changes what may not"

SAMPLED = "explanation: sampled attributions told as better than they are, or of the wrong class"
ELSEWHERE = "explanation: what comes back from where rows lie runs, or is of a part alone"

EXPLANATION_LINES = (TREES, FORM, REASONS, RANKING, GAP, FLIP, SAMPLED, ELSEWHERE)

T, K, B = "assess/test_tree_explanation.py::", "assess/test_tree_kernel.py::", "assess/test_tree_boosters.py::"
A, R, C = "assess/test_additive.py::", "assess/test_reason_codes.py::", "assess/test_counterfactuals.py::"
W, V = "assess/test_sampled.py::", "assess/test_tree_walks.py::"
S, G = "assess/test_column_ranking.py::", "assess/test_gaps.py::"
NO_SUM = f"{A}test_what_is_no_sum_over_columns_gets_no_closed_form"
BASIS = f"{R}test_a_prohibited_basis_that_was_scored_is_refused_under_any_name"
STAYS = f"{C}test_what_may_not_change_stays_even_where_it_alone_would_do"
ASKED_AGAIN = change(
    "assess/counterfactuals",
    "if after < self.cutoff or not kept or not changed or any(self.fixed[at] for at in changed):",
    "if False:",
)

EXPLANATION = (
    defence(
        TREES,
        "the sum of every row's attributions held against the model",
        change("assess/tree_explanation", "if not gap <= allowed(ensemble):", "if False:"),
        f"{T}test_trees_read_wrongly_are_refused_loudly[base]",
        f"{S}test_what_cannot_be_bounded_is_refused_and_what_does_not_add_up_is_loud",
    ),
    defence(
        TREES,
        "a few rows held against shap",
        change("assess/tree_explanation", "if not gap <= AGREEMENT * ensemble.scale:", "if False:"),
        f"{T}test_attributions_that_differ_from_shap_are_refused_loudly",
    ),
    defence(
        TREES,
        "comparing in the precision of the library",
        change("assess/tree_kernel", "    if layout.single:\n", "    if False:\n"),
        f"{K}test_a_value_beside_a_threshold_in_single_precision_goes_where_the_forest_sends_it",
    ),
    defence(
        TREES,
        "the states of a few walks held against the model",
        change("assess/tree_walks", "if not gap <= allowed:", "if False:"),
        f"{V}test_trees_that_are_read_wrongly_are_found_out_on_a_few_walks",
    ),
    defence(
        TREES,
        "walking in the precision of the library",
        change("assess/tree_walks", "    if ensemble.single:\n", "    if False:\n"),
        f"{V}test_a_walk_compares_in_the_precision_of_the_library",
    ),
    defence(
        TREES,
        "the largest size of the tables",
        change("assess/tree_layout", "if self.entries > MAX_ENTRIES:", "if False:"),
        f"{K}test_tables_that_would_be_too_large_are_refused",
    ),
    defence(
        TREES,
        "refusing shares of no rows",
        change("assess/tree_tables", "if np.any(np.isnan(layout.part_ratio) & (of_leaf != 0)):", "if False:"),
        f"{K}test_a_cover_of_zero_is_refused_by_covers_and_of_no_matter_with_a_background",
    ),
    defence(
        TREES,
        "knowing a leaf that no row reaches where a question is asked again",
        change("assess/tree_layout", "                    want |= _NEVER\n", "                    pass\n"),
        f"{K}test_of_any_trees_the_values_are_the_shapley_values_of_both_games",
    ),
    defence(
        TREES,
        "making up no covers where a model has none",
        change("assess/tree_boosters", "or np.zeros(1 << depth)", "or np.ones(1 << depth)"),
        f"{B}test_a_catboost_model_saved_without_the_weights_of_its_leaves_is_refused_by_covers_alone",
    ),
    defence(
        TREES,
        "not giving shap trees that it reads past the end of",
        change(
            "assess/tree_explanation",
            'if len(ensemble.base) > 1 and type(trees.estimator).__module__.startswith("catboost"):',
            "if False:",
        ),
        f"{B}test_catboost_of_several_classes_is_not_given_to_shap_which_reads_past_its_leaves",
    ),
    defence(
        TREES,
        "telling a link from a sum over leaves",
        change(
            "assess/tree_readers", 'if classifies and (output == "probability") != (name in _AVERAGED):', "if False:"
        ),
        f"{T}test_a_boosted_probability_is_sampled_and_the_reason_told",
    ),
    defence(
        TREES,
        "leaving out the rounds that early stopping discards",
        change("assess/tree_boosters", "    if rounds is not None:\n", "    if False:\n"),
        f"{B}test_rounds_that_early_stopping_discards_are_not_read",
    ),
    defence(
        FORM,
        "the parts of all rows held against the model",
        change(
            "assess/additive",
            '_within(np.abs(self.constant + self.parts.sum(axis=1) - made), allowed, "miss the model\'s output by")',
            "pass",
        ),
        f"{A}test_a_form_that_misses_the_output_is_refused_loudly",
    ),
    defence(
        FORM,
        "columns put into the model one by one",
        change(
            "assess/additive",
            '_within(np.abs(play(mixed) - made[row] - moved), allowed, "miss what one column alone moves by")',
            "pass",
        ),
        f"{A}test_parts_given_to_the_wrong_column_are_refused_loudly",
    ),
    defence(
        FORM,
        "refusing a regressor with a link",
        change("assess/additive", " or type(estimator).__name__ in _LINKED", ""),
        f"{NO_SUM}[log link]",
    ),
    defence(
        FORM,
        "refusing a function that is not known to work on each column alone",
        change("assess/prepared", "return origins if alone and not step.kw_args else None", "return origins"),
        f"{NO_SUM}[unknown function]",
    ),
    defence(
        FORM,
        "the probability held against the model",
        change("assess/explanation_engines", "if not gap <= logistic.TOLERANCE:", "if False:"),
        "assess/test_logistic.py::test_another_link_is_refused_loudly",
    ),
    defence(
        SAMPLED,
        "taking off only what the walks are known to be wrong by",
        change("assess/sampled", "moves[..., outputs:] - known[:, None]", "moves[..., outputs:]"),
        f"{W}test_walks_are_unbiased_and_their_errors_are_those_of_repetition[True]",
        f"{W}test_walks_of_several_classes_stay_unbiased_with_known_margins_and_vary_less",
    ),
    defence(
        SAMPLED,
        "errors told by walks from the same row of the background",
        change("assess/sampled", "(2 * len(background))", "(8 * len(background))"),
        f"{W}test_walks_are_unbiased_and_their_errors_are_those_of_repetition[False]",
    ),
    defence(
        SAMPLED,
        "a link held against the probability that the model states",
        change(
            "assess/explanation_engines",
            "    if not float(np.abs(link(made) - wanted).max()) <= LINKED:",
            "    if False:",
        ),
        f"{W}test_classes_that_are_told_apart_one_by_one_have_no_known_margin_behind_them",
    ),
    defence(
        SAMPLED,
        "an output for each class",
        change("assess/explanation_game", "if every and made.shape != (len(made), classes):", "if False:"),
        f"{W}test_outputs_that_are_not_one_for_each_class_are_refused",
    ),
    defence(
        ELSEWHERE,
        "reading what parts say as arrays that run nothing",
        change("assess/explanation_parts", "allow_pickle=False", "allow_pickle=True"),
        "assess/test_explanation_elsewhere.py::test_what_comes_back_survives_its_bytes_and_runs_nothing",
    ),
    defence(
        REASONS,
        "refusing sampled attributions",
        change("assess/reason_codes", "    if not answer.exact:\n", "    if False:\n"),
        f"{R}test_sampled_attributions_are_no_reasons",
    ),
    defence(
        REASONS,
        "the sum of every applicant's attributions held against the model",
        change("assess/reason_codes", "    if not gap <= allowed:\n", "    if False:\n"),
        f"{R}test_attributions_that_do_not_add_up_give_no_reasons",
    ),
    defence(
        REASONS,
        "looking for prohibited bases among what was scored",
        change("assess/reason_codes", "    refuse_prohibited(applicants, game.columns, phi, noise, protected)\n", ""),
        f"{BASIS}[itself]",
    ),
    defence(
        REASONS,
        "knowing a prohibited basis in another spelling",
        change("assess/prohibited", " or _follows(applicants[name], applicants[basis])", ""),
        f"{BASIS}[one-hot part]",
        f"{BASIS}[other codes]",
    ),
    defence(
        REASONS,
        "the fewest that an average is taken of",
        change("assess/reason_codes", "    if len(chosen) < FEWEST:\n", "    if False:\n"),
        f"{R}test_averages_of_few_and_settings_that_say_nothing_are_refused",
    ),
    defence(
        RANKING,
        "the range that an attribution can have",
        change("assess/column_ranking", " + 7 * reach * log / (3 * (n - 1))", ""),
        f"{S}test_a_rare_column_that_matters_most_is_never_ranked_last_with_confidence",
    ),
    defence(
        RANKING,
        "the share of the error for each look, pair and mean",
        change(
            "assess/column_ranking",
            "log = math.log(3 * (columns * (columns - 1) / 2 + columns) / error)",
            "log = math.log(3 / 0.9)",
        ),
        f"{S}test_everything_said_at_any_look_holds_with_the_confidence",
    ),
    defence(
        GAP,
        "the level that holds for all parts together",
        change("assess/gaps", "half = _t(level, freedom[at])", "half = _t(confidence, freedom[at])"),
        f"{G}test_all_intervals_of_an_attribute_hold_together_and_no_part_is_found_where_there_is_none",
    ),
    defence(
        GAP,
        "adjusting p-values for how many parts there are",
        change("assess/gaps", "round(p_values[at], DIGITS)", "_p(parts[at] / errors[at], freedom[at])"),
        f"{G}test_all_intervals_of_an_attribute_hold_together_and_no_part_is_found_where_there_is_none",
    ),
    defence(
        FLIP,
        "asking the model again",
        ASKED_AGAIN,
        f"{C}test_a_model_that_answers_otherwise_when_asked_again_is_refused",
    ),
    defence(
        FLIP,
        "leaving alone what is immutable",
        (ASKED_AGAIN, change("assess/counterfactuals", "if self.fixed[column]:", "if False:")),
        STAYS,
    ),
    defence(
        FLIP,
        "the direction in which a number may move",
        (ASKED_AGAIN, change("assess/counterfactuals", "        if way is not None:", "        if False:")),
        STAYS,
    ),
)
