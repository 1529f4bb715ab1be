"""Documentation is a contract: what it lists is what there is."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ml_governance as gov
from ml_governance.decide import policy
from ml_governance.evidence.predicates import CONTENTS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def pages() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.PAGES
    return found


@pytest.mark.parametrize("page", ["cli.md", "metrics.md", "controls.md"])
def test_generated_pages_are_those_that_the_code_gives(page: str) -> None:
    assert (DOCS / "reference" / page).read_text() == pages()[page](), "run python docs/make_reference.py"


@pytest.mark.parametrize("model", [policy.Policy, policy.Rule, policy.Require])
def test_every_key_of_the_policy_language_is_documented(model: Any) -> None:
    text = (DOCS / "reference" / "policy.md").read_text()
    for name in model.model_fields:
        assert f"`{name}`" in text, name


def test_every_kind_of_evidence_is_checked_by_a_model() -> None:
    assert all(model.kind == kind and model.__doc__ for kind, model in CONTENTS.items())


def test_readme_and_makefile_agree() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z]+)", readme):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(r"\]\((?!http)([^)#]+)", readme):
        assert (ROOT / path).exists(), path


def test_commands_in_the_docs_exist() -> None:
    known = (DOCS / "reference" / "cli.md").read_text()
    for page in [ROOT / "README.md", ROOT / "SECURITY.md", *DOCS.rglob("*.md")]:
        for command in re.findall(r"^    mlgov ((?:log|policy|keys) [a-z]+|[a-z]+)", page.read_text(), re.MULTILINE):
            assert f"## mlgov {command}" in known, (page.name, command)


def _rows(folder: Path) -> dict[str, Any]:
    """Return what the pages about fairness take for granted, in a folder with files."""
    generator = np.random.default_rng(0)
    n = 600
    score = generator.random(n)
    frame = pd.DataFrame(
        {
            "sex": generator.choice(["Female", "Male"], n), "race": generator.choice(["A", "B", "C"], n),
            "site": generator.choice(["x", "y"], n), "score": score, "weight": generator.random(n) + 0.5,
            "label": (generator.random(n) < score).astype(int), "prediction": (score >= 0.5).astype(int),
        }
    )  # fmt: skip
    (folder / "scored").mkdir()
    frame.iloc[:200].to_parquet(folder / "scored" / "a.parquet")
    frame.iloc[200:].to_parquet(folder / "scored" / "b.parquet")
    named: dict[str, Any] = {"y_true": "label", "y_pred": "prediction", "sensitive_features": ["sex", "race"]}
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(frame[["score", "weight"]], frame["label"])
    days = [gov.assess_fairness(data=part, **named) for part in (frame[:200], frame[200:])]
    return {
        "gov": gov, "model": model,
        "report": gov.assess_fairness(data=frame, y_score="score", **named), "monday": days[0], "tuesday": days[1],
        "test": frame, "people": frame, "p": frame.prediction, "selected": frame.prediction, "score": score,
        "train": frame[:300], "this_week": frame[300:], "first": frame[300:400], "second": frame[400:],
    }  # fmt: skip


@pytest.mark.parametrize(
    "page",
    [
        "score-fairness",
        "data-anywhere",
        "selection-rules",
        "drift",
        "data-quality",
        "privacy",
        "explain",
        "performance",
        "audit",
    ],
)
def test_the_examples_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = _rows(tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "how-to" / f"{page}.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, f"{page}.md", "exec"), names)
