"""What a declined applicant is told: the principal reasons, in words, and nothing else about them.

12 CFR 1002.9(b)(2) asks that the reasons be specific and be the principal ones. A notice holds them in their order and names the average
that they are shortfalls from. It holds no value of the applicant's, no score and no size of a shortfall: the commentary asks for none,
and whoever collects them learns the model. Its reference is a keyed digest of the place in the digested table, so that a notice, or a
digest of one, says whose it is to nobody but the holder of the list of addressees.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ml_governance.errors import DataError, MissingEvidenceError
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.report import formats
from ml_governance.report.html import page
from ml_governance.report.texts import NOT_PROVIDED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CREDITOR = "adverse-action-notice"
"""Text that people sign for every notice: the creditor's name and address, and the notice of 12 CFR 1002.9(b)(1)."""
ASKS = "The creditor's name and address, the statement of action taken and the notice of 12 CFR 1002.9(b)(1)."
KEY_BYTES = 32
MANIFEST, ADDRESSEES, FOLDER = "notices.sha256", "addressees.json", "notices"
FEWEST_TOLD = 10
"""A reason that fewer applicants were told is recorded without their number."""

AVERAGE = {
    "at_cutoff": "the average of applications that were accepted at the cutoff or just above it",
    "all": "the average of all applications",
}
"""What each baseline is the average of, in words for an applicant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What one declined applicant is told.

    Parameters
    ----------
    reference : str
        64 hexadecimal digits, keyed.
    place : int
        Row of the applicants' table, from 0; stands in the list of addressees alone.
    reasons : tuple of str
        In words, the largest shortfall first.
    """

    reference: str
    place: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all notices of one run have in common.

    Parameters
    ----------
    model : str
        Digest of the model that decided.
    log : str
        Name of the log that the run is recorded in.
    day : str
        Day of the run, as YYYY-MM-DD.
    baseline : {'at_cutoff', 'all'}
        Which average the reasons are shortfalls from.
    creditor : str
        The signed text :data:`CREDITOR`, or NOT PROVIDED.
    """

    model: str
    log: str
    day: str
    baseline: str
    creditor: str = NOT_PROVIDED

    def to_dict(self, notice: Notice) -> dict[str, Any]:
        """Return a notice as plain JSON values."""
        return {
            "kind": "adverse-action-notice", "reference": notice.reference, "date": self.day, "reasons": list(notice.reasons),
            "average": AVERAGE[self.baseline], "model": self.model, "log": self.log, "creditor": self.creditor,
        }  # fmt: skip

    def files(self, notice: Notice) -> dict[str, str]:
        """Return the files of a notice by name: the same words as a page and as data."""
        content = self.to_dict(notice)
        shown = page("notice.html.j2", notice=content, asks=ASKS, absent=self.creditor == NOT_PROVIDED)
        return {f"{notice.reference}.html": shown, f"{notice.reference}.json": formats.written(content)}


def notices(
    found: Mapping[str, Any], words: Mapping[str, str], *, key: bytes, table: str, protected: Sequence[str]
) -> tuple[Notice, ...]:
    """Put the reasons of every declined applicant into words.

    Parameters
    ----------
    found : mapping
        ``summary`` and ``declined``, as :func:`ml_governance.assess.recompute.recompute` brings them back.
    words : mapping of str to str
        What an applicant is told, by the name of the factor.
    key : bytes of length 32
        Fresh for every run.
    table : str
        Digest of the applicants' table.
    protected : sequence of str
        Prohibited bases, by column.

    Returns
    -------
    tuple of Notice
        In the order of the table.

    Raises
    ------
    DataError
        If somebody would be told no reason, or a text speaks of a prohibited basis.
    MissingEvidenceError
        If a reason that has to be told has no text.
    """
    without = found["summary"]["without_reason"]
    if without:
        raise DataError(
            f"{without} declined applicants fall short of the average of all in nothing",
            expected="a principal reason for each of them",
            next_step="the baseline 'at_cutoff', which names one for each",
        )
    names = [one["factor"] for one in found["summary"]["factors"]]
    told = sorted({at for one in found["declined"] for at in one["factors"]})
    if absent := [names[at] for at in told if not words.get(names[at], "").strip()]:
        raise MissingEvidenceError(
            f"{', '.join(absent)} would be a reason, and has no text",
            expected="for each factor the words that an applicant is told",
            next_step="give factors, such as {income: Income insufficient for the amount of credit requested}",
        )
    texts = {at: " ".join(words[names[at]].split()) for at in told}
    for at, text in texts.items():
        if basis := next((one for one in protected if _speaks_of(text, one)), None):
            raise DataError(
                f"the text of {names[at]} is {text!r}, which speaks of {basis}",
                expected="words about the factor that was scored: a prohibited basis may be no reason",
            )
    return tuple(
        Notice(
            reference=reference(key, table, one["place"]),
            place=one["place"],
            reasons=tuple(texts[at] for at in one["factors"]),
        )
        for one in found["declined"]
    )


def reference(key: bytes, table: str, place: int) -> str:
    """Return the reference of a row: HMAC-SHA-256 of the table's digest and the place, which nobody guesses without the key."""
    return hmac.new(key, f"{table}:{place}".encode(), sha256).hexdigest()


def manifest(files: Mapping[str, str]) -> str:
    """Return the list of digests that ``sha256sum -c`` reads, sorted, so that it tells nothing of the order of applicants."""
    return "".join(f"{sha256_hex(text.encode())}  {FOLDER}/{name}\n" for name, text in sorted(files.items()))


def addressees(made: Sequence[Notice], *, key: bytes, table: str) -> str:
    """Return the list that says which notice is whose: the one file that must be kept from others."""
    rows = [{"place": one.place, "reference": one.reference} for one in made]
    return formats.written({"key": key.hex(), "table": table, "rows": rows})


def _speaks_of(text: str, basis: str) -> bool:
    """Tell whether a text has the words of a column's name, however it joins them."""
    own, said = (" ".join(re.split(r"[\W_]+", one.casefold())).strip() for one in (basis, text))
    return bool(own) and f" {own} " in f" {said} "
