"""What a recipe names is no file, waits for ever, or cannot be reached: one line, at once."""

import importlib.util
import json
import logging
import os
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.repository import ROOT

LONG = "a" * 300
FIELDS = [
    "policy.model", "student.model", "teacher.model", "prompts.path", "prompts.dev_path",
    "student.replay_path",
]  # fmt: skip
NAMES = [f"/no/{LONG}", f"./{LONG}.jsonl", "/no/a\0b", "./a\0b.jsonl", "/dev/zero", "/dev/null"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", FIELDS)
def test_a_name_that_is_no_file_or_folder(refuse_change, field, name):
    assert name.replace("\0", "")[-40:] in refuse_change({field: name}).replace("\0", "")


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "model.safetensors", "extra.txt"]
)
def test_a_pipe_in_the_folder_of_a_model_is_not_waited_for(
    refuse_change, policy_dir, tmp_path, name
):
    folder = tmp_path / "model"
    shutil.copytree(policy_dir, folder)
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    line = refuse_change({"policy.model": str(folder)})
    assert line.startswith("policy.model: ")
    assert "is a pipe or a device" in line or "has no config.json" in line


def test_a_recipe_that_is_a_pipe_is_not_waited_for(refuse, tmp_path):
    os.mkfifo(tmp_path / "recipe.yaml")
    assert "is a pipe or a device" in refuse("align", str(tmp_path / "recipe.yaml"))
    assert "File name too long" in refuse("align", f"{LONG}.yaml")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "foo://127.0.0.1:9"])
def test_a_proxy_that_no_client_can_use(refuse_change, monkeypatch, proxy):
    if proxy.startswith("socks") and importlib.util.find_spec("socksio"):
        pytest.skip("SOCKS is supported here")
    monkeypatch.setenv("ALL_PROXY", proxy)
    line = refuse_change({})
    assert line.startswith("ALL_PROXY, HTTPS_PROXY or HTTP_PROXY: ") and "or unset it" in line


CODE = {
    "def f(:\n": "line 1: not Python (invalid syntax",
    "x = 1\nreturn x\n": "line 2: not Python ('return' outside function)",
    "x = '\0'": "not Python (source code string cannot contain null bytes)",
    "import no_such_module\ndef f(): ...\n": "imports 'no_such_module', which is not here",
    "from no_such.module import f\n": "imports 'no_such', which is not here",
    "def g(): ...\n": "has no function 'f'; check both names",
    "def g():\n    def f(a, b, c, d, e): ...\n": "has 'f' only inside a function or class; move it",
    "class G:\n    def f(a, b, c, d, e): ...\n": "has 'f' only inside a function or class; move it",
    "def g():\n    f = print\n": "has 'f' only inside a function or class; move it",
    "from . import beside\ndef f(): ...\n": "imports from '.', but belongs to no package",
    "from beside import g as f\n": "beside.py imports 'no_such_module', which is not here",
    "from renamed import before as f\n": "imports 'before' from ",
    "import folder.gone\ndef f(): ...\n": "imports 'folder.gone', which ",
    "(" * 500 + ")" * 500: "not Python (",
    "def f(run, recipe): ...\n": "takes 2 arguments, and it is called as f(run, recipe, parts",
    "def f(): ...\n": "takes 0 arguments, and it is called as f(run, ",
    "def f(a, b, c, d, e, f): ...\n": "takes 6 arguments, and it is called as f(run, ",
    "def f(a, b, c, d, e, *, g): ...\n": "needs 'g' by name, and it is called as f(run, ",
    "async def f(a, b, c, d, e): ...\n": "is async, and it is called as f(run, ",
}


@pytest.mark.parametrize(("code", "says"), CODE.items(), ids=range(len(CODE)))
def test_a_labels_file_that_cannot_be_used(refuse_change, tmp_path, code, says):
    (tmp_path / "own.py").write_bytes(code.encode())
    (tmp_path / "beside.py").write_text("import no_such_module\ndef g(): ...\n")
    (tmp_path / "renamed.py").write_text("def after(): ...\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/__init__.py").touch()
    changes = {"labels": f"{tmp_path}/own.py:f", "runtime.trust_remote_code": True}
    assert says in refuse_change(changes)


