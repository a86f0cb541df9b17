"""A whole run leaves no secret behind and listens on loopback alone."""

import copy
import threading
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

from cli.main import main
from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from models.engines import open_engine
from models.engines.base import Sampling
from models.engines.transformers import TransformersEngine
from tests.models import test_openai_engine as stub

SECRET = "sk-sentinel-7391"


@pytest.fixture
def server(policy_dir, monkeypatch):  # the policy of tests/fixtures/models.py
    """A server that takes only requests with the key, and repeats it in its refusals."""
    monkeypatch.setattr(stub, "KEY", SECRET)
    server = stub.Server(TransformersEngine(policy_dir, RuntimeConfig(), 128))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.delenv("OPENAI_MODEL", raising=False)
    yield server
    server.shutdown()
    server.server_close()


def files_with(text, *folders):
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    ]


@pytest.mark.usefixtures("prefect")
def test_the_key_of_a_server_is_nowhere_to_be_found(
    server, tmp_path, tiny_recipe, write_recipe, capfd, caplog
):
    values = copy.deepcopy(tiny_recipe) | {"rounds": 1}
    values["generate"]["engine"] = "openai"
    store, runs = tmp_path / "store", tmp_path / "runs"
    recipe = write_recipe(values)
    assert main(["align", str(recipe), "--store", str(store), "--runs-dir", str(runs)]) == 0
    assert files_with("openai", runs), "the server was used"
    printed = capfd.readouterr()
    assert "read prompts.path" in printed.err
    assert SECRET not in printed.out + printed.err + caplog.text
    database = Path(PREFECT_API_DATABASE_CONNECTION_URL.value().partition("///")[2]).parent
    assert files_with("tiny", database), "the run is recorded there"
    assert files_with(SECRET, store, runs, recipe.parent, database) == []
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        for socket in process.net_connections("inet"):
            if socket.status == psutil.CONN_LISTEN:
                assert socket.laddr.ip in ("127.0.0.1", "::1"), (process.cmdline(), socket)


def test_a_refusal_does_not_repeat_the_key(server, policy_dir, monkeypatch):
    engine = open_engine("openai", policy_dir, RuntimeConfig(), 128, seed=0)
    monkeypatch.setattr(server, "answer", lambda *_: (400, {"error": f"no {SECRET} here"}))
    with pytest.raises(InputError, match=r"no \*\*\* here") as caught:
        engine.generate([[1, 2]], [0], Sampling(1, 1.0, 1.0, 4))
    assert SECRET not in str(caught.value)
    engine.close()


def test_the_address_of_a_server_holds_no_password(refuse_recipe, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://me:{SECRET}@localhost:8000/v1")
    line = refuse_recipe("run: a\nworld: {}\ngenerate: {engine: openai}\n")
    assert line == "OPENAI_BASE_URL: holds a user or password; use OPENAI_API_KEY"
