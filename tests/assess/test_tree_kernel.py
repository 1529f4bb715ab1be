"""Shapley values of trees by look-up, held against their definition, against shap and against the models themselves."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from ml_governance.assess import tree_layout, tree_readers
from ml_governance.assess.tree_kernel import TreeKernel
from ml_governance.assess.trees import AS_ZERO, LEFT, RIGHT, Ensemble, Tree, TreesRefusedError
from ml_governance.errors import DataError


def shapley(worth, players: int) -> np.ndarray:
    """Shapley values by their definition, over every coalition."""
    values = np.zeros(players)
    for player in range(players):
        others = [one for one in range(players) if one != player]
        for size in range(players):
            weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
            for coalition in itertools.combinations(others, size):
                values[player] += weight * (worth({*coalition, player}) - worth(set(coalition)))
    return values


def shapley_of_model(play, row: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Shapley values of a model's own predictions: shape (columns, outputs). All coalitions are predicted at once."""
    columns = len(row)
    inside = np.array(list(itertools.product([False, True], repeat=columns)))
    mixed = np.where(inside[:, None, :], row, background)
    made = play(mixed.reshape(-1, columns)).reshape(len(inside), len(background), -1).mean(axis=1)
    worth = {frozenset(np.flatnonzero(chosen).tolist()): value for chosen, value in zip(inside, made, strict=True)}
    return np.column_stack(
        [
            shapley(lambda coalition, output=output: worth[frozenset(coalition)][output], columns)
            for output in range(made.shape[1])
        ]
    )


# --- trees that no library grew -------------------------------------------------------------------------


def random_tree(random: np.random.Generator, columns: int, depth: int, categories: dict) -> Tree:
    """Grow a tree at random: thresholds, categories, missing values and covers all vary, also along one path."""
    rows: list[dict] = []

    def grow(left_to_go: int, cover: float) -> int:
        at = len(rows)
        rows.append({"left": -1, "right": -1, "cover": cover, "value": random.normal()})
        if left_to_go and random.random() < 0.85:
            share = random.choice([0.0, 0.25, 0.7])
            column = int(random.integers(columns))
            rows[at] |= {"feature": column, "threshold": float(random.integers(-2, 3))}
            rows[at] |= {"missing": int(random.integers(3)), "other": int(random.integers(2))}
            if column in categories:
                rows[at] |= {"members": categories[column][random.random(len(categories[column])) < 0.5]}
                rows[at] |= {"missing": int(random.integers(2))}
            if share == 0.0 and cover > 0:
                share = 0.1
            rows[at]["left"] = grow(left_to_go - 1, cover * share)
            rows[at]["right"] = grow(left_to_go - 1, cover * (1 - share))
        return at

    grow(depth, 100.0)

    def listed(key: str, kind: type) -> np.ndarray:
        return np.array([one.get(key, 0) for one in rows], dtype=kind)

    return Tree(
        left=listed("left", np.int32), right=listed("right", np.int32), feature=listed("feature", np.int32),
        threshold=listed("threshold", np.float64), missing=listed("missing", np.uint8), other=listed("other", np.uint8),
        value=listed("value", np.float64), cover=listed("cover", np.float64),
        members={at: one["members"] for at, one in enumerate(rows) if "members" in one},
    )  # fmt: skip


def goes_left(ensemble: Ensemble, tree: Tree, node: int, x: float) -> bool:
    """Say where a value goes, in plain words."""
    if node in tree.members:
        if math.isnan(x):
            return tree.missing[node] == LEFT
        if x not in ensemble.categories[int(tree.feature[node])]:
            return tree.other[node] == LEFT
        return x in tree.members[node]
    if math.isnan(x):
        if tree.missing[node] != AS_ZERO:
            return tree.missing[node] == LEFT
        x = 0.0
    threshold = tree.threshold[node]
    return bool(x < threshold if ensemble.strict else x <= threshold)


def walk(ensemble: Ensemble, row: np.ndarray) -> float:
    total = float(ensemble.base[0])
    for tree in ensemble.trees:
        node = 0
        while tree.left[node] >= 0:
            left = goes_left(ensemble, tree, node, row[tree.feature[node]])
            node = tree.left[node] if left else tree.right[node]
        total += tree.value[node]
    return total


