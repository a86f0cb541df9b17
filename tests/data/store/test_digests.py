import json
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from data.store.digests import canonical_json, digest_of, file_digest, tree_digest

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20
)


def reordered(value):
    """An equal value whose dictionaries were filled in the opposite order, lists as tuples."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return tuple(reordered(item) for item in value) if isinstance(value, list) else value


@given(VALUES)
def test_insertion_order_and_tuples_do_not_matter(value):
    assert canonical_json(reordered(value)) == canonical_json(value)


@given(VALUES)
def test_canonical_json_survives_being_read_back(value):
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text


@given(VALUES, VALUES)
def test_equal_text_means_equal_values(a, b):
    if canonical_json(a) == canonical_json(b):
        assert a == b


@pytest.mark.parametrize(
    ("a", "b"), [(1, 1.0), (True, 1), ("1", 1), (None, "null"), ([], {}), ([["a"]], [["a"], []])]
)
def test_values_of_different_kind_have_different_digests(a, b):
    assert digest_of(a) != digest_of(b)


def test_numpy_floats_and_negative_zero_hash_as_the_number_they_are():
    assert digest_of([np.float64(0.5), -0.0]) == digest_of([0.5, 0.0])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "nan cannot be hashed; pass a finite number"),
        ({"a": [math.inf]}, "value.a[0]: inf cannot be hashed"),
        ({1, 2}, "a set cannot be hashed; pass a sorted list"),
        (b"x", "pass its hex digest"),
        (Path("x"), "pass a digest of what the path holds"),
        (np.int64(1), "for numpy values .item()"),
        ({1: "a"}, "keys must be text, got int"),
        ("\ud800", "lone surrogate"),
        ({"\ud800": 1}, "lone surrogate"),
        (2**64, "more than 64 bits"),
        (object(), "a object cannot be hashed"),
    ],
)
def test_what_has_no_single_representation_is_refused(value, words):
    with pytest.raises(InputError) as error:
        digest_of(value)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_value_that_contains_itself_is_refused():
    value: list = []
    value.append(value)
    with pytest.raises(InputError, match="nested too deeply"):
        digest_of(value)


def test_file_digest_sees_a_change_that_keeps_size_and_time(tmp_path, monkeypatch):
    """As `cp -p` and `rsync -t` write: the time of the file is set back, that of its record not."""
    now = time.time_ns()
    monkeypatch.setattr("data.store.digests.time.time_ns", lambda: now + 10**10)  # seconds later
    path = tmp_path / "weights"
    path.write_bytes(b"aaaa")
    os.utime(path, ns=(10**18, 10**18))
    before = file_digest(path)
    time.sleep(0.02)  # a tick of the file system's clock
    path.write_bytes(b"bbbb")
    os.utime(path, ns=(10**18, 10**18))
    assert file_digest(path) != before


def test_file_digest_of_a_file_just_written_is_never_remembered(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"aaaa")
    stat = path.stat()
    before = file_digest(path)
    path.write_bytes(b"bbbb")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file_digest(path) != before


def test_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        file_digest(tmp_path / "none")


def test_tree_digest_depends_on_names_and_bytes_only(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, names in ((one, ["a", "sub/b"]), (two, ["sub/b", "a"])):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
    assert tree_digest(one) == tree_digest(two)
    (two / ".gitattributes").write_text("download record")
    assert tree_digest(one) == tree_digest(two)
    (two / "a").rename(two / "c")
    assert tree_digest(one) != tree_digest(two)


def test_tree_digest_follows_linked_files_as_in_the_hub_cache(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    (blobs / "1").write_text("weights")
    (snapshot / "model.safetensors").symlink_to(blobs / "1")
    before = tree_digest(snapshot)
    (blobs / "1").write_text("others!")
    assert tree_digest(snapshot) != before


def test_tree_digest_refuses_what_it_cannot_see(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        tree_digest(tmp_path / "none")
    with pytest.raises(InputError, match="holds no files"):
        tree_digest(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="linked folder"):
        tree_digest(tmp_path)
