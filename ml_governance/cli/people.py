"""Reading ``--person ID=ROLE[,ROLE]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_governance.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.workspace import Person


def parse_people(arguments: Sequence[str]) -> tuple[Person, ...]:
    """Turn ``ada=author`` and ``rita=risk_officer,policy_owner`` into people.

    Raises
    ------
    UsageError
        If an argument has another form.
    """
    from ml_governance.workspace import Person

    people = []
    for argument in arguments:
        name, equals, roles = argument.partition("=")
        if not equals or not name or not all(roles.split(",")):
            raise UsageError(f"--person {argument!r}", expected="ID=ROLE or ID=ROLE,ROLE, for example vera=validator")
        people.append(Person(id=name, name=name, roles=tuple(roles.split(","))))
    return tuple(people)