def by_cover(ensemble: Ensemble, row: np.ndarray, players: list[int], coalition: set[int]) -> float:
    """Worth of a coalition when absent players split a node's rows as training did."""

    def below(tree: Tree, node: int) -> float:
        left, right = tree.left[node], tree.right[node]
        if left < 0:
            return float(tree.value[node])
        if tree.cover[node] == 0:
            return 0.0  # the leaves below hold 0, whatever the shares
        if players[tree.feature[node]] in coalition:
            return below(tree, left if goes_left(ensemble, tree, node, row[tree.feature[node]]) else right)
        return (tree.cover[left] * below(tree, left) + tree.cover[right] * below(tree, right)) / tree.cover[node]

    return float(ensemble.base[0]) + sum(below(tree, 0) for tree in ensemble.trees)


@st.composite
def games(draw) -> tuple[Ensemble, np.ndarray, np.ndarray, list[int]]:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    columns = draw(st.integers(1, 6))
    known = {0: np.array([1.0, 3.0, 4.0])} if columns > 2 and draw(st.booleans()) else {}
    depth = draw(st.integers(0, 7))
    ensemble = Ensemble(
        trees=tuple(random_tree(random, columns, depth, known) for _ in range(draw(st.integers(1, 3)))),
        base=np.array([random.normal()]), columns=columns, strict=draw(st.booleans()), single=False, categories=known,
    )  # fmt: skip
    pool = np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, np.nan, np.inf, -np.inf])
    rows, background = random.choice(pool, (4, columns)), random.choice(pool, (draw(st.integers(1, 9)), columns))
    merged = draw(st.booleans()) and columns > 1
    players = [max(column - 1, 0) for column in range(columns)] if merged else list(range(columns))
    return ensemble, rows, background, players


def oblivious(random: np.random.Generator, columns: int, depth: int, empty: float, output: int = 0) -> Tree:
    """A tree that asks one question a level, perhaps twice, with some leaves that no training row reached."""
    inner = (1 << depth) - 1
    level = np.repeat(np.arange(depth + 1), 1 << np.arange(depth + 1))
    at = np.where(level < depth, level, 0)
    asked = [(random.integers(columns), random.integers(-1, 2), random.integers(3)) for _ in range(depth)] or [
        (0, 0, 0)
    ]
    cover, value = np.zeros(len(level)), np.zeros(len(level))
    cover[inner:] = random.integers(1, 9, inner + 1) * (random.random(inner + 1) >= empty)
    cover[inner] += 1
    value[inner:] = np.where(cover[inner:] > 0, random.normal(size=inner + 1), 0.0)
    for node in reversed(range(inner)):
        cover[node] = cover[2 * node + 1] + cover[2 * node + 2]
    child = np.where(level < depth, 2 * np.arange(len(level)) + 1, -1).astype(np.int32)
    feature, threshold, missing = np.array(asked).T
    return Tree(
        left=child, right=np.where(child < 0, -1, child + 1).astype(np.int32), feature=feature[at].astype(np.int32),
        threshold=threshold[at].astype(np.float64), missing=missing[at].astype(np.uint8), value=value, cover=cover,
        output=output,
    )  # fmt: skip


@st.composite
def oblivious_games(draw) -> tuple[Ensemble, np.ndarray, np.ndarray, list[int]]:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    columns, depth, empty = draw(st.integers(1, 5)), draw(st.integers(0, 6)), draw(st.sampled_from([0.0, 0.4]))
    ensemble = Ensemble(
        trees=tuple(oblivious(random, columns, depth, empty) for _ in range(draw(st.integers(1, 3)))),
        base=np.array([random.normal()]), columns=columns, strict=draw(st.booleans()), single=draw(st.booleans()),
    )  # fmt: skip
    pool = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, np.nan, np.inf, -np.inf])
    rows, background = random.choice(pool, (4, columns)), random.choice(pool, (draw(st.integers(1, 9)), columns))
    return ensemble, rows, background, list(range(columns))


