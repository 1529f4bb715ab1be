"""The audit pack in forms that programs read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_governance.report.card import Card


def to_json(card: Card) -> str:
    """Return the card as JSON text; the same card gives the same bytes."""
    return written(card.to_dict())


def written(data: Mapping[str, Any]) -> str:
    """Return plain values as JSON text; the same values give the same bytes."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False, sort_keys=True) + "\n"
