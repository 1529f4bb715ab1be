"""The audit pack in forms that programs read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_governance.report.card import Card


def to_json(card: Card) -> str:
    """Return the card as JSON text; the same card gives the same bytes."""
    return json.dumps(card.to_dict(), indent=2, ensure_ascii=False, allow_nan=False, sort_keys=True) + "\n"