@settings(max_examples=100, deadline=None)
@given(games() | oblivious_games())
def test_of_any_trees_the_values_are_the_shapley_values_of_both_games(game) -> None:
    ensemble, rows, background, players = game
    count = max(players) + 1
    path = TreeKernel.of(ensemble, players=players, threads=1)
    mean = TreeKernel.of(ensemble, players=players, background=background, threads=1)
    for row, found, other in zip(rows, path.values(rows), mean.values(rows), strict=True):

        def mixed(coalition: set[int], row=row) -> float:
            inside = np.array([player in coalition for player in players])
            return float(np.mean([walk(ensemble, np.where(inside, row, one)) for one in background]))

        expected = shapley(lambda coalition, row=row: by_cover(ensemble, row, players, coalition), count)
        assert found[:, 0] == pytest.approx(expected, abs=1e-12 * (1 + ensemble.scale))
        assert other[:, 0] == pytest.approx(shapley(mixed, count), abs=1e-12 * (1 + ensemble.scale))
        assert found.sum() + path.base[0] == pytest.approx(walk(ensemble, row), abs=1e-11)
        assert other.sum() + mean.base[0] == pytest.approx(walk(ensemble, row), abs=1e-11)


@settings(max_examples=20, deadline=None)
@given(games(), st.integers(2, 4))
def test_rows_give_the_same_bits_in_any_order_and_with_any_number_of_threads(game, threads: int) -> None:
    ensemble, rows, background, players = game
    many = np.tile(rows, (3000, 1))
    one = TreeKernel.of(ensemble, players=players, background=background, threads=1)
    other = TreeKernel.of(ensemble, players=players, background=background[::-1], threads=threads)
    expected = one.values(many, threads=1)
    assert np.array_equal(expected, other.values(many, threads=threads))
    assert np.array_equal(expected[::-1], one.values(many[::-1], threads=threads))


@pytest.mark.parametrize("levels", [6, tree_layout.LEVELS, tree_layout.LEVELS + 2])
def test_a_tree_that_asks_one_question_a_level_is_one_table_up_to_eight_levels(levels: int) -> None:
    random = np.random.default_rng(levels)
    tree = oblivious(random, 12, levels, 0.2)
    ensemble = Ensemble(trees=(tree,), base=np.zeros(1), columns=12, strict=False, single=False)
    kernel = TreeKernel.of(ensemble, background=random.normal(size=(50, 12)))
    assert len(kernel.layout.group_bits) == 1 << max(levels - tree_layout.LEVELS, 0)
    assert kernel.layout.group_bits.max() <= levels
    rows = random.normal(size=(300, 12))
    added = kernel.values(rows)[:, :, 0].sum(axis=1) + kernel.base[0]
    assert added == pytest.approx([walk(ensemble, row) for row in rows], abs=1e-12)


def test_batches_of_many_groups_and_outputs_add_to_the_right_place() -> None:
    random = np.random.default_rng(0)
    trees = tuple(
        oblivious(random, 4, 3, 0.0, output=int(random.integers(3))) for _ in range(3 * tree_layout.BATCH + 5)
    )
    many = Ensemble(trees=trees, base=np.zeros(3), columns=4, strict=False, single=False)
    rows, background = random.normal(size=(77, 4)), random.normal(size=(30, 4))
    expected = np.zeros((77, 4, 3))
    for tree in trees:
        alone = Ensemble(trees=(tree,), base=np.zeros(3), columns=4, strict=False, single=False)
        expected += TreeKernel.of(alone, background=background).values(rows)
    assert TreeKernel.of(many, background=background).values(rows) == pytest.approx(expected, abs=1e-12)


def chain(players: list[int], missing: int = LEFT) -> Ensemble:
    """One path that asks one column after the other."""
    n = len(players)
    inner = 2 * n + 1
    left, right = np.full(inner, -1, np.int32), np.full(inner, -1, np.int32)
    left[0 : 2 * n : 2], right[0 : 2 * n : 2] = np.arange(1, inner, 2), np.arange(2, inner, 2)
    feature = np.zeros(inner, np.int32)
    feature[0 : 2 * n : 2] = players
    cover = np.ones(inner)
    cover[0::2] = 1.0 + np.arange(n + 1)[::-1]
    tree = Tree(
        left=left, right=right, feature=feature, threshold=np.arange(inner) / 10.0,
        missing=np.full(inner, missing, np.uint8), value=np.arange(inner) * 1.0, cover=cover,
    )  # fmt: skip
    return Ensemble(trees=(tree,), base=np.zeros(1), columns=max(players) + 1, strict=False, single=False)


