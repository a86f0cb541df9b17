"""A run is told from another by what it really reads and computes with."""

import copy
import json
import shutil
import threading
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.main import main
from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from data.summary import read_summary
from flows.align import first_day
from flows.fingerprint import run_digest
from flows.outside import outside_of
from flows.table import recipe_from
from models import devices, today
from models.chat import load_tokenizer, render_prompt
from models.traits import asks
from tasks.running import machine
from tasks.running.keys import asked_for
from tests.fixtures.models import save_policy

DATED = "{{ 'Today: ' + strftime_now('%d %b %Y') + '\\n' }}"


def changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    values = copy.deepcopy(values)
    for dotted, value in changes.items():
        section, _, name = dotted.rpartition(".")
        (values.setdefault(section, {}) if section else values)[name] = value
    return values


@pytest.fixture
def where(tmp_path):
    return ["--quiet", "--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]


@pytest.fixture
def align(without_prefect, tiny_recipe, write_recipe, where, tmp_path):
    """Run the tiny recipe for a round, with changes; the summary."""

    def run(changes: dict[str, Any], status: int = 0) -> Any:
        recipe = changed(tiny_recipe | {"rounds": 1}, changes)
        assert main(["align", str(write_recipe(recipe)), *where]) == status
        path = tmp_path / "runs" / "tiny" / "summary.json"
        return read_summary(path) if path.is_file() else None

    return run


@pytest.fixture
def digest(tiny_recipe):
    """The run digest of the tiny recipe with changes."""

    def of(changes: dict[str, Any]) -> str:
        recipe = recipe_from(changed(tiny_recipe, changes))
        return run_digest(recipe, outside_of(recipe))

    return of


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def models(tiny_recipe, home):
    """Copies of the tiny recipe's inputs, by the field that names them."""
    copies = {}
    for name in ("policy", "student", "teacher"):
        copies[f"{name}.model"] = home / name
        shutil.copytree(tiny_recipe[name]["model"], home / name)
    copies["prompts.path"] = home / "prompts.jsonl"
    shutil.copy(tiny_recipe["prompts"]["path"], home / "prompts.jsonl")
    return copies


# Names on disk


@pytest.mark.parametrize(
    "field", ["policy.model", "student.model", "teacher.model", "prompts.path"]
)
def test_a_name_with_a_tilde_is_read_and_digested(digest, models, field):
    changes = {field: f"~/{models[field].name}"}
    before = digest(changes)
    assert before == digest(changes)
    place = models[field]
    with (place if place.is_file() else place / "tokenizer_config.json").open("a") as file:
        file.write("\n")
    assert digest(changes) != before


@pytest.mark.parametrize(
    "field",
    ["policy.model", "teacher.model", "prompts.path", "prompts.dev_path", "student.replay_path"],
)
def test_a_home_that_nobody_has_is_one_line(refuse_change, field):
    line = refuse_change({field: "~nobody-of-that-name/x.jsonl"})
    assert line.startswith(f"{field}: '~nobody-of-that-name/x.jsonl': there is no user")


@pytest.mark.slow
def test_a_policy_named_with_a_tilde_is_trained_again_with_other_weights(
    align, models, tokenizer, capsys
):
    first = align({"policy.model": "~/policy"})
    save_policy(tokenizer, models["policy.model"], seed=9)
    second = align({"policy.model": "~/policy"})
    assert second.run_digest != first.run_digest
    assert not next(s for s in second.rounds[0].stages if s.stage == "generate").cached


def test_a_link_that_is_moved_meanwhile_leads_to_what_the_run_began_with(tiny_recipe, home, models):
    (home / "latest").symlink_to(models["policy.model"])
    recipe = recipe_from(changed(tiny_recipe, {"policy.model": str(home / "latest")}))
    found = outside_of(recipe)["policy.model"]
    (home / "latest").unlink()
    (home / "latest").symlink_to(models["teacher.model"])
    assert found.path == str(models["policy.model"].resolve())
    assert found.digest_now() == found.digest


def test_a_teacher_overwritten_during_a_run_is_said_and_its_rewards_are_not_kept(
    align, models, tiny_recipe, monkeypatch, capsys
):
    """A training writes its checkpoint into the folder that the run takes its teacher from."""
    teacher, kept = models["teacher.model"], models["teacher.model"].with_name("kept")
    shutil.copytree(teacher, kept)
    expected = align({"run": "tiny", "teacher.model": str(kept)})
    from tasks import relabel

    original = relabel.score_rows

    def overwritten(context, model, items, max_length):
        if Path(model.path) == teacher.resolve():
            shutil.copytree(tiny_recipe["student"]["model"], teacher, dirs_exist_ok=True)
        return original(context, model, items, max_length)

    monkeypatch.setattr(relabel, "score_rows", overwritten)
    # Another seed of the rounds, so that nothing is found.
    changes = {"teacher.model": str(teacher), "seed": 5}
    capsys.readouterr()
    align(changes, status=2)
    (line,) = (x for x in capsys.readouterr().err.splitlines() if x.startswith("tsalign: error"))
    assert f"teacher.model: '{teacher.resolve()}' has changed since the run began" in line
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(teacher.parent))
    shutil.rmtree(teacher)
    shutil.copytree(kept, teacher)
    again = align(changes)
    relabelled = next(s for s in again.rounds[0].stages if s.stage == "relabel")
    assert not relabelled.cached
    assert expected.rounds[0].policy is not None


