"""mlgov: parse, one call of a workspace, render, exit code. No logic of its own.

==== ==========================================================================
code meaning
==== ==========================================================================
0    allowed, verified, done
1    denied by policy
2    usage or configuration error
3    needs review: inconclusive, or approvals pending
4    evidence missing, stale or failing verification
5    internal error, or a dependency that is unavailable
130  interrupted
==== ==========================================================================
"""

from __future__ import annotations

import gc
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run mlgov and exit with its code."""
    # A process that soon ends has little to collect; what it imports stays.
    gc.set_threshold(100_000, 50, 50)
    from ml_governance.cli.run import run

    sys.exit(run(sys.argv[1:]))