def test_one_column_asked_three_hundred_times_on_one_path_is_still_exact() -> None:
    ensemble = chain([0, 1] * 150)
    rows = np.random.default_rng(0).uniform(-1, 70, (50, 2))
    background = rows[:20]
    kernel = TreeKernel.of(ensemble, background=background)
    for row, found in zip(rows[:10], kernel.values(rows), strict=False):

        def worth(coalition: set[int], row=row) -> float:
            inside = np.array([player in coalition for player in range(2)])
            return float(np.mean([walk(ensemble, np.where(inside, row, one)) for one in background]))

        assert found[:, 0] == pytest.approx(shapley(worth, 2), abs=1e-9)


def test_a_path_that_asks_too_many_columns_is_refused_with_the_number() -> None:
    wide = chain(list(range(tree_layout.MAX_BITS + 3)))
    with pytest.raises(TreesRefusedError, match=r"asks about 19 columns"):
        TreeKernel.of(wide)
    TreeKernel.of(chain(list(range(tree_layout.MAX_BITS))))


def test_tables_that_would_be_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_layout, "MAX_ENTRIES", 100)
    with pytest.raises(TreesRefusedError, match="more than 100 entries"):
        TreeKernel.of(chain(list(range(8))))


def test_a_cover_of_zero_is_refused_by_covers_and_of_no_matter_with_a_background() -> None:
    tree = chain([0, 1, 0]).trees[0]
    cover = tree.cover.copy()
    cover[2:] = 0.0
    bare = Tree(
        left=tree.left, right=tree.right, feature=tree.feature, threshold=tree.threshold, missing=tree.missing,
        value=tree.value, cover=cover,
    )  # fmt: skip
    ensemble = Ensemble(trees=(bare,), base=np.zeros(1), columns=2, strict=False, single=False)
    with pytest.raises(TreesRefusedError, match="cover 0"):
        TreeKernel.of(ensemble)
    rows = np.array([[0.0, 1.0], [0.3, 0.1]])
    kernel = TreeKernel.of(ensemble, background=rows)
    assert kernel.values(rows).sum(axis=1)[:, 0] + kernel.base == pytest.approx([walk(ensemble, row) for row in rows])


def test_a_cover_of_zero_is_of_no_matter_where_the_leaves_below_hold_zero() -> None:
    tree = oblivious(np.random.default_rng(0), 3, 4, 0.6)
    assert (tree.cover[tree.left >= 0] == 0).any()
    ensemble = Ensemble(trees=(tree,), base=np.zeros(1), columns=3, strict=False, single=False)
    row = np.array([0.5, -2.0, 1.5])
    expected = shapley(lambda coalition: by_cover(ensemble, row, [0, 1, 2], coalition), 3)
    assert TreeKernel.of(ensemble).values(row[None])[0, :, 0] == pytest.approx(expected, abs=1e-12)


def test_bad_arrays_are_named() -> None:
    one = chain([0]).trees[0]
    parts = {
        name: getattr(one, name) for name in ("left", "right", "feature", "threshold", "missing", "value", "cover")
    }
    for name, wrong, said in [
        ("left", np.array([0, -1, -1], np.int32), "one child"),
        ("left", np.array([2, -1, -1], np.int32), "one tree"),
        ("value", np.array([0.0, np.nan, 1.0]), "not finite"),
        ("cover", np.array([1.0, -1.0, 1.0]), "cover"),
        ("threshold", np.zeros(2), "length"),
    ]:
        with pytest.raises(TreesRefusedError, match=said):
            Tree(**parts | {name: wrong})
    with pytest.raises(DataError, match=r"shape \(3, 2\)"):
        TreeKernel.of(chain([0])).values(np.zeros((3, 2)))
    with pytest.raises(DataError, match="no rows"):
        TreeKernel.of(chain([0]), background=np.zeros((0, 1)))


