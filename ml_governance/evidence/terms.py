"""Under which words an entry is found besides its subjects: the name of a model, the data that an assessment was made on.

The subject index is by digest. What is looked for by name is noted by a verifier while it verifies, and kept as its own
memory; nothing in the log's database says it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_governance.evidence.predicates import Assessment, Promotion, Registration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.wire import Content


FOUND = (Registration, Promotion, Assessment)
"""Contents that are found under a word."""


def registered_as(label: str) -> str:
    """Return the word under which registrations of a label such as ``credit-risk/2`` are found."""
    return f"registered as {label}"


def versions_of(name: str) -> str:
    """Return the word under which every registration under a model's name is found."""
    return f"versions of {name}"


def promotions_of(name: str) -> str:
    """Return the word under which every record of a promotion under a model's name is found."""
    return f"promotions of {name}"


def assessed_on(data: str) -> str:
    """Return the word under which every assessment on data of a digest is found."""
    return f"assessed on {data}"


def terms(content: Content, subjects: Iterable[Subject]) -> tuple[str, ...]:
    """Return every word under which an entry is found."""
    if isinstance(content, Registration):
        return versions_of(content.name), *sorted({registered_as(one.name) for one in subjects})
    if isinstance(content, Promotion):
        return (promotions_of(content.name),)
    if isinstance(content, Assessment):
        return (assessed_on(content.dataset.sha256),)
    return ()
