"""The composition root: what ``gov.open()`` returns wires ledger, keys, policy, registry and clock together.

Nothing here is global: two workspaces, or two people in one, never meet.
"""

from __future__ import annotations

from ml_governance.workspace.opening import init, open_workspace
from ml_governance.workspace.session import Workspace
from ml_governance.workspace.setup import PEOPLE, Person
from ml_governance.workspace.shipped import catalogue, controls_beside, packs

__all__ = ["PEOPLE", "Person", "Workspace", "catalogue", "controls_beside", "init", "open_workspace", "packs"]
