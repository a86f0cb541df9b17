"""A call of a stage that cannot be right is refused before anything is computed."""

import shutil
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pytest

from data.errors import ArtifactError, InputError
from data.recipes.recipe import MineConfig, RuntimeConfig
from data.schemas import PROMPTS
from data.store.artifacts import Artifact
from data.store.digests import tree_digest
from data.store.store import Store
from tasks.fresh_head import fresh_head
from tasks.gate import agreement
from tasks.mine import mine
from tasks.running.books import Books
from tasks.running.definition import run_body
from tasks.running.loaded import LoadedModels
from tasks.running.outside import External
from tasks.running.own_code import load_code
from tasks.running.progress import Progress
from tasks.stage import STAGES, Context, Rows, Run, stage
from tests.repository import ROOT

TABLE = Artifact(
    kind="completions",
    key="sha256:" + "1" * 64,
    digest="sha256:" + "2" * 64,
    rows=1,
    meta={},
    seconds=0.0,
)

WRONG = """
from data.recipes.recipe import MineConfig
from data.store.artifacts import Artifact
from tasks.mine import mine

def call(table: Artifact, config: MineConfig) -> Artifact:
    mine(completions=table, scores=table, config=config, sed=1)
    mine(completions=table, scores=table, config=config)
    mine.as_("other")(completions=table, scores=table, config=config, seed="1")
    return mine(completions=table, scores=table, config=config, seed=1)
"""


@pytest.fixture
def run(tmp_path):
    runtime = RuntimeConfig(device="cpu")
    context = Context(Store(tmp_path), runtime, LoadedModels("none", runtime))
    with Run(context, Progress(quiet=True), "none", books=Books(kept=False)).active() as run:
        yield run


