"""Nothing in the store can run code or lie outside of it, whoever wrote the far side."""

import json

import fsspec
import pytest

from data.errors import ArtifactError, InputError
from data.recipes.secrets import find_secret
from data.store.artifacts import RECORD, read_record
from data.store.remote import Remote
from data.store.store import Store

KEY = {"stage": "train", "seed": 0}
PICKLES = ["pytorch_model.bin", "optimizer.pt", "weights.pth", "a.pkl", "a.PICKLE", "b/c.joblib"]
OUTSIDE = ["../evil", "a/../../evil", "/tmp/evil", "..", "", "a\\..\\evil", "a\0b", RECORD]


def files(out):
    (out / "config.json").write_text("{}")
    return {}


@pytest.mark.parametrize("name", PICKLES)
def test_a_stage_cannot_store_a_pickle(tmp_path, name):
    def body(out):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(b"\x80\x04.")
        return files(out)

    store = Store(tmp_path)
    with pytest.raises(ArtifactError, match="pickled files are not stored"):
        store.put("policy", KEY, body)
    assert store.find("policy", KEY) is None
    assert not list(tmp_path.rglob("*.json"))


def test_a_stage_cannot_store_a_link(tmp_path):
    def body(out):
        (out / "model.safetensors").symlink_to("/etc/hostname")
        return {}

    with pytest.raises(ArtifactError, match="is a link"):
        Store(tmp_path).put("policy", KEY, body)


@pytest.mark.parametrize("kind", ["..", "../up", "/etc", "a/b", "", "Policy", ".hidden", "tmp"])
def test_a_kind_is_no_path(tmp_path, kind):
    with pytest.raises(InputError, match="kind"):
        Store(tmp_path / "store").put(kind, KEY, files)
    assert not list(tmp_path.rglob("config.json"))


def tampered(record: bytes, name: str) -> bytes:
    """The record of an artifact with a file renamed."""
    content = json.loads(record)
    content["files"][name] = content["files"].pop("config.json")
    return json.dumps(content).encode()


@pytest.mark.parametrize("name", OUTSIDE + PICKLES)
def test_a_record_cannot_name_such_files(tmp_path, name):
    store = Store(tmp_path)
    artifact = store.put("policy", KEY, files)
    path = store.path(artifact) / RECORD
    path.write_bytes(tampered(path.read_bytes(), name))
    with pytest.raises(ArtifactError):
        read_record(path.parent, "policy", artifact.key)
    assert store.find("policy", KEY) is None


@pytest.mark.parametrize("name", OUTSIDE + PICKLES)
def test_a_far_side_cannot_send_such_files(tmp_path, name):
    far = fsspec.filesystem("memory")
    store = Store(tmp_path / "origin")
    folder = store.path(store.put("policy", KEY, files))
    root = f"/{tmp_path.name}/a"
    far.pipe(f"{root}/{RECORD}", tampered((folder / RECORD).read_bytes(), name))
    far.pipe(f"{root}/{name}", b"evil")
    inner = tmp_path / "cache" / "inner"
    inner.mkdir(parents=True)
    with pytest.raises(ArtifactError):
        Remote(f"memory://{tmp_path.name}").pull("a", inner)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.name != RECORD]
    far.rm(f"/{tmp_path.name}", recursive=True)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"generate": {"api_key": "x"}}, "generate.api_key"),
        ({"generate": {"apikey": None}}, "generate.apikey"),
        ({"OPENAI_API_KEY": "x"}, "OPENAI_API_KEY"),
        ({"a": [{"client_secret": "x"}]}, "a.0.client_secret"),
        ({"hub": {"hf_token": "x"}}, "hub.hf_token"),
        ({"prompts": {"path": "s3://me:pw@bucket/p.jsonl"}}, "prompts.path"),
        ({"logged": {"completions": ["a", "ftp://me@host/b"]}}, "logged.completions.1"),
        ({"generate": {"max_tokens": 4}, "prompts": {"path": "me@host"}}, None),
        ({"policy": {"model": "https://host/org@rev"}}, None),
    ],
)
def test_secrets_are_found_wherever_they_stand(values, place):
    assert find_secret(values) == place
