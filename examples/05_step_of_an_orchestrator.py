"""One step that Airflow, Dagster or Prefect starts as a process: it finds its parent in its environment.

    python examples/05_step_of_an_orchestrator.py WORKSPACE

Airflow 2 and 3, with the OpenLineage provider (exact ids, from its macros)::

    BashOperator(
        task_id="fit", append_env=True, bash_command="python 05_step_of_an_orchestrator.py /srv/credit",
        env={
            "OPENLINEAGE_PARENT_ID": "{{ macros.OpenLineageProviderPlugin.lineage_parent_id(task_instance) }}",
            "OPENLINEAGE_ROOT_PARENT_ID": "{{ macros.OpenLineageProviderPlugin.lineage_root_parent_id(task_instance) }}",
        },
    )

Airflow without the macros sets AIRFLOW_CTX_DAG_ID and its siblings for every task, which are read as well.

Dagster, whose Pipes clients set DAGSTER_PIPES_CONTEXT::

    @dg.asset
    def model(context: dg.AssetExecutionContext, pipes_subprocess_client: dg.PipesSubprocessClient):
        command = ["python", "05_step_of_an_orchestrator.py", "/srv/credit"]
        return pipes_subprocess_client.run(command=command, context=context).get_materialize_result()

Prefect, whose workers set PREFECT__FLOW_RUN_ID for the process of a flow run::

    @flow
    def credit():
        subprocess.run(["python", "05_step_of_an_orchestrator.py", "/srv/credit"], check=True)
"""

import sys

import pandas as pd

import ml_governance as gov


def fit(workspace: str) -> None:
    """Train under the hook; the parent comes from the environment."""
    table = pd.DataFrame({"income": [1.0, 2.0, 3.0, 4.0], "repaid": [0, 0, 1, 1]})
    with gov.open(workspace, signer="author") as ws, ws.training("credit-risk") as run:
        run.uses(table, name="applications-2026q3")
        above = run.parent.run if run.parent else None
        print(f"{above.namespace} {above.job} {above.run_id}" if above else "no orchestrator")


if __name__ == "__main__":
    fit(sys.argv[1])
