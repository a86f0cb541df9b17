"""The store on an S3-compatible server, moto's, started here on loopback."""

import fsspec
import pytest

from data.errors import ArtifactError, InputError
from data.store.store import Store

moto = pytest.importorskip("moto.server", reason="needs moto[s3], flask and flask-cors")
boto3 = pytest.importorskip("boto3")

KEY = {"stage": "train", "seed": 0}


def body(out):
    (out / "adapter").mkdir()
    (out / "adapter" / "model.safetensors").write_bytes(b"weights" * 1000)
    (out / "config.json").write_text("{}")
    return {"rows": 1}


@pytest.fixture(scope="module")
def server():
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server, monkeypatch, tmp_path):
    """A fresh bucket, and the environment of someone who uses it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sentinel-of-the-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fsspec.filesystem("s3").clear_instance_cache()  # s3fs keeps connections to earlier servers
    name = "tsalign-" + tmp_path.name.replace("_", "-").lower()[-40:]
    boto3.client("s3").create_bucket(Bucket=name)
    yield name
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.fixture
def machine(bucket, monkeypatch, tmp_path):
    """Open the bucket's store as a machine of that name would, each with a cache of its own."""

    def open_store(name):
        monkeypatch.setenv("TSALIGN_CACHE", str(tmp_path / name))
        fsspec.filesystem("s3").invalidate_cache()  # another machine has listed nothing
        return Store(f"s3://{bucket}/team/store")

    return open_store


def uploaded(bucket):
    pages = boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    return {page["Key"]: page["ETag"] for page in pages}


def test_what_one_machine_made_another_finds(machine, bucket):
    artifact = machine("one").put("policy", KEY, body)
    names = {key.rpartition("/")[2] for key in uploaded(bucket)}
    assert names == {"artifact.json", "model.safetensors", "config.json"}
    other = machine("two")
    assert other.find("policy", KEY) == artifact
    path = other.path(artifact) / "adapter" / "model.safetensors"
    assert path.read_bytes() == b"weights" * 1000
    other.verify(artifact)


def test_a_store_is_checked_by_writing_to_it(machine, bucket):
    machine("one").check_remote()
    assert set(uploaded(bucket)) == {"team/store/tsalign-store"}


def test_a_damaged_or_unfinished_upload_is_computed_again(machine, bucket):
    artifact = machine("one").put("policy", KEY, body)
    weights = next(key for key in uploaded(bucket) if key.endswith("safetensors"))
    boto3.client("s3").put_object(Bucket=bucket, Key=weights, Body=b"w" * 7000)
    assert machine("two").find("policy", KEY) is None
    assert machine("two").put("policy", KEY, body).digest == artifact.digest
    assert machine("three").find("policy", KEY) is not None
    record = next(key for key in uploaded(bucket) if key.endswith("artifact.json"))
    boto3.client("s3").delete_object(Bucket=bucket, Key=record)
    assert machine("four").find("policy", KEY) is None
    with pytest.raises(ArtifactError, match="not in the store"):
        machine("five").path(artifact)


def test_two_runs_upload_once(machine, bucket):
    machine("one").put("policy", KEY, body)
    before = uploaded(bucket)
    machine("one").put("policy", KEY, body)
    assert uploaded(bucket) == before


def test_a_missing_bucket_is_an_input_error(machine):
    with pytest.raises(InputError, match=r"store 's3://no-such-bucket/a': no such bucket"):
        Store("s3://no-such-bucket/a").check_remote()


def test_a_server_that_does_not_answer_is_an_input_error(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(InputError, match="cannot be used .* then run again") as caught:
        Store(f"s3://{bucket}/a").check_remote()
    assert "\n" not in str(caught.value) and "sentinel" not in str(caught.value)
    with pytest.raises(InputError):  # not: computed again
        Store(f"s3://{bucket}/a").find("policy", KEY)
