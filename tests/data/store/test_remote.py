import fsspec
import pytest

from data.errors import ArtifactError, InputError
from data.store.store import Store

KEY = {"stage": "train", "seed": 0}


class Counting:
    def __init__(self):
        self.calls = 0

    def __call__(self, out):
        self.calls += 1
        (out / "adapter").mkdir()
        (out / "adapter/model.safetensors").write_bytes(b"weights")
        (out / "config.json").write_text("{}")
        return {}


@pytest.fixture
def url(tmp_path):
    files = fsspec.filesystem("memory")
    yield f"memory://{tmp_path.name}"
    files.rm(f"/{tmp_path.name}", recursive=True)


@pytest.fixture
def machine(tmp_path, monkeypatch, url):
    """Open the store as a machine of that name would, each with a cache of its own."""

    def open_store(name):
        monkeypatch.setenv("TSALIGN_CACHE", str(tmp_path / name))
        return Store(url)

    return open_store


def remote_path(url, artifact, name):
    digits = artifact.key.removeprefix("sha256:")
    return f"{url.removeprefix('memory:/')}/{artifact.kind}/{digits[:2]}/{digits}/{name}"


def test_what_one_machine_made_another_finds(machine):
    body = Counting()
    artifact = machine("one").put("policy", KEY, body)
    other = machine("two")
    assert other.find("policy", KEY) == artifact
    assert other.put("policy", KEY, body) == artifact
    assert body.calls == 1
    assert (other.path(artifact) / "adapter/model.safetensors").read_bytes() == b"weights"
    other.verify(artifact)


def test_a_reference_alone_brings_the_files(machine):
    artifact = machine("one").put("policy", KEY, Counting())
    assert (machine("three").path(artifact) / "config.json").exists()


def test_an_upload_without_its_record_is_absent(machine, url):
    artifact = machine("one").put("policy", KEY, Counting())
    fsspec.filesystem("memory").rm(remote_path(url, artifact, "artifact.json"))
    assert machine("two").find("policy", KEY) is None
    with pytest.raises(ArtifactError, match="not in the store"):
        machine("two").path(artifact)
    machine("one").put("policy", KEY, Counting())  # still complete here: only uploaded again
    assert machine("two").find("policy", KEY) == artifact


def test_a_damaged_upload_is_not_used_but_replaced(machine, url):
    artifact = machine("one").put("policy", KEY, Counting())
    place = remote_path(url, artifact, "adapter/model.safetensors")
    fsspec.filesystem("memory").pipe(place, b"wEights")
    assert machine("two").find("policy", KEY) is None
    body = Counting()
    machine("two").put("policy", KEY, body)
    assert body.calls == 1
    assert machine("three").find("policy", KEY) is not None


def test_a_file_url_is_the_folder_itself(tmp_path):
    store = Store(f"file://{tmp_path}")
    store.put("policy", KEY, Counting())
    assert Store(tmp_path).find("policy", KEY) is not None


@pytest.mark.parametrize("url", ["", "nosuch://bucket/x"])
def test_a_url_that_cannot_be_opened_is_an_input_error(url):
    with pytest.raises(InputError, match="store"):
        Store(url)