def test_a_prompt_file_of_another_name_is_another_input(digest, models):
    other = models["prompts.path"].with_name("others.jsonl")
    shutil.copy(models["prompts.path"], other)
    assert digest({"prompts.path": str(other)}) != digest({"prompts.path": "~/prompts.jsonl"})


# The date


@pytest.fixture
def dated(tiny_recipe, home):
    """A policy whose chat template prints the date."""
    shutil.copytree(tiny_recipe["policy"]["model"], home / "dated")
    template = home / "dated" / "chat_template.jinja"
    template.write_text(DATED + template.read_text())
    return home / "dated"


def test_a_template_prints_the_pinned_date(dated):
    tokenizer = load_tokenizer(dated)
    question = [{"role": "user", "content": "Hi"}]
    with today.pinned("2024-07-26"):
        text = tokenizer.decode(render_prompt(tokenizer, question))
    assert text.startswith("Today: 26 Jul 2024\n")
    assert f"Today: {date.today():%d %b %Y}" in tokenizer.decode(render_prompt(tokenizer, question))


@pytest.mark.slow
def test_only_models_that_print_the_date_have_it_in_their_keys(align, dated, tiny_recipe):
    def found(summary):
        """Whether each title was there before the run, without what repeats other work of it."""
        known, cached = set(), {}
        for one in summary.stages():
            if (one.kind, one.key) not in known:
                cached.setdefault(one.stage, one.cached)
            known.add((one.kind, one.key))
        return cached

    plain = found(align({"run": "tiny", "date": "2024-07-26"}))
    assert not any(plain.values())
    assert all(found(align({"run": "tiny", "date": "2024-07-27"})).values())
    changes = {"policy.model": str(dated), "date": "2024-07-26"}
    first = align(changes)
    assert first.date == "2024-07-26"
    assert all(found(align(changes | {"runtime": {"shard_prompts": 7}})).values())
    later = found(align(changes | {"date": "2024-07-27"}))
    assert later["read prompts.path"] and later["select"]
    assert not later["generate"] and not later["optimize"]


def test_a_run_begun_yesterday_goes_on_with_its_date(align, dated, tmp_path, monkeypatch):
    folder = tmp_path / "runs" / "tiny"
    changes = {"policy.model": str(dated)}
    monkeypatch.setattr("flows.align.date", SimpleNamespace(today=lambda: date(2024, 7, 26)))
    assert align(changes).date == "2024-07-26"
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(dated.parent))
    assert first_day(folder) == "2024-07-26"
    (folder / "report.html").unlink()  # as if it had been cut off before the end
    again = align(changes)
    assert again.date == "2024-07-26" and all(s.cached for s in again.stages())
    assert first_day(tmp_path / "runs" / "another") == date.today().isoformat()


