"""`tsalign export --push` against a hub of the test's own: what it is asked, byte for byte."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.cli.use.used import Place
from tests.repository import ROOT


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as an upload of small files asks for."""

    def do_POST(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.path, self.headers.get("Authorization"), body))
        if self.server.refuses:
            return self.answer({"error": "no space left for you"}, 403)
        if self.path == "/api/repos/create":
            return self.answer({"url": f"{self.server.url}/someone/tiny", "name": "someone/tiny"})
        if "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            files = [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]
            return self.answer({"files": files})
        return self.answer({"commitUrl": f"{self.server.url}/c/1", "commitOid": "1" * 40})

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization"), b""))
        self.answer({"sha": "1" * 40, "siblings": [], "id": "someone/tiny"})

    def answer(self, content, status=200):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.refuses = [], False
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def push(tiny_run, hub, tmp_path):
    def call(**environment):
        place = Place(tiny_run)
        own = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_of_the_test", "PYTHONPATH": str(ROOT)}
        own |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
        out = tmp_path / "out"
        done = subprocess.run(
            [sys.executable, "-m", "cli", "export", "tiny", "--to", str(out)]
            + ["--push", "someone/tiny", *place.options],
            env=os.environ | own | environment,
            capture_output=True,
            text=True,
        )
        return done, out

    return call


def test_every_file_arrives_in_a_private_repository(push, hub):
    done, out = push()
    assert done.returncode == 0, done.stderr
    assert f"Pushed to {hub.url}/someone/tiny" in done.stdout
    assert {token for _, token, _ in hub.asked} == {"Bearer hf_of_the_test"}
    created = json.loads(next(body for path, _, body in hub.asked if path == "/api/repos/create"))
    assert created["name"] == "tiny" and created["organization"] == "someone"
    assert created.get("private") is True or created.get("visibility") == "private"
    commit = next(body for path, _, body in hub.asked if "/commit/" in path)
    lines = [json.loads(line) for line in commit.decode().splitlines()]
    files = {line["value"]["path"]: line["value"] for line in lines if line["key"] == "file"}
    assert set(files) == {path.name for path in out.iterdir()}
    for name, value in files.items():
        assert base64.b64decode(value["content"]) == (out / name).read_bytes()
    card = (out / "README.md").read_text()
    assert 'name = "someone/tiny"  # its name on the hub' in card
    assert "vllm serve someone/tiny" in card


def test_a_hub_that_refuses_leaves_the_folder(push, hub):
    hub.refuses = True
    done, out = push()
    *told, line = done.stderr.splitlines()  # a slow machine hears what takes long
    assert done.returncode == 2 and line.startswith("tsalign: error: ")
    assert all(one.startswith("comparing the weights") for one in told)
    assert "no space left for you" in done.stderr and "hf_of_the_test" not in done.stderr
    assert f"is complete, try again with `hf upload someone/tiny {out}`" in done.stderr
    assert (out / "model.safetensors").is_file()


def test_without_a_token_nothing_is_written_or_asked(push, hub):
    done, out = push(HF_TOKEN="")
    assert done.returncode == 2 and "no token; set HF_TOKEN" in done.stderr
    assert not out.exists() and not hub.asked
