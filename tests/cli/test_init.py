"""`tsalign init` writes a recipe that runs as it is, and says where its values come from."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cli.init.methods import METHODS
from cli.init.starter import in_full
from cli.init.starting import Machine, Model, batch_size, method, micro_batch, sizes
from cli.main import main
from data.summary import read_summary
from flows.preflight.fitting import fitted, left_out
from flows.preflight.inputs import check_inputs
from flows.recipe_files import load_recipe
from models.devices import memory
from tests.repository import ROOT

CPU, GPU = Machine("cpu", "float32", 32 * 10**9), Machine("cuda", "bfloat16", 80 * 10**9)
SMALL = Model(135_000_000, layers=30, width=576, vocabulary=49_152)
LARGE = Model(7_600_000_000, layers=28, width=3_584, vocabulary=152_064)


@pytest.fixture
def brought(
    tmp_path,
    monkeypatch,
    policy_dir,
    other_policy_dir,
    llama_reward_dir,
    bert_reward_dir,
    prompts_file,
):
    """A folder with a space in its name, and in it a user's models and prompts."""
    folder = tmp_path / "my files"
    folder.mkdir()
    sources = {"policy": policy_dir, "teacher": llama_reward_dir, "student": bert_reward_dir}
    sources["larger"] = other_policy_dir
    for name, source in sources.items():
        shutil.copytree(source, folder / name)
    shutil.copy(prompts_file, folder / "prompts.jsonl")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def smaller(brought, tokenizer):
    from transformers import LlamaForCausalLM

    from tests.fixtures.models import llama_config

    config = llama_config(tokenizer)
    config.num_hidden_layers = 1
    LlamaForCausalLM(config).save_pretrained(brought / "smaller")
    tokenizer.save_pretrained(brought / "smaller")
    return brought / "smaller"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--method", "optune", "--student", "s"], "--student: --method optune takes none; leave"),
        (["--smaller", "s"], "--smaller: --method ts-align takes none; leave it out"),
        (["--world", "--test-prompts", "t.jsonl"], "--test-prompts: --world takes none; leave it"),
    ],
)
def test_a_model_that_the_recipe_would_not_have_is_refused(refuse, given, says):
    assert says in refuse("init", *given, "--yes", "--out", "never.yaml")


