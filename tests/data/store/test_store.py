import json
import time
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ArtifactError, InputError
from data.schemas import SCORES
from data.store.artifacts import Artifact
from data.store.digests import canonical_json, digest_of, tree_digest
from data.store.store import Store
from data.tables import write_table

KEY = {"stage": "score", "version": 1, "temperature": 0.7}
TABLE = pa.table({"completion_id": ["a"], "prompt_id": ["p"], "reward": [1.5]}, schema=SCORES)


class Counting:
    """A stage body that writes a table and one more file, and counts its calls."""

    def __init__(self, text="weights"):
        self.calls = 0
        self.text = text

    def __call__(self, out: Path) -> dict:
        self.calls += 1
        write_table(out / "data.parquet", TABLE, SCORES)
        (out / "sub").mkdir()
        (out / "sub" / "extra.txt").write_text(self.text)
        return {"rows": 1, "losses": [0.5, 0.25]}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def leftovers(store):
    return list((store.root / "tmp").iterdir())


def test_a_result_is_computed_once_and_found_again(store):
    body = Counting()
    artifact = store.put("scores", KEY, body)
    assert store.put("scores", dict(reversed(KEY.items())), body) == artifact
    assert Store(store.root).find("scores", KEY) == artifact
    assert body.calls == 1
    assert (artifact.rows, artifact.meta) == (1, {"rows": 1, "losses": [0.5, 0.25]})
    assert store.table(artifact).equals(TABLE)
    assert (store.path(artifact) / "sub/extra.txt").read_text() == "weights"
    assert leftovers(store) == []
    store.verify(artifact)


def test_another_key_or_kind_is_another_result(store):
    store.put("scores", KEY, Counting())
    assert store.find("scores", {**KEY, "temperature": 0.8}) is None
    assert store.find("teacher-scores", KEY) is None


def test_a_reference_survives_json(store):
    artifact = store.put("scores", KEY, Counting())
    assert Artifact.model_validate_json(artifact.model_dump_json()) == artifact
    assert str(store.root) not in artifact.model_dump_json()


def test_equal_content_has_one_digest_in_two_stores_and_as_a_folder(tmp_path, store):
    other = Store(tmp_path / "other")
    one = store.put("scores", KEY, Counting())
    two = other.put("scores", {**KEY, "seed": 2}, Counting())
    assert one.digest == two.digest == tree_digest(store.path(one))
    assert one.key != two.key


NAMES = st.from_regex(r"[a-z]{1,4}(/[a-z]{1,4})?", fullmatch=True)


@settings(max_examples=30)  # each syncs its files to disk
@given(
    files=st.dictionaries(NAMES, st.binary(), min_size=1),
    key=st.dictionaries(st.text("ab.é"), st.none() | st.integers(0, 9) | st.text("xy")),
)
def test_round_trip(tmp_path_factory, files, key):
    files = {f"{i}/{name}": data for i, (name, data) in enumerate(files.items())}
    store = Store(tmp_path_factory.mktemp("store"))

    def body(out):
        for name, data in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(data)
        return {}

    artifact = store.put("thing", key, body)
    assert store.find("thing", key) == artifact
    store.verify(artifact)
    assert store.record(artifact).key == key
    folder = store.path(artifact)
    assert {name: (folder / name).read_bytes() for name in files} == files


def test_a_body_that_fails_leaves_nothing(store):
    def body(out):
        (out / "half").write_text("x")
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        store.put("scores", KEY, body)
    assert store.find("scores", KEY) is None
    assert leftovers(store) == []


def write(name, data=b"x"):
    def body(out):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(data)
        return {}

    return body


def link(out):
    (out / "a").write_text("x")
    (out / "b").symlink_to(out / "a")
    return {}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lambda out: {}, "wrote no file"),
        (write("artifact.json"), "reserved for the store"),
        (write("training_args.bin"), "pickled files are not stored"),
        (write("sub/optimizer.pt"), "pickled files are not stored"),
        (link, "b: is a link"),
        (write("data.parquet"), "data.parquet is not Parquet"),
        (lambda out: write_table(out / "data.parquet", *wrong_table()), "column 'reward'"),
    ],
)
def test_what_cannot_be_kept_is_refused(store, body, words):
    with pytest.raises(ArtifactError, match=words):
        store.put("scores", KEY, body)
    assert store.find("scores", KEY) is None


def wrong_table():
    table = TABLE.drop_columns("reward")
    return table, table.schema


@pytest.mark.parametrize("meta", [{"loss": float("nan")}, {"path": Path("x")}, {1: 2}])
def test_meta_must_be_json(store, meta):
    with pytest.raises(InputError, match="value"):
        store.put("scores", KEY, lambda out: write("a")(out) or meta)


@pytest.mark.parametrize("kind", ["", "Scores", "../a", "a/b", "a.b", "tmp", "-a", "a\n", "1a"])
def test_a_kind_is_a_plain_name(store, kind):
    with pytest.raises(InputError, match="kind"):
        store.find(kind, KEY)


