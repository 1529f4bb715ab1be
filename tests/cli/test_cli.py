from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ml_governance.cli.run import run


def mlgov(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def ws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    code, out, _ = mlgov(capsys, "init", tmp_path / "ws", "--project", "credit", "--registry", "local:models")
    assert code == 0 and "made a workspace" in out
    return tmp_path / "ws"


def test_the_version_and_the_help_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = mlgov(capsys, "--version")
    assert code == 0 and out.startswith("mlgov 0.")
    code, out, _ = mlgov(capsys, "--help")
    assert code == 0 and "Exit codes" in out


def test_the_package_runs_as_the_program_does_with_its_exit_codes() -> None:
    def run_module(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ml_governance", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert run_module("--version").stdout.startswith("mlgov 0.")
    assert run_module("no-such-verb").returncode == 2


def commands() -> list[list[str]]:
    import typer

    from ml_governance.cli.app import app

    found = []

    def walk(command: Any, path: list[str]) -> None:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                walk(inner, [*path, name])
        else:
            found.append(path)

    walk(typer.main.get_command(app), [])
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example_and_json(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = mlgov(capsys, *command, "--help")
    assert code == 0
    assert "Example: " in out
    assert "--json" in out


def test_init_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = mlgov(
        capsys, "init", tmp_path / "w", "--json", "--person", "ada=author", "--person", "rita=risk_officer,policy_owner"
    )
    value = json.loads(out)
    assert code == 0 and value["people"] == ["ada", "rita"] and value["root"].startswith("sha256:")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["init", ".", "--person", "ada"], 2, "ID=ROLE"),
        (["init", "new", "--ledger", ""], 2, "--ledger is not a database's URL"),
        (["fly"], 2, "No such command"),
        (["decide"], 2, "Missing argument"),
        (["log", "verify", "-w", "/"], 2, "no governance.toml"),
        (["policy", "test", "nothing"], 2, "no policy 'nothing'"),
        (["policy", "lint", "/bin/sh"], 2, "expected: UTF-8 text"),
        (["attest"], 2, "give either MODEL with --file, --text or --model-signature, or --policy"),
    ],
)
def test_mistakes_exit_with_2_and_say_what_to_do(
    arguments: list[str],
    code: int,
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    found, _, err = mlgov(capsys, *arguments)
    assert found == code
    assert words in " ".join(err.split())
    assert "Traceback" not in err


def test_errors_in_json(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = mlgov(capsys, "decide", "nothing/1", "-w", ws, "--as", "validator", "--json")
    error = json.loads(out)["error"]
    assert code == error["exitCode"] == 4
    assert error["type"] == "MissingEvidenceError" and error["next"]


def test_the_log_is_listed_shown_and_verified(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = mlgov(capsys, "log", "ls", "-w", ws)
    assert code == 0 and "trust/1" in out and "policy/credit-production" in out
    assert [
        row["kind"] for row in json.loads(mlgov(capsys, "log", "ls", "-w", ws, "--json", "--kind", "policy")[1])
    ] == ["policy"]
    assert json.loads(mlgov(capsys, "log", "show", "4", "-w", ws)[1])["kind"] == "policy"
    assert mlgov(capsys, "log", "show", "99", "-w", ws)[0] == 4
    code, out, _ = mlgov(capsys, "log", "verify", "-w", ws)
    assert code == 0 and "verified: all 6 entries" in out
    assert json.loads(mlgov(capsys, "log", "verify", "-w", ws, "--json")[1])["verified"] is True
    assert mlgov(capsys, "log", "checkpoint", "-w", ws)[1].startswith("mlgov.local/")


def test_a_tampered_log_exits_with_4(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(ws / "governance" / "ledger.sqlite")) as database, database:
        database.execute("DROP TRIGGER leaves_no_delete")
        database.execute("DELETE FROM leaves WHERE idx = 4")
    code, out, _ = mlgov(capsys, "log", "verify", "-w", ws)
    assert code == 4 and "#4" in out and "missing" in out
    code, _, err = mlgov(capsys, "keys", "ls", "-w", ws)
    assert code == 4 and "does not verify" in err


def test_what_a_verifier_asks_for_is_never_passed_over(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A root, a pin or a quorum that was named on the command line and not looked at would look like a yes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ml_governance.evidence.witness import Cosigner

    root = mlgov(capsys, "keys", "root", "-w", ws)[1].strip()
    vkey = json.loads(mlgov(capsys, "keys", "root", "-w", ws, "--json")[1])["logKeys"][0]
    checkpoint = mlgov(capsys, "log", "checkpoint", "-w", ws)[1]
    policy, fork, proof, bundle = (ws / name for name in ("witnesses", "fork", "proof", "bundle"))
    policy.write_text(f"witness w {Cosigner(Ed25519PrivateKey.generate(), 'w.example/w').vkey}\nquorum w\n")
    fork.write_text(checkpoint.replace(checkpoint.split("\n")[2], "A" * 43 + "="))
    proof.write_text(mlgov(capsys, "log", "prove", "4", "-w", ws)[1])
    mlgov(capsys, "log", "export", "--bundle", bundle, "-w", ws)
    here, given, proven = ("-w", ws), (bundle, "--root", root), (proof, "--vkey", vkey)
    for good in (here, (*here, "--root", root), given, proven):
        assert mlgov(capsys, "log", "verify", *good)[0] == 0
    for bad in (
        (*here, "--root", "sha256:" + "0" * 64), (*here, "--witnesses", policy), (*given, "--witnesses", policy),
        (*proven, "--witnesses", policy), (*proven, "--pin", fork), (*given, "--pin", fork),
    ):  # fmt: skip
        assert mlgov(capsys, "log", "verify", *bad)[0] == 4, bad
    for useless in ((*here, "--vkey", vkey), (*given, "--tsa", policy)):
        assert mlgov(capsys, "log", "verify", *useless)[0] == 2, useless


def test_the_last_good_checkpoint_is_one_that_the_log_signed(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = mlgov(capsys, "log", "checkpoint", "-w", ws)[1]
    good, forged = ws / "good", ws / "forged"
    good.write_text(checkpoint)
    forged.write_text(checkpoint.rpartition("\n\n")[0] + "\n\n\N{EM DASH} nobody anVua2p1bms=\n")
    revoke = (
        "keys",
        "revoke",
        "validator",
        "--compromised",
        "--root-key",
        "root",
        "-w",
        ws,
        "--unproven",
        "r",
        "--last-good",
    )
    code, _, err = mlgov(capsys, *revoke, forged)
    assert code == 4 and "no key that counts" in err
    assert mlgov(capsys, *revoke, good)[0] == 0


def test_nothing_that_is_printed_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    from ml_governance.cli import render
    from ml_governance.errors import GovernanceError

    hostile = "a\x1b[2K\x1b[1A\rverified\x9b1A\N{RIGHT-TO-LEFT OVERRIDE}"
    render.out(hostile)
    render.warn(hostile)
    render.complain(GovernanceError(hostile, expected=hostile, next_step=hostile))
    render.table(("one", "two"), [(hostile, "b\tc\nd")])
    captured = capsys.readouterr()
    for character in "\x1b\r\x9b\N{RIGHT-TO-LEFT OVERRIDE}":
        assert character not in captured.out + captured.err
    assert captured.out.splitlines()[-1].endswith("\tb c d")


def test_json_holds_no_control_either_and_means_what_it_meant(capsys: pytest.CaptureFixture[str]) -> None:
    from ml_governance.cli import render

    hostile = "a\x1b[2K\r\x7f\x80\x9b1A\x9f\N{RIGHT-TO-LEFT OVERRIDE}\N{POP DIRECTIONAL ISOLATE}\\u009b é\N{SNOWMAN}"
    render.out_json({hostile: [hostile]})
    text = capsys.readouterr().out
    assert [one for one in text if one != "\n" and not one.isprintable()] == []
    assert "é\N{SNOWMAN}" in text
    assert json.loads(text) == {hostile: [hostile]}


def test_keys_and_root(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = mlgov(capsys, "keys", "ls", "-w", ws)
    assert code == 0 and "risk-officer" in out
    assert {p["id"] for p in json.loads(mlgov(capsys, "keys", "ls", "-w", ws, "--json")[1])} >= {"author", "validator"}
    root = mlgov(capsys, "keys", "root", "-w", ws)[1].strip()
    assert root in (ws / "governance.toml").read_text()


@pytest.mark.parametrize("verb", ["explain", "lint", "test"])
def test_policies_are_explained_checked_and_tried(verb: str, ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for pack in (
        "credit-scoring",
        ws / "policies" / "credit-scoring",
        ws / "policies" / "credit-scoring" / "policy.yaml",
    ):
        code, out, _ = mlgov(capsys, "policy", verb, pack)
        assert code == 0 and out
        assert json.loads(mlgov(capsys, "policy", verb, pack, "--json")[1])


def test_a_failing_case_exits_with_1(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ws / "policies" / "credit-scoring" / "policy.yaml"
    file.write_text(
        file.read_text().replace(
            "lower_bound_at_least: 0.80\n      confidence: 0.95\n      one",
            "lower_bound_at_least: 0.1\n      confidence: 0.95\n      one",
        )
    )
    code, out, _ = mlgov(capsys, "policy", "test", file)
    assert code == 1 and "FAIL  unequal" in out


def test_a_policy_is_put_in_force_by_its_owner_only(ws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ws / "policies" / "credit-scoring" / "policy.yaml"
    file.write_text(file.read_text().replace("version: 1", "version: 2"))
    assert mlgov(capsys, "attest", "--policy", file, "-w", ws, "--as", "author")[0] == 1
    code, said, _ = mlgov(
        capsys, "attest", "--policy", file.parent, "-w", ws, "--as", "risk-officer"
    )  # a folder will do
    assert code == 0
    assert "credit-production version 2 is in force for production, in the place of credit-production version 1" in said
    assert f"MLGOV_POLICY_SHA256=sha256:{sha256(file.read_bytes()).hexdigest()}" in said
    assert mlgov(capsys, "attest", "--policy", file, "-w", ws, "--as", "risk-officer")[0] == 2


def test_an_unexpected_error_is_5_without_a_traceback_and_raised_with_debug(
    ws: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_governance.workspace import Workspace

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Workspace, "verify", broken)
    code, _, err = mlgov(capsys, "log", "verify", "-w", ws)
    assert code == 5 and "ZeroDivisionError" in err and "--debug" in err and "Traceback" not in err
    with pytest.raises(ZeroDivisionError):
        run(["log", "verify", "-w", str(ws), "--debug"])


def test_an_answer_that_nobody_heard_to_the_end_is_no_zero(ws: Path) -> None:
    """As in ``mlgov check ... | head -1`` under ``pipefail``: the reader went away, and whoever asked must not go on."""
    command = [sys.executable, "-m", "ml_governance.cli", "log", "ls", "--json", "--workspace", str(ws)]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    finally:
        os.close(writer)
    assert done.returncode != 0 and "Traceback" not in done.stderr


def test_an_interruption_is_130(ws: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from ml_governance.workspace import Workspace

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Workspace, "verify", interrupted)
    assert mlgov(capsys, "log", "verify", "-w", ws)[0] == 130


def fresh(*code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=True, env={**os.environ}
    )
    return done.stdout.strip()


HEAVY = (
    "pandas",
    "numpy",
    "mlflow",
    "shap",
    "sklearn",
    "fairlearn",
    "pyarrow",
    "sqlalchemy",
    "scipy",
    "duckdb",
    "polars",
)
LIST_HEAVY = f"import sys; print([m for m in {HEAVY} if m in sys.modules])"


def test_importing_the_package_is_light() -> None:
    assert fresh("import ml_governance", LIST_HEAVY) == "[]"


def test_the_command_line_starts_light() -> None:
    assert fresh("from ml_governance.cli.run import run", "run(['--version'])", LIST_HEAVY).splitlines()[-1] == "[]"


def test_deciding_loads_neither_data_frames_nor_what_draws_makes_tables_or_drives_hardware_keys(ws: Path) -> None:
    lines = (
        "import contextlib, io",
        "from ml_governance.cli.run import run",
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):",
        f"    run(['log', 'verify', '-w', {str(ws)!r}])",
        f"    run(['decide', 'x/1', '-w', {str(ws)!r}, '--as', 'validator'])",
        "import sys",
        f"unneeded = {HEAVY} + ('rich.console', 'securesystemslib.signer')",
        "print([m for m in unneeded if m in sys.modules])",
    )
    assert fresh(*lines) == "[]"


def test_every_exported_name_is_there_and_every_error_knows_its_codes() -> None:
    import ml_governance as gov

    for name in gov.__all__:
        assert getattr(gov, name) is not None
    assert set(dir(gov)) == set(gov.__all__)
    with pytest.raises(AttributeError):
        _ = gov.nothing  # type: ignore[attr-defined]
    errors = [
        value for value in vars(gov).values() if isinstance(value, type) and issubclass(value, gov.GovernanceError)
    ]
    assert {(e.exit_code, e.http_status) for e in errors} <= {(1, 403), (2, 400), (4, 422), (5, 503)}
    error = gov.DataError("found this", expected="that", next_step="do so")
    assert str(error) == "found this\n  expected: that\n  next: do so"


def test_predictions_in_files_are_measured_without_workspace_or_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [("f", 0, 1), ("f", 1, 1), ("m", 0, 0), ("m", 1, 1)] * 20
    for number, part in enumerate((rows[:30], rows[30:])):
        text = "\n".join(",".join(map(str, row)) for row in part)
        Path(f"part{number}.csv").write_text(f"sex,label,prediction\n{text}\n", encoding="utf-8")
    call = ["assess", "--data", "part*.csv", "--y-true", "label", "--y-pred", "prediction", "--by", "sex"]
    code, out, _ = mlgov(capsys, *call, "--json")
    assert code == 0
    found = {(m["metric"], *m.get("group", [])): m for m in json.loads(out)["measurements"]}
    assert found["selection_rate", "f"]["value"] == 1.0 and found["selection_rate", "m"]["value"] == 0.5
    code, out, _ = mlgov(capsys, *call)
    lines = [line.split("\t") for line in out.splitlines()]
    assert code == 0 and lines[0][0] == "metric"
    assert ["demographic_parity_difference", "sex", "", "0.5000"] in [line[:4] for line in lines]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part0.csv", "part1.csv"]

    class Terminal:
        def isatty(self) -> bool:
            return True

        def __getattr__(self, name: str) -> Any:
            return getattr(stdout, name)

    stdout = sys.stdout
    monkeypatch.setattr(sys, "stdout", Terminal())
    code, out, _ = mlgov(capsys, *call, "--min-group-size", "35")
    assert code == 0 and "demographic parity difference" in out and "1.0000" in out and "insufficient" in out


def test_scores_and_strata_of_files_are_printed_by_group(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("f", "x", 0, 1, 0.9), ("f", "y", 1, 1, 0.8), ("m", "x", 0, 0, 0.1), ("m", "y", 1, 1, 0.7)] * 20
    path = tmp_path / "rows.csv"
    text = "\n".join(",".join(map(str, row)) for row in rows)
    path.write_text(f"sex,site,label,prediction,score\n{text}\n", encoding="utf-8")
    call = ["assess", "--data", path, "--y-true", "label", "--y-pred", "prediction", "--by", "sex"]
    call += ["--y-score", "score", "--control", "site"]
    code, out, _ = mlgov(capsys, *call)
    found = {tuple(line.split("\t")[:3]): line.split("\t")[3] for line in out.splitlines()}
    assert code == 0
    assert (found["roc_auc", "sex", "f"], found["roc_auc", "sex", "m"]) == ("0.0000", "1.0000")
    assert found["brier_score", "sex", "f"] == "0.4250"  # (0.9^2 + 0.2^2) / 2
    assert found["conditional_demographic_parity_difference", "sex", ""] == "0.5000"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    code, out, _ = mlgov(capsys, *call)
    assert code == 0
    for words in (
        "AUC",
        "Brier",
        "ECE",
        "0.4250",
        "roc auc difference",
        "ece debiased difference",
        "conditional demographic parity ratio",
    ):
        assert words in out


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ([], 2, "--y-pred"),
        (["model/1", "--y-score", "s"], 2, "the model predicts"),
        (["model/1", "--control", "c"], 2, "the model predicts"),
        (["--y-pred", "p", "--y-score", "s"], 2, "no column 's'"),
        (["--y-pred", "p", "--y-score", "g"], 2, "a probability in every row"),
        (["--y-pred", "p", "--control", "g"], 2, "both a sensitive feature and a control feature"),
        (["--y-pred", "p", "--kind", "explanation"], 2, "--kind performance"),
        (["--y-pred", "p", "--kind", "performance", "--control", "g"], 2, "--weight with fairness"),
        (["--y-pred", "p", "--kind", "performance", "--costs", "5"], 2, "FP:FN"),
        (["--y-pred", "p", "--kind", "performance", "--task", "ranking"], 2, "expected one of"),
        (["--y-pred", "p", "--costs", "1:5"], 2, "--kind performance"),
        (["model/1", "--y-pred", "p"], 2, "the model predicts"),
        (["--y-pred", "nothing"], 2, "no column 'nothing'"),
        (["--y-pred", "p", "--pos-label", "yes"], 2, "same type"),
        (["--y-pred", "p", "--pos-label", "1"], 0, ""),
    ],
)
def test_an_assessment_of_files_says_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, words: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("g,y,p\na,0,1\nb,1,1\n", encoding="utf-8")
    got, _, err = mlgov(capsys, "assess", *options, "--data", path, "--y-true", "y", "--by", "g")
    assert got == code and words in err


def test_performance_of_files_is_measured_without_a_workspace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [(0, 0.2, "x"), (1, 0.7, "y"), (0, 0.6, "x"), (1, 0.9, "y")] * 40
    for number, part in enumerate((rows[:60], rows[60:])):
        text = "\n".join(",".join(map(str, row)) for row in part)
        Path(f"part{number}.csv").write_text(f"label,score,site\n{text}\n", encoding="utf-8")
    call = ["assess", "--kind", "performance", "--data", "part*.csv", "--y-true", "label", "--y-score", "score"]
    code, out, _ = mlgov(capsys, *call, "--costs", "1:3", "--json")
    report = json.loads(out)
    found = {m["metric"]: m for m in report["measurements"]}
    assert code == 0 and found["accuracy"]["value"] == 0.75 and found["mean_cost"]["value"] == 0.25
    assert report["details"]["threshold"]["costs"] == {"false_positive": 1.0, "false_negative": 3.0}
    assert report["details"]["weak_slices"]["slices"][0]["slice"] == "site == x"
    code, out, _ = mlgov(capsys, *call)
    assert code == 0 and "roc_auc" in out and "mean_cost" not in out
    code, _, err = mlgov(capsys, *call[:-1], "scores")
    assert code == 2 and "no column 'scores'" in err


def test_a_command_made_ready_alone_is_the_same_as_among_all() -> None:
    import typer

    from ml_governance.cli.app import app, holding

    whole = typer.main.get_command(app)
    assert len(whole.commands) > 20  # type: ignore[attr-defined]
    for name, command in whole.commands.items():  # type: ignore[attr-defined]
        alone = typer.main.get_command(holding([name, "--help"]))
        same = alone.commands[name]  # type: ignore[attr-defined]
        assert [one.name for one in same.params] == [one.name for one in command.params]
        assert [one.name for one in alone.params] == [one.name for one in whole.params]
    assert set(typer.main.get_command(holding(["decide"])).commands) == {"decide"}  # type: ignore[attr-defined]
    for arguments in ([], ["--version"], ["decision"], ["--debug", "decide"]):
        assert holding(arguments) is app
