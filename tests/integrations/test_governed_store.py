"""MLflow's registry store with the gate in it, called as the server calls it."""

from __future__ import annotations

import functools
import inspect
import resource
import shutil
import subprocess
import sys
import threading
import unicodedata
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import flask
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.errors import ConfigurationError, GovernanceError, LedgerError, NotAuthorizedError, RegistryError
from ml_governance.evidence.door import Guard
from ml_governance.evidence.predicates import Promotion, RegistryRequest
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.writer import Writer
from ml_governance.integrations import mlflow_internals as internals
from ml_governance.integrations import mlflow_places, mlflow_store
from ml_governance.integrations.mlflow import DIGEST_TAG, MlflowRegistry
from ml_governance.integrations.mlflow_places import AliasPlace
from ml_governance.integrations.mlflow_protection import Protection, folded
from ml_governance.integrations.mlflow_rules import COMPOSED, OPEN, READS, RULES
from ml_governance.promote import gate
from ml_governance.testing import FrozenClock
from ml_governance.workspace import Workspace
from ml_governance.workspace.gatekeeper import Gatekeeper
from tests.integrations.governed import (
    Governed,
    MlflowException,
    ModelVersionTag,
    RegisteredModelTag,
    SqlAlchemyStore,
    build,
    copied,
    user,
)

if TYPE_CHECKING:
    pass

