"""One component changes: the stages that depend on it miss, and `explain` names the field."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from cli.explain import ABSENT, Call, differences, nearest
from cli.main import main
from data.store.artifacts import Record
from data.store.digests import digest_of
from flows.loop import label as loop
from tasks.running.keys import library_versions


@pytest.fixture
def compare(without_prefect, tiny_run, tiny_recipe, write_recipe, capsys):
    """Run one round with something changed; what `explain` says of every stage of it."""

    def call(*arguments, store="store", recipe=None):
        run = f"run-{len(list((tiny_run / 'runs').iterdir()))}"
        where = ["--store", str(tiny_run / store), "--runs-dir", str(tiny_run / "runs")]
        path = str(write_recipe(recipe or tiny_recipe))
        one = ("--set", "rounds=1")
        assert main(["align", path, "--quiet", "--run", run, *one, *arguments, *where]) == 0
        return explained(capsys, run, *where)

    return call


def explained(capsys, run, *arguments):
    """Per stage title the calls of it: None for a hit, the lines of differences for a miss."""
    capsys.readouterr()
    assert main(["explain", run, *arguments]) == 0
    calls: dict[str, list] = {}
    for line in capsys.readouterr().out.splitlines():
        if match := re.match(r"  (hit |miss)  ([^:]+)", line):
            calls.setdefault(match[2], []).append(None if match[1] == "hit " else [])
            last = calls[match[2]]
        elif line.startswith("          "):
            last[-1].append(line.strip())
    return calls


def hits(calls):
    return {title for title, seen in calls.items() if all(call is None for call in seen)}


def fields(changes):
    return {change.split(":")[0] for change in changes}


IMPORT = "read prompts.path"
SPLITS = {"split dev", "split test", "decontaminate prompts.path apart"}
DEV = {"student scores dev (before)", "agreement (before)"}
LABELS = {"select", "generate", "score", "mine", "relabel"}


@pytest.mark.parametrize(
    "setting, stage, change, found",
    [
        (
            "generate.temperature=0.9",
            "generate",
            "decoding.temperature: default -> 0.9",
            {IMPORT, "select"} | SPLITS | DEV,
        ),
        ("generate.k=3", "generate", "k: 4 -> 3", {IMPORT, "select"} | SPLITS | DEV),
        (
            "teacher.min_margin=1.0",
            "relabel",
            "config.min_margin: default -> 1.0",
            {IMPORT, "student scores dev (before)"} | SPLITS | LABELS - {"relabel"},
        ),
        (
            "policy.beta=0.3",
            "optimize",
            "config.beta: default -> 0.3",
            {IMPORT, "distill", "reference", "agreement (after)"} | SPLITS | DEV | LABELS,
        ),
        ("seed=1", "split dev", "seed: 0 -> 1", {IMPORT}),
    ],
)
def test_a_setting(compare, setting, stage, change, found):
    calls = compare("--set", setting)
    assert calls[stage] == [[change]]
    assert hits(calls) >= found and not hits(calls) & {"optimize", "evaluate", "drift"}
    if setting == "seed=1":
        # The second is what "student scores dev (before)" of the same run has just made.
        assert hits(calls) == {IMPORT, "first student scores base's dev answers"}
        assert "seed: 0 -> 1" in calls["generate"][0]


def test_the_text_of_a_prompt(compare, tiny_recipe, prompts_file, tmp_path):
    other = tmp_path / "prompts.jsonl"
    lines = prompts_file.read_text().splitlines(keepends=True)
    other.write_text("".join([lines[0].replace("What", "How much"), *lines[1:]]))
    changed = tiny_recipe | {"prompts": tiny_recipe["prompts"] | {"path": str(other)}}
    calls = compare(recipe=changed)
    assert fields(calls[IMPORT][0]) == {"source"}
    ((change,),) = calls["split dev"]
    assert re.fullmatch(rf"pools\[0\]: {IMPORT} of \S+ -> {IMPORT}", change)


def respaced(path):
    """The same JSON in other bytes."""
    path.write_text(json.dumps(json.loads(path.read_text()), indent=3))


def retitled(path):
    """The same weights in other bytes."""
    save_file(load_file(path), path, metadata={"format": "pt", "title": "another"})


@pytest.mark.parametrize(
    "field, file, change, readers",
    [
        ("policy", "tokenizer.json", respaced, {"generate", "reference", "optimize"}),
        (
            "policy",
            "chat_template.jinja",
            lambda path: path.write_text(path.read_text() + "{# nothing #}"),
            {"generate", "base answers dev prompts", "reference", "optimize", "drift"},
        ),
        (
            "teacher",
            "model.safetensors",
            retitled,
            {"relabel", "teacher scores base's dev answers"},
        ),
        (
            "student",
            "model.safetensors",
            retitled,
            {"score", "distill"} | DEV - {"agreement (before)"},
        ),
    ],
)
def test_the_bytes_of_a_models_file(compare, tiny_recipe, tmp_path, field, file, change, readers):
    """Those that read the model run again; what they make is the same, so nothing else does."""
    copy = Path(shutil.copytree(tiny_recipe[field]["model"], tmp_path / "model"))
    change(copy / file)
    calls = compare(recipe=tiny_recipe | {field: tiny_recipe[field] | {"model": str(copy)}})
    missed = set(calls) - hits(calls)
    assert readers <= missed
    unread = {"policy": {"score", "relabel", "distill"}, "teacher": {"generate", "score", "mine"}}
    assert not missed & unread.get(field, {"generate", "relabel", "reference", "gate"})


def test_the_version_of_a_stage_alone(compare, monkeypatch):
    """Its result is the same, so nothing after it runs again."""
    version = loop.mine.version
    monkeypatch.setattr(loop, "mine", replace(loop.mine, version="99"))
    calls = compare()
    assert calls.pop("mine") == [[f'version: "{version}" -> "99"']]
    assert hits(calls) == set(calls)


def test_the_version_of_a_library_alone(compare, monkeypatch):
    def versions(names):
        return library_versions(names) | {"torch": "9.9"}

    monkeypatch.setattr("tasks.running.definition.library_versions", versions)
    calls = compare()
    changed = {title: seen for title, seen in calls.items() if title not in hits(calls)}
    assert {"score", "distill", "reference", "optimize", "drift"} <= changed.keys()
    torch = f'libraries.torch: "{library_versions(("torch",))["torch"]}" -> "9.9"'
    assert {line for seen in changed.values() for call in seen for line in call or []} == {torch}


def test_name_place_and_speed_of_a_run_do_not_matter(compare, tiny_run, monkeypatch):
    moved = tiny_run / "moved"
    moved.symlink_to(tiny_run / "store", target_is_directory=True)
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    speed = ("token_budget=512", "shard_prompts=3", "checkpoint_minutes=0")
    changes = [part for setting in speed for part in ("--set", f"runtime.{setting}")]
    calls = compare(*changes, store="moved")
    assert hits(calls) == set(calls)


def test_rounds_name_each_other_and_the_first_of_a_stage_says_so(tiny_run, capsys):
    where = ["--store", str(tiny_run / "store"), "--runs-dir", str(tiny_run / "runs")]
    first = explained(capsys, "tiny", *where, "--round", "0")
    assert first == {IMPORT: [[]], **{split: first[split] for split in SPLITS}}
    second = explained(capsys, "tiny", *where, "--round", "2", "--stage", "generate")
    assert "policy: " in second["generate"][0][0]
    assert second["generate"][0][0].endswith(" -> optimize (round 1)")
    assert second["generate"][0][1:] == [
        "prompts: select (round 1) -> select (round 2)",
        'stream: "round-1" -> "round-2"',
    ]
    answers = {f"{who} answers dev prompts" for who in ("base", "round 1", "round 2")}
    answers |= {f"{who} answers test prompts" for who in ("base", "round 2")}
    assert set(second) == {"generate"} | answers  # one stage
    dev = explained(capsys, "tiny", *where, "--round", "2", "--stage", "generate:dev")
    assert set(dev) == {title for title in answers if "dev" in title}
    titled = explained(capsys, "tiny", *where, "--stage", "round 2 answers dev prompts")
    assert set(titled) == {"round 2 answers dev prompts"}


def test_a_run_round_or_stage_that_is_not_there(tiny_run, capsys):
    where = ["--store", str(tiny_run / "store"), "--runs-dir", str(tiny_run / "runs")]
    for arguments, words in (
        (["nosuch"], "no such run"),
        (["tiny", "--round", "7"], "has no round 7"),
        (["tiny", "--stage", "distil"], "its stages are"),
    ):
        assert main(["explain", *arguments, *where]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1


@pytest.mark.parametrize("command", ["explain tiny", "verify", "gc"])
def test_they_load_neither_torch_nor_prefect(tiny_run, command):
    code = (
        "import sys\n"
        "from cli.main import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "heavy = {'torch', 'transformers', 'vllm', 'prefect'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    where = ["--store", str(tiny_run / "store"), "--runs-dir", str(tiny_run / "runs")]
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split(), *where], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "…" not in done.stdout and max(map(len, done.stdout.splitlines())) < 200


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ({"a": {"b": 1}}, {"a": {"b": 1}}, []),
        ({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2}, [("a.b", 1, 3)]),
        ({"a": 1}, {"a": 1.0}, [("a", 1, 1.0)]),
        ({"a": 1}, {"a": True}, [("a", 1, True)]),
        ({"a": [1]}, {"a": [1, 2]}, [("a[1]", ABSENT, 2)]),
        ({}, {"a": {}}, [("a", ABSENT, {})]),
        ({"a": None}, {}, [("a", None, ABSENT)]),
    ],
)
def test_differences_of_keys(old, new, expected):
    assert json.dumps(list(differences(old, new)), default=repr) == json.dumps(
        expected, default=repr
    )


def record(created, **key):
    digest = digest_of([created, key])
    artifact = {"kind": "k", "key": digest, "digest": digest}
    return Record(artifact=artifact, key=key, files={}, created=created, computed_by={})


def test_the_nearest_is_earlier_has_the_fewest_differences_and_is_the_latest_of_such():
    others = [record("1", a=2, b=1), record("2", a=3, b=1), record("3", a=4, b=2)]
    made, call = record("5", a=1, b=1), Call(1, "mine")
    neighbour, changes = nearest(made, [*others, record("6", a=1, b=1, c=0)], call, {})
    assert (neighbour.created, changes) == ("2", [("a", 3, 1)])
    assert nearest(made, [], call, {}) is None


def test_calls_of_the_same_role_come_first_and_of_equals_the_same_call():
    others = [record(str(i), a=i, b=1) for i in range(1, 4)] + [record("4", a=4, b=2)]
    titles = [Call(1, "dev"), Call(2, "dev"), Call(1, "test"), None]
    calls = {
        ("k", other.artifact.key): {call}
        for other, call in zip(others, titles, strict=True)
        if call
    }
    made = record("5", a=0, b=1)

    def found(call):
        neighbour, _ = nearest(made, others, call, calls)
        return neighbour.created

    assert [found(Call(number, "dev")) for number in (1, 2, 3)] == ["1", "2", "2"]
    assert found(Call(1, "dev", nth=1)) == "2"
    assert found(Call(2, "test")) == "3"
    assert found(Call(1, "else")) == "4"  # of no run that is known, so it may be of this title