@pytest.mark.parametrize("text", ["2024-13-01", "yesterday", "2024-7-1"])
def test_a_date_that_is_none_is_refused(refuse_change, text):
    assert "date" in refuse_change({"date": text})


# Code of models


def test_code_that_comes_with_a_model_has_keys_of_its_own_where_it_is_trusted(
    tiny_recipe, home, models, digest
):
    config = models["policy.model"] / "config.json"
    assert asks(models["policy.model"]) == []
    config.write_text(
        json.dumps(json.loads(config.read_text()) | {"auto_map": {"AutoModel": "own.Model"}})
    )
    assert asks(models["policy.model"]) == ["code"]
    recipe = recipe_from(changed(tiny_recipe, {"policy.model": "~/policy"}))
    assert asked_for(list(outside_of(recipe).values())) == {"code"}
    config.write_text(
        json.dumps(json.loads(config.read_text()) | {"auto_map": {"AutoModel": "a/b--own.Model"}})
    )
    recipe = recipe.model_copy(update={"runtime": RuntimeConfig(trust_remote_code=True)})
    with pytest.raises(InputError, match="policy.model: config.json has an auto_map with code of"):
        outside_of(recipe)


# Machine and server


@pytest.mark.parametrize(
    ("devices_named", "count", "seen"),
    [
        (None, 0, False), (None, 2, True), ("", 2, False), ("-1", 2, False), ("0", 2, True),
        ("1,0", 2, True), ("2", 2, False), ("2,0", 2, False), ("GPU-8f", 2, True), ("0", 0, False),
    ],
)  # fmt: skip
def test_hidden_gpus_are_none(devices_named, count, seen):
    assert devices.visible(devices_named, count) is seen


def test_the_key_names_the_device_that_the_models_use(monkeypatch):
    """Fault 4: with a driver and a CPU torch, or hidden GPUs, the key said cuda, the models cpu."""
    from models.hardware import device_of, dtype_of

    monkeypatch.setattr(devices, "gpus", lambda: 1)  # the driver sees one
    monkeypatch.setattr(devices, "torch_has_cuda", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    runtime = RuntimeConfig()
    assert machine.numerics(runtime).endswith("/cuda/bfloat16")
    assert (str(device_of(runtime)), str(dtype_of(runtime))) == ("cuda", "torch.bfloat16")
    for hide in (
        lambda: monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ""),
        lambda: (
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES"),
            monkeypatch.setattr(devices, "torch_has_cuda", lambda: False),
        ),
    ):
        hide()
        assert machine.numerics(runtime).endswith("/cpu/float32")
        assert (str(device_of(runtime)), str(dtype_of(runtime))) == ("cpu", "torch.float32")


def test_what_torch_was_built_for_is_read_without_importing_it():
    import torch

    assert devices.torch_has_cuda() == (torch.version.cuda is not None)


def test_generation_with_transformers_names_its_torch():
    import torch

    assert f"torch {torch.__version__}" in identity("transformers", "x86/cpu")


def identity(name: str, numerics: str) -> str:
    return machine.engine_identity(name, numerics, RuntimeConfig())


class Handler(BaseHTTPRequestHandler):
    version, model = "0.11.0", "served"

    def do_GET(self) -> None:
        answers = {
            "/version": {"version": self.version},
            "/v1/models": {"data": [{"id": self.model}]},
        }
        text = json.dumps(answers.get(self.path, {})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


def test_a_server_is_named_by_what_it_says_and_where_it_is(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "the-secret")
    try:
        said = identity("openai", "x86/cpu/float32")
        assert said == f"openai 0.11.0 served {url}"
        monkeypatch.setattr(Handler, "version", "0.12.0")
        monkeypatch.setenv("OPENAI_MODEL", "other")
        assert identity("openai", "") == f"openai 0.12.0 other {url}"
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(InputError, match="no server answers at"):
        identity("openai", "")


def test_a_server_that_is_away_is_one_line_before_any_work(refuse_change, monkeypatch):
    refusal = {"generate.engine": "openai"}
    assert "set OPENAI_BASE_URL" in refuse_change(refusal)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert "no server answers at http://127.0.0.1:9" in refuse_change(refusal)