def test_mypy_sees_a_wrong_call_of_a_stage(tmp_path):
    """Fault 2: `**inputs: Any` let each of these pass."""
    (tmp_path / "wrong.py").write_text(WRONG)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "-m", "wrong"],
        env={"MYPYPATH": f"{ROOT}:{tmp_path}", "PATH": "", "MYPY_CACHE_DIR": ROOT / ".mypy_cache"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    errors = [line for line in checked.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 3, checked.stdout + checked.stderr
    misspelt, missing, mistyped = errors
    assert ':7: error: Unexpected keyword argument "sed"' in misspelt
    assert 'did you mean "seed"?' in misspelt
    assert ':8: error: Missing named argument "seed"' in missing
    assert ':9: error: Argument "seed" has incompatible type "str"; expected "int"' in mistyped


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"min_margn": "x"},
            "agreement(): takes no 'min_margn' (did you mean 'min_margin'?); it takes",
        ),
        ({"judge": None}, "agreement(): judge cannot be this NoneType"),
        ({"min_margin": "x"}, "agreement(): min_margin cannot be this str"),
        ({"equal_length": 1}, "agreement(): equal_length cannot be this int"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_computed(run, changes, said):
    """Fault 2: it failed in the body, after the stages before it, and was tried again."""
    right = {"completions": TABLE, "student": TABLE, "judge": TABLE, "min_margin": 0.0}
    with pytest.raises(InputError) as error:
        agreement(**right | changes)
    assert str(error.value).startswith(said)
    assert run.computed == 0 and run.records == []


def test_a_missing_argument_is_named(run):
    with pytest.raises(InputError, match=r"mine\(\): missing a required .*'seed'; it takes compl"):
        mine(completions=TABLE, scores=TABLE, config=MineConfig())


def test_a_call_of_the_old_form_is_told_the_new_one(run):
    with pytest.raises(InputError) as error:
        mine(run, completions=TABLE, scores=TABLE, config=MineConfig(), seed=1)
    (line,) = str(error.value).splitlines()
    assert line.startswith(
        "mine(run, ...): a stage finds its run by itself; call mine(completions=..., scores="
    )


def test_a_stage_outside_of_a_run_is_refused():
    with pytest.raises(InputError, match="mine: a stage is called within a run"):
        mine(completions=TABLE, scores=TABLE, config=MineConfig(), seed=1)


def test_rows_names_an_input_of_the_stage():
    with pytest.raises(InputError, match="stage shorter: rows='prompt' is none of its inputs"):

        @stage(PROMPTS, version="1", rows="prompt")
        def shorter(ctx, *, prompts: Artifact):
            return Rows([])


def test_a_stage_says_what_it_makes_and_returns_it(run):
    @stage(PROMPTS, version="1")
    def counts_alone(ctx):
        return {"prompts": 1}

    @stage(PROMPTS, version="1")
    def another_column(ctx):
        return Rows(pa.table({"prompt": ["a"]}))

    with pytest.raises(InputError, match="stage counts_alone: its body must return Rows"):
        counts_alone()
    with pytest.raises(ArtifactError, match="stage another_column: column 'prompt_id' is missing"):
        another_column()


def written(out, context, *, n):
    return {}


@pytest.mark.parametrize(
    ("makes", "body", "said"),
    [
        (PROMPTS, written, r"its body takes its context and then inputs by keyword, written\(ctx,"),
        ("prompts", written, r"'prompts' are tables; write @stage\(PROMPTS, ...\)"),
        (pa.schema([]), written, "its schema is none of data.schemas"),
    ],
)
def test_a_stage_of_the_old_form_is_told_the_new_one(makes, body, said):
    with pytest.raises(InputError, match=f"stage written: {said}"):
        stage(makes, version="1")(body)


def named_twice(ctx, *, n: int):
    return {}


def test_two_stages_of_one_name_in_the_same_code_are_refused():
    """Fault 1: the second was found with what the first had made."""

    def again():
        def named_twice(ctx, *, n: int):
            return {"n": n}

        return named_twice

    stage("measure", version="1")(named_twice)
    stage("measure", version="1")(named_twice)  # the same once more, as after a reload
    with pytest.raises(InputError, match=r"stage named_twice: is defined twice, at .*:\d+ and at"):
        stage("measure", version="2")(again())


def test_a_users_stage_of_a_built_in_name_shares_no_key_with_it(run, tmp_path):
    """Fault 1: a copy of `mine` with another rule was given the built-in's old pairs."""
    path = tmp_path / "labels.py"
    path.write_text(
        "from data.schemas import MINED\n"
        "from tasks.stage import Rows, stage\n\n"
        f"@stage(MINED, version={mine.version!r})\n"
        "def mine(ctx, *, completions, scores, config, seed):\n    return Rows([])\n"
    )
    own = load_code(path).mine
    inputs = {"completions": TABLE, "scores": TABLE, "config": MineConfig(), "seed": 1}
    keys = [one.key(run.context, one.bound((), inputs)) for one in (mine, own)]
    assert keys[1] == keys[0] | {"code": own.code[0].digest}
    assert STAGES["mine"] is mine
    (tmp_path / "copy").mkdir()
    copy = load_code(Path(shutil.copy(path, tmp_path / "copy" / "labels.py"))).mine
    assert copy.key(run.context, copy.bound((), inputs)) == keys[1]


def test_a_stage_that_is_in_no_file_is_refused():
    space = {"stage": stage, "__name__": "own"}
    with pytest.raises(InputError, match="stage loose: is defined in no file"):
        exec("@stage('measure', version='1')\ndef loose(ctx): return {}", space)


def test_an_argument_does_not_take_the_place_of_a_field_of_the_key():
    def body(ctx, *, version: str):
        return {}

    with pytest.raises(InputError, match="an argument cannot be called 'version'"):
        stage("measure", version="1")(body)


def test_a_stage_gives_the_same_in_a_process_of_its_own(run, tmp_path, llama_reward_dir):
    """As it is run on a GPU, where the process finds it by its module and name."""
    model = External(path=str(llama_reward_dir), digest="sha256:" + "3" * 64)
    inputs = fresh_head.bound((), {"model": model, "seed": 1})
    made = []
    for folder in (tmp_path / "here", tmp_path / "there"):
        folder.mkdir()
        if folder.name == "here":
            fresh_head.execute(folder, run.context, inputs)
        else:
            with get_context("spawn").Pool(1) as alone:
                alone.apply(run_body, (fresh_head.place, folder, run.context, inputs))
        made.append(tree_digest(folder))
    assert made[0] == made[1]
