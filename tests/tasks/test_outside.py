"""What is outside of the store and changes while a stage reads it is not taken for what it was."""

import os
import shutil
import sys
import textwrap

import pytest

from data.errors import InputError
from data.recipes.prompts import PromptSource
from data.recipes.recipe import LoggedConfig, RuntimeConfig
from data.schemas import PROMPTS
from data.source_code import code_digest, code_files
from data.store.digests import file_digest, tree_digest
from data.store.store import Store
from flows.outside import prompts
from tasks.prompts import import_prompts
from tasks.running.loaded import LoadedModels
from tasks.running.outside import External, Logs, steadily
from tasks.running.own_code import load_code
from tasks.running.progress import Progress
from tasks.score import score_rows
from tasks.stage import Context, Rows, Run, stage

MEANWHILE = []  # what happens while a body reads


@stage(PROMPTS, version="1")
def read(ctx, *, sources: list[External], again: bool = False):
    while MEANWHILE:
        MEANWHILE.pop()()
    rows = [{"prompt_id": source.path, "messages": [], "dataset": "d"} for source in sources]
    return Rows(rows)


@stage(PROMPTS, version="1", shards="prompts")
def read_in_shards(ctx, *, prompts, source: External):
    if MEANWHILE and len(ctx.table(prompts)) == 1:  # the last shard
        MEANWHILE.pop()()
    return Rows(ctx.table(prompts))


@pytest.fixture
def run(tmp_path, prefect):
    config = RuntimeConfig(shard_prompts=2)
    context = Context(Store(tmp_path / "store"), config, LoadedModels("none", config))
    with Run(context, Progress(quiet=True), "engine 1").active() as run:
        yield run


def reading(run, sources):
    return read(sources=sources)


def folder(path, text="old"):
    path.mkdir(exist_ok=True)
    (path / "weights").write_text(text)
    return External(path=str(path), digest=tree_digest(path), field="teacher.model")


def overwrite(file, text, keep_times=False):
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns

    def do():
        file.write_text(text)
        if keep_times:
            os.utime(file, ns=times)

    return do


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_folder_overwritten_meanwhile_leaves_no_result(run, tmp_path, keep_times):
    source = folder(tmp_path / "teacher")
    MEANWHILE.append(overwrite(tmp_path / "teacher" / "weights", "new", keep_times))
    with pytest.raises(InputError) as error:
        reading(run, [folder(tmp_path / "other"), source])
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"teacher.model: '{source.path}' has changed since the run began")
    assert line.endswith("run the same command again")
    (tmp_path / "teacher" / "weights").write_text("old")  # the old bytes are back
    computed = run.computed
    reading(run, [folder(tmp_path / "other"), source])
    assert run.computed == computed + 1


def test_nothing_is_begun_with_what_has_changed_before(run, tmp_path):
    source = folder(tmp_path / "teacher")
    shutil.rmtree(tmp_path / "teacher")
    MEANWHILE.append(lambda: pytest.fail("the body ran"))
    with pytest.raises(InputError, match="cannot be read any more"):
        reading(run, [source])
    MEANWHILE.clear()


def test_a_file_that_was_only_touched_is_what_it_was(run, tmp_path):
    source = folder(tmp_path / "teacher")
    MEANWHILE.append(lambda: os.utime(tmp_path / "teacher" / "weights"))
    reading(run, [source])


def swapped_and_put_back(file):
    kept = file.with_name("kept")
    file.rename(kept)
    file.write_text("new")
    kept.replace(file)


def test_a_file_replaced_and_put_back_meanwhile_is_read_again(tmp_path):
    """Equal in the end, and yet nobody knows which bytes were read."""
    source, tries, forgotten = folder(tmp_path / "teacher"), [], []

    def body():
        tries.append(1)
        if len(tries) == 1:
            swapped_and_put_back(tmp_path / "teacher" / "weights")
        return len(tries)

    assert steadily([source], lambda: forgotten.append(1), body) == 2
    assert len(forgotten) == 1


def test_what_is_written_to_again_and_again_is_refused(tmp_path):
    source = folder(tmp_path / "teacher")
    body = lambda: swapped_and_put_back(tmp_path / "teacher" / "weights")  # noqa: E731
    with pytest.raises(InputError, match=r"^teacher.model: .* is being written to; wait"):
        steadily([source], lambda: None, body)


