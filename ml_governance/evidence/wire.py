"""What every statement has in common: how values are written, and the fields that chain it to its log.

Unknown fields, missing fields and wrong types are refused when writing *and* when verifying.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=400)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=4000)]


class Wire(BaseModel):
    """Base of everything that is written: frozen, no unknown fields, camelCase on the wire."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=False,
        alias_generator=to_camel,
        populate_by_name=True,
        allow_inf_nan=False,
        defer_build=True,  # there are many kinds, and whoever decides meets few of them
    )

    def to_wire(self) -> dict[str, Any]:
        """Return plain JSON values under their wire names; absent optional fields are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Chain(Wire):
    """The fields that bind a statement to its log, its writer and its place in the writer's chain."""

    log: Name
    writer: Name
    seq: int = Field(ge=0)
    prev: Sha256 | None = None
    nonce: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    recorded_at: AwareDatetime


class Content(Wire):
    """Base of the contents; kind and form name the predicate type: a new form stands beside the old one of its kind."""

    kind: ClassVar[str]
    form: ClassVar[int] = 1