# --- trees of scikit-learn --------------------------------------------------------------------------------


def table(columns: int = 6, rows: int = 400, *, gaps: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    X = random.normal(size=(rows, columns))
    X[:, 1] = random.integers(0, 4, rows)
    X[:, 2] = 7.0
    y = X[:, 0] * X[:, 1] + X[:, 3] + random.normal(0, 0.3, rows)
    if gaps:
        X[random.random(rows) < 0.2, 0] = np.nan
        X[random.random(rows) < 0.2, 3] = np.nan
    return X, y


CLASSIFIERS = [
    DecisionTreeClassifier(max_depth=5),
    DecisionTreeClassifier(max_depth=1),
    RandomForestClassifier(8, random_state=0),
    ExtraTreesClassifier(8, max_depth=7, random_state=0),
    GradientBoostingClassifier(n_estimators=12, random_state=0),
    GradientBoostingClassifier(n_estimators=5, init="zero", random_state=0),
    HistGradientBoostingClassifier(max_iter=10),
]
REGRESSORS = [
    DecisionTreeRegressor(max_depth=6),
    RandomForestRegressor(6, random_state=0),
    ExtraTreesRegressor(6, max_depth=6, random_state=0),
    GradientBoostingRegressor(n_estimators=10, random_state=0),
    HistGradientBoostingRegressor(max_iter=10),
]


def outcome(model, X: np.ndarray) -> np.ndarray:
    """Return what is explained, from the model itself: shape (rows, outputs)."""
    if hasattr(model, "decision_function"):
        made = model.decision_function(X)
    else:
        made = model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)
    made = np.asarray(made).reshape(len(X), -1)
    return made[:, 1:] if made.shape[1] == 2 else made


def reader_output(model) -> tree_readers.Output:
    return "probability" if hasattr(model, "predict_proba") and not hasattr(model, "decision_function") else "margin"


@pytest.mark.parametrize("kind", ["two classes", "three classes", "number"])
@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_every_family_gives_the_shapley_values_of_the_model_itself(kind: str, gaps: bool) -> None:
    X, y = table(gaps=gaps)
    target = {"two classes": (y > 0) * 1, "three classes": np.digitize(y, [-0.5, 1]), "number": y}[kind]
    for model in REGRESSORS if kind == "number" else CLASSIFIERS:
        if gaps and type(model).__name__.startswith("GradientBoosting"):
            continue  # takes no gaps
        model = model.fit(X, target)
        ensemble = tree_readers.read(model, reader_output(model))
        expected = outcome(model, X)
        background = X[100:130]
        path, mean = TreeKernel.of(ensemble), TreeKernel.of(ensemble, background=background)
        tolerance = 1e-11 * ensemble.scale
        for kernel in (path, mean):
            assert np.abs(kernel.values(X).sum(axis=1) + kernel.base - expected).max() < tolerance
        assert mean.base == pytest.approx(outcome(model, background).mean(axis=0), abs=tolerance)
        for row, found in zip(X[:2], mean.values(X[:2]), strict=True):
            oracle = shapley_of_model(lambda mixed, model=model: outcome(model, mixed), row, background)
            assert found == pytest.approx(oracle, abs=tolerance)
        assert not path.values(X)[:, 2].any()  # the column that never changes


