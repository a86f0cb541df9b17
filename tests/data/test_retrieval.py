"""nDCG, cuts, quantised documents and rank correlation: closed forms, and other libraries."""

import math

import numpy as np
import pytest

from data.retrieval import best, cut, kept, ndcg, share_kept, spearman, spearman_interval


def unit(n, d, seed):
    drawn = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_ndcg_by_hand():
    relevance = {"a": 3, "b": 1, "c": 0, "d": -1}
    assert ndcg(["a", "b"], relevance, 10) == 1.0
    swapped = (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))
    assert ndcg(["b", "a", "x"], relevance, 10) == pytest.approx(swapped)
    assert ndcg(["x", "a"], relevance, 1) == 0.0
    assert ndcg(["d", "c"], relevance, 10) == 0.0


def test_the_ideal_is_that_of_as_many_documents():
    """Three relevant documents of which one counts: the best of them."""
    assert ndcg(["b"], {"a": 1, "b": 2, "c": 2}, 1) == 1.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("levels", [1, 3])
def test_ndcg_is_trec_evals(seed, levels):
    """Graded judgments, negative ones too; scores that repeat, so that ids decide."""
    pytrec_eval = pytest.importorskip("pytrec_eval", reason="pytrec_eval-terrier is not installed")
    rng = np.random.default_rng(seed)
    documents = (rng.integers(-1, 2, size=(40, 6))).astype(np.float32)
    queries = (rng.integers(-1, 2, size=(15, 6))).astype(np.float32)
    ids = [f"d{k}" for k in rng.permutation(40)]
    judged = {
        f"q{q}": {
            str(name): int(rng.integers(-1, levels + 1))
            for name in rng.choice(ids, size=12, replace=False)
        }
        | {ids[q]: levels}
        for q in range(15)
    }
    scores = queries @ documents.T
    runs = {f"q{q}": {name: float(scores[q, d]) for d, name in enumerate(ids)} for q in range(15)}
    oracle = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut_10"}).evaluate(runs)
    for q, ranked in enumerate(best(queries, documents, ids, 10)):
        mine = ndcg(ranked, judged[f"q{q}"], 10)
        assert mine == pytest.approx(oracle[f"q{q}"]["ndcg_cut_10"], abs=1e-6)
    assert len({tuple(row) for row in scores}) > 1 and len(np.unique(scores)) < 40


def test_the_best_documents_are_those_of_the_highest_product_in_any_number_of_queries():
    queries, documents = unit(600, 8, seed=1), unit(30, 8, seed=2)
    ids = [str(k) for k in range(30)]
    found = best(queries, documents, ids, 3)
    scores = queries @ documents.T
    for row, names in zip(scores, found, strict=True):
        assert names == [ids[k] for k in np.argsort(-row)[:3]]


def test_a_cut_vector_has_length_1_again_and_one_of_zeros_stays():
    vectors = np.vstack([unit(4, 8, seed=3), np.zeros((1, 8), np.float32)])
    found = cut(vectors, 2)
    assert found.shape == (5, 2) and found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found[:4], axis=1), 1) and not found[4].any()
    assert np.allclose(
        found[:4], vectors[:4, :2] / np.linalg.norm(vectors[:4, :2], axis=1)[:, None]
    )


def test_bytes_are_off_by_less_than_a_step_and_signs_are_signs():
    documents = unit(200, 16, seed=4)
    step = (documents.max(axis=0) - documents.min(axis=0)) / 255
    assert np.all(np.abs(kept(documents, "int8") - documents) <= step * 1.001)
    assert set(np.unique(kept(documents, "binary"))) == {-1.0, 1.0}
    assert np.array_equal(kept(documents, "binary") > 0, documents > 0)
    assert kept(documents, "float32") is documents
    same = np.full((3, 2), 0.5, np.float32)  # no range at all
    assert np.allclose(kept(same, "int8"), same)


def test_spearman_by_hand_and_with_ties():
    assert spearman([1, 2, 3], [10, 20, 21]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # Ranks 1, 2.5, 2.5, 4 against 1 to 4: 1 - 6 sum d^2 / (n (n^2 - 1)) does not hold with ties.
    assert spearman([1, 2, 2, 4], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    with pytest.raises(ValueError, match="equal"):
        spearman([1, 1], [1, 2])


def test_spearman_is_scipys():
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=200), rng.integers(0, 6, size=200)
    assert spearman(left, right) == pytest.approx(stats.spearmanr(left, right).statistic, abs=1e-12)


def test_the_interval_of_a_correlation_is_around_it_and_narrows():
    assert spearman_interval(0.3, 3) == (-1.0, 1.0)
    wide, narrow = (spearman_interval(0.8, n) for n in (20, 2_000))
    assert -1 < wide[0] < narrow[0] < 0.8 < narrow[1] < wide[1] < 1
    # Bonett and Wright (2000): z = atanh(0.8) +- 1.96 sqrt(1.32 / 17)
    assert math.atanh(wide[1]) - math.atanh(0.8) == pytest.approx(
        1.95996 * math.sqrt(1.32 / 17), 1e-5
    )


def test_what_is_kept_is_a_ratio_of_means_paired_by_query():
    reference = [np.array([0.2, 0.4, 0.8]), np.array([0.5, 0.5])]
    value, ends = share_kept([0.9 * one for one in reference], reference, 200)
    assert value == pytest.approx(0.9) and ends == pytest.approx((0.9, 0.9))
    value, (low, high) = share_kept([np.array([0.2, 0.2, 0.2])], [reference[0]], 400)
    assert value == pytest.approx(0.6 / 1.4) and low < value < high
    with pytest.raises(ValueError, match="finds nothing"):
        share_kept([np.ones(2)], [np.zeros(2)], 10)
