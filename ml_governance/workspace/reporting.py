"""Writing the audit report of a model version into a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.errors import ConfigurationError
from ml_governance.workspace.config import write_atomically
from ml_governance.workspace.shipped import controls_beside

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace.session import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The files of one report.

    Parameters
    ----------
    html, json : Path
        One self-contained page, and the same as data.
    """

    html: Path
    json: Path

    def _repr_html_(self) -> str:
        from html import escape

        return f'<p>Audit report: <a href="{escape(str(self.html))}">{escape(self.html.name)}</a></p>'


def write(ws: Workspace, version: str | Subject, folder: Path, *, stage: str) -> Written:
    """Build the report from verified evidence and write it whole or not at all."""
    from ml_governance.report import card, formats, html

    ws.config.stage(stage)
    view = ws.view()
    subject = ws.resolve(version, view)
    known = controls_beside(ws.root / ws.config.stage(stage).policy)
    pack = card.build(
        view=view, subject=subject, stage=stage, project=ws.config.project, trust_root=ws.config.trust_root,
        titles=known.titles,
    )  # fmt: skip
    written = Written(html=folder / "report.html", json=folder / "report.json")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(written.html, html.render(pack))
        write_atomically(written.json, formats.to_json(pack))
    except OSError as error:
        raise ConfigurationError(
            f"the report cannot be written to {folder}: {error.strerror}",
            next_step="free space, or use another folder",
        ) from error
    return written
