"""A step of a pipeline: exit with the gate's own code, so that it goes red for the right reason.

    python examples/03_gate_in_ci.py WORKSPACE MODEL STAGE

The same without Python, and with reports that platforms read: mlgov check MODEL --stage STAGE --as ID
"""

import sys

import ml_governance as gov


def gate(workspace: str, model: str, stage: str) -> int:
    """Return 0 to go on, 1 denied, 2 usage, 3 needs review, 4 evidence, 5 something broke."""
    try:
        with gov.open(workspace) as ws:
            decision = ws.decide(model, stage=stage)
    except gov.GovernanceError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(decision.explain())
    return decision.exit_code


if __name__ == "__main__":
    sys.exit(gate(*sys.argv[1:4]) if len(sys.argv) == 4 else 2)