def edit_record(folder, change, seal=True):
    """Change the record, with a checksum that fits: only a check of its own can tell."""
    path = folder / "artifact.json"
    record = json.loads(path.read_text())
    checksum = record.pop("checksum")
    change(record)
    path.write_text(json.dumps(record | {"checksum": digest_of(record) if seal else checksum}))


def traversal(record):
    record["files"]["../../../x"] = record["files"]["data.parquet"]


DAMAGE = {
    "table truncated": lambda f: (f / "data.parquet").write_bytes(b"PAR1"),
    "table deleted": lambda f: (f / "data.parquet").unlink(),
    "file lengthened": lambda f: (f / "sub/extra.txt").write_text("weights and more"),
    "record deleted": lambda f: (f / "artifact.json").unlink(),
    "record truncated": lambda f: (f / "artifact.json").write_text('{"artifact": {'),
    "record emptied": lambda f: (f / "artifact.json").write_bytes(b""),
    "record not text": lambda f: (f / "artifact.json").write_bytes(b"\xff\xfe"),
    "metadata edited": lambda f: edit_record(
        f, lambda r: r["artifact"]["meta"].update(rows=2), seal=False
    ),
    "rows edited": lambda f: edit_record(f, lambda r: r["artifact"].update(rows=2), seal=False),
    "bit of a file flipped": lambda f: (f / "sub/extra.txt").write_text("wEights"),
    "key edited": lambda f: edit_record(f, lambda r: r["key"].update(temperature=0.8)),
    "kind edited": lambda f: edit_record(f, lambda r: r["artifact"].update(kind="completions")),
    "digest edited": lambda f: edit_record(
        f, lambda r: r["artifact"].update(digest="sha256:" + "0" * 64)
    ),
    "file left out": lambda f: edit_record(f, lambda r: r["files"].pop("data.parquet")),
    "file outside": lambda f: edit_record(f, traversal),
    "file linked": lambda f: (
        (f / "sub/extra.txt").rename(f.parent / "x"),
        (f / "sub/extra.txt").symlink_to(f.parent / "x"),
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_artifact_is_absent_and_computed_again(store, damage):
    body = Counting()
    artifact = store.put("scores", KEY, body)
    damage(store.path(artifact))
    assert store.find("scores", KEY) is None
    with pytest.raises(ArtifactError) as error:
        store.path(artifact)
    assert "run its stage again" in str(error.value)
    assert "\n" not in str(error.value)
    again = store.put("scores", KEY, body)
    assert (body.calls, again.digest) == (2, artifact.digest)
    store.verify(again)
    assert leftovers(store) == []


def test_a_plain_file_in_an_artifacts_place_is_replaced(store):
    artifact = store.put("scores", KEY, Counting())
    place = store.path(artifact)
    place.rename(store.root / "moved")
    place.write_text("in the way")
    store.verify(store.put("scores", KEY, Counting()))


def test_a_flipped_bit_anywhere_in_the_record_is_damage(store):
    """Stages read numbers such as the gate's verdict from the metadata in it."""
    record = store.path(store.put("scores", KEY, Counting())) / "artifact.json"
    written = record.read_bytes()
    for place in range(len(written)):
        record.write_bytes(flipped(written, place))
        assert store.find("scores", KEY) is None, written[place - 20 : place + 20]
    record.write_bytes(written)
    assert store.find("scores", KEY)


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_a_record_from_before_there_was_a_checksum_is_still_good(store):
    artifact = store.put("scores", KEY, Counting())
    path = store.path(artifact) / "artifact.json"
    old = json.loads(path.read_text()) | {"format": 1}
    del old["checksum"]
    path.write_bytes(canonical_json(old))
    assert store.find("scores", KEY) == artifact
    assert store.record(artifact).dump() == path.read_bytes()


def test_bytes_are_read_once_per_process(store, monkeypatch):
    artifact = store.put("scores", KEY, Counting())
    now = time.time_ns()
    monkeypatch.setattr("data.store.digests.time.time_ns", lambda: now + 10**10)  # seconds later
    store.find("scores", KEY)

    def read(*_):
        raise AssertionError("read again")

    monkeypatch.setattr("hashlib.file_digest", read)
    assert store.find("scores", KEY) == artifact and store.path(artifact)
    with pytest.raises(AssertionError, match="read again"):
        store.verify(artifact)


def test_a_foreign_file_is_named_and_neither_used_nor_deleted(store):
    artifact = store.put("scores", KEY, Counting())
    foreign = store.path(artifact) / "adapter_config.json"
    foreign.write_text("{}")
    for use in (store.path, store.verify, lambda a: store.put(a.kind, KEY, Counting())):
        with pytest.raises(InputError, match="adapter_config.json: not part of .* move it away"):
            use(artifact)
    foreign.rename(foreign.with_name(".DS_Store"))  # what no library reads is no matter
    store.verify(artifact)


def test_a_reference_to_an_earlier_result_of_the_same_key_is_refused(store):
    old = store.put("scores", KEY, Counting("old"))
    (store.path(old) / "data.parquet").unlink()
    new = store.put("scores", KEY, Counting("new"))
    assert new.digest != old.digest
    with pytest.raises(ArtifactError, match="computed again with another result"):
        store.path(old)