def flags(name):
    found = {need: need for need in METHODS[name].needs} | {"prompts": "prompts.jsonl"}
    if METHODS[name].distils:
        found["teacher"] = "larger"
    return [part for need, brought in found.items() for part in (f"--{need}", brought)]


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_for_own_models_passes_preflight_as_it_is(name, brought, smaller, monkeypatch):
    assert main(["init", "--method", name, *flags(name), "--out", "mine.yaml"]) == 0
    monkeypatch.chdir("/")  # names are in full
    recipe = load_recipe(brought / "mine.yaml")
    check_inputs(fitted(recipe))
    assert recipe.run == "mine" and left_out(recipe).keys() <= {"student.learning_rate"}
    assert recipe.prompts.max_tokens + recipe.generate.max_tokens <= 256
    text = (brought / "mine.yaml").read_text()
    assert "# " in text and "60 different prompts" in text


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_of_the_embedded_world_needs_nothing(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--world", "--method", name, "--run", "w"]) == 0
    recipe = load_recipe(tmp_path / "w.yaml")
    check_inputs(fitted(recipe))
    assert recipe.world and recipe.evaluate.judge == "oracle"
    out = capsys.readouterr().out
    assert "tsalign check w.yaml" in out and "tsalign align w.yaml" in out


def test_a_distillation_wants_a_language_model_to_teach(brought, capsys):
    bad = ["--policy", "policy", "--teacher", "teacher", "--prompts", "prompts.jsonl"]
    assert main(["init", "--method", "opd", *bad]) == 2
    assert capsys.readouterr().err.startswith("tsalign: error: teacher.model: ")
    bad[3] = "length-band"
    assert main(["init", "--method", "opd", *bad]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tsalign: error: --teacher: ") and error.count("\n") == 1
    assert not Path("mine.yaml").exists()


def test_what_was_derived_is_said_and_stands_in_the_file(brought, capsys):
    assert main(["init", *flags("ts-align")]) == 0
    out = capsys.readouterr().out
    text = (brought / "mine.yaml").read_text()
    for name in ("method", "learning_rate", "batch_size", "per_round", "max_tokens", "dtype"):
        assert name in out and f"  {name}:" in text
    assert "0.1 million parameters" in out and "0.1 million parameters" in text
    values = yaml.safe_load(text)
    assert values["policy"]["model"] == str(brought / "policy")
    held_out = values["prompts"]["dev_size"] + values["prompts"]["test_size"]
    assert values["rounds"] * values["prompts"]["per_round"] + held_out <= 60


def test_a_policy_without_a_template_gets_one_by_name(brought):
    (brought / "policy" / "chat_template.jinja").unlink()
    assert main(["init", *flags("dpo"), "--method", "dpo"]) == 0
    recipe = load_recipe("mine.yaml")
    assert recipe.policy.template == "chatml"  # its tokenizer has these tokens
    check_inputs(fitted(recipe))


def test_long_prompts_get_the_room_they_need(brought):
    rows = [{"prompt": f"Number {i}. " + "word " * 25} for i in range(40)]
    Path("long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = flags("ts-align")
    arguments[arguments.index("prompts.jsonl")] = "long.jsonl"
    assert main(["init", *arguments]) == 0
    recipe = load_recipe("mine.yaml")
    assert recipe.prompts.max_tokens > 128 and recipe.max_length <= 256
    check_inputs(fitted(recipe))


def test_held_out_prompts_of_a_file_leave_the_pool_whole(brought):
    Path("test.jsonl").write_text('{"prompt": "What is 3 plus 3?"}\n{"prompt": "Other?"}\n')
    assert main(["init", *flags("dpo"), "--method", "dpo", "--test-prompts", "test.jsonl"]) == 0
    values = yaml.safe_load(Path("mine.yaml").read_text())["prompts"]
    assert values["test_path"] == str(brought / "test.jsonl") and "test_size" not in values
    check_inputs(fitted(load_recipe("mine.yaml")))


REFUSED = {
    "a flag is missing": (["--policy", "policy"], "--teacher is missing: ts-align needs"),
    "no such method": (["--method", "ppo"], "choose ts-align, dpo, optune, tso"),
    "no such model": ([*flags("dpo"), "--method", "dpo", "--policy", "./gone"], "policy.model"),
    "no policy": ([*flags("dpo"), "--method", "dpo", "--policy", "student"], "causal"),
    "no prompts": ([*flags("dpo"), "--method", "dpo", "--prompts", "no.jsonl"], "no.jsonl"),
    "few prompts": ([*flags("dpo"), "--method", "dpo", "--prompts", "few.jsonl"], "too few"),
    "no judge": ([*flags("dpo"), "--method", "dpo", "--judge", "me"], "evaluate.judge"),
    "the oracle": ([*flags("dpo"), "--method", "dpo", "--judge", "oracle"], "oracle"),
    "not smaller": ([*flags("tso"), "--method", "tso", "--smaller", "policy"], "--smaller"),
    "no column": (
        [*flags("dpo"), "--method", "dpo", "--teacher", "exact-answer"],
        "reads the column 'answer'",
    ),
    "no function": ([*flags("dpo"), "--method", "dpo", "--teacher", "gone.py:f"], "gone.py"),
    "a run's name": ([*flags("dpo"), "--method", "dpo", "--run", "a/b"], "run: must match"),
    "no folder": ([*flags("dpo"), "--method", "dpo", "--out", "no/where.yaml"], "--out"),
    "is there": ([*flags("dpo"), "--method", "dpo", "--out", "prompts.jsonl"], "already"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line_and_nothing_is_written(case, brought, capsys):
    Path("few.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    before = {path: path.read_bytes() for path in brought.glob("*.*")}
    arguments, said = REFUSED[case]
    assert main(["init", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    assert shown.err.startswith("tsalign: error: ") and said in shown.err
    assert {path: path.read_bytes() for path in brought.glob("*.*")} == before


def test_a_reward_function_may_be_the_teacher(brought, monkeypatch, capsys):
    """A shipped one, and one of a file, which runs because the recipe says so."""
    rows = [json.loads(line) for line in Path("prompts.jsonl").read_text().splitlines()]
    text = "".join(json.dumps(row | {"answer": "7"}) + "\n" for row in rows)
    Path("answered.jsonl").write_text(text)
    Path("mine.py").write_text("def short(completions, answer, **_): return [0.0 for _ in answer]")
    named = ["--policy", "policy", "--student", "student", "--prompts", "answered.jsonl"]
    for number, teacher in enumerate(("exact-answer", "mine.py:short")):
        out = f"recipe-{number}.yaml"
        assert main(["init", *named, "--teacher", teacher, "--out", out]) == 0
    monkeypatch.chdir("/")  # names are in full
    shipped, own = (load_recipe(brought / f"recipe-{number}.yaml") for number in range(2))
    for recipe in (shipped, own):
        check_inputs(fitted(recipe))
    assert shipped.teacher.model == "exact-answer" and not shipped.runtime.trust_remote_code
    assert own.teacher.model == f"{brought / 'mine.py'}:short" and own.runtime.trust_remote_code
    assert "The run executes" in (brought / "recipe-1.yaml").read_text()
    assert "trust_remote_code" in capsys.readouterr().out


def test_what_is_not_there_is_told_together(brought, capsys):
    named = ["--policy", "./no", "--teacher", "./nor", "--student", "student"]
    assert main(["init", *named, "--prompts", "no.jsonl"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("tsalign: error: ") for line in lines)


def test_no_torch_and_no_prefect_is_loaded(brought):
    code = (
        "import sys\nfrom cli.main import main\nassert main(sys.argv[1:]) == 0\n"
        "heavy = {'torch', 'transformers', 'vllm', 'prefect'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-c", code, "init", *flags("ts-align")]
    subprocess.run(command, check=True, cwd=brought, env=environment, capture_output=True)


def test_on_a_terminal_it_asks_for_what_is_open_and_again_after_a_mistake(brought):
    """Answers: method, policy (wrong, then right), teacher, student, prompts (a file without any,
    then right), held out, run (that of a recipe that is there, one that no run can have, then
    right)."""
    (brought / "mine.yaml").write_text("kept")
    (brought / "none.jsonl").touch()
    typed = ["", "./gone", "policy", "teacher", "student", "none.jsonl", "prompts.jsonl", ""]
    typed += ["mine", "a/b", "asked"]
    parent, child = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "TERM": "dumb"}
    started = subprocess.Popen(
        [sys.executable, "-m", "cli", "init"],
        stdin=child, stdout=child, stderr=child, cwd=brought, env=environment,
    )  # fmt: skip
    os.close(child)
    os.write(parent, "".join(f"{line}\n" for line in typed).encode())
    shown = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(parent)
    assert started.wait(60) == 0, shown
    text = shown.decode()
    assert "none.jsonl: holds no prompts" in text
    assert "no folder here" in text and "Wrote asked.yaml" in text
    assert "[mine-2]" in text and "'mine.yaml' is there already" in text and "'a/b' cannot" in text
    assert (brought / "mine.yaml").read_text() == "kept"
    assert load_recipe(brought / "asked.yaml").run == "asked"


def test_paths_in_the_recipe_have_no_dots_unless_a_link_needs_them(brought):
    (brought / "below" / "deeper").mkdir(parents=True)
    (brought / "link").symlink_to("below/deeper")
    assert in_full("below/../policy", "policy.model") == str(brought / "policy")
    shutil.copytree(brought / "policy", brought / "below" / "policy")
    assert in_full("link/../policy", "policy.model") == f"{brought}/link/../policy"


def test_method_and_memory_follow_from_model_and_machine():
    assert method(SMALL, CPU) == "lora" and method(SMALL, GPU) == "full"
    assert method(LARGE, GPU) == "lora"
    assert method(Model(1_000_000, 2, 64, 400), CPU) == "full"
    assert micro_batch(SMALL, GPU, True, 1024, 32) in (8, 16, 0)
    assert 1 <= micro_batch(LARGE, GPU, False, 1024, 32) <= 16
    assert micro_batch(LARGE, CPU, False, 1024, 32) == 1
    assert memory() > 10**8


def test_sizes_share_out_the_prompts():
    assert sizes(60_000, 3, {}, small=False) == {
        "dev_size": 200, "test_size": 500, "per_round": 1_000,
    }  # fmt: skip
    for available in (10, 60, 400, 5_000):
        found = sizes(available, 3, {}, small=False)
        held_out = found["dev_size"] + found["test_size"]
        assert 3 * found["per_round"] + held_out <= available
    assert sizes(60_000, 3, {"test_size": 0}, small=True)["per_round"] == 100
    assert [batch_size(n) for n in (1_000, 500, 300, 20)] == [32, 16, 8, 8]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "own"), [("ts-align", ["--set", "mine.drop_truncated=false"]), ("opd", [])]
)
def test_a_new_user_comes_to_a_result_without_a_line_of_yaml(prefect, brought, capsys, name, own):
    where = ["--store", "store", "--runs-dir", "runs"]
    changes = [*own, "--set", "generate.max_tokens=16"]
    changes += ["--set", "generate.engine=transformers", "--set", "rounds=1"]
    assert main(["init", "--method", name, *flags(name), "--run", "first"]) == 0
    assert main(["check", "first.yaml", *where, *changes]) == 0
    assert "Round 1 of 1" in capsys.readouterr().out
    assert main(["align", "first.yaml", "--quiet", *where, *changes]) == 0
    summary = read_summary(brought / "runs" / "first" / "summary.json")
    assert summary.finished and "win_rate" in summary.measures
    assert main(["check", "first.yaml", *where, *changes]) == 0
    assert "nothing to compute" in capsys.readouterr().out
