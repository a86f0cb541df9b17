"""What no run refers to goes, and nothing else."""

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.store.inventory import places, records, references, summaries, unused
from data.store.store import Store
from data.summary import StageRecord, Summary, write_summary

LATER = time.time() + 10**6  # everything is older than this


def write(text):
    def body(out):
        (out / "value.json").write_text(text)
        return {}

    return body


def put(store, number, inputs=(), kind="scores", text=None):
    """A small artifact whose key names the contents of its inputs, as a stage's does."""
    key = {"stage": kind, "n": number, "inputs": [artifact.digest for artifact in inputs]}
    return store.put(kind, key, write(text or f'"{number}"'))


def run_of(artifacts):
    """The summary of a run whose stages gave these."""
    stages = [
        StageRecord(
            stage="s", cached=False, seconds=0, computed_seconds=0, kind=a.kind, key=a.key,
            artifact=a.digest,
        )
        for a in artifacts
    ]  # fmt: skip
    return Summary(
        run="r", recipe="ts-align", seed=0, config_digest="", run_digest="", versions={},
        bootstrap=stages,
    )  # fmt: skip


def place(artifact):
    return artifact.kind, artifact.key


def delete(store, entries):
    for entry in entries:
        store.discard(entry.path)


@st.composite
def graphs(draw):
    """For each artifact its kind and inputs among earlier ones; for each run what it refers to."""
    size = draw(st.integers(1, 8))
    nodes = [
        (
            draw(st.sampled_from(["scores", "policy"])),
            draw(st.sets(st.integers(0, i - 1), max_size=2)) if i else set(),
        )
        for i in range(size)
    ]
    return nodes, draw(st.lists(st.sets(st.integers(0, size - 1)), max_size=3))


@settings(max_examples=40)
@given(graph=graphs())
def test_all_that_runs_refer_to_stays_and_all_else_goes(tmp_path_factory, graph):
    nodes, runs = graph
    store, made = Store(tmp_path_factory.mktemp("store")), []
    for i, (kind, inputs) in enumerate(nodes):
        made.append(put(store, i, [made[j] for j in sorted(inputs)], kind))
    needed = set().union(*runs)
    for i in reversed(range(len(nodes))):  # inputs come before what is made of them
        needed |= nodes[i][1] if i in needed else set()

    found = unused(store, [run_of(made[i] for i in run) for run in runs], LATER)
    assert len(places(store)) == len(nodes), "listing removes nothing"
    delete(store, found)
    assert set(places(store)) == {place(made[i]) for i in needed}
    for i in needed:
        store.verify(made[i])


def test_what_is_young_stays(store):
    old, young = put(store, 1), put(store, 2)
    for path in (store.path(old), *store.path(old).iterdir()):
        os.utime(path, (1, 1))
    delete(store, unused(store, [], before=time.time() - 3600))
    assert set(places(store)) == {place(young)}


def test_a_second_artifact_with_the_content_a_run_used_stays(store):
    """Which of them the run read cannot be told: its key names the content alone."""
    twins = [put(store, number, text="same") for number in (1, 2)]
    after = put(store, 3, [twins[0]])
    assert unused(store, [run_of([after])], LATER) == []


def test_damaged_artifacts_stay_if_a_run_refers_to_them_and_go_if_none_does(store):
    kept, lost = put(store, 1), put(store, 2)
    for artifact in (kept, lost):
        (store.path(artifact) / "artifact.json").write_text("{")
    delete(store, unused(store, [run_of([kept])], LATER))
    assert set(places(store)) == {place(kept)}
    assert list(records(store)) == []


def test_what_serves_no_artifact_goes_too(store):
    kept, lost = put(store, 1), put(store, 2)
    unfinished = "f" * 64

    def files():
        return {path.parent.name + "/" + path.name for path in store.root.glob("[pwt]*/*")}

    for folder in ("prefect", "work"):
        (store.root / folder).mkdir()
    for artifact in (kept, lost):
        (store.root / "prefect" / f"score-{artifact.key[7:]}").write_text("{}")
    for key in (kept.key[7:], unfinished):
        (store.root / "work" / key).mkdir()
    dead = store.leftovers  # of this process none, and of one that has ended one
    assert dead() == []
    with store._temporary() as alive:
        (store.root / "tmp" / alive.name.replace(f"-{os.getpid()}-", "-4194304-")).mkdir()

        delete(store, unused(store, [run_of([kept])], before=0))  # all is young
        assert f"work/{unfinished}" in files()
        assert not any((store.root / "prefect").iterdir())  # earlier versions let Prefect cache
        assert not (store.root / "work" / kept.key[7:]).exists() and dead() == []

        delete(store, unused(store, [run_of([kept])], LATER))
        assert files() == {f"tmp/{alive.name}"}


def test_sizes_are_those_of_the_files(store):
    artifact = put(store, 1)
    sizes = [path.stat().st_size for path in store.path(artifact).iterdir()]
    (entry,) = unused(store, [], LATER)
    assert (entry.kind, entry.size) == ("scores", sum(sizes))


def test_runs_and_what_they_refer_to(tmp_path, store):
    one, two = put(store, 1), put(store, 2)
    write_summary(tmp_path / "runs" / "a" / "summary.json", run_of([one, two, one]))
    (run,) = summaries(tmp_path / "runs").readable.values()
    assert [place(artifact) for artifact in references(run)] == [place(one), place(two)]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")
