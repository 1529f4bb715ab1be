"""What a verifier knows by another way than the files that it judges: pins that only ever refuse more.

A pin may stand in the environment, in an option, and in governance.toml. None overrides another: each must hold. Those of the
environment and of options come from whoever runs the check; those of governance.toml come with what is checked, and a branch
can change them, so they alone prove nothing.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ml_governance.errors import ConfigurationError, UsageError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_governance.evidence.checkpoint import Checkpoint

ROOT_VARIABLE = "MLGOV_ROOT"
POLICY_VARIABLE = "MLGOV_POLICY_SHA256"
DATA_VARIABLE = "MLGOV_DATA_SHA256"
CHECKPOINT_VARIABLE = "MLGOV_CHECKPOINT"
CI_VARIABLE = "CI"

_DIGEST = re.compile(r"(sha256:)?([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A digest that something must have.

    Parameters
    ----------
    sha256 : str
        Hexadecimal.
    where : str
        Where it was said, for messages.
    outside : bool
        Whether whoever runs the check said it, rather than what is checked.
    """

    sha256: str
    where: str
    outside: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """Everything that is pinned.

    Parameters
    ----------
    root, policy, data : tuple of Pin
        Of the trust root, of the policy in force, of the rows that are assessed.
    checkpoints : tuple of Path
        Files of checkpoints that the log must continue.
    """

    root: tuple[Pin, ...] = ()
    policy: tuple[Pin, ...] = ()
    data: tuple[Pin, ...] = ()
    checkpoints: tuple[Path, ...] = ()

    def read_checkpoints(self) -> list[Checkpoint]:
        """Return the pinned checkpoints.

        Raises
        ------
        GovernanceError
            If a file cannot be read.
        """
        from ml_governance.workspace.received import read_pin

        return [read_pin(path) for path in self.checkpoints]


def gather(
    *,
    environ: Mapping[str, str],
    root: str | None = None,
    policy: str | None = None,
    data: str | None = None,
    checkpoint: Path | None = None,
    configured_policy: str | None = None,
    configured_data: str | None = None,
) -> Pins:
    """Collect the pins of the environment, of options and of governance.toml.

    Parameters
    ----------
    environ : mapping of str to str
        The environment.
    root, policy, data : str, optional
        ``sha256:...`` or 64 hexadecimal digits, from options.
    checkpoint : Path, optional
        From an option.
    configured_policy, configured_data : str, optional
        From governance.toml.

    Raises
    ------
    UsageError
        If one is no digest, or a variable is set and empty, as that of a secret which a job does not get is.
    """
    paths = [] if checkpoint is None else [checkpoint]
    if (named := _variable(environ, CHECKPOINT_VARIABLE)) is not None:
        paths.append(Path(named))
    return Pins(
        root=_pins(environ, ROOT_VARIABLE, root, "--root"),
        policy=_pins(environ, POLICY_VARIABLE, policy, "--policy-sha256", configured_policy, "policy_sha256"),
        data=_pins(environ, DATA_VARIABLE, data, "--data-sha256", configured_data, "data_sha256"),
        checkpoints=tuple(paths),
    )


def _pins(
    environ: Mapping[str, str],
    variable: str,
    option: str | None,
    option_name: str,
    configured: str | None = None,
    key: str = "",
) -> tuple[Pin, ...]:
    said = [
        (_variable(environ, variable), variable, True),
        (option, option_name, True),
        (configured, f"[check] {key}", False),
    ]
    return tuple(
        Pin(sha256=_digest(text, where), where=where, outside=outside)
        for text, where, outside in said
        if text is not None
    )


def _variable(environ: Mapping[str, str], name: str) -> str | None:
    text = environ.get(name)
    if text is not None and not text.strip():
        raise ConfigurationError(
            f"the variable {name} is set and empty",
            expected="a value; platforms give an empty one for a secret that a job may not have",
            next_step=f"give the job the value, or unset {name} where nothing is to be pinned",
        )
    return text


def _digest(text: str, where: str) -> str:
    match = _DIGEST.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{where} is {text!r:.100}", expected="sha256: and 64 hexadecimal digits")
    return match[2]


def require(pins: tuple[Pin, ...], sha256: str, what: str, next_step: str) -> None:
    """Hold a digest against all its pins.

    Raises
    ------
    VerificationError
        If it is not what one of them says.
    """
    for pin in pins:
        if pin.sha256 != sha256.removeprefix("sha256:"):
            raise VerificationError(
                f"{what} is sha256:{sha256.removeprefix('sha256:')}",
                expected=f"sha256:{pin.sha256}, which {pin.where} pins",
                next_step=next_step,
            )


def require_no_root() -> None:
    """Refuse to make a workspace where a trust root is pinned: a new one has a root of its own, and would never be believed.

    Raises
    ------
    ConfigurationError
        If the variable is set.
    """
    if (pinned := os.environ.get(ROOT_VARIABLE)) is not None:
        raise ConfigurationError(
            f"{ROOT_VARIABLE} pins the trust root {pinned[:80]!r}, and a new workspace has a root of its own",
            expected=f"no {ROOT_VARIABLE} while a workspace is made",
            next_step=f"unset {ROOT_VARIABLE}, or open the workspace that it was set for",
        )


def require_root(trust_root: str, path: Path) -> None:
    """Hold the trust root that a governance.toml names against the one that the environment pins.

    Raises
    ------
    VerificationError
        If it is another: the file, and everything that verifies under it, is somebody else's.
    """
    require(
        gather(environ={k: v for k, v in os.environ.items() if k == ROOT_VARIABLE}).root,
        trust_root,
        f"the trust root that {path} names",
        "find out who changed the file; nothing that it leads to can be believed",
    )


def require_pinned(pins: Pins, *, environ: Mapping[str, str], unpinned: bool) -> None:
    """Refuse to check in a pipeline what pins itself.

    Raises
    ------
    ConfigurationError
        If this is a pipeline, root or policy are not pinned from outside, and nobody said that this is wanted.
    """
    if unpinned or environ.get(CI_VARIABLE, "").lower() in ("", "0", "false"):
        return
    missing = [
        name
        for name, found in ((ROOT_VARIABLE, pins.root), (POLICY_VARIABLE, pins.policy))
        if not any(pin.outside for pin in found)
    ]
    if missing:
        raise ConfigurationError(
            f"this is a pipeline, and {' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not set: "
            "the branch that is judged could name its own trust root and policy",
            expected="the digests that `mlgov keys root` and `mlgov check --json` print where you trust them",
            next_step="see docs/how-to/ci.md; --unpinned where the branch is nobody else's",
        )