def test_an_error_that_a_change_has_caused_is_said_as_the_change(run, tmp_path):
    source = folder(tmp_path / "teacher")

    def both():
        (tmp_path / "teacher" / "weights").write_text("new")
        raise ValueError("header too large")

    MEANWHILE.append(both)
    with pytest.raises(InputError, match="has changed since the run began"):
        reading(run, [source])


def test_shards_before_the_change_stay(run, tmp_path):
    source = folder(tmp_path / "teacher")

    def sharded(run):
        prompts = read(sources=[folder(tmp_path / name) for name in "abc"])
        return read_in_shards(prompts=prompts, source=source)

    MEANWHILE.clear()
    prepared = folder(tmp_path / "a"), folder(tmp_path / "b"), folder(tmp_path / "c")
    reading(run, list(prepared))
    MEANWHILE.append(overwrite(tmp_path / "teacher" / "weights", "new"))
    with pytest.raises(InputError, match="has changed"):
        sharded(run)
    folder(tmp_path / "teacher")
    before = run.computed
    sharded(run)
    assert run.computed == before + 2  # the shard that was lost, and the whole


def test_recorded_files_are_compared_too(run, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("{}")
    config = LoggedConfig(completions=str(path))
    logs = Logs(path="logged", digest="", field="logged", config=config)
    logs = logs.model_copy(update={"digest": logs.digest_now()})
    MEANWHILE.append(overwrite(path, "{} "))
    with pytest.raises(InputError, match="logged: 'logged' has changed"):
        reading(run, [logs])


def test_a_reward_model_loaded_from_changed_bytes_does_not_serve_on(
    run, bert_reward_dir, llama_reward_dir, tmp_path
):
    teacher = tmp_path / "teacher"
    shutil.copytree(bert_reward_dir, teacher)
    model = External(path=str(teacher), digest=tree_digest(teacher), field="teacher.model")
    items = [([{"role": "user", "content": "What is 1 plus 1?"}], "Two.")]

    @stage("verdict", version="1")
    def judge(ctx, *, model: External, attempt: int):
        shutil.copytree(llama_reward_dir, teacher, dirs_exist_ok=True)
        score_rows(ctx, model, items, 64)
        return {}

    with pytest.raises(InputError, match="teacher.model: .* has changed"):
        judge(model=model, attempt=1)
    shutil.rmtree(teacher)
    shutil.copytree(bert_reward_dir, teacher)
    expected = score_rows(
        run.context, External(path=str(bert_reward_dir), digest=model.digest), items, 64
    )
    assert score_rows(run.context, model, items, 64) == expected


# Data sets of a hub


@pytest.fixture
def hub(monkeypatch):
    """What load_dataset gives, and what it was asked for."""
    import datasets

    class Hub:
        rows = [{"prompt": f"What is {i}?"} for i in range(3)]
        asked: list = []

        def load(self, name, split, revision):
            self.asked.append((name, revision, split))
            return datasets.Dataset.from_list(self.rows)

    found = Hub()
    monkeypatch.setattr(datasets, "load_dataset", found.load)
    return found


def hub_prompts(name):
    return prompts("prompts.path", PromptSource(path=name))


def test_a_data_set_is_named_by_its_rows_and_may_name_its_revision(hub):
    first = hub_prompts("org/name@v1.0:test")
    assert hub.asked[-1] == ("org/name", "v1.0", "test")
    assert hub_prompts("org/name") == prompts("prompts.path", PromptSource(path="org/name"))
    assert hub.asked[-1] == ("org/name", None, "train")
    hub.rows = hub.rows[:2]
    assert hub_prompts("org/name@v1.0:test").identity != first.identity


def test_a_data_set_that_moves_on_during_its_import_is_not_kept(run, hub):
    source = hub_prompts("org/name")
    imported = import_prompts(source=source)
    assert run.context.store.table(imported)["dataset"].to_pylist() == ["org/name"] * 3
    again = hub_prompts("org/name@v2")
    MEANWHILE.append(lambda: setattr(hub, "rows", hub.rows[:2]))
    with pytest.raises(InputError, match="prompts.path: 'org/name@v2' has changed"):
        reading(run, [again])


# Code of the user's


@pytest.fixture(autouse=True)
def own_path(monkeypatch):
    """What a user's file adds to Python's path is gone after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def stages_of(path, body, name="mine", imports=""):
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        textwrap.dedent(f"""\
        from data.schemas import PROMPTS
        from tasks.stage import Rows, stage
        {imports}

        @stage(PROMPTS, version="1")
        def {name}(ctx, *, n: int):
            return Rows([{{"prompt_id": {body}, "messages": [], "dataset": "d"}}])
        """)
    )
    return load_code(path)


def calling(run, stage):
    return run.context.store.table(stage(n=1))["prompt_id"].to_pylist()


def test_two_files_with_stages_of_one_name_share_nothing(run, tmp_path):
    one = stages_of(tmp_path / "one" / "labels.py", "'one'").mine
    two = stages_of(tmp_path / "two" / "labels.py", "'two'").mine
    assert calling(run, one) == ["one"] and calling(run, two) == ["two"]


def test_a_module_beside_the_file_is_part_of_its_stages(run, tmp_path):
    beside = tmp_path / "own" / "rule.py"
    beside.parent.mkdir()
    beside.write_text("NAME = 'first'")
    path = tmp_path / "own" / "labels.py"
    body = ("rule.NAME", "mine", "import rule")
    assert calling(run, stages_of(path, *body).mine) == ["first"]
    beside.write_text("NAME = 'second'")
    assert calling(run, load_code(path).mine) == ["second"]
    other = tmp_path / "other" / "rule.py"
    other.parent.mkdir()
    other.write_text("NAME = 'third'")
    assert calling(run, stages_of(tmp_path / "other" / "labels.py", *body).mine) == ["third"]


def test_a_file_edited_while_its_stage_runs_leaves_no_result(run, tmp_path):
    path = tmp_path / "own" / "labels.py"
    found = stages_of(path, "MEANWHILE.pop()() or 'x'", imports=f"from {__name__} import MEANWHILE")
    MEANWHILE.append(lambda: path.write_text(path.read_text() + "\n"))
    with pytest.raises(InputError, match=r"labels: .*labels.py' has changed since the run began"):
        calling(run, found.mine)


def test_a_module_that_another_hides_is_named(tmp_path):
    (tmp_path / "json.py").write_text("x = 1")
    (tmp_path / "labels.py").write_text("import json")
    with pytest.raises(InputError, match="its import of 'json' gives .*; rename that file"):
        load_code(tmp_path / "labels.py")


def test_local_modules_are_found_however_they_are_imported(tmp_path, monkeypatch):
    files = {
        "labels.py": "import a, numpy, data.errors\ndef f():\n    from pkg.sub import name, deep",
        "a.py": "from elsewhere import thing",
        "pkg/__init__.py": "",
        "pkg/sub/__init__.py": "from ..near import x\nfrom . import deep",
        "pkg/sub/deep.py": "",
        "pkg/near.py": "import sys, json",
        "pkg/unused.py": "",
        "path/elsewhere.py": "",
        "data/errors.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "path")])
    found = code_files(tmp_path / "labels.py")
    assert set(found) == {"", "a", "pkg", "pkg.sub", "pkg.sub.deep", "pkg.near", "elsewhere"}
    before = code_digest(tmp_path / "labels.py")
    (tmp_path / "pkg" / "near.py").write_text("import sys")
    assert code_digest(tmp_path / "labels.py") != before


def test_what_is_no_python_is_refused_with_its_line(tmp_path):
    (tmp_path / "labels.py").write_text("x = 1\ndef (")
    with pytest.raises(InputError, match="labels.py line 2: is no Python"):
        code_files(tmp_path / "labels.py")


def test_a_default_argument_is_part_of_the_key(run):
    """Fault 5."""
    calls = [read.bound((), {"sources": []} | more) for more in ({}, {"again": False})]
    keys = [read.key(run.context, inputs) for inputs in calls]
    assert keys[0] == keys[1] and keys[0]["again"] is False


def test_the_name_of_a_file_is_part_of_what_is_read_from_it(tmp_path):
    (tmp_path / "sums.jsonl").write_text("{}")
    digest = file_digest(tmp_path / "sums.jsonl")
    named = External(path=str(tmp_path / "sums.jsonl"), digest=digest, name="sums")
    assert named.identity == f"sums {digest}"
