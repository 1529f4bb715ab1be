"""The gate as an MLflow server asks it: for a user whom the server authenticated, with the server's own key.

The server is a principal like any other. What it signs counts only where the policy lets *it* promote, and it promotes only for
a person whom the trust file names and whom the same policy lets promote: a stolen server key makes nobody an approver, and a
stolen password makes no server. That the person asked is the server's signed word, not the person's signature.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ml_governance.decide import rbac
from ml_governance.decide.decision import evaluate
from ml_governance.decide.policy import in_force
from ml_governance.decide.rules import revoked
from ml_governance.decide.withdrawal import withdrawn_model
from ml_governance.errors import (
    ConfigurationError,
    MissingEvidenceError,
    NotAuthorizedError,
    PromotionDeniedError,
    RegistryError,
    VerificationError,
)
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.predicates import Registration, RegistryRequest
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verdicts import DecisionRecord
from ml_governance.integrations.mlflow_places import name_alias
from ml_governance.integrations.mlflow_protection import Protection
from ml_governance.promote import gate, history, recovery
from ml_governance.workspace import config, parts
from ml_governance.workspace.session import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Literal

    from ml_governance.decide.decision import Decision
    from ml_governance.decide.passage import Passage
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.trust import Principal
    from ml_governance.integrations.mlflow_places import AliasPlace
    from ml_governance.integrations.mlflow_rules import Promote
    from ml_governance.integrations.mlflow_store import Request

WORKSPACE_VARIABLE = "MLGOV_WORKSPACE"
MAX_DETAIL = 4000


class Gatekeeper:
    """Decides for an MLflow server's registry store, and keeps the log of what it was asked for.

    Each call opens the workspace anew and ends its signed session: calls come on any thread, and in forked processes.

    Parameters
    ----------
    configuration : Config
        The workspace.
    signer : str
        With whose key the server acts.
    clock : callable
        Returns the present in UTC.
    """

    def __init__(
        self, configuration: config.Config, *, signer: str, clock: Callable[[], datetime] = parts.utc_now
    ) -> None:
        self.config = configuration
        self._signer = signer
        self._clock = clock
        self.uri = parts.open_registry(configuration.registry).uri
        self.protection = Protection(
            models=configuration.server.models,
            aliases={section.alias: stage for stage, section in configuration.stages.items()},
            released=configuration.server.released,
        )

    @classmethod
    def of_this_server(cls) -> Gatekeeper:
        """Return the gate that this process's environment names.

        Raises
        ------
        ConfigurationError
            If ``MLGOV_WORKSPACE`` or ``MLGOV_SIGNER`` is not set, or names nothing that can be used.
        KeyFileError
            If the server's key cannot be read.
        """
        root, signer = os.environ.get(WORKSPACE_VARIABLE), os.environ.get(parts.SIGNER_VARIABLE)
        if not root or not signer:
            raise ConfigurationError(
                f"the variable {parts.SIGNER_VARIABLE if root else WORKSPACE_VARIABLE} is not set, so no gate stands before the registry",
                expected=f"{WORKSPACE_VARIABLE}: the workspace's folder; {parts.SIGNER_VARIABLE}: with whose key the server acts",
            )
        configuration = config.load(config.find(Path(root)))
        parts.load_signer(configuration, signer)
        return cls(configuration, signer=signer)

    def _acting(self) -> Workspace:
        return Workspace(self.config, signer=self._signer, clock=self._clock)

    # --- what the rules ask ---------------------------------------------------------------------------

    def promotions(self, name: str, version: str | None) -> str | None:
        """Return how a model, or one version of it, came into a stage; what was never ended counts too."""
        with self._acting() as ws:
            for one in history.passages(ws.promoted_under(name)):
                content = one.content
                fits = content.registry == self.uri and content.name == name and version in (None, content.version)
                if fits and (one.done or one.outcome is None):
                    return f"{one.sentence()}, is what {name}/{content.version} was"
        return None

    def withdrawn(self, name: str, alias: str) -> str | None:
        """Return why what stands under an alias may stand there no more."""
        with self._acting() as ws:
            view = ws.view()
            one = history.standing(view, self.config.project).get((self.uri, name, alias))
            if one is None:
                return None
            gone = withdrawn_model(one.subject, view) or revoked(view).get(one.content.decision)
            return None if gone is None else f"withdrawn by {gone.principal.id} at #{gone.index}"

    # --- what is kept ---------------------------------------------------------------------------------

    def refused(self, request: Request, why: str) -> None:
        """Put a refusal into the log."""
        self._record(request, "refused", why)

    def allowed(self, request: Request, why: str) -> None:
        """Put into the log what is about to be done."""
        self._record(request, "allowed", why)

    def _record(self, request: Request, outcome: Literal["allowed", "refused"], why: str) -> None:
        with self._acting() as ws:
            ws.writer.record(*self._entry(request, outcome, why))

    def _entry(
        self, request: Request, outcome: Literal["allowed", "refused"], why: str
    ) -> tuple[RegistryRequest, list[Subject]]:
        content = RegistryRequest(
            registry=self.uri, operation=request.operation, name=request.name, version=request.version, alias=request.alias,
            stage=request.stage, user=request.user, outcome=outcome, detail=why[:MAX_DETAIL],
        )  # fmt: skip
        # Not about the model's digest: whoever asks in vain must not keep others' promotions from their moment without news.
        digest = sha256_hex(canonicalise({"registry": self.uri, "name": request.name}))
        return content, [Subject(name=f"{self.uri}/{request.name}"[:400], sha256=digest)]

    # --- promotion ------------------------------------------------------------------------------------

    def promote(self, request: Request, asked: Promote, place: AliasPlace, sha256: str, model_id: str | None) -> None:
        """Let the place act, if the policy in force allows it now, for this user and these bytes.

        Raises
        ------
        NotAuthorizedError
            If nobody is authenticated, or the user or the server may not promote.
        MissingEvidenceError
            If the log has no registration of these bytes under the model's name.
        PromotionDeniedError
            If the decision is not allow.
        GovernanceError
            As :func:`ml_governance.promote.gate.promote`.
        """
        alias = asked.alias or name_alias(str(asked.into))
        found = Subject(name=f"{asked.name}/{asked.version}", sha256=sha256)
        with self._acting() as ws:
            _, view = ws.concerning(found, stage=asked.stage)
            ws.me(view)
            try:
                announced = self._announced(asked, alias, found, view, ws)
                if announced is not None:
                    self._follow(request, announced, place, view, ws)
                    return
                subject, registration = self._registered(asked, found, model_id, view, ws)

                seen = [view]  # verified a moment ago: the gate's guard refuses what came since

                def me(evidence: EvidenceView) -> Principal:
                    server = ws.me(evidence)
                    self._server_may(server, subject, asked.stage, evidence)
                    return self._person(request.user, server, evidence)

                gate.promote(
                    subject=subject, stage=asked.stage, alias=alias, project=self.config.project, registration=registration,
                    registry=place, whole=ws.view, me=me, writer=ws.writer, clock=ws.clock, digested=True,
                    view=lambda: seen.pop() if seen else ws.concerning(subject, stage=asked.stage)[1],
                    along=[self._entry(request, "allowed", f"{subject.name} for {asked.stage}, asked for by {self._id(request.user)}")],
                )  # fmt: skip
            except PromotionDeniedError as error:
                error.next_step = _next(error.decision)
                raise

    def _id(self, user: str | None) -> str:
        """Return the id under which the trust file would name a user."""
        return self.config.server.people.get(user or "", user or "")

    def _person(self, user: str | None, server: Principal, evidence: EvidenceView) -> Principal:
        """Return who a user is in the trust file; nobody is the server that asks for them."""
        if user is None:
            raise NotAuthorizedError(
                "this server authenticated nobody for the request, so nobody promotes",
                expected="a user whom the server knows",
                next_step="mlflow server --app-name basic-auth, and MLFLOW_TRACKING_USERNAME and ..._PASSWORD at the client",
            )
        people = self.config.server.people
        owners = sorted(name for name, one in people.items() if one == user)
        if user not in people and owners:
            raise NotAuthorizedError(
                f"the MLflow user {user!r} is not the person {user}: [server.people] says that {' and '.join(owners)} is",
                expected=f"the user {' or '.join(owners)}",
                next_step=f'if they are the same person: {user} = "{user}" under [server.people] in governance.toml, and restart',
            )
        person = evidence.principals.get(self._id(user))
        if person is None:
            raise NotAuthorizedError(
                f"the MLflow user {user!r} is nobody whom the trust file names",
                expected=f"one of {', '.join(sorted(evidence.principals))}, or a user whom [server.people] maps to one",
                next_step="ask somebody of the role that the policy lets promote; MLflow's own permissions grant nothing here",
            )
        if person.id == server.id:
            raise NotAuthorizedError(
                f"the MLflow user {user!r} bears the id of this server, which asks for others and never for itself",
                expected="a person",
                next_step="name that user otherwise, or map it to a person under [server.people] in governance.toml",
            )
        return person

    def _server_may(self, server: Principal, subject: Subject, stage: str, evidence: EvidenceView) -> None:
        """Refuse before anything is moved what nobody would count afterwards."""
        policy = in_force(evidence, stage).policy
        said = rbac.may(
            server,
            "promote",
            policy=policy,
            subject=subject,
            evidence=evidence,
            project=self.config.project,
            stage=stage,
        )
        if not said.allowed:
            raise NotAuthorizedError(
                f"this server acts as {server.id}: {said.reason}",
                next_step=f"the root's holder gives {server.id} the role {' or '.join(policy.promote.roles)}",
            )

    def _registered(
        self, asked: Promote, found: Subject, model_id: str | None, view: EvidenceView, ws: Workspace
    ) -> tuple[Subject, Registration]:
        """Return what the log knows of these bytes under this name; their number in MLflow proves nothing."""
        for entry in reversed(view.about(found.sha256, Registration.kind)):
            content = entry.content
            if not isinstance(content, Registration) or (content.registry, content.name) != (self.uri, asked.name):
                continue
            if model_id is None or content.model_id in (None, model_id):
                subject = next(one for one in entry.subjects if one.sha256 == found.sha256)
                return subject, content.model_copy(update={"version": asked.version})
        with suppress(MissingEvidenceError):
            known, _ = ws.concerning(found.name, stage=asked.stage)
            raise VerificationError(
                f"the artifact of {found.name} has the digest sha256:{found.sha256}",
                expected=f"sha256:{known.sha256}, which was registered and judged under that name",
                next_step="find out who changed the files; register the new bytes as a new version if the change is wanted",
            )
        raise MissingEvidenceError(
            f"{found.name} has the artifact sha256:{found.sha256}, and nobody has registered that under the name {asked.name}",
            expected=f"a model made under ws.training({asked.name!r}), or brought in with ws.import_mlflow(RUN_ID, name={asked.name!r})",
            next_step=f"register it, assess it, and ask for approvals: mlgov decide {found.name} --stage {asked.stage} tells what lacks",
        )

    def _announced(
        self, asked: Promote, alias: str, found: Subject, view: EvidenceView, ws: Workspace
    ) -> Passage | None:
        """Return the promotion of just these bytes that somebody's own gate has announced a moment ago."""
        place = (self.uri, asked.name, alias)
        for one in history.passages(view):
            young = self._clock() - one.intent.recorded_at < recovery.GRACE
            if one.place != place or one.content.version != asked.version or not young or one.outcome is not None:
                continue
            # What is about other bytes, or was decided under another policy or against the answer, may rest on more than is here.
            same = one.subject.sha256 == found.sha256
            here = same and one.emergency is None and _policy_of(one) == in_force(view, asked.stage).sha256
            evidence = view if here else ws.view()
            whole = one if here else next(p for p in history.passages(evidence) if p.intent.index == one.intent.index)
            if history.flaw(whole, evidence, self.config.project):
                continue
            if not same:
                raise VerificationError(
                    f"the artifact of {found.name} has the digest sha256:{found.sha256}",
                    expected=f"sha256:{one.subject.sha256}, for which the promotion at #{one.intent.index} was announced",
                )
            return whole
        return None

    def _follow(self, request: Request, one: Passage, place: AliasPlace, view: EvidenceView, ws: Workspace) -> None:
        """Do what a promotion that is in the log is waiting for: mlgov promote and ws.promote move the alias through here."""
        content = one.content
        reference = in_force(view, content.stage)
        decision = evaluate(
            subject=one.subject, stage=content.stage, project=self.config.project, policy=reference.policy,
            policy_sha256=reference.sha256, evidence=view, at=ws.clock(),
        )  # fmt: skip
        if decision.result != "allow" and one.emergency is None:
            raise PromotionDeniedError(decision)
        stands = place.alias(content.name, content.alias)
        if stands != content.previous:
            raise RegistryError(
                f"{content.alias!r} of {content.name} points to {stands or 'nothing'}",
                expected=f"{content.previous or 'nothing'}, where it stood when #{one.intent.index} was announced",
            )
        ws.writer.record(
            *self._entry(request, "allowed", f"#{one.intent.index}, announced by {one.intent.principal.id}")
        )
        recovery.same_bytes(place, content.name, content.version, one.subject)
        place.set_alias(content.name, content.alias, content.version)


def _policy_of(one: Passage) -> str | None:
    decision = one.decision.content if one.decision is not None else None
    return decision.policy.digest.get("sha256") if isinstance(decision, DecisionRecord) else None


def _next(decision: Decision) -> str:
    what = f"{decision.subject.name} --stage {decision.stage}"
    if decision.approvals_missing and all(one.status in ("pass", "waived") for one in decision.findings):
        role = decision.approvals_missing[0]
        return f"somebody who is {role.replace('_', ' ')}: mlgov approve {what} --reason '...', then promote again"
    return f"mlgov decide {what} tells what is missing; once it says ALLOW, promote again"
