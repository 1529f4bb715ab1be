"""Attributions of trees and pipelines beside shap and, where they are installed, woodelf, fasttreeshap and the boosters' own.

    python benchmarks/explanation.py [--rows 100000] [--trees 500] [--rounds 3] [--only trees|pipelines|sampling] [--models WORD]

All times are medians of processor seconds, the engines taking turns, which count the work of all threads: a machine shared with others
disturbs them least, and only ratios travel. What two threads gain is told by the shortest of wall times. Every engine explains the
same models on 30 columns, by covers (path-dependent) and against a background (interventional). Slow engines get fewer rows, and
every engine is given as rows per processor second. Before anything is timed, its numbers are compared with ours: an engine that
disagrees is shown with its gap. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

# numba looks for the package `coverage`, and must not find coverage.py beside this file.
sys.path[:] = [one for one in sys.path if Path(one).resolve() != Path(__file__).resolve().parent]

from ml_governance import counterfactuals, rank_columns, reason_codes  # noqa: E402
from ml_governance.assess import additive, links, sampled, tree_boosters, tree_explanation  # noqa: E402
from ml_governance.assess.explanation_engines import attribute  # noqa: E402
from ml_governance.assess.explanation_game import game_of  # noqa: E402
from ml_governance.assess.tree_kernel import TreeKernel  # noqa: E402
from ml_governance.assess.trees import TreesRefusedError  # noqa: E402

COLUMNS = 30
MILLION = 1_000_000
SEEDS = 12
WRONG = 1e-4
"""Gap to ours, as a share of the output's range, above which a peer computes something else."""


