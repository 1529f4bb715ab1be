"""What a governed registry does about each call that changes it: pass it, refuse it, record it, or send it through the gate.

One rule for each such method of MLflow's registry store. A method that is in none of the tables here belongs to a newer
MLflow, and is refused until somebody has read what it does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ml_governance.integrations.mlflow import DIGEST_TAG
from ml_governance.integrations.mlflow_protection import TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ml_governance.integrations.mlflow_protection import Protection

READS = frozenset(
    {
        "get_latest_versions", "get_model_version", "get_model_version_by_alias", "get_model_version_download_uri", "get_prompt",
        "get_prompt_version", "get_prompt_version_by_alias", "get_registered_model", "get_webhook", "list_webhooks",
        "list_webhooks_by_event", "search_model_versions", "search_prompt_versions", "search_prompts", "search_registered_models",
    }
)  # fmt: skip
OPEN = frozenset(
    {
        # Words for people; nothing is decided by them.
        "update_registered_model", "update_model_version",
        # They tell, and change nothing that is told of.
        "create_webhook", "update_webhook", "delete_webhook", "test_webhook",
        # They write to the tracking store.
        "link_prompt_version_to_model", "link_prompt_version_to_run", "link_prompts_to_trace",
    }
)  # fmt: skip
COMPOSED = frozenset(
    {
        "copy_model_version", "create_prompt", "create_prompt_version", "delete_prompt", "delete_prompt_alias", "delete_prompt_tag",
        "delete_prompt_version", "delete_prompt_version_tag", "set_prompt_alias", "set_prompt_tag", "set_prompt_version_tag",
    }
)  # fmt: skip
"""What MLflow's abstract store makes of calls that have a rule; where a store has its own, it is refused."""

PROMPT_TAGS = frozenset(
    {"mlflow.prompt.is_prompt", "mlflow.prompt.text", "_mlflow_prompt_type", "_mlflow_prompt_response_format",
     "_mlflow_prompt_model_config"}
)  # fmt: skip
"""Tags in which MLflow keeps what a prompt is and says."""
VERSION_URI = re.compile(r"models:/(?P<name>[^/@:;?#%]+)/(?P<version>[1-9][0-9]*)", re.ASCII)
"""A version as the source of another; a stricter form than MLflow's, so that both read the same name in it."""