@pytest.mark.parametrize("kind", ["two classes", "three classes", "number"])
def test_by_covers_every_family_agrees_with_shap(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap
    X, y = table()
    target = {"two classes": (y > 0) * 1, "three classes": np.digitize(y, [-0.5, 1]), "number": y}[kind]
    for model in REGRESSORS if kind == "number" else CLASSIFIERS:
        if type(model) is GradientBoostingClassifier and (kind == "three classes" or model.init == "zero"):
            continue  # shap reads neither
        model = model.fit(X, target)
        ensemble = tree_readers.read(model, reader_output(model))
        theirs = np.asarray(shap.TreeExplainer(model).shap_values(X[:30], check_additivity=False))
        theirs = theirs.reshape(30, 6, -1)
        theirs = theirs[:, :, 1:] if theirs.shape[2] == 2 else theirs
        assert np.abs(TreeKernel.of(ensemble).values(X[:30]) - theirs).max() < 1e-9 * ensemble.scale


def test_a_value_beside_a_threshold_in_single_precision_goes_where_the_forest_sends_it() -> None:
    X, y = table(columns=4)
    model = RandomForestClassifier(5, random_state=0).fit(X, y > 0)
    thresholds = np.concatenate([one.tree_.threshold[one.tree_.feature == 0] for one in model.estimators_])
    near = np.concatenate([thresholds, np.nextafter(thresholds, np.inf), thresholds + 1e-9, thresholds - 1e-9])
    rows = np.tile(X[:1], (len(near), 1))
    rows[:, 0] = near
    kernel = TreeKernel.of(tree_readers.read(model, "probability"), background=X[:10])
    assert np.abs(kernel.values(rows).sum(axis=1)[:, 0] + kernel.base - model.predict_proba(rows)[:, 1]).max() < 1e-12


def test_categories_known_unknown_and_missing_go_where_the_model_sends_them() -> None:
    random = np.random.default_rng(5)
    X = random.normal(size=(500, 4))
    X[:, 2] = random.choice([2.0, 3.0, 5.0, 8.0, 40.0, np.nan], 500)
    X[:, 3] = random.integers(0, 3, 500)
    y = (X[:, 0] + np.isin(X[:, 2], [3.0, 40.0]) + (X[:, 3] == 1) > 0.6) * 1
    model = HistGradientBoostingClassifier(max_iter=15, categorical_features=[2, 3]).fit(X, y)
    ensemble = tree_readers.read(model, "margin")
    assert any(tree.members for tree in ensemble.trees)
    rows = X.copy()
    rows[::5, 2], rows[1::5, 2] = 99.0, -1.0
    background = rows[:25]
    for kernel in (TreeKernel.of(ensemble), TreeKernel.of(ensemble, background=background)):
        found = kernel.values(rows)
        assert np.abs(found.sum(axis=1)[:, 0] + kernel.base - model.decision_function(rows)).max() < 1e-11

    oracle = shapley_of_model(lambda mixed: outcome(model, mixed), rows[0], background)
    assert found[0] == pytest.approx(oracle, abs=1e-10)


def test_what_is_no_sum_over_leaves_is_refused_with_the_reason() -> None:
    X, y = table()
    label = (y > 0) * 1
    boosted = HistGradientBoostingClassifier(max_iter=2).fit(X, label)
    forest = RandomForestClassifier(2, random_state=0).fit(X, label)
    started = GradientBoostingClassifier(n_estimators=2, init=LogisticRegression()).fit(X, label)
    counted = HistGradientBoostingRegressor(loss="poisson", max_iter=2).fit(X, label)
    both = RandomForestRegressor(2).fit(X, np.column_stack([y, y]))
    for model, output, said in [
        (boosted, "probability", "no sum over its leaves"),
        (forest, "margin", "no sum over its leaves"),
        (started, "margin", "starts from another model"),
        (counted, "margin", "through a link"),
        (both, "margin", "2 targets"),
        (LogisticRegression(), "margin", "not a model whose trees"),
    ]:
        with pytest.raises(TreesRefusedError, match=said):
            tree_readers.read(model, output)  # type: ignore[arg-type]


def test_missing_values_have_a_side_of_their_own_at_each_node() -> None:
    rows = np.array([[np.nan, np.nan], [np.nan, 5.0]])
    ways = [
        TreeKernel.of(chain([0, 1, 0], missing)).values(rows).sum(axis=(1, 2)) for missing in (LEFT, RIGHT, AS_ZERO)
    ]
    expected = [[walk(chain([0, 1, 0], missing), row) for row in rows] for missing in (LEFT, RIGHT, AS_ZERO)]
    bases = [TreeKernel.of(chain([0, 1, 0], missing)).base[0] for missing in (LEFT, RIGHT, AS_ZERO)]
    assert np.array(ways) + np.array(bases)[:, None] == pytest.approx(np.array(expected))
