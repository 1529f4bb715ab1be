"""The metrics of security-scan evidence: what loading an artifact would run, and what its dependencies are known for."""

from __future__ import annotations

from ml_governance.evidence.metric_definition import Metric

_READ = "undefined where a file is of an unknown format or cannot be read: it may hold what was looked for"
_PINS = "undefined where the artifact names no dependencies"


def _count(name: str, text: str, formula: str, source: str, edge: str, unit: str) -> Metric:
    return Metric(
        name=name, evidence="security-scan", form="score", better="lower", high=None, unit=unit, text=text, formula=formula,
        source=source, edge=edge,
    )  # fmt: skip


_PICKLE = "Python documentation, pickle; MITRE ATLAS AML.T0010"
_OSV = "Open Source Vulnerability format (OpenSSF)"

SECURITY = (
    _count("unsafe_files", "files that run code which is on no list when they are loaded, or about which nothing can be said",
           "#(code) + #(unknown)", _PICKLE, "never undefined; a file of an unknown format counts", "files"),
    _count("unknown_files", "files of an unknown format, or that cannot be read to their end", "#(unknown)", _PICKLE,
           "never undefined", "files"),
    _count("dangerous_imports", "imports by pickles that run commands or code, or open what they are told to",
           "#(module.name on the list of dangerous ones)", _PICKLE, _READ, "imports"),
    _count("unlisted_imports", "imports by pickles that are not on the list of what models are made of",
           "#(module.name not on the list of known ones)", _PICKLE, _READ, "imports"),
    _count("unpinned_dependencies", "dependencies without one exact version", "#(no == version)", "PEP 440, PEP 508", _PINS,
           "dependencies"),
    _count("unlicensed_dependencies", "dependencies whose licence is not known: not installed here in that version, or without one",
           "#(no licence in the metadata)", "Core metadata specifications 2.4, PEP 639", _PINS, "dependencies"),
    _count("vulnerable_dependencies", "dependencies in a version for which an advisory stands",
           "#(version affected by an advisory that is not withdrawn)", _OSV,
           "undefined without advisories for PyPI, and where a dependency has no exact version; says nothing of what no advisory names",
           "dependencies"),
)  # fmt: skip