class Facts(Protocol):
    """What the rules ask of the registry and of the log."""

    def aliases(self, name: str) -> Mapping[str, str]:
        """Return the version under each alias of a model."""
        ...

    def tags(self, name: str, version: str) -> Mapping[str, str]:
        """Return the tags of a version."""
        ...

    def is_prompt(self, name: str) -> bool:
        """Tell whether a registered model is a prompt."""
        ...

    def digest(self, name: str, version: str) -> str:
        """Return the SHA-256 of a version's artifacts, read now."""
        ...

    def promotions(self, name: str, version: str | None = None) -> str | None:
        """Return how a model, or one version of it, came into a stage, as the log tells it."""
        ...

    def withdrawn(self, name: str, alias: str) -> str | None:
        """Return why what stands under an alias may stand there no more, as the log tells it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call.

    Parameters
    ----------
    operation : str
        The store's method.
    arguments : mapping of str to object
        Its arguments by name.
    protection : Protection
        What is protected.
    facts : Facts
        The registry and the log.
    """

    operation: str
    arguments: Mapping[str, Any]
    protection: Protection
    facts: Facts

    @property
    def name(self) -> str:
        """The registered model."""
        return str(self.arguments["name"])

    @property
    def version(self) -> str:
        """The version, written as the database keeps it: MLflow takes ``01`` and ``1`` for one."""
        version = self.arguments["version"]
        try:
            return str(int(version))
        except (TypeError, ValueError):
            return str(version)

    @property
    def governed(self) -> bool:
        """Whether the registered model is protected."""
        return self.protection.governs(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Nothing protected is touched: the call goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """The call is refused; ``why`` is a clause, ``instead`` what to do."""

    why: str
    instead: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The call goes on once it is in the log."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote:
    """The call is a promotion.

    Parameters
    ----------
    name, version : str
        The version that is to stand in the stage.
    stage : str
        The stage.
    alias : str or None
        The alias to move; None where the version is copied into a released name.
    into : str or None
        That name.
    """

    name: str
    version: str
    stage: str
    alias: str | None = None
    into: str | None = None


Ruling = Open | Refuse | Record | Promote
OPENED = Open()


def set_alias(asked: Asked) -> Ruling:
    """Take the setting of a stage's alias for the promotion that it is."""
    alias = str(asked.arguments["alias"])
    protected = asked.protection.like_alias(alias)
    if not asked.governed or protected is None:
        return OPENED
    if alias != protected:
        return Refuse(
            why=f"a database may take the alias {alias!r} for {protected!r}", instead=f"the alias {protected!r}"
        )
    if (released := asked.protection.like_released(asked.name)) is not None:
        return Refuse(
            why=f"every version of {released} is in {asked.protection.released[released]}, so {alias!r} would say nothing more",
            instead=f"models:/{released}/latest, or an alias that stands for no stage",
        )
    if asked.facts.is_prompt(asked.name):
        return Refuse(
            why=f"{asked.name} is a prompt: it has no artifact that evidence could be about",
            instead="an alias that stands for no stage, or server.models in governance.toml without prompts",
        )
    return Promote(name=asked.name, version=asked.version, stage=asked.protection.aliases[protected], alias=alias)


def delete_alias(asked: Asked) -> Ruling:
    """Let a stage be emptied only of what was withdrawn."""
    alias = str(asked.arguments["alias"])
    protected = asked.protection.like_alias(alias)
    if not asked.governed or protected is None or protected not in asked.facts.aliases(asked.name):
        return OPENED
    withdrawn = asked.facts.withdrawn(asked.name, protected)
    if withdrawn is None:
        version = asked.facts.aliases(asked.name)[protected]
        return Refuse(
            why=f"{asked.name}/{version} stands for {asked.protection.aliases[protected]} under {protected!r}",
            instead=f"promote another version, mlgov rollback {asked.name}, or mlgov revoke {asked.name}/{version} first",
        )
    return Record(why=withdrawn)


def create_model(asked: Asked) -> Ruling:
    """Names that stand for a stage are reserved; our tags are not given."""
    tags = [str(tag.key) for tag in asked.arguments.get("tags") or ()]
    if _ours(tags):
        return _no_tag(asked)
    released = asked.protection.like_released(asked.name)
    if released is None or (released == asked.name and not PROMPT_TAGS & set(tags)):
        return OPENED  # empty, it says nothing; mostly it is there already, and MLflow says so
    return Refuse(
        why=f"{released} is reserved for what is in {asked.protection.released[released]}", instead="another name"
    )


def create_version(asked: Asked) -> Ruling:
    """Let a version of a released name be made by a promotion only."""
    source = VERSION_URI.fullmatch(str(asked.arguments.get("source") or ""))
    tags = {str(tag.key): str(tag.value) for tag in asked.arguments.get("tags") or ()}
    ours = {key: value for key, value in tags.items() if _ours([key])}
    if ours and (source is None or ours.items() - asked.facts.tags(source["name"], source["version"]).items()):
        return _no_tag(asked)
    released = asked.protection.like_released(asked.name)
    if released is None:
        return OPENED
    stage = asked.protection.released[released]
    if asked.name != released:
        return Refuse(
            why=f"a database may take the name {asked.name!r} for {released!r}", instead=f"the name {released!r}"
        )
    if source is None or asked.protection.like_released(source["name"]) is not None:
        return Refuse(
            why=f"every version of {released} is in {stage}, and {asked.arguments.get('source')} is no registered version that was judged",
            instead=f"register it under another name, and copy that version to {released} (Promote model, or copy_model_version)",
        )
    if set(tags) & PROMPT_TAGS:
        return Refuse(why=f"{released} holds models", instead="a name for prompts")
    return Promote(name=source["name"], version=source["version"], stage=stage, into=released)


def rename_model(asked: Asked) -> Ruling:
    """Keep the names that policies and evidence are about."""
    new = str(asked.arguments["new_name"])
    if not asked.governed and not asked.protection.governs(new):
        return OPENED
    return Refuse(
        why=f"{asked.name if asked.governed else new} is governed, and evidence and policies are about its name",
        instead=f"register the model as a new version of {new}",
    )


def delete_model(asked: Asked) -> Ruling:
    """Keep what stands or stood in a stage."""
    if not asked.governed:
        return OPENED
    if (released := asked.protection.like_released(asked.name)) is not None:
        return Refuse(why=f"every version of {released} is in {asked.protection.released[released]}", instead=_KEEP)
    held = sorted(asked.facts.aliases(asked.name).keys() & asked.protection.aliases.keys())
    if held:
        return Refuse(
            why=f"{asked.name} stands for {asked.protection.aliases[held[0]]} under {held[0]!r}", instead=_KEEP
        )
    return _unless_promoted(asked, asked.facts.promotions(asked.name))


def delete_version(asked: Asked) -> Ruling:
    """Keep what stands or stood in a stage."""
    if not asked.governed:
        return OPENED
    if (released := asked.protection.like_released(asked.name)) is not None:
        return Refuse(why=f"every version of {released} is in {asked.protection.released[released]}", instead=_KEEP)
    for alias, version in asked.facts.aliases(asked.name).items():
        if version == asked.version and alias in asked.protection.aliases:
            return Refuse(
                why=f"{asked.name}/{version} stands for {asked.protection.aliases[alias]} under {alias!r}",
                instead=_KEEP,
            )
    return _unless_promoted(asked, asked.facts.promotions(asked.name, asked.version))


def transition(asked: Asked) -> Ruling:
    """MLflow's old stages are a second way to say what aliases say."""
    if not asked.governed:
        return OPENED
    aliases = ", ".join(sorted(asked.protection.aliases))
    return Refuse(
        why=f"{asked.name} is governed, and MLflow's stage {asked.arguments.get('stage')!r} would say past the gate what aliases say",
        instead=f"the alias {aliases}, which the gate sets",
    )


def set_model_tag(asked: Asked) -> Ruling:
    """Our tags, and what makes a model a prompt, are not written by hand."""
    key = str(asked.arguments["tag"].key)
    if _ours([key]):
        return _no_tag(asked)
    return _no_prompt(asked, key) if asked.governed and key in PROMPT_TAGS else OPENED


def set_version_tag(asked: Asked) -> Ruling:
    """Let the tag of a digest say what the digest is, and a prompt be written once."""
    tag = asked.arguments["tag"]
    key, value = str(tag.key), str(tag.value)
    if _ours([key]):
        true = key == DIGEST_TAG and value == asked.facts.digest(asked.name, asked.version)
        return OPENED if true else _no_tag(asked)
    if asked.governed and key in PROMPT_TAGS and asked.facts.tags(asked.name, asked.version).get(key) != value:
        return _no_prompt(asked, key)
    return OPENED


def delete_tag(asked: Asked) -> Ruling:
    """As for setting one."""
    key = str(asked.arguments["key"])
    if _ours([key]):
        return _no_tag(asked)
    return _no_prompt(asked, key) if asked.governed and key in PROMPT_TAGS else OPENED


RULES: dict[str, Callable[[Asked], Ruling]] = {
    "set_registered_model_alias": set_alias,
    "delete_registered_model_alias": delete_alias,
    "create_registered_model": create_model,
    "create_model_version": create_version,
    "rename_registered_model": rename_model,
    "delete_registered_model": delete_model,
    "delete_model_version": delete_version,
    "transition_model_version_stage": transition,
    "set_registered_model_tag": set_model_tag,
    "delete_registered_model_tag": delete_tag,
    "set_model_version_tag": set_version_tag,
    "delete_model_version_tag": delete_tag,
}
"""The rule of each method that changes something."""

_KEEP = "keep it: what was in a stage is evidence, and where a rollback leads"


def _ours(keys: Iterable[str]) -> bool:
    return any(key.casefold().startswith(TAG) for key in keys)


def _no_tag(asked: Asked) -> Refuse:
    return Refuse(
        why=f"tags that begin with {TAG} say what the gate found about {asked.name}", instead="a tag with another name"
    )


def _no_prompt(asked: Asked, key: str) -> Refuse:
    return Refuse(
        why=f"the tag {key} holds what {asked.name} is or says, and would change it unseen",
        instead="a new version of the prompt",
    )


def _unless_promoted(asked: Asked, promoted: str | None) -> Ruling:
    if promoted is not None:
        return Refuse(why=promoted, instead=_KEEP)
    return Record(why=f"no version that {asked.operation} touches was ever in a stage")