def data(rows: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    table = random.normal(size=(rows, COLUMNS)).astype(np.float32).astype(np.float64)
    y = (
        table[:, 0] * table[:, 1]
        + 0.3 * table[:, 2:12].sum(axis=1)
        + np.sin(table[:, 13])
        + random.normal(0, 0.5, rows)
    )
    return table, (y > 0).astype(int)


def models(trees: int) -> dict[str, tuple[object, str]]:
    """Return the models by name, with the output that is explained."""
    made: dict[str, tuple[object, str]] = {
        f"GradientBoosting {trees} x d6": (
            GradientBoostingClassifier(n_estimators=trees, max_depth=6, min_samples_leaf=20, max_features=6), "margin"
        ),
        "HistGradientBoosting 100": (HistGradientBoostingClassifier(), "margin"),
        "RandomForest 200 x d8": (RandomForestClassifier(200, max_depth=8, max_samples=0.3), "probability"),
    }  # fmt: skip
    if find_spec("xgboost"):
        made[f"XGBoost {trees} x d6"] = (
            import_module("xgboost").XGBClassifier(n_estimators=trees, max_depth=6),
            "margin",
        )
    if find_spec("lightgbm"):
        made[f"LightGBM {trees} x 31"] = (
            import_module("lightgbm").LGBMClassifier(n_estimators=trees, verbose=-1),
            "margin",
        )
    if find_spec("catboost"):
        made[f"CatBoost {trees} x d6"] = (
            import_module("catboost").CatBoostClassifier(trees, verbose=0, allow_writing_files=False),
            "margin",
        )
    return made


def outputs(model, output: str, rows: np.ndarray) -> np.ndarray:
    if output == "probability":
        return model.predict_proba(rows)[:, -1]
    return tree_boosters.margin(model, rows) if tree_boosters.knows(model) else model.decision_function(rows)


def last(values: object, rows: int) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    return (array[:, :, -1] if array.ndim == 3 else array)[:rows, :COLUMNS]


def peers(model, background: np.ndarray | None) -> dict[str, tuple]:
    """Return by name: how to explain rows, and how many rows it is given."""
    kind = "tree_path_dependent" if background is None else "interventional"
    found = {}
    for library, rows in (("shap", 100), ("fasttreeshap_fixed", 1000), ("woodelf", 10_000)):
        if not find_spec(library):
            continue
        try:
            maker = import_module(library)
            make = maker.WoodelfExplainer if library == "woodelf" else maker.TreeExplainer
            framed = pd.DataFrame if library == "woodelf" else np.asarray
            explainer = make(model, None if background is None else framed(background), feature_perturbation=kind)
        except Exception as error:  # noqa: BLE001  what a peer cannot read is told
            print(f"    {library}: cannot ({type(error).__name__})")
            continue
        given = {"verbose": False} if library == "woodelf" else {"check_additivity": False}
        found[library] = (
            lambda table, run=explainer, as_it_takes=framed, given=given: last(
                run.shap_values(as_it_takes(table), **given), len(table)
            ),
            rows,
        )
    if background is None and type(model).__name__.startswith("XGB"):
        matrix, booster = import_module("xgboost").DMatrix, model.get_booster()
        found["xgboost"] = (lambda table: last(booster.predict(matrix(table), pred_contribs=True), len(table)), 2000)
    if background is None and type(model).__name__.startswith("CatBoost"):
        pool = import_module("catboost").Pool
        found["catboost"] = (
            lambda table: last(model.get_feature_importance(pool(table), type="ShapValues"), len(table)),
            2000,
        )
    if background is None and type(model).__name__.startswith("LGBM"):
        found["lightgbm"] = (lambda table: last(model.predict(table, pred_contrib=True), len(table)), 1000)
    return found


def race(calls: dict[str, tuple], rounds: int) -> dict[str, float]:
    """Return rows per processor second by name; the sides take turns, and a first round is not counted."""
    took = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, (call, part) in calls.items():
            took[name].append(spent(lambda call=call, part=part: call(part)))
    return {name: len(part) / statistics.median(took[name][1:]) for name, (_, part) in calls.items()}


def gained(kernel: TreeKernel, table: np.ndarray, rounds: int) -> float:
    """Return how many times faster two threads are than one, by the shortest wall times of as many turns."""
    took: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(2 * rounds + 1):
        for threads, own in took.items():
            began = time.perf_counter()
            kernel.values(table, threads=threads)
            own.append(time.perf_counter() - began)
    return min(took[1]) / min(took[2])


def spent(call) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def processor(call, rounds: int) -> float:
    """Return processor seconds, by the median of the rounds after one that is not counted."""
    call()
    return statistics.median(spent(call) for _ in range(rounds))


def pipelines(rows: int, rounds: int) -> None:
    """Explain a scaled, imputed, one-hot encoded logistic regression, and state reasons with it."""
    import shap

    random = np.random.default_rng(0)
    numbers, texts = [f"n{at}" for at in range(24)], [f"t{at}" for at in range(6)]
    table = pd.DataFrame(random.normal(size=(rows, 24)), columns=numbers)
    table[numbers[:5]] = table[numbers[:5]].mask(random.random((rows, 5)) < 0.05)
    for name in texts:
        table[name] = random.choice(list("abcdefgh"), rows)
    y = (table.n7 + (table.t0 == "a") + random.normal(size=rows) > 0).astype(int)
    scaled = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    prepare = ColumnTransformer([("n", scaled, numbers), ("t", OneHotEncoder(), texts)])
    model = make_pipeline(prepare, LogisticRegression(max_iter=1000)).fit(table[:20_000], y[:20_000])
    background = table[:100]

    def ours(part: pd.DataFrame) -> np.ndarray:
        return attribute(game_of(model, part, background, "margin"), "margin", 0).phi

    def theirs(part: pd.DataFrame) -> np.ndarray:
        game = game_of(model, part, background, "margin")
        masker = shap.maskers.Independent(game.background, max_samples=len(background))
        return shap.Explainer(game.play, masker, seed=0)(game.rows, silent=True).values  # noqa: PD011  of shap

    few = table[:10]
    gap = np.abs(ours(few) - theirs(few)).max()
    checked = rows / processor(lambda: ours(table), rounds)
    alone = rows / processor(lambda: additive.read(model, table, background, "margin").values(), rounds)
    forward = rows / processor(lambda: model.decision_function(table), rounds)
    peer = len(few) / processor(lambda: theirs(few), rounds)
    print(f"pipeline of {table.shape[1]} columns: forward pass {forward:,.0f} rows per processor second")
    print(
        f"  closed form {alone:,.0f}, with its checks {checked:,.0f}; shap.Explainer {peer:,.1f}; largest gap {gap:.1e}"
    )
    print(f"  closed form/shap x{alone / peer:,.0f}, with its checks x{checked / peer:,.0f}")
    codes = reason_codes(model, applicants=table, cutoff=0.0, protected=[])
    spent = processor(lambda: reason_codes(model, applicants=table, cutoff=0.0, protected=[]).to_frame(), rounds)
    print(f"  reasons of {len(codes):,} declined among {rows:,}: {spent:.2f} s")
    declined = table[model.decision_function(table) < 0][:20]
    flips = counterfactuals(model, rows=declined, background=table[:2000], cutoff=0.5, immutable=["t1"])
    spent = processor(
        lambda: counterfactuals(model, rows=declined, background=table[:2000], cutoff=0.5, immutable=["t1"]), 1
    )
    found = sum(one.status == "found" for one in flips)
    print(f"  counterfactuals: {found} of {len(declined)} found, {1000 * spent / len(declined):.0f} ms each")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--trees", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["trees", "pipelines", "sampling"])
    parser.add_argument("--models", default="", help="only models with this word in their name")
    wanted = parser.parse_args()
    warnings.simplefilter("ignore")
    if wanted.only in (None, "pipelines"):
        pipelines(wanted.rows, wanted.rounds)
    if wanted.only in (None, "sampling"):
        sampling(wanted.trees)
    if wanted.only in (None, "trees"):
        grown(wanted)


def sampling(trees: int) -> None:
    """Compare global means of sampled attributions: processor seconds times the variance of the mean, over seeds."""
    import shap

    table, y = data(5000)
    rows, background = table[:20], table[100:200]
    network = MLPClassifier((50,), max_iter=30, random_state=0).fit(table, y)
    boosted = GradientBoostingClassifier(n_estimators=min(trees, 100), max_depth=4).fit(table, y)

    def theirs(play, seed: int) -> np.ndarray:
        masker = shap.maskers.Independent(background, max_samples=len(background))
        explainer = shap.PermutationExplainer(play, masker, seed=seed)
        return explainer(rows, max_evals=2 * COLUMNS + 1, silent=True).values.mean(axis=0)  # noqa: PD011  of shap

    for name, model in (("MLP", network), (f"GradientBoosting {min(trees, 100)} x d4", boosted)):

        def play(matrix: np.ndarray, m=model) -> np.ndarray:
            return m.predict_proba(matrix)[:, 1]

        control = None
        if name != "MLP":
            kernel = TreeKernel.of(tree_explanation.read(model, "margin"), background=background)
            control = sampled.Control(
                play=model.decision_function,
                link=links.probability,
                slopes=links.slopes,
                values=kernel.values(rows)[:, :, 0],
            )
        found = {}
        for who, run in (
            ("shap.PermutationExplainer", lambda seed, p=play: theirs(p, seed)),
            ("ours", lambda seed, p=play, c=control: sampled.attribute(
                p, rows, background, seed=seed, control=c).phi.mean(axis=0)),
        ):  # fmt: skip
            run(0)
            began = time.process_time()
            means = np.array([run(seed) for seed in range(SEEDS)])
            took = (time.process_time() - began) / SEEDS
            found[who] = took * float(means.var(axis=0, ddof=1).sum())
            error = float(np.sqrt(means.var(axis=0, ddof=1).mean()))
            print(f"{name}, {who}: {took:.2f} s for {len(rows)} rows, standard error of a mean {error:.1e}", flush=True)
        peer, ours = found.values()
        print(f"  at equal standard error ours costs 1/{peer / ours:,.0f}", flush=True)


def grown(wanted: argparse.Namespace) -> None:
    table, y = data(wanted.rows)
    for name, (model, output) in models(wanted.trees).items():
        if wanted.models not in name:
            continue
        model.fit(table[:20_000], y[:20_000])
        ensemble = tree_explanation.read(model, output)
        reach = float(np.ptp(outputs(model, output, table[:1000])))
        forward = (lambda rows, m=model, o=output: outputs(m, o, rows)), table
        TreeKernel.of(ensemble, background=table[:10]).values(table[:10])  # compiles
        print(name, flush=True)
        for kind, background in (
            ("by covers", None),
            ("100 background rows", table[:100]),
            (f"{len(table):,} background rows", table),
        ):
            try:
                built = processor(lambda e=ensemble, b=background: TreeKernel.of(e, background=b), 1)
            except TreesRefusedError as refused:
                print(f"  {kind}: refused, because {refused.found}", flush=True)
                continue
            kernel = TreeKernel.of(ensemble, background=background)
            calls = {"ours": (kernel.values, table), "forward": forward}  # noqa: PD011  of the kernel
            if background is None or len(background) <= 100:
                calls |= heard(model, background, kernel, table, reach)
            fast = race(calls, wanted.rounds)
            print(
                f"  {kind}: {fast['ours']:,.0f} rows/s, forward pass {fast['forward']:,.0f}, "
                f"forward/ours x{fast['forward'] / fast['ours']:.1f}, tables {built:.2f} s",
                flush=True,
            )
            for peer in list(calls)[2:]:
                print(f"    {peer}: {fast[peer]:,.0f} rows/s, ours x{fast['ours'] / fast[peer]:,.1f}", flush=True)
        print(f"  two threads/one: x{gained(kernel, table, wanted.rounds):.2f} by wall time", flush=True)
        ranked(model, output, table)


def heard(
    model, background: np.ndarray | None, kernel: TreeKernel, table: np.ndarray, reach: float
) -> dict[str, tuple]:
    """Return the peers that explain the model at all, with the rows that each is given; tell those that compute something else."""
    found = {}
    for peer, (call, rows) in peers(model, background).items():
        part = table[: min(rows, len(table))]
        try:
            gap = np.abs(call(part[:20]) - kernel.values(part[:20])[:, :, -1]).max() / reach
        except Exception as error:  # noqa: BLE001  what a peer cannot explain is told
            print(f"    {peer}: fails ({type(error).__name__})", flush=True)
            continue
        wrong = "" if gap < WRONG else ", which is another number"
        print(f"    {peer}: largest gap {gap:.1e} of the output{wrong}", flush=True)
        found[peer] = call, part
    return found


def ranked(model, output: str, table: np.ndarray) -> None:
    """Rank the columns over a million rows: as few as the ranking needs, with bounds, and all of them."""
    many = pd.DataFrame(np.tile(table, (-(-MILLION // len(table)), 1))[:MILLION])
    background = pd.DataFrame(table)
    many.columns = background.columns = getattr(model, "feature_names_in_", [f"c{at}" for at in range(COLUMNS)])
    began, wall = time.process_time(), time.perf_counter()
    found = rank_columns(model, rows=many, background=background, output=output, top=10, tie=0.05)
    took, wall = time.process_time() - began, time.perf_counter() - wall
    kernel = TreeKernel.of(tree_explanation.read(model, output), background=background.to_numpy())
    every = 10 * spent(
        lambda: [
            np.abs(kernel.values(part)).sum(axis=0) for part in np.array_split(many.to_numpy()[: MILLION // 10], 10)
        ]
    )
    print(
        f"  importance over {MILLION:,} rows: top 10 settled at 5 % from {found.drawn:,} in {took:.2f} s "
        f"({wall:.2f} s of wall time); of every row in {every:.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
