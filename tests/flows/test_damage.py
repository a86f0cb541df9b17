"""Every file of every kind of artifact is damaged in turn: detected, named, computed again."""

import json

import pytest

from cli.main import main
from data.store.artifacts import Artifact
from data.store.inventory import references
from data.store.store import Store
from data.summary import read_summary, write_summary

pytestmark = pytest.mark.usefixtures("without_prefect")
KINDS = (
    "agreement completions drift evaluation gate mined monitor policy preferences prompts "
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
        header, what, *links, count, advice = capsys.readouterr().out.splitlines()
        assert all(f"{kind}: does not lead to" in link for link in links)
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
    tiny_copy, tiny_recipe, write_recipe, damage, turn, more
):
    before = stages(tiny_copy)
    harmed = harm_every_kind(tiny_copy, damage, turn)
    recipe = str(write_recipe(tiny_recipe))
    assert main(["align", recipe, "--quiet", *more, *where(tiny_copy)]) == 0
    after = stages(tiny_copy)
    assert [record["artifact"] for record in after] == [record["artifact"] for record in before]
    assert {record["key"] for record in after if not record["cached"]} == harmed
    assert main(["verify", *where(tiny_copy)]) == 0


def test_repair_computes_what_is_damaged_and_nothing_else(tiny_copy, capsys):
    before = stages(tiny_copy)
    harmed = {artifacts_of(tiny_copy)[kind][0].key for kind in ("completions", "gate", "student")}
    for kind, damage in (("completions", "flipped"), ("gate", "truncated"), ("student", "deleted")):
        place = artifacts_of(tiny_copy)[kind][1]
        harm(place / files_in(place)[-1], damage)
    assert main(["verify", "--repair", *where(tiny_copy)]) == 0
    printed = capsys.readouterr().out
    assert "3 damaged" in printed and "tiny: running its recipe again" in printed
    assert "all in order" in printed.splitlines()[-1]
    assert [record["artifact"] for record in stages(tiny_copy)] == [r["artifact"] for r in before]
    assert {record["key"] for record in stages(tiny_copy) if not record["cached"]} == harmed


def better(folder):
    """A win rate that no evaluation gave."""
    path = folder / "summary.json"
    content = json.loads(path.read_text())
    content["final"]["win_rate"] = 0.999
    path.write_text(json.dumps(content))


def elsewhere(folder):
    (folder / "policy").unlink()
    (folder / "policy").symlink_to(folder / "student")


SPOILT = {
    "summary.json: content has changed": better,
    "report.html: content has changed": lambda f: (f / "report.html").write_text("<html>"),
    "report.html: missing": lambda f: (f / "report.html").unlink(),
    "policy: does not lead to what the run has made": elsewhere,
    "student: does not lead to what the run has made": lambda f: (f / "student").unlink(),
}


@pytest.mark.parametrize(("said", "spoil"), SPOILT.items(), ids=SPOILT)
def test_verify_names_what_is_spoilt_in_the_folder_of_a_run(tiny_copy, capsys, said, spoil):
    folder = tiny_copy / "runs" / "tiny"
    spoil(folder)
    assert main(["verify", *where(tiny_copy)]) == 1
    line, count, _ = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{folder}/{said}") and "1 run with damaged files" in count


def test_a_summary_that_cannot_be_read_names_the_remedy_that_helps(tiny_copy, capsys):
    """`--repair` does not know what to run where the recipe is gone."""
    path = tiny_copy / "runs" / "tiny" / "summary.json"
    path.write_text("{")
    assert main(["verify", *where(tiny_copy)]) == 1
    said = capsys.readouterr().out
    assert f"{path}: not JSON; delete it and run the recipe again" in said
    assert "--repair" not in said


def test_summary_report_and_links_are_made_again_from_what_is_in_the_store(
    tiny_copy, tiny_recipe, write_recipe, capsys
):
    folder, recipe = tiny_copy / "runs" / "tiny", str(write_recipe(tiny_recipe))
    true, before = read_summary(folder / "summary.json").final, stages(tiny_copy)
    for spoil, repair in (
        (better, ["align", recipe]),
        (elsewhere, ["verify", "--repair"]),
        (SPOILT["report.html: content has changed"], ["verify", "--repair"]),
    ):
        spoil(folder)
        if spoil is better:
            for command in ("status", "report"):
                places = where(tiny_copy) if command == "report" else where(tiny_copy)[2:]
                assert main([command, "tiny", *places]) == 2
                printed = capsys.readouterr()
                assert "content has changed" in printed.err and "99.9" not in printed.out
        assert main([*repair, *where(tiny_copy)]) == 0
        assert "99.9" not in capsys.readouterr().out
        assert read_summary(folder / "summary.json").final == true
        assert main(["verify", *where(tiny_copy)]) == 0
        assert all(record["cached"] for record in stages(tiny_copy))
        assert [r["artifact"] for r in stages(tiny_copy)] == [r["artifact"] for r in before]
    capsys.readouterr()
    assert main(["align", recipe, *where(tiny_copy)]) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: setattr(s.rounds[1].policy, "win_rate", 0.999), "round 2: policy.win_rate"),
        (lambda s: setattr(s.rounds[0].policy, "wins", 99), "round 1: policy is not"),
        (lambda s: setattr(s.rounds[1].gate, "win_rate", 0.0), "round 2: gate is not"),
        (lambda s: setattr(s.rounds[0].ledger, "mined", 99), "round 1: ledger is not"),
        (lambda s: setattr(s.rounds[0].drift, "kl_to_base", 0.0), "round 1: drift is not"),
        (lambda s: setattr(s.rounds[0].drift, "perplexity", 1.0), "round 1: drift is not"),
        (lambda s: setattr(s.rounds[0], "swap_rate", 2.0), "round 1: swap_rate is not"),
        (
            lambda s: setattr(s.rounds[0].student, "agreement_after", 2.0),
            "round 1: student.agreement_after is not",
        ),
        (lambda s: s.links.clear(), "names no result that a link leads to"),
        (lambda s: setattr(s.final, "win_rate", 0.999), "final is not the result"),
    ],
)
def test_figures_that_the_artifacts_do_not_give_are_named_whatever_the_checksum(
    tiny_copy, capsys, change, said
):
    path = tiny_copy / "runs" / "tiny" / "summary.json"
    summary = read_summary(path)
    change(summary)
    write_summary(path, summary)
    assert main(["verify", *where(tiny_copy)]) == 1
    assert f"{path}: {said}" in capsys.readouterr().out


def test_a_report_written_again_is_in_order(tiny_copy, capsys):
    page = tiny_copy / "runs" / "tiny" / "report.html"
    page.write_text("<html>")
    assert main(["report", "tiny", *where(tiny_copy)]) == 0
    assert main(["verify", *where(tiny_copy)]) == 0


def test_no_code_is_run_for_a_summary_that_was_changed(tiny_copy, capsys):
    path = tiny_copy / "runs" / "tiny" / "summary.json"
    content = json.loads(path.read_text())
    content["config"]["runtime"]["trust_remote_code"] = True
    path.write_text(json.dumps(content))
    assert main(["verify", "--repair", *where(tiny_copy)]) == 1
    assert "tiny: its recipe runs code; run it again yourself" in capsys.readouterr().out
