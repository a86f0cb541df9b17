"""Retrieval with vectors and how good it is, in numpy: cuts, quantised documents, nDCG.

nDCG is trec_eval's `ndcg_cut`: gains are the judged relevance itself, a document that is not judged
has none, the discount is log2 of the rank plus one, the ideal is that of all judged documents
(Jarvelin and Kekalainen 2002). Documents of equal score stand by their ids, the last first.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Vectors = npt.NDArray[np.float32]
_LEVELS = 255  # steps between the lowest and the highest value of a dimension, in eight bits
_AT_A_TIME = 256  # queries whose scores are in memory at once


def matrix(column: pa.ChunkedArray) -> Vectors:
    """The column `vector` of VECTORS, (n, d)."""
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    values = np.concatenate([np.zeros(0, np.float32), *flat])
    shape = (len(column), -1) if len(column) else (0, 0)
    return np.asarray(values.reshape(shape), np.float32)


def cut(vectors: Vectors, dimensions: int) -> Vectors:
    """The first `dimensions` of every row, (n, dimensions), at length 1 again."""
    first = vectors[:, :dimensions]
    lengths = np.linalg.norm(first, axis=1, keepdims=True)
    return np.asarray(first / np.where(lengths == 0, 1, lengths), np.float32)


def kept(documents: Vectors, precision: str) -> Vectors:
    """Documents' vectors as an index holds them, read back as float32, (n, d).

    "int8" has 256 levels between the least and the greatest value that the documents have in a
    dimension (as sentence-transformers' `quantize_embeddings` without a calibration set); "binary"
    has the signs alone, read back as 1 and -1.
    """
    if precision == "binary":
        return np.where(documents > 0, np.float32(1), np.float32(-1))
    if precision == "float32":
        return documents
    low, high = documents.min(axis=0), documents.max(axis=0)
    steps = np.where(high == low, 1, (high - low) / _LEVELS).astype(np.float32)
    levels = np.clip(np.floor((documents - low) / steps), 0, _LEVELS)
    return np.asarray(levels * steps + low, np.float32)


def best(queries: Vectors, documents: Vectors, ids: Sequence[str], k: int) -> list[list[str]]:
    """Of every query the ids of the `k` documents of the highest inner product, best first."""
    last_first = np.argsort(np.asarray(ids, dtype=object))[::-1]
    ordered, names = documents[last_first], [ids[place] for place in last_first]
    found = []
    for start in range(0, len(queries), _AT_A_TIME):
        scores = queries[start : start + _AT_A_TIME] @ ordered.T
        for row in np.argsort(-scores, axis=1, kind="stable")[:, :k]:
            found.append([names[place] for place in row])
    return found


def ndcg(ranked: Sequence[str], relevance: Mapping[str, int], k: int) -> float:
    """nDCG@k of one query, 0 to 1; `relevance` holds its judged documents, one of them above 0."""
    gains = [max(relevance.get(name, 0), 0) for name in ranked[:k]]
    ideal = sorted((gain for gain in relevance.values() if gain > 0), reverse=True)[:k]
    return _discounted(gains) / _discounted(ideal)


def _discounted(gains: Sequence[int]) -> float:
    return float(np.sum(np.asarray(gains) / np.log2(np.arange(2, len(gains) + 2))))


def spearman(left: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """Rank correlation (Spearman 1904), equal values at the mean of their ranks.

    Raises ValueError where one side has a single value, for which there is none.
    """
    a, b = _ranks(np.asarray(left, float)), _ranks(np.asarray(right, float))
    if not (a.std() and b.std()):
        raise ValueError("spearman: all values of one side are equal")
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[places])


def spearman_interval(correlation: float, n: int) -> tuple[float, float]:
    """95 % interval of a rank correlation of `n` pairs, by Fisher's z with the variance of Bonett
    and Wright (2000): (1 + r^2 / 2) / (n - 3). All that is possible for n below 4."""
    if n < 4:
        return -1.0, 1.0
    half = 1.959963984540054 * np.sqrt((1 + correlation**2 / 2) / (n - 3))
    middle = np.arctanh(np.clip(correlation, -0.999999, 0.999999))
    return float(np.tanh(middle - half)), float(np.tanh(middle + half))


def share_kept(
    own: Sequence[npt.NDArray[np.float64]],
    reference: Sequence[npt.NDArray[np.float64]],
    samples: int,
    seed: int = 0,
) -> tuple[float, tuple[float, float]]:
    """Mean over collections of mean(own) / mean(reference), with a 95 % percentile interval.

    Args:
        own: nDCG by query, an array for each collection.
        reference: Of the same queries in the same order.
        samples: Bootstrap resamples of the queries, within each collection and for both alike.

    Raises ValueError where the reference finds nothing in a collection.
    """
    if not all(one.sum() for one in reference):
        raise ValueError("share_kept: the reference finds nothing at all in a collection")
    rng, drawn = np.random.default_rng(seed), []
    for mine, its in zip(own, reference, strict=True):
        times = rng.multinomial(len(its), np.full(len(its), 1 / len(its)), size=samples)
        below = times @ its
        drawn.append((times @ mine) / np.where(below == 0, np.nan, below))
    ratios = [float(a.mean() / b.mean()) for a, b in zip(own, reference, strict=True)]
    low, high = np.nanpercentile(np.mean(drawn, axis=0), [2.5, 97.5])
    return float(np.mean(ratios)), (float(low), float(high))
