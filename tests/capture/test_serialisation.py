"""Models become files in the safest format that their library has, and what loading means is said."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from ml_governance.capture import serialisation
from ml_governance.errors import DataError

ROWS = np.random.default_rng(0).normal(size=(300, 3))
LABELS = (ROWS[:, 0] > 0).astype(int)


def kept(model: Any, folder: Path) -> tuple[serialisation.Serialisation, Any]:
    said = serialisation.write(model, folder)
    return said, serialisation.read(folder)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        HistGradientBoostingClassifier(max_iter=5),
        RandomForestClassifier(5),
    ],
    ids=lambda model: type(model).__name__,
)
def test_scikit_learn_models_are_written_without_pickle_and_predict_the_same(model: Any, tmp_path: Path) -> None:
    model.fit(ROWS, LABELS)
    said, loaded = kept(model, tmp_path)
    assert (said.stack, said.format, said.loading, said.why) == ("sklearn", "skops", "data", None)
    assert [path.name for path in tmp_path.iterdir()] == ["model.skops"]
    assert np.array_equal(loaded.predict_proba(ROWS), model.predict_proba(ROWS))


def test_a_pickle_is_never_silent(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(lambda rows: rows + 1), LogisticRegression()).fit(ROWS, LABELS)
    with pytest.raises(DataError, match="cannot be pickled"):
        serialisation.write(model, tmp_path)
    model = make_pipeline(FunctionTransformer(np.absolute), FunctionTransformer(shifted), LogisticRegression())
    said, loaded = kept(model.fit(ROWS, LABELS), tmp_path)
    assert (said.format, said.loading) == ("joblib", "code")
    assert "shifted" in str(said.why)
    assert np.array_equal(loaded.predict(ROWS), model.predict(ROWS))
    assert said.to_dict()["why"] == said.why


def shifted(rows: Any) -> Any:
    return rows + 1


def test_scikit_learn_models_are_written_with_the_same_bytes_by_every_process(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from pathlib import Path; from sklearn.ensemble import HistGradientBoostingClassifier as H; "
        "from sklearn.pipeline import make_pipeline; from sklearn.preprocessing import StandardScaler; "
        "from ml_governance.capture import serialisation; rows = np.arange(300.0).reshape(100, 3); "
        "model = make_pipeline(StandardScaler(), H(max_iter=3, random_state=0)).fit(rows, rows[:, 0] > 150); "
        "serialisation.write(model, Path(sys.argv[1]))"
    )
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    rows = np.arange(300.0).reshape(100, 3)
    one, two = (serialisation.read(tmp_path / name) for name in ("a", "b"))
    assert np.array_equal(one.predict_proba(rows), two.predict_proba(rows)) and len(set(one.predict(rows))) == 2


def test_a_skops_file_with_a_strange_type_is_not_loaded(tmp_path: Path) -> None:
    from skops import io

    io.dump(make_pipeline(FunctionTransformer(shifted), LogisticRegression()), tmp_path / "model.skops")
    with pytest.raises(DataError, match="not trusted"):
        serialisation.read(tmp_path)


def test_functions_are_models_too_and_are_said_to_be_code(tmp_path: Path) -> None:
    said, loaded = kept(lambda rows: rows[:, 0] > 0, tmp_path)
    assert (said.stack, said.format, said.loading) == ("function", "cloudpickle", "code")
    assert np.array_equal(loaded.predict(ROWS), LABELS == 1)


@pytest.mark.parametrize(
    ("names", "loading"),
    [(["a.ubj"], "data"), (["a.txt", "b.pkl"], "code"), (["deep/weights.pt"], "code"), (["model"], "unknown")],
)
def test_foreign_files_are_judged_by_what_they_may_hold(names: list[str], loading: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert serialisation.of_files(tmp_path).loading == loading


def digest(folder: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.iterdir()))).hexdigest()


@pytest.mark.parametrize("wrapped", [True, False])
def test_xgboost_is_written_as_ubjson_with_the_same_bytes_each_time(wrapped: bool, tmp_path: Path) -> None:
    import xgboost

    model: Any = xgboost.XGBClassifier(n_estimators=3).fit(ROWS, LABELS)
    rows: Any = ROWS
    if not wrapped:
        model, rows = model.get_booster(), xgboost.DMatrix(ROWS)
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    said, loaded = kept(model, tmp_path / "a")
    assert (said.format, said.loading) == ("ubj", "data")
    assert np.array_equal(loaded.predict(rows), model.predict(rows))
    serialisation.write(model, tmp_path / "b")
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_lightgbm_is_written_as_text_and_keeps_its_labels(tmp_path: Path) -> None:
    import lightgbm

    labels = np.where(LABELS, "yes", "no")
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(ROWS, labels)
    said, loaded = kept(model, tmp_path)
    assert (said.format, said.loading) == ("txt", "data")
    assert np.array_equal(loaded.predict(ROWS), model.predict(ROWS))
    assert loaded.predict_proba(ROWS) == pytest.approx(model.predict_proba(ROWS))


@pytest.mark.stacks
def test_torch_modules_are_weights_and_never_a_pickled_object(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(3, 1)
    model.init_arguments = {"in_features": 3, "out_features": 1}
    said, loaded = kept(model, tmp_path)
    assert said.format in ("safetensors", "state_dict")
    rows = torch.from_numpy(ROWS).float()
    assert torch.equal(loaded(rows), model(rows))


@pytest.mark.stacks
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras on PyTorch
def test_keras_models_are_written_in_their_own_format(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    said, loaded = kept(model, tmp_path)
    assert (said.format, said.loading) == ("keras", "data")
    assert np.allclose(loaded.predict(ROWS, verbose=0), model.predict(ROWS, verbose=0))
