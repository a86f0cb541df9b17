"""What a run has trained, as a folder to hand on: weights, tokenizer, model card.

The files are copied from the store, compared with what the store knows of them before and after,
and appear under their name all at once.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cli.use.model_card import Exported, licence_of, model_card
from cli.use.named import is_hub_id
from cli.use.policies_of import BASE, Policy, Training, policy_of, start_of, tables_of, trainings
from data.errors import ArtifactError, InputError
from data.paths import named_path
from data.store.artifacts import Artifact, Record
from data.store.digests import file_digest
from data.store.store import Store, sync_tree
from data.summary import Summary
from flows.recipe_files import recorded_recipe

ADAPTER = "adapter"  # the folder of an artifact that keeps it
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Source:
    """Files of the store that make an exported folder, and what its card says."""

    card: Exported
    artifacts: tuple[Artifact, ...]  # several for joined adapters
    adapter: bool = False


def export(
    store: Store,
    summary: Summary,
    to: Path,
    *,
    number: int | None = None,
    adapter: bool = False,
    student: bool = False,
    repository: str | None = None,
) -> Exported:
    """Write a run's policy, its adapter or its student into the new folder `to`.

    Args:
        number: The round; by default that of the last adopted policy.
        adapter: The LoRA adapter alone, from the base on.
        student: The distilled reward model; so it is for runs that train no policy.
        repository: Where it will be pushed, for its card.

    Raises:
        InputError: there is nothing to export, or `to` cannot be written.
    """
    to = named_path(to, "--to")
    check_target(to)
    if student or {*summary.links} == {"student"}:  # the only model that it gave
        if adapter or number is not None:
            raise InputError(f"{summary.run}: a student is exported without --adapter and --round")
        source = _student(store, summary)
    else:
        source = _policy(store, summary, number, adapter)
    base = _base_folder(store, source)
    licence, files = licence_of(base)
    card = replace(
        source.card,
        tables=tuple(tables_of(store, summary)),
        repository=repository,
        licence=licence,
        licence_files=tuple(path.name for path in files),
    )
    with _appearing(to) as folder:
        _copy(store, source, folder)
        for path in files:
            shutil.copyfile(path, folder / path.name)
        card = _with_traits(card, folder)
        (folder / "README.md").write_text(model_card(card), encoding="utf-8")
    return card


def check_target(to: Path) -> None:
    """InputError unless a folder can be made there, or an empty one is there."""
    if to.is_dir():
        if any(to.iterdir()):
            raise InputError(f"--to: '{to}' is not empty; name a new folder")
    elif os.path.lexists(to):
        raise InputError(f"--to: '{to}' is no folder; name a new one")


def check_repository(repository: str) -> None:
    """InputError unless it is a name on a hub, and there is a token to push with."""
    from huggingface_hub import get_token
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if not _REPOSITORY.fullmatch(repository):
        raise InputError(f"--push: '{repository}' is not OWNER/NAME")
    if HF_HUB_OFFLINE:
        raise InputError("--push: HF_HUB_OFFLINE is set; unset it to reach the hub")
    if not get_token():
        raise InputError("--push: no token; set HF_TOKEN, or log in with `hf auth login`")


def push(folder: Path, repository: str, *, public: bool = False) -> str:
    """Upload a folder into a repository of its own on the hub, private unless it is `public`.

    Returns its address. Raises InputError where the hub refuses or does not answer.
    """
    from httpx import HTTPError
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        url = api.create_repo(repository, private=not public, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message="Exported by tsalign"
        )
    except (HTTPError, OSError, ValueError) as error:  # HfHubHTTPError is an HTTPError
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"--push: the hub did not take it ({type(error).__name__}: {reason}); the folder "
            f"'{folder}' is complete, try again with `hf upload {repository} {folder}`"
        ) from error
    return str(url)


def _policy(store: Store, summary: Summary, number: int | None, adapter: bool) -> Source:
    if number == BASE:
        raise InputError("--round: 0 is the base policy, which the run has not made")
    policy = policy_of(store, summary, number)
    assert policy.artifact is not None
    entry = next((entry for entry in summary.rounds if entry.round == policy.round), None)
    first = trainings(summary)[0]
    card = Exported(
        summary,
        entry,
        policy.digest,
        adopted=policy.adopted,
        base_digest=start_of(store, first),
    )
    if not adapter:
        return Source(card, (policy.artifact,))
    chain = _chain(store, summary, policy)
    for one in chain:
        if one.artifact is None or not (one.path / ADAPTER).is_dir():
            raise InputError(
                f"{summary.run}: round {one.round} has no adapter, all its weights were trained "
                f"(policy.method {summary.config['policy']['method']}); leave out --adapter"
            )
    rounds = tuple(one.round for one in chain)
    card = replace(card, kind="adapter", rounds=rounds)
    return Source(card, tuple(one.artifact for one in chain if one.artifact), adapter=True)


def _chain(store: Store, summary: Summary, policy: Policy) -> list[Policy]:
    """The policies from the first after the base to this one, each trained from the one before."""
    entries = {entry.round: entry for entry in trainings(summary)}
    chain = [policy]
    while True:
        digest = start_of(store, entries[chain[0].round])
        earlier = _round_of(summary, digest, before=chain[0].round)
        if earlier is None:
            return chain
        chain.insert(0, policy_of(store, summary, earlier.round))


def _round_of(summary: Summary, digest: str, before: int) -> Training | None:
    """The training that gave this policy."""
    for entry in trainings(summary):
        if entry.round < before and digest == entry.record.artifact:
            return entry
    return None


def _student(store: Store, summary: Summary) -> Source:
    refused = {entry.round for entry in summary.rounds if not entry.student.adopted}
    linked = summary.links.get("student")
    made = [
        record
        for _, number, records in summary.parts()
        for record in records
        if record.kind == "student" and number and number not in refused
    ]
    made = [record for record in made if linked in (None, record.artifact)]
    if not made:
        raise InputError(f"{summary.run}: no student was distilled and kept")
    record = made[-1]
    artifact = Artifact(kind=record.kind, key=record.key, digest=record.artifact)
    try:
        store.path(artifact)
    except ArtifactError as error:
        raise InputError(
            f"{summary.run}: its student is not in the store {store.url} any more ({error}); name "
            "the run's store with --store, or run its recipe again"
        ) from error
    return Source(Exported(summary, None, record.artifact, kind="student"), (artifact,))


def _base_folder(store: Store, source: Source) -> Path | None:
    """Where the model lies that training began with, for its licence; None if that is unknown."""
    if source.card.kind != "student":
        with suppress(InputError):
            return policy_of(store, source.card.summary, BASE).path
        return None
    from data.recipes.names import naming
    from flows.preflight.folders import model_path

    with suppress(InputError):
        student = naming(recorded_recipe(source.card.summary), "student.model")
        if not student.is_word and not is_hub_id(student.value):
            return model_path("student.model", student.value)
    return None


@contextmanager
def _appearing(to: Path) -> Iterator[Path]:
    """A folder that is moved to its place when it is whole; of a failure nothing is left."""
    work = to.absolute().with_name(f".{to.absolute().name}.{os.getpid()}")
    try:
        try:
            work.parent.mkdir(parents=True, exist_ok=True)
            work.mkdir()
            yield work
            sync_tree(work)
            os.rename(work, to)  # onto nothing, or an empty folder
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise InputError(f"--to: '{to}' cannot be written ({reason})") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _copy(store: Store, source: Source, folder: Path) -> None:
    """The artifact's files, each with the digest that the store has of it."""
    records = [store.record(artifact) for artifact in source.artifacts]
    if len(records) > 1:
        from models.training.adapters import join_adapters

        parts = [store.path(artifact) / ADAPTER for artifact in source.artifacts]
        join_adapters(parts, folder)
        names = _tokenizer_files(records[-1])
    elif source.adapter:
        names = [n for n in records[0].files if n.startswith(f"{ADAPTER}/")]
        names += _tokenizer_files(records[0])
    else:
        names = [n for n in records[0].files if not n.startswith(f"{ADAPTER}/")]
    origin = store.path(source.artifacts[-1])
    for name in names:
        target = folder / name.removeprefix(f"{ADAPTER}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin / name, target)
        if file_digest(target, fresh=True) != records[-1].files[name].sha256:
            raise InputError(f"--to: '{target}' was not written as it is in the store; try again")


def _tokenizer_files(record: Record) -> Sequence[str]:
    """What an adapter needs beside it to be spoken to."""
    model = ("config.json", "generation_config.json")
    return [
        name
        for name in record.files
        if "/" not in name and not name.startswith("model") and name not in model
    ]


def _with_traits(card: Exported, folder: Path) -> Exported:
    """What the card must know of the files: code of their own, how a student is asked."""
    from models.chat import load_tokenizer, stop_ids
    from models.text_pairs import load_reader, reads_segments

    trusted = recorded_recipe(card.summary).runtime.trust_remote_code
    if card.kind == "student":
        return replace(
            card, trust_remote_code=trusted, segments=reads_segments(load_reader(folder, trusted))
        )
    tokenizer = load_tokenizer(folder, trusted)
    wanted, known = stop_ids(tokenizer, folder), configured_stops(folder)
    missing = tuple(wanted) if not set(wanted) <= known else ()
    return replace(card, trust_remote_code=trusted, stop_ids=missing)


def configured_stops(folder: Path) -> set[int]:
    """Tokens at which transformers and vLLM end an answer by the folder's own configuration."""
    from models.checkpoints import read_json

    path = folder / "generation_config.json"
    eos = read_json(path).get("eos_token_id") if path.is_file() else None
    return set(eos if isinstance(eos, list) else [eos]) - {None}
