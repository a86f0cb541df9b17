"""Bits of compounds: packed and back, Tanimoto as RDKit has it, clusters by leaders."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.fingerprints import SetBits, bits, centroids, leaders, nearest, packed, tanimoto
from tests.fixtures.compounds import needs_chem


def some(n, width=128, share=0.2, seed=0):
    rng = np.random.default_rng(seed)
    return np.packbits(rng.random((n, width)) < share, axis=1)


def test_a_column_of_bytes_is_read_back():
    rows = some(5)
    column = pa.chunked_array([[bytes(row) for row in rows]])
    assert np.array_equal(packed(column), rows) and bits(rows).shape == (5, 128)


def test_set_bits_of_rows_one_after_the_other():
    rows = np.packbits([[1, 0, 0, 1] + [0] * 60, [0] * 64, [0, 1] + [0] * 62], axis=1)
    found = SetBits.of(rows)
    numbers, starts = found.take(np.array([2, 0, 1, 0]))
    assert numbers.tolist() == [1, 0, 3, 0, 3] and starts.tolist() == [0, 1, 3, 3]


@given(st.integers(0, 10_000))
def test_tanimoto_is_shared_over_either(seed):
    rows = some(6, seed=seed)
    whole = bits(rows).astype(bool)
    wanted = [(whole[0] & one).sum() / max(1, (whole[0] | one).sum()) for one in whole]
    assert tanimoto(rows[0], rows) == pytest.approx(wanted)


def test_two_without_a_bit_are_alike():
    assert tanimoto(np.zeros(8, np.uint8), np.zeros((1, 8), np.uint8)).tolist() == [1.0]


@needs_chem
def test_tanimoto_as_rdkit_has_it():
    from rdkit import DataStructs

    rows = some(4, share=0.3)
    theirs = [
        DataStructs.CreateFromBitString("".join(map(str, row))) for row in bits(rows).tolist()
    ]
    wanted = DataStructs.BulkTanimotoSimilarity(theirs[0], theirs)
    assert tanimoto(rows[0], rows) == pytest.approx(wanted)


@given(st.integers(0, 10_000), st.sampled_from([0.2, 0.4, 0.6]))
def test_members_are_near_their_leader_and_leaders_are_apart(seed, similarity):
    rows = some(20, seed=seed)
    found = leaders(rows, similarity)
    led = np.unique(found)
    for row, leader in enumerate(found):
        assert row == leader or tanimoto(rows[leader], rows[[row]])[0] > similarity
        assert leader <= row
    for one in led:
        others = led[led != one]
        assert not len(others) or tanimoto(rows[one], rows[others]).max() <= similarity


def test_the_largest_clusters_lead_and_each_row_finds_the_nearest():
    one, other = some(2, share=0.5)
    rows = np.stack([other, one, one, one, other])
    led = centroids(rows, 0.9, 2)
    assert led.tolist() == [1, 0] and centroids(rows, 0.9, 1).tolist() == [1]
    assert nearest(rows, rows[led]).tolist() == [1, 0, 0, 0, 1]