@pytest.mark.parametrize(
    "code",
    [
        "def f(a, b, /, c, d, e, g=1, *, h=2): ...", "def f(*args): ...", "def f(a, *rest): ...",
        "f = print", "from json import loads as f", "from json import *",
        "from helper import later as f", "from helper import __name__ as f",
        "def g():\n    global f\n    f = print", "if True:\n    def f(a, b, c, d, e): ...",
        "for f in (print,): ...", "def g():\n    import no_such\ndef f(a, b, c, d, e): ...",
        "@cache\ndef f(): ...", "def f(): ...\ndef f(a, b, c, d, e): ...",
        "try:\n    import no_such\nexcept ImportError:\n    pass\ndef f(a, b, c, d, e): ...",
    ],
)  # fmt: skip
def test_a_labels_file_that_has_the_function_in_any_way(refuse_change, tmp_path, code):
    """It goes on to the next check, and its code is not run."""
    (tmp_path / "own.py").write_text(f"{code}\nraise SystemExit(3)\n")
    (tmp_path / "helper.py").write_text("if True:\n    later = print\n")
    changes = {"labels": f"{tmp_path}/own.py:f", "runtime.trust_remote_code": True}
    assert "no such file 'a.jsonl'" in refuse_change(changes | {"prompts.path": "a.jsonl"})


@pytest.mark.parametrize("field", ["generate.k", "prompts.per_round", "evaluate.bootstrap_samples",
    "policy.batch_size", "student.adapter.r", "rounds", "generate.max_tokens",
    "runtime.token_budget", "policy.epochs", "prompts.test_size"])  # fmt: skip
def test_a_size_that_no_machine_has(refuse_change, field):
    assert f"{field}: must be at most " in refuse_change({field: 10**12})


def test_a_terminal_that_lacks_a_sign_makes_no_command_fail(tmp_path):
    (tmp_path / "run-é").mkdir()
    (tmp_path / "run-é" / "summary.json").write_text("{")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    for arguments in (["status", "--runs-dir", str(tmp_path)], ["align", "é.yaml"]):
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments], env=environment, capture_output=True
        )
        printed = done.stdout + done.stderr
        assert b"Traceback" not in printed and b"?" in printed
        assert done.returncode == (0 if arguments[0] == "status" else 2)


def test_pairs_that_only_the_student_reads_need_only_fit_the_student(refuse_change, tmp_path):
    """The policy's longest prompt and its template say nothing of them."""
    pair = {"prompt": "word " * 300, "chosen": "Yes.", "rejected": "No."}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair))
    changes = {"student.replay_path": str(tmp_path / "pairs.jsonl"), "prompts.per_round": 1000}
    assert "per_round" in refuse_change(changes)


@pytest.mark.parametrize("name", ["policy", "student", "summary.json", "report.html"])
def test_what_stands_where_a_run_writes_its_results(refuse, tmp_path, tiny_recipe, name):
    recipe, folder = tmp_path / "recipe.yaml", tmp_path / "runs" / "tiny"
    recipe.write_text(yaml.safe_dump(tiny_recipe | {"run": "tiny"}))
    (folder / name).mkdir(parents=True)
    (folder / name / "mine.txt").write_text("not to be lost")
    line = refuse("align", str(recipe), "--runs-dir", str(folder.parent), "--store", "no-store")
    assert line.startswith(f"{folder / name}: ") and "move it away" in line
    assert os.listdir(folder) == [name] and os.listdir(folder / name) == ["mine.txt"]


def test_a_file_in_the_place_of_a_link(refuse, tmp_path, tiny_recipe):
    recipe, folder = tmp_path / "recipe.yaml", tmp_path / "runs" / "tiny"
    recipe.write_text(yaml.safe_dump(tiny_recipe | {"run": "tiny"}))
    folder.mkdir(parents=True)
    (folder / "policy").write_text("a policy of our company")
    line = refuse("align", str(recipe), "--runs-dir", str(folder.parent), "--store", "no-store")
    assert line.startswith(f"{folder / 'policy'}: stands in the place of a link")
    assert (folder / "policy").read_text() == "a policy of our company"


def test_attempts_of_the_hub_are_not_printed(monkeypatch):
    from data.errors import InputError
    from data.readers.prompts import read_prompts

    def without_network(*_, **__):
        assert not client.isEnabledFor(logging.WARNING)
        raise ConnectionError("no network")

    client = logging.getLogger("huggingface_hub.utils._http")
    monkeypatch.setattr("datasets.load_dataset", without_network)
    with pytest.raises(InputError, match=r"nobody/nothing: neither a file nor .* \(no network\)"):
        read_prompts("nobody/nothing")
    assert client.isEnabledFor(logging.WARNING)
