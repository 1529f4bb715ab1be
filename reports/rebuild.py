"""Verify the demo's ledger and write its reports again.

python reports/rebuild.py [FOLDER]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.verify import verify
from ml_governance.report import card, formats, html
from ml_governance.workspace import catalogue

HERE = Path(__file__).resolve().parent


def rebuild(target: Path) -> list[Path]:
    """Write the reports of every registered model into a folder, and return their files."""
    root = (HERE / "root.txt").read_text(encoding="utf-8").strip()
    written = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "ledger.sqlite"
        shutil.copy(HERE / "ledger.sqlite", copy)
        with Ledger.open(f"sqlite:///{copy}") as ledger:
            view = verify(ledger, root=root).view()
    for entry in view.of_kind("registration"):
        subject = entry.subjects[0]
        pack = card.build(
            view=view, subject=subject, stage="production", project="credit", trust_root=root, catalogue=catalogue()
        )
        home = target / subject.name.replace("/", "-")
        home.mkdir(parents=True, exist_ok=True)
        for name, text in (("report.html", html.render(pack)), ("report.json", formats.to_json(pack))):
            (home / name).write_text(text, encoding="utf-8")
            written.append(home / name)
    return written


if __name__ == "__main__":
    for path in rebuild(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE):
        print(path)  # noqa: T201  the result of the script
