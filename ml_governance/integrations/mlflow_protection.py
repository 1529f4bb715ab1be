"""Which names, aliases and versions of an MLflow registry stand for a stage, whatever a database takes for equal."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TAG = "mlgov."
"""How our tags begin, on every model."""
_IGNORED = frozenset({"Mn", "Cf", "Cc"})


def folded(text: str) -> str:
    """Return a name without what some database's comparison ignores: case, accents, width, invisible characters, spaces behind.

    MySQL's default collation takes ``Crédit`` for ``credit``: a comparison that is stricter than the database's can be got round.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) not in _IGNORED)
    return unicodedata.normalize("NFKD", plain.casefold()).rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """What a governed server protects.

    Parameters
    ----------
    models : tuple of str
        Patterns of registered models whose aliases stand for stages; ``*`` and ``?`` as in file names.
    aliases : mapping of str to str
        The stage of each protected alias.
    released : mapping of str to str
        The stage of each registered model whose every version stands in that stage.
    """

    models: tuple[str, ...]
    aliases: Mapping[str, str]
    released: Mapping[str, str]

    def governs(self, name: str) -> bool:
        """Tell whether a registered model is protected at all."""
        return self.like_released(name) is not None or any(
            fnmatchcase(folded(name), folded(pattern)) for pattern in self.models
        )

    def like_released(self, name: str) -> str | None:
        """Return the released name that a database could take this one for."""
        return next((one for one in self.released if folded(one) == folded(name)), None)

    def like_alias(self, alias: str) -> str | None:
        """Return the protected alias that a database could take this one for."""
        return next((one for one in self.aliases if folded(one) == folded(alias)), None)
