"""Every file of every kind of artifact is damaged in turn: detected, named, computed again."""

import json
import os
import shutil
from pathlib import Path

import pytest

from data.artifacts import Artifact
from data.inventory import references
from data.store import Store
from data.summary import read_summary
from flows.cli import main

KINDS = (
    "agreement completions drift evaluation gate mined policy preferences prompts "
    "reference_logps scores student"
).split()


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGES = {"truncated": lambda data: data[: len(data) // 2], "flipped": flipped, "deleted": None}


def harm(path, damage):
    """Damage a file in a new one of its name: copies of the store share the old one."""
    data = path.read_bytes()
    path.unlink()
    if DAMAGES[damage]:
        path.write_bytes(DAMAGES[damage](data))


def where(folder):
    return ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]


def artifacts_of(folder):
    """The first artifact of every kind in the run, and the folder of each."""
    store = Store(folder / "store")
    first: dict[str, Artifact] = {}
    for artifact in references(read_summary(folder / "runs" / "tiny" / "summary.json")):
        first.setdefault(artifact.kind, artifact)
    return {kind: (artifact, store.place(artifact)) for kind, artifact in first.items()}


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_tiny_run_has_every_kind(tiny_run):
    assert sorted(artifacts_of(tiny_run)) == KINDS
    files = {name for _, folder in artifacts_of(tiny_run).values() for name in files_in(folder)}
    assert files >= {"artifact.json", "data.parquet", "gate.json", "config.json"}
    assert files >= {"model.safetensors", "tokenizer.json", "adapter/adapter_model.safetensors"}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_verify_names_the_artifact_and_the_file(tiny_run, capsys, kind, damage):
    artifact, folder = artifacts_of(tiny_run)[kind]
    for name in files_in(folder):
        path, data = folder / name, (folder / name).read_bytes()
        harm(path, damage)
        try:
            assert main(["verify", "tiny", *where(tiny_run)]) == 1
        finally:
            path.write_bytes(data)
        header, what, count, advice = capsys.readouterr().out.splitlines()
        assert header.startswith(f"{kind} {artifact.key[7:19]}, ") and header.endswith(" of tiny")
        if name == "artifact.json":
            wrong = "missing" if damage == "deleted" else "not a readable record"
        else:
            cut = f"has {len(data) // 2} bytes, was {len(data)}"
            wrong = {"truncated": cut, "flipped": "content has changed", "deleted": "missing"}
            wrong = wrong[damage]
        assert what == f"  {name}: {wrong}"
        assert "1 damaged" in count and "verify --repair" in advice


def test_verify_finds_nothing_in_a_store_as_it_was_written(tiny_run, capsys):
    assert main(["verify", *where(tiny_run)]) == 0
    assert "all in order" in capsys.readouterr().out


def test_a_file_that_someone_put_there_is_named_and_never_deleted(tiny_run, capsys):
    foreign = artifacts_of(tiny_run)["policy"][1] / "model.gguf"
    foreign.write_text("of the user")
    try:
        for arguments, code in (["verify"], 1), (["verify", "--repair"], 2):
            assert main([*arguments, *where(tiny_run)]) == code
            printed = capsys.readouterr()
            assert "  model.gguf: not part of the artifact; move it away\n" in printed.out
        assert "model.gguf: not part of the artifact" in printed.err
        assert foreign.exists()
    finally:
        foreign.unlink()


def test_a_report_is_not_made_of_damaged_tables(tiny_run, capsys):
    runs = references(read_summary(tiny_run / "runs" / "tiny" / "summary.json"))
    last = [artifact for artifact in runs if artifact.kind == "evaluation"][-1]
    path = Store(tiny_run / "store").place(last) / "data.parquet"
    data = path.read_bytes()
    harm(path, "flipped")
    try:
        assert main(["report", "tiny", *where(tiny_run)]) == 2
        assert "data.parquet: content has changed" in capsys.readouterr().err
    finally:
        path.write_bytes(data)


@pytest.fixture
def copy(tiny_run, tmp_path) -> Path:
    """A copy of the finished run; files are shared, so replace them instead of writing to them."""
    shutil.copytree(tiny_run / "store", tmp_path / "store", copy_function=os.link)
    runs = tmp_path / "runs" / "tiny"
    runs.mkdir(parents=True)
    for name in ("summary.json", "report.html"):
        shutil.copy(tiny_run / "runs" / "tiny" / name, runs)
    return tmp_path


def stages(folder):
    summary = json.loads((folder / "runs" / "tiny" / "summary.json").read_text())
    rounds = [entry["stages"] for entry in summary["rounds"][:2]]
    return [*summary["bootstrap"], *(record for stages in rounds for record in stages)]


def harm_every_kind(folder, damage, turn):
    """One file in the first artifact of every kind, the `turn`th if it has so many; their keys."""
    harmed = set()
    for artifact, place in artifacts_of(folder).values():
        names = files_in(place)
        harm(place / names[turn % len(names)], damage)
        harmed.add(artifact.key)
    return harmed


@pytest.mark.parametrize(
    "damage, turn, more",
    [
        ("flipped", 1, ["--set", "rounds=3"]),  # the work left is not only the repair
        ("truncated", 2, []),
        ("deleted", 0, []),
    ],
)
def test_what_is_damaged_is_computed_again_and_never_used(
    tiny_run, copy, tiny_recipe, write_recipe, damage, turn, more
):
    before = stages(copy)
    harmed = harm_every_kind(copy, damage, turn)
    recipe = str(write_recipe(tiny_recipe))
    assert main(["align", recipe, "--quiet", *more, *where(copy)]) == 0
    after = stages(copy)
    assert [record["artifact"] for record in after] == [record["artifact"] for record in before]
    assert {record["key"] for record in after if not record["cached"]} == harmed
    assert main(["verify", *where(copy)]) == 0


def test_repair_computes_what_is_damaged_and_nothing_else(copy, capsys):
    before = stages(copy)
    harmed = {artifacts_of(copy)[kind][0].key for kind in ("completions", "gate", "student")}
    for kind, damage in (("completions", "flipped"), ("gate", "truncated"), ("student", "deleted")):
        place = artifacts_of(copy)[kind][1]
        harm(place / files_in(place)[-1], damage)
    assert main(["verify", "--repair", *where(copy)]) == 0
    printed = capsys.readouterr().out
    assert "3 damaged" in printed and "tiny: running its recipe again" in printed
    assert "all in order" in printed.splitlines()[-1]
    assert [record["artifact"] for record in stages(copy)] == [r["artifact"] for r in before]
    assert {record["key"] for record in stages(copy) if not record["cached"]} == harmed
