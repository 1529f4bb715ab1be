"""One invocation: arguments in, exit code out; every error becomes a message, never a traceback."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from ml_governance.errors import GovernanceError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERNAL, INTERRUPTED = 5, 130


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name. ``--debug`` may stand anywhere and shows tracebacks.

    Returns
    -------
    int
        The exit code of the table in :mod:`ml_governance.cli`.
    """
    import typer

    from ml_governance.cli.app import holding

    # This process is ours alone, so nothing that it starts needs to report home.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    arguments = list(arguments)
    debug = "--debug" in arguments
    as_json = "--json" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = typer.main.get_command(holding(arguments)).main(args=arguments, prog_name="mlgov", standalone_mode=False)
    except GovernanceError as error:
        if debug:
            raise
        return _report(error.exit_code, type(error).__name__, error, as_json=as_json)
    except (KeyboardInterrupt, typer.Abort) as stopped:
        last = "; ".join(["interrupted", *getattr(stopped, "__notes__", ())])
        print(last, file=sys.stderr)  # noqa: T201  the last word of a process that is ending
        return INTERRUPTED
    except Exception as error:
        if _is_usage(error):
            error.show()  # type: ignore[attr-defined]  # every ClickException has it
            return 2
        if debug:
            raise
        wrapped = GovernanceError(
            f"something went wrong inside mlgov: {type(error).__name__}: {error}",
            next_step="run the command again with --debug, and report what it prints",
        )
        return _report(INTERNAL, "InternalError", wrapped, as_json=as_json)
    return code if isinstance(code, int) else 0


def _is_usage(error: Exception) -> bool:
    """Tell a mistake in the arguments; by name, because newer typer carries its own copy of click's classes."""
    return any(base.__name__ == "ClickException" for base in type(error).__mro__)


def _report(code: int, kind: str, error: GovernanceError, *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(
            json.dumps(
                {
                    "error": {
                        "type": kind,
                        "exitCode": code,
                        "found": error.found,
                        "expected": error.expected,
                        "next": error.next_step,
                    }
                },
                indent=2,
            )
            + "\n"
        )
    else:
        from ml_governance.cli.render import complain

        complain(error)
    return code
