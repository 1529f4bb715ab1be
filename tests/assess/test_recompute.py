from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from ml_governance.assess.recompute import recompute
from ml_governance.errors import DataError, UnavailableError, VerificationError
from ml_governance.promote.registry import LocalRegistry, StoredVersion

if TYPE_CHECKING:
    from pathlib import Path


class Spy:
    """A model that returns what it can see of its process."""

    def predict(self, table: pd.DataFrame) -> list[int]:
        secrets = [name for name in os.environ if "MLGOV" in name or "SECRET" in name]
        return [len(secrets)] * len(table)


class Dying:
    def predict(self, _table: pd.DataFrame) -> list[int]:
        os._exit(9)


class Sleeping:
    def predict(self, table: pd.DataFrame) -> list[int]:
        import time

        time.sleep(60)
        return [0] * len(table)


class Short:
    def predict(self, _table: pd.DataFrame) -> list[int]:
        return [0]


@pytest.fixture
def rows() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(50, 2)), columns=["a", "b"])
    return frame.assign(label=(frame.a > 0).astype(int))


def store(tmp_path: Path, model: Any) -> StoredVersion:
    return LocalRegistry(tmp_path / "models").store(model, name="m")


def run(stored: StoredVersion, rows: pd.DataFrame, **options: Any) -> Any:
    return recompute(
        stored.path, sha256=stored.sha256, loader=LocalRegistry.LOADER, rows=rows, exclude=["label"], **options
    )


def test_predictions_are_those_of_the_model(tmp_path: Path, rows: pd.DataFrame) -> None:
    model = LogisticRegression().fit(rows[["a", "b"]], rows.label)
    found = run(store(tmp_path, model), rows)
    assert np.array_equal(found.y_pred, model.predict(rows[["a", "b"]]))
    assert found.y_score == pytest.approx(model.predict_proba(rows[["a", "b"]])[:, 1])


def test_the_child_sees_no_secrets(tmp_path: Path, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLGOV_PASSPHRASE", "open sesame")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    assert run(store(tmp_path, Spy()), rows).y_pred.max() == 0


def test_bytes_that_are_not_the_registered_ones_are_not_loaded(tmp_path: Path, rows: pd.DataFrame) -> None:
    stored = store(tmp_path, LogisticRegression().fit(rows[["a", "b"]], rows.label))
    (stored.path / "model.joblib").write_bytes(b"something else")
    with pytest.raises(VerificationError, match="has the digest"):
        run(stored, rows)


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (Dying(), UnavailableError, "ended with code 9"),
        (Short(), DataError, "shape"),
        (LogisticRegression(), DataError, "could not be loaded or does not take"),
    ],
    ids=["dies", "too few", "not fitted"],
)
def test_models_that_misbehave_are_told(
    tmp_path: Path, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, model: Any, error: type[Exception], words: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    with pytest.raises(error, match=words):
        run(store(tmp_path, model), rows)


def test_a_model_that_hangs_is_stopped(tmp_path: Path, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    with pytest.raises(UnavailableError, match="took more than"):
        run(store(tmp_path, Sleeping()), rows, timeout=6)


def test_a_model_that_reads_its_label_is_refused(tmp_path: Path, rows: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="which is the label"):
        run(store(tmp_path, LogisticRegression().fit(rows[["a", "label"]], rows.label)), rows)


def test_missing_columns_and_strange_classes_are_told(tmp_path: Path, rows: pd.DataFrame) -> None:
    model = LogisticRegression().fit(rows[["a", "b"]], rows.label.map({0: "no", 1: "yes"}))
    with pytest.raises(DataError, match="lack b"):
        run(store(tmp_path, model), rows.drop(columns="b"))
    with pytest.raises(DataError, match="classes are"):
        run(store(tmp_path, model), rows)
    assert set(run(store(tmp_path, model), rows, pos_label="yes").y_pred) == {"no", "yes"}


def test_something_that_is_no_model_is_told(tmp_path: Path, rows: pd.DataFrame) -> None:
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "model.joblib").write_bytes(b"\x80garbage")
    with pytest.raises(DataError, match="could not be loaded"):
        run(store(tmp_path, tmp_path / "junk"), rows)