COPY = {"name": "credit-prod", "source": "models:/credit/1"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with credit/1, which is approved, and credit/2, which is not; their artifacts stay here."""
    house = Governed(root=build(tmp_path_factory.mktemp("template"), "mlflow+sqlite:///mlflow.db"), clock=FrozenClock())
    house.approve(house.ready("1"))
    house.ready("2")
    return house.root


@pytest.fixture
def house(template: Path, tmp_path: Path) -> Governed:
    return copied(template, tmp_path / "ws")


def refused(house: Governed, operation: str, *arguments: Any, by: str | None = "max", **named: Any) -> str:
    """Require that a call is refused with 403, and return what was said."""
    with user(by), pytest.raises(MlflowException) as raised:
        getattr(house.store, operation)(*arguments, **named)
    assert (raised.value.get_http_status_code(), raised.value.error_code) == (403, "PERMISSION_DENIED")
    return str(raised.value)


def promoted(house: Governed, version: str = "1", name: str = "credit") -> None:
    with user("max"):
        house.store.set_registered_model_alias(name, "production", version)


def weights(house: Governed, version: str) -> Path:
    return Path(urlsplit(house.store.get_model_version_download_uri("credit", version)).path) / "weights.txt"


# --- promotion -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("who", "person"), [("max", "max"), ("mia@bank.example", "mia")])
def test_an_approved_version_is_promoted_and_the_log_says_for_whom(house: Governed, who: str, person: str) -> None:
    with user(who):
        house.store.set_registered_model_alias("credit", "production", "1")
    assert house.stands() == 1
    (asked,) = house.asked()
    assert asked.detail == f"credit/1 for production, asked for by {person}"
    assert (asked.user, asked.outcome, asked.name, asked.version, asked.alias, asked.stage) == (
        who, "allowed", "credit", "1", "production", "production",
    )  # fmt: skip
    with house.as_(None) as ws:
        intent, outcome = ws.view().of_kind("promotion")
        assert intent.principal.id == "server" and outcome.content.result == "done"  # type: ignore[attr-defined]
        assert not ws.reconcile()


def test_a_version_that_nobody_approved_is_refused_with_what_would_make_it_pass(house: Governed) -> None:
    said = refused(house, "set_registered_model_alias", "credit", "production", "2")
    assert "REVIEW: credit/2 for production" in said or "DENY: credit/2 for production" in said
    assert "waiting for: an approval in the role validator" in said
    assert "mlgov approve credit/2 --stage production" in said
    assert house.stands() is None
    (asked,) = house.asked()
    assert asked.outcome == "refused" and asked.user == "max" and "waiting for" in (asked.detail or "")


@pytest.mark.parametrize(
    ("who", "why"),
    [
        (None, "authenticated nobody"),
        ("root", "nobody whom the trust file names"),
        ("MAX", "nobody whom the trust file names"),
        ("mia", "says that mia@bank.example is"),
        ("server", "bears the id of this server"),
        ("vera", "vera has the role validator; to promote credit/1 takes release_manager"),
        ("ada", "ada is author and trainer of credit/1"),
        ("nobody", "to promote credit/1 takes release_manager"),
    ],
)
def test_nobody_promotes_whom_the_policy_does_not_let(house: Governed, who: str | None, why: str) -> None:
    said = refused(house, "set_registered_model_alias", "credit", "production", "1", by=who)
    assert why in said, said
    assert house.stands() is None
    assert [(one.user, one.outcome) for one in house.asked()] == [(who, "refused")]


def test_the_makers_user_does_not_promote_their_own_model_through_the_server(house: Governed) -> None:
    own = house.ready("of omar", who="omar")
    house.approve(own)
    version = own.name.partition("/")[2]
    assert "omar" in refused(house, "set_registered_model_alias", "credit", "production", version, by="omar")
    promoted(house, version)  # by somebody else it may be
    assert str(house.stands()) == version


def test_a_server_that_may_not_promote_moves_nothing(house: Governed) -> None:
    house.opened("idle")
    said = refused(house, "set_registered_model_alias", "credit", "production", "1")
    assert "this server acts as idle" in said and "gives idle the role release_manager" in said
    assert house.stands() is None
    with house.as_(None) as ws:
        assert not ws.view().of_kind("promotion")


def test_a_header_that_nothing_checked_names_nobody(house: Governed) -> None:
    forged = {"Authorization": "Basic bWF4OnBhc3N3b3Jk"}  # max:password
    app = flask.Flask("mlflow")
    with app.test_request_context(headers=forged):
        assert internals.authenticated_user() is None
        with pytest.raises(MlflowException, match="authenticated nobody"):
            house.store.set_registered_model_alias("credit", "production", "1")


def test_a_header_counts_where_mlflows_own_function_checked_it_and_not_where_anothers_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.server import auth

    app = flask.Flask("mlflow")
    app.before_request(auth._before_request)
    with app.test_request_context(headers={"Authorization": "Basic bWF4OnBhc3N3b3Jk"}):
        assert internals.authenticated_user() == "max"
        elsewhere = auth.auth_config._replace(authorization_function="our.company:authenticate_by_cookie")
        monkeypatch.setattr(auth, "auth_config", elsewhere)
        assert internals.authenticated_user() is None
        flask.g.mlflow_authenticated_user = "vera"  # whom that function found, where MLflow tells
        assert internals.authenticated_user() == "vera"
    assert internals.authenticated_user() is None


def test_a_header_names_nobody_on_a_path_that_mlflow_lets_everybody_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.server import auth

    monkeypatch.setenv("_MLFLOW_STATIC_PREFIX", "/static")  # mlflow server --static-prefix /static
    place = "/static/api/2.0/mlflow/registered-models/alias"
    app = flask.Flask("mlflow")
    app.before_request(auth._before_request)
    app.add_url_rule(place, view_func=lambda: str(internals.authenticated_user()), methods=["POST"])
    answer = app.test_client().post(place, auth=("max", "no password of max"))
    assert (answer.status_code, answer.text) == (200, "None")


def test_evidence_that_has_expired_promotes_nothing(house: Governed) -> None:
    house.later(days=8)
    assert "stale" in refused(house, "set_registered_model_alias", "credit", "production", "1")


def test_other_models_and_other_aliases_are_as_before(house: Governed) -> None:
    with user(None):
        house.store.create_registered_model("other")
        house.store.create_model_version("other", "models:/credit/2")
        house.store.set_registered_model_alias("other", "production", "1")
        house.store.transition_model_version_stage("other", "1", "Production", False)
        house.store.set_registered_model_alias("credit", "challenger", "2")
        house.store.delete_registered_model_alias("credit", "challenger")
        house.store.update_registered_model("credit", "words")
        house.store.rename_registered_model("other", "another")
        house.store.delete_registered_model("another")
    assert not house.asked()


# --- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "alias", ["Production", "PRODUCTION", "pr\u00f3duction", "produc\u200btion", "\uff50roduction"]
)
def test_an_alias_that_a_database_could_take_for_a_stages_is_refused(house: Governed, alias: str) -> None:
    assert "the alias 'production'" in refused(house, "set_registered_model_alias", "credit", alias, "1")


@pytest.mark.parametrize("name", ["Credit-Prod", "cr\u00e9dit-prod", "credit-prod ", "credit\u00ad-prod"])
def test_a_name_that_a_database_could_take_for_a_released_one_is_refused(house: Governed, name: str) -> None:
    assert "reserved" in refused(house, "create_registered_model", name)
    prompt = [RegisteredModelTag("mlflow.prompt.is_prompt", "true")]
    assert "reserved" in refused(house, "create_registered_model", "credit-prod", prompt)
    assert "the name 'credit-prod'" in refused(house, "create_model_version", name, "models:/credit/1")


@given(st.text(max_size=20), st.data())
def test_no_writing_of_a_name_that_databases_equate_escapes_protection(name: str, data: st.DataObject) -> None:
    protection = Protection(models=(), aliases={}, released={f"x{name}y": "production"})
    written = data.draw(
        st.sampled_from(
            [str.upper, str.lower, str.casefold, lambda s: s + " ", lambda s: unicodedata.normalize("NFD", s)]
        )
    )(f"x{name}y")
    assert folded(folded(written)) == folded(written)
    assert protection.like_released(written) is not None or folded(written) != folded(f"x{name}y")
    assert protection.like_released(f"X\u200b{name}Y") is not None or name.upper() != name


# --- what stands in a stage is kept -----------------------------------------------------------------------------


def test_a_stages_alias_is_removed_only_of_what_was_withdrawn(house: Governed) -> None:
    promoted(house)
    said = refused(house, "delete_registered_model_alias", "credit", "production")
    assert "mlgov revoke credit/1" in said and house.stands() == 1
    with house.as_("rita") as ws:
        ws.revoke("credit/1", reason="wrong labels")
    with user("vera"):
        house.store.delete_registered_model_alias("credit", "production")
    assert house.stands() is None
    last = house.asked()[-1]
    assert (last.operation, last.outcome, last.user) == ("delete_registered_model_alias", "allowed", "vera")


@pytest.mark.parametrize("version", ["1", "01", " 1", 1], ids=["text", "zero", "space", "number"])
def test_a_version_that_was_in_a_stage_is_not_deleted(house: Governed, version: Any) -> None:
    promoted(house)
    refused(house, "delete_model_version", "credit", version)
    newer = house.ready("3")
    house.approve(newer)
    promoted(house, "3")
    assert "to production" in refused(house, "delete_model_version", "credit", version)  # a rollback leads there
    assert house.store.get_model_version("credit", "1").current_stage == "None"


def test_a_model_with_a_version_that_was_in_a_stage_is_not_deleted(house: Governed) -> None:
    promoted(house)
    assert "production" in refused(house, "delete_registered_model", "credit")
    SqlAlchemyStore(house.database).delete_registered_model_alias("credit", "production")  # past the server
    assert "to production" in refused(house, "delete_registered_model", "credit")
    assert "production" in refused(house, "delete_registered_model", "credit-prod")


def test_what_was_never_in_a_stage_is_deleted_on_the_record(house: Governed) -> None:
    with user("ada"):
        house.store.delete_model_version("credit", "2")
    assert [(one.operation, one.version, one.outcome, one.user) for one in house.asked()] == [
        ("delete_model_version", "2", "allowed", "ada")
    ]


def test_governed_names_are_not_changed_nor_taken(house: Governed) -> None:
    refused(house, "rename_registered_model", "credit", "free")
    with user("ada"):
        house.store.create_registered_model("free")
    refused(house, "rename_registered_model", "free", "credit-x")
    refused(house, "rename_registered_model", "free", "credit-prod")


@pytest.mark.parametrize("stage", ["Production", "Staging", "Archived"])
def test_mlflows_old_stages_are_no_second_way_in(house: Governed, stage: str) -> None:
    assert "the alias production" in refused(house, "transition_model_version_stage", "credit", "1", stage, False)


# --- released names ---------------------------------------------------------------------------------------------


def latest(house: Governed) -> list[str]:
    return [one.source for one in house.store.get_latest_versions("credit-prod")]


def test_a_released_name_is_there_before_anybody_takes_it_and_holds_only_what_was_approved(house: Governed) -> None:
    assert house.store.get_registered_model("credit-prod").name == "credit-prod"
    refused(house, "create_model_version", name="credit-prod", source="models:/credit/2")
    assert latest(house) == []
    with user("max"):
        copy = house.store.copy_model_version(house.store.get_model_version("credit", "1"), "credit-prod")
    assert (copy.name, str(copy.version), latest(house)) == ("credit-prod", "1", ["models:/credit/1"])
    assert house.store.get_model_version_download_uri("credit-prod", "1") == house.store.get_model_version_download_uri(
        "credit", "1"
    )
    with house.as_(None) as ws:
        intent, outcome = ws.view().of_kind("promotion")
        assert (intent.content.alias, outcome.content.result) == ("models:/credit-prod", "done")  # type: ignore[attr-defined]
    house.later(minutes=1)
    refused(house, "create_model_version", name="credit-prod", source="models:/credit/2")
    assert latest(house) == ["models:/credit/1"]


def test_reconciling_tells_what_entered_a_released_name_past_the_gate(house: Governed) -> None:
    behind = SqlAlchemyStore(house.database)
    with user("max"):
        house.store.create_model_version(**COPY)
    with house.as_("max") as ws:
        assert not ws.reconcile()
        behind.create_model_version("credit-prod", "models:/credit/2")
        entered, newest = ws.reconcile()
        assert (entered.name, entered.found, entered.recorded) == ("credit-prod", "2", "1")
        assert "credit-prod/2 was made from credit/2, and no promotion that counts put that" in entered.what
        assert "is a copy of credit/2; the last promotion that counts put credit/1 there" in newest.what
        assert ws.doctor().exit_code == 4
        behind.delete_model_version("credit-prod", "2")
        assert not ws.reconcile()
        behind.delete_model_version("credit-prod", "1")
        (gone,) = ws.reconcile()
        assert gone.found is None and "is not there" in gone.what


def test_reconciling_tells_of_bytes_and_withdrawals_in_a_released_name(house: Governed) -> None:
    house.approve(house.ready("3"))
    with user("max"):
        house.store.create_model_version(**COPY)
        house.store.create_model_version("credit-prod", "models:/credit/3")
    with house.as_("rita") as ws:
        assert not ws.reconcile()
        weights(house, "3").write_text("other")
        (changed,) = ws.reconcile()
        assert "credit-prod/2 was changed after its promotion" in changed.what
        weights(house, "3").write_text("3")
        assert not ws.reconcile()
        ws.revoke("credit/3", reason="wrong labels")
        (gone,) = ws.reconcile()
        assert "credit-prod/2, a copy of credit/3, was withdrawn by rita" in gone.what


def test_a_promotion_into_a_released_name_that_died_is_settled_by_what_stands_there(
    house: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        """The server's process ended."""

    def die(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patch, user("max"), pytest.raises(Died):
        patch.setattr(gate, "pass_of_outcome", die)
        house.store.create_model_version(**COPY)
    assert latest(house) == ["models:/credit/1"]
    house.later(hours=1)
    with house.as_("max") as ws:
        assert ws.registry.alias("credit", "models:/credit-prod") == "1"
        assert ws.registry.alias("credit-other", "models:/credit-prod") is None
        assert ws.registry.alias("credit", "models:/empty") is None
    house.approve("credit/2")
    with user("max"):
        house.store.create_model_version("credit-prod", "models:/credit/2")
    with house.as_(None) as ws:
        ends = [a.content for a in ws.view().of_kind("promotion") if a.content.phase == "outcome"]  # type: ignore[attr-defined]
    assert [(one.version, one.result) for one in ends] == [("1", "done"), ("2", "done")]  # type: ignore[attr-defined]


def test_where_mlflows_workspaces_are_on_each_has_the_gate(house: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = pytest.importorskip("mlflow.utils.workspace_context", reason="this MLflow has no workspaces")
    ServerWorkspaceContext = contexts.ServerWorkspaceContext
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    store = house.opened()
    assert type(store).__name__ == "GovernedWorkspaceAwareSqlAlchemyStore" and store.supports_workspaces
    with ServerWorkspaceContext("default"):
        refused(house, "set_registered_model_alias", "credit", "production", "2")
        promoted(house)
        assert house.stands() == 1
    with ServerWorkspaceContext("elsewhere"), user("ada"):
        store.create_registered_model("credit")
        store.create_model_version("credit", "file:///tmp/nothing")
        refused(house, "set_registered_model_alias", "credit", "production", "1")
        store.create_registered_model("credit-prod")
        assert "no registered version" in refused(house, "create_model_version", "credit-prod", "file:///tmp/nothing")


@pytest.mark.parametrize(
    "source",
    [
        "file:///tmp/model", "runs:/0123/model", "models:/m-0123", "models:/credit@production", "models:/credit/latest", "",
        "models:/credit-prod/1", "models:/credit/1?", "models:/credit/01", "models:/credit%2F1", "mlflow-artifacts:/1/models/x",
        "models:/credit/1\n", "s3://bucket/model", "dummy-source",
    ],
)  # fmt: skip
def test_nothing_enters_a_released_name_but_a_registered_version(house: Governed, source: str) -> None:
    assert "no registered version that was judged" in refused(house, "create_model_version", "credit-prod", source)


def test_a_released_name_is_no_prompt_and_has_no_stage_alias_or_deletion(house: Governed) -> None:
    prompt = [ModelVersionTag("mlflow.prompt.text", "x")]
    assert "holds models" in refused(house, "create_model_version", **COPY, tags=prompt)
    with user("max"):
        house.store.create_model_version(**COPY)
    refused(house, "set_registered_model_tag", "credit-prod", RegisteredModelTag("mlflow.prompt.is_prompt", "true"))
    refused(house, "set_registered_model_alias", "credit-prod", "production", "1")
    refused(house, "delete_model_version", "credit-prod", "1")


def test_the_copy_in_a_released_name_has_the_bytes_that_were_digested(
    house: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = SqlAlchemyStore.get_model_version_download_uri
    calls = []

    def elsewhere(self: Any, name: str, version: str) -> Any:
        calls.append(name)
        found = original(self, name, version)
        inside = inspect.currentframe().f_back.f_code.co_name == "create_model_version"  # type: ignore[union-attr]
        return f"{found}-other" if inside else found

    monkeypatch.setattr(SqlAlchemyStore, "get_model_version_download_uri", elsewhere)
    house.opened()
    assert "would have its artifacts at" in refused(house, "create_model_version", **COPY)
    assert latest(house) == [] and calls


# --- tags and prompts -------------------------------------------------------------------------------------------


def test_our_tags_say_what_is_true_or_are_not_written(house: Governed) -> None:
    true = house.store.get_model_version("credit", "1").tags[DIGEST_TAG]
    other = house.store.get_model_version("credit", "2").tags[DIGEST_TAG]
    assert true != other
    with user("ada"):
        house.store.set_model_version_tag("credit", "1", ModelVersionTag(DIGEST_TAG, true))
        house.store.set_model_version_tag("credit", "1", ModelVersionTag("team", "x"))
    refused(house, "set_model_version_tag", "credit", "1", ModelVersionTag(DIGEST_TAG, other))
    refused(house, "set_model_version_tag", "credit", "1", ModelVersionTag("MLGOV.verdict", "ALLOW"))
    refused(house, "delete_model_version_tag", "credit", "1", DIGEST_TAG)
    refused(house, "set_registered_model_tag", "credit", RegisteredModelTag("mlgov.verdict", "ALLOW"))
    refused(house, "create_registered_model", "credit-new", [RegisteredModelTag("mlgov.verdict", "ALLOW")])
    lied = [ModelVersionTag(DIGEST_TAG, other)]
    refused(house, "create_model_version", "credit", "models:/credit/1", tags=lied)
    with user("ada"):
        copy = house.store.create_model_version("credit", "models:/credit/1", tags=[ModelVersionTag(DIGEST_TAG, true)])
    assert copy.tags[DIGEST_TAG] == true


def test_what_a_prompt_says_is_written_once(house: Governed) -> None:
    with user("ada"):
        house.store.create_prompt("text-greeting")
        house.store.create_prompt_version("text-greeting", "Hello {{name}}")
        house.store.set_prompt_alias("text-greeting", "draft", "1")
        house.store.set_prompt_version_tag("text-greeting", "1", "team", "x")
    refused(house, "set_model_version_tag", "text-greeting", "1", ModelVersionTag("mlflow.prompt.text", "Obey"))
    refused(house, "delete_model_version_tag", "text-greeting", "1", "mlflow.prompt.text")
    refused(house, "set_registered_model_tag", "text-greeting", RegisteredModelTag("mlflow.prompt.is_prompt", "false"))
    assert "is a prompt" in refused(house, "set_prompt_alias", "text-greeting", "production", "1")
    assert house.store.get_prompt_version("text-greeting", "1").template == "Hello {{name}}"


# --- bytes, numbers, races --------------------------------------------------------------------------------------


def test_artifacts_that_were_overwritten_are_not_promoted(house: Governed) -> None:
    house.approve(house.ready("3"))
    weights(house, "3").write_text("other")
    said = refused(house, "set_registered_model_alias", "credit", "production", "3")
    assert "which was registered and judged under that name" in said and house.stands() is None


def test_artifacts_that_change_between_decision_and_act_are_not_promoted(
    house: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.approve(house.ready("3"))
    original = gate._act

    def swap(*arguments: Any) -> int:
        weights(house, "3").write_text("other")
        return original(*arguments)

    monkeypatch.setattr(gate, "_act", swap)
    assert "has the digest" in refused(house, "set_registered_model_alias", "credit", "production", "3")
    assert house.stands() is None


def test_a_version_of_the_same_number_is_another_model_after_delete_and_recreate(house: Governed) -> None:
    bytes_of_2 = house.store.get_model_version_download_uri("credit", "2")
    with user("ada"):
        house.store.delete_registered_model("credit")
        house.store.create_registered_model("credit")
        assert house.store.create_model_version("credit", bytes_of_2).version == 1
    said = refused(house, "set_registered_model_alias", "credit", "production", "1")
    assert "REVIEW: credit/2" in said or "DENY: credit/2" in said  # judged for what it is


def test_the_same_bytes_under_another_number_are_the_same_model(house: Governed) -> None:
    bytes_of_1 = house.store.get_model_version_download_uri("credit", "1")
    with user("ada"):
        assert house.store.create_model_version("credit", bytes_of_1).version == 3
    promoted(house, "3")
    assert house.stands() == 3
    with house.as_(None) as ws:
        assert not ws.reconcile()


def test_the_same_bytes_under_another_name_are_not_what_was_approved(house: Governed) -> None:
    with user("ada"):
        house.store.create_registered_model("credit-other")
        house.store.create_model_version("credit-other", house.store.get_model_version_download_uri("credit", "1"))
    assert "nobody has registered that under the name credit-other" in refused(
        house, "set_registered_model_alias", "credit-other", "production", "1"
    )


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Do something after the gate has read everything and before it moves the alias."""
    original = AliasPlace.set_alias

    def later(self: AliasPlace, *arguments: Any) -> None:
        act()
        original(self, *arguments)

    monkeypatch.setattr(AliasPlace, "set_alias", later)


def test_an_alias_that_somebody_else_moved_meanwhile_is_not_moved(
    house: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = SqlAlchemyStore(house.database)
    meanwhile(monkeypatch, lambda: past.set_registered_model_alias("credit", "production", "2"))
    said = refused(house, "set_registered_model_alias", "credit", "production", "1")
    assert "was moved to 2" in said and "then promote again" in said and "could not decide" not in said
    assert house.stands() == 2
    with house.as_(None) as ws:
        assert [a.content.result for a in ws.view().of_kind("promotion")] == [None, "failed"]  # type: ignore[attr-defined]


def test_a_version_that_was_made_anew_meanwhile_is_not_promoted(
    house: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = SqlAlchemyStore(house.database)
    other = house.store.get_model_version_download_uri("credit", "2")

    def anew() -> None:
        past.delete_registered_model("credit")
        past.create_registered_model("credit")
        past.create_model_version("credit", other)

    meanwhile(monkeypatch, anew)
    assert "no longer the version" in refused(house, "set_registered_model_alias", "credit", "production", "1")
    assert house.stands() is None


def test_what_mlflow_commits_on_its_own_is_no_promotion(house: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    original = SqlAlchemyStore.set_registered_model_alias

    @functools.wraps(original)
    def hasty(self: Any, *arguments: Any) -> None:
        with self.ManagedSessionMaker(read_only=False) as session:
            session.rollback()
        original(self, *arguments)

    monkeypatch.setattr(SqlAlchemyStore, "set_registered_model_alias", hasty)
    house.opened()
    assert "ended the transaction" in refused(house, "set_registered_model_alias", "credit", "production", "1")
    assert house.stands() is None


def test_of_two_promotions_at_once_the_log_and_the_alias_tell_the_same(house: Governed) -> None:
    house.approve("credit/2")
    start = threading.Barrier(2)

    def promote(version: str) -> str:
        start.wait()
        try:
            promoted(house, version)
        except MlflowException as error:
            return "refused" if error.get_http_status_code() == 403 else "broken"
        return version

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(promote, ["1", "2"]))
    done = [one for one in results if one != "refused"]
    assert "broken" not in results
    assert done and str(house.stands()) in done
    with house.as_(None) as ws:
        assert not ws.reconcile()
        outcomes = [a.content for a in ws.view().of_kind("promotion") if a.content.phase == "outcome"]  # type: ignore[attr-defined]
    assert sum(one.result == "done" for one in outcomes) == len(done)  # type: ignore[attr-defined]


# --- a promotion that a client's own gate announced ---------------------------------------------------------------


class Through(MlflowRegistry):
    """What a client of the server has: reads as before, and aliases that the server moves."""

    def __init__(self, house: Governed, who: str) -> None:
        super().__init__(house.database)
        self._house, self._who = house, who

    def set_alias(self, name: str, alias: str, version: str) -> None:
        with user(self._who):
            try:
                self._house.store.set_registered_model_alias(name, alias, version)
            except MlflowException as error:
                raise RegistryError(str(error)) from error


def through(house: Governed, version: str = "credit/1", who: str = "pipeline") -> Any:
    with house.as_("max") as ws:
        ws._registry = Through(house, who)
        return ws.promote(version, stage="production")


def test_what_a_clients_own_gate_announced_passes_the_servers(house: Governed) -> None:
    assert through(house).alias == "production"
    assert house.stands() == 1
    (asked,) = house.asked()
    assert (asked.user, asked.outcome) == ("pipeline", "allowed") and "announced by max" in (asked.detail or "")
    with house.as_(None) as ws:
        assert [a.content.phase for a in ws.view().of_kind("promotion")] == ["intent", "outcome"]  # type: ignore[attr-defined]
        assert not ws.reconcile()


def announced(house: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A promotion of credit/1 that was announced, and whose client died before it moved anything."""
    with monkeypatch.context() as patch:
        patch.setattr(gate, "_act", lambda *_: 0)
        through(house)


def test_an_announcement_moves_the_alias_once(house: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    announced(house, monkeypatch)
    with user("pipeline"):
        house.store.set_registered_model_alias("credit", "production", "1")
    refused(house, "set_registered_model_alias", "credit", "production", "1", by="pipeline")


def test_an_announcement_that_something_came_before_moves_nothing(
    house: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that asks its guard nothing: between its decision and its intent another model was promoted."""
    decide = gate._decide

    def decided(*arguments: Any) -> Any:
        found = decide(*arguments)
        elsewhere = Promotion(phase="intent", stage="production", registry="local:x", name="other", version="1",
                              alias="production", decision="0" * 64, token="0" * 64)  # fmt: skip
        arguments[4].record(elsewhere, [Subject(name="other/1", sha256="ee" * 32)])
        return found

    with monkeypatch.context() as patch:
        patch.setattr(gate, "_decide", decided)
        patch.setattr(gate, "_guard", lambda _decision, since, token=None: Guard(since=since, token=token))
        announced(house, monkeypatch)
    assert "nobody whom the trust file names" in refused(
        house, "set_registered_model_alias", "credit", "production", "1", by="pipeline"
    )
    assert house.stands() is None


def test_what_does_not_concern_a_promotion_is_not_read_for_it(house: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    house.approve(house.ready("3"))
    promoted(house)

    def whole(_ws: Any) -> Any:
        raise AssertionError("the whole log was read")

    monkeypatch.setattr(Workspace, "view", whole)
    promoted(house, "3")
    through(house)
    assert house.stands() == 1
    refused(house, "set_registered_model_alias", "credit", "production", "2")
    refused(house, "delete_model_version", "credit", "3")
    with user("ada"):
        house.store.delete_model_version("credit", "2")
    with user("max"):
        house.store.copy_model_version(house.store.get_model_version("credit", "3"), "credit-prod")


def test_an_announcement_is_for_one_version_alone(house: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    house.approve("credit/2")
    announced(house, monkeypatch)
    assert "has no outcome yet" in refused(house, "set_registered_model_alias", "credit", "production", "2")
    assert house.stands() is None


def test_an_announcement_ends_soon(house: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    announced(house, monkeypatch)
    house.later(hours=1)
    assert "authenticated nobody" in refused(house, "set_registered_model_alias", "credit", "production", "1", by=None)


def test_what_was_withdrawn_since_its_announcement_is_not_promoted(
    house: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced(house, monkeypatch)
    with house.as_("rita") as ws:
        ws.revoke("credit/1", reason="wrong labels")
    assert "DENY" in refused(house, "set_registered_model_alias", "credit", "production", "1", by="pipeline")


def test_an_announcement_is_for_its_bytes(house: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    announced(house, monkeypatch)
    other = house.store.get_model_version_download_uri("credit", "2")
    past = SqlAlchemyStore(house.database)
    past.delete_registered_model("credit")
    past.create_registered_model("credit")
    past.create_model_version("credit", other)
    assert "was announced" in refused(house, "set_registered_model_alias", "credit", "production", "1", by="pipeline")


def test_an_announcement_moves_the_alias_from_where_it_stood(house: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    announced(house, monkeypatch)
    SqlAlchemyStore(house.database).set_registered_model_alias("credit", "production", "2")
    assert "points to 2" in refused(house, "set_registered_model_alias", "credit", "production", "1", by="pipeline")


# --- when something is broken -------------------------------------------------------------------------------------


@pytest.fixture
def broken(house: Governed, request: pytest.FixtureRequest) -> Governed:
    ledger = house.root / "governance" / "ledger.sqlite"
    if request.param == "gone":
        ledger.unlink()
    elif request.param == "garbage":
        ledger.write_bytes(b"garbage" * 4096)
    elif request.param == "unreadable configuration":
        shutil.rmtree(house.root / "governance" / "keys")
    return house


@pytest.mark.parametrize("broken", ["gone", "garbage", "unreadable configuration"], indirect=True)
def test_a_gate_that_cannot_decide_refuses_and_nobody_tries_again(broken: Governed) -> None:
    for operation, arguments in (
        ("set_registered_model_alias", ("credit", "production", "1")),
        ("create_model_version", ("credit-prod", "models:/credit/1")),
        ("delete_model_version", ("credit", "2")),
        ("transition_model_version_stage", ("credit", "1", "Production", False)),
    ):
        refused(broken, operation, *arguments)
    assert broken.stands() is None and latest(broken) == []
    assert broken.store.get_model_version("credit", "2").version == 2


def test_a_disk_that_takes_no_more_refuses(house: Governed) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (0, limits[1])
    )  # Python ignores the signal: writing fails, as on a full disk
    try:
        said = refused(house, "set_registered_model_alias", "credit", "production", "1")
        refused(house, "delete_model_version", "credit", "2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "not in the log" in said and house.stands() is None
    assert house.store.get_model_version("credit", "2").version == 2 and not house.asked()
    promoted(house)


def test_what_cannot_be_recorded_is_not_done(house: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise LedgerError("the disk is full")

    monkeypatch.setattr(Writer, "record", full)
    assert "the disk is full" in refused(house, "delete_model_version", "credit", "2")
    assert house.store.get_model_version("credit", "2").version == 2


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), RegistryError("x"), MemoryError()])
def test_whatever_breaks_inside_the_gate_is_a_refusal(
    house: Governed, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Gatekeeper, "_announced", fail)
    refused(house, "set_registered_model_alias", "credit", "production", "1")
    monkeypatch.setattr(Protection, "governs", fail)
    refused(house, "set_registered_model_alias", "credit", "production", "1")
    refused(house, "rename_registered_model", "credit", "x")


def test_refusals_of_others_do_not_keep_a_promotion_from_its_moment(
    house: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = gate._decide

    def noise(*arguments: Any) -> Any:
        decided = original(*arguments)
        refused(house, "transition_model_version_stage", "credit", "1", "Production", False, by="nobody")
        return decided

    monkeypatch.setattr(gate, "_decide", noise)
    promoted(house)
    assert house.stands() == 1


# --- every way in -------------------------------------------------------------------------------------------------


def stores() -> list[type]:
    from mlflow.store.model_registry.abstract_store import AbstractStore

    found = [AbstractStore, SqlAlchemyStore]
    if find_spec("mlflow.store.model_registry.sqlalchemy_workspace_store") is not None:  # since MLflow 3.10 or so
        from mlflow.store.model_registry.sqlalchemy_workspace_store import WorkspaceAwareSqlAlchemyStore

        found.append(WorkspaceAwareSqlAlchemyStore)
    return found


@pytest.mark.parametrize("store", stores())
def test_what_each_method_of_mlflows_store_does_is_known(store: type) -> None:
    """A newer MLflow fails here: read what its new methods do, and put each into a table of mlflow_rules."""
    found = {name for name, _ in inspect.getmembers(store, inspect.isfunction) if not name.startswith("_")}
    assert found - READS - OPEN - COMPOSED - RULES.keys() == set()
    assert not [name for name in found if not mlflow_store.known(name, store)]
    tables = (READS, OPEN, COMPOSED, frozenset(RULES))
    assert sum(map(len, tables)) == len(frozenset().union(*tables))


@pytest.mark.parametrize("store", stores()[1:])
def test_each_method_with_a_rule_is_wrapped_and_keeps_its_signature(house: Governed, store: type) -> None:
    made = mlflow_store.governed(store, house.gatekeeper())
    for name in RULES:
        assert getattr(made, name) is not getattr(store, name)
        assert inspect.signature(getattr(made, name)) == inspect.signature(getattr(store, name))


def test_a_method_that_nobody_has_read_is_refused(house: Governed) -> None:
    class Newer(SqlAlchemyStore):
        def promote_everything(self, name: str) -> str:
            return name

        def copy_model_version(self, src_mv: Any, dst_name: str) -> str:  # its own, past what has a rule
            return dst_name

    newer = mlflow_store.governed(Newer, house.gatekeeper())(house.database)
    for call in (lambda: newer.promote_everything("credit"), lambda: newer.copy_model_version(None, "credit-prod")):
        with pytest.raises(MlflowException, match="is new to this version") as raised:
            call()
        assert raised.value.get_http_status_code() == 403


def test_arguments_by_name_or_by_place_meet_the_same_rule(house: Governed) -> None:
    refused(house, "set_registered_model_alias", name="credit", alias="production", version="2")
    refused(house, "set_registered_model_alias", "credit", version="2", alias="production")
    refused(house, "set_registered_model_alias", "credit", "production", "2", "more")


# --- making it -----------------------------------------------------------------------------------------------------


def test_a_server_without_a_gate_does_not_start(house: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml_governance.plugins.model_registry_store import governed

    monkeypatch.delenv("MLGOV_WORKSPACE", raising=False)
    monkeypatch.delenv("MLGOV_SIGNER", raising=False)
    with pytest.raises(ConfigurationError, match="MLGOV_WORKSPACE is not set"):
        governed(f"governed:{house.database}")
    monkeypatch.setenv("MLGOV_WORKSPACE", str(house.root))
    with pytest.raises(ConfigurationError, match="MLGOV_SIGNER is not set"):
        governed(f"governed:{house.database}")
    monkeypatch.setenv("MLGOV_SIGNER", "stranger")
    with pytest.raises(ConfigurationError, match="no key for 'stranger'"):
        governed(f"governed:{house.database}")
    monkeypatch.setenv("MLGOV_SIGNER", "server")
    for uri in ("governed:", "governed:file:///tmp/x", "governed:http://elsewhere"):
        with pytest.raises(ConfigurationError, match="a database"):
            governed(uri)
    store = governed(f"governed:{house.database}", "sqlite:///elsewhere")
    assert isinstance(store, SqlAlchemyStore) and type(store).__name__ == "GovernedSqlAlchemyStore"


@pytest.mark.parametrize("variable", internals.CLIENTS_CODE)
@pytest.mark.parametrize("said", ["true", "1", "maybe"])
def test_a_server_that_runs_its_clients_code_has_no_gate_and_does_not_start(
    house: Governed, monkeypatch: pytest.MonkeyPatch, variable: str, said: str
) -> None:
    monkeypatch.setenv(variable, said)
    with pytest.raises(ConfigurationError, match=variable):
        house.opened()
    monkeypatch.setenv(variable, "false")
    house.opened()


def test_a_released_name_is_for_a_stage_that_there_is(house: Governed) -> None:
    file = house.root / "governance.toml"
    file.write_text(file.read_text().replace('"credit-prod" = "production"', '"credit-prod" = "nowhere"'))
    with pytest.raises(ConfigurationError, match="names the stage 'nowhere'"):
        house.gatekeeper()


def test_the_entry_point_imports_nothing_heavy() -> None:
    code = (
        "import sys, ml_governance.plugins.model_registry_store as m; assert callable(m.governed);"
        "print(*sorted({'mlflow', 'pandas', 'numpy', 'sqlalchemy', 'sklearn', 'pydantic', 'flask'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_who_has_no_role_does_not_say_what_a_registry_was_asked(house: Governed) -> None:
    said = RegistryRequest(registry="r", operation="o", name="n", outcome="allowed")
    with pytest.raises(NotAuthorizedError, match="has no role"):
        house.write(said, Subject(name="n", sha256="0" * 64), who="nobody")


def test_a_place_stores_nothing_of_its_own(house: Governed) -> None:
    place = mlflow_places.AliasPlace(house.store, "uri", lambda: None)
    with pytest.raises(GovernanceError, match="a registry store takes no"):
        place.store(object(), name="x")
    assert place.versions("credit") == ("1", "2")
