"""The reports in the repository follow from the ledger beside them, byte for byte."""

from __future__ import annotations

import importlib.util
from pathlib import Path

REPORTS = Path(__file__).resolve().parents[2] / "reports"


def test_the_reports_of_the_demo_are_rebuilt_from_its_ledger(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("rebuild", REPORTS / "rebuild.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = module.rebuild(tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in written} == {
        f"credit-risk-{n}/report.{kind}" for n in (1, 2) for kind in ("html", "json")
    }
    for path in written:
        kept = REPORTS / path.relative_to(tmp_path)
        assert path.read_bytes() == kept.read_bytes(), "run python reports/rebuild.py and look at the difference"
