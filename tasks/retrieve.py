"""Retrieve: what vectors find in a collection, how alike they are, and how they order pairs."""

import json
from typing import Any

import numpy as np

from data.errors import CardinalityError, InputError
from data.retrieval import best, cut, kept, matrix, ndcg, spearman, spearman_interval
from data.schemas import RETRIEVED
from data.store.artifacts import Artifact
from data.tables import index_by
from tasks.stage import Context, Rows, stage

_PARTS = (1, 2, 4, 8)  # of the dimensions, where a recipe names none


@stage(RETRIEVED, version="1")
def retrieve(
    ctx: Context,
    *,
    queries: Artifact,
    documents: Artifact,
    relevance: Artifact,
    k: int,
    dimensions: list[int],
    precisions: list[str],
) -> Rows:
    """In: VECTORS of queries and documents, RELEVANCE. Out: RETRIEVED, nDCG@k of every query by
    inner product, for every cut to the first dimensions and every precision of the documents.

    Vectors that are cut have length 1 again; queries are never quantised. Without `dimensions` all,
    a half, a quarter and an eighth of them.
    """
    asked, found = ctx.table(queries), ctx.table(documents)
    names, ids = asked["text_id"].to_pylist(), found["text_id"].to_pylist()
    left, right = matrix(asked["vector"]), matrix(found["vector"])
    judged: dict[str, dict[str, int]] = {name: {} for name in names}
    for row in ctx.table(relevance).to_pylist():
        judged[row["query_id"]][row["document_id"]] = row["relevance"]
    rows = []
    for size in sizes(left.shape[1], dimensions):
        part = (left, right) if size == left.shape[1] else (cut(left, size), cut(right, size))
        for precision in precisions:
            ranked = best(part[0], kept(part[1], precision), ids, k)
            for name, listed in zip(names, ranked, strict=True):
                rows.append((name, size, precision, ndcg(listed, judged[name], k)))
    columns = ("query_id", "dimensions", "precision", "ndcg")
    return Rows([dict(zip(columns, row, strict=True)) for row in rows], {"queries": len(names)})


def sizes(whole: int, wanted: list[int]) -> list[int]:
    """All dimensions, and those that are wanted of them; the most first.

    Raises InputError for more than there are.
    """
    if wanted and max(wanted) > whole:
        raise InputError(
            f"evaluate.dimensions: {max(wanted)} is more than the {whole} that the vectors have; "
            "name numbers up to that"
        )
    named = wanted or [whole // part for part in _PARTS]
    return sorted({whole, *filter(None, named)}, reverse=True)


@stage("fidelity", version="1")
def fidelity(ctx: Context, *, student: list[Artifact], teacher: list[Artifact]) -> dict[str, Any]:
    """In: VECTORS of the same texts by student and teacher. Out: fidelity.json: the mean cosine of
    the two and the mean squared distance."""
    cosines, errors = list[float](), list[float]()
    for own, wanted in zip(student, teacher, strict=True):
        mine, its = ctx.table(own), ctx.table(wanted)
        if mine["text_id"] != its["text_id"]:
            raise CardinalityError("fidelity: vectors of other texts than these")
        a, b = (matrix(one["vector"]).astype(np.float64) for one in (mine, its))
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosines += ((a * b).sum(axis=1) / np.where(lengths == 0, 1, lengths)).tolist()
        errors += np.square(a - b).sum(axis=1).tolist()
    found = {"cosine": float(np.mean(cosines)), "squared_error": float(np.mean(errors))}
    return _written(ctx, "fidelity", found | {"texts": len(cosines)})


@stage("correlation", version="1")
def correlate(ctx: Context, *, pairs: Artifact, vectors: Artifact) -> dict[str, Any]:
    """In: TEXT_PAIRS, VECTORS of their texts. Out: correlation.json: Spearman's rank correlation of
    the cosine of two texts with the score that people gave, with its interval."""
    table, found = ctx.table(pairs), ctx.table(vectors)
    places, all_of = index_by(found, "text_id"), matrix(found["vector"])
    unit = cut(all_of, all_of.shape[1])
    left, right = (
        unit[[places[name] for name in table[side].to_pylist()]] for side in ("left_id", "right_id")
    )
    cosines = (left.astype(np.float64) * right).sum(axis=1)
    if not np.ptp(cosines):
        raise InputError(
            f"evaluate.similarity: all {len(table)} pairs have the same cosine, so the encoder "
            "gives them no order; name more pairs, or leave the file out"
        )
    found_rank = spearman(cosines, table["score"].to_pylist())
    made = {"spearman": found_rank, "ci95": spearman_interval(found_rank, len(table))}
    return _written(ctx, "correlation", made | {"pairs": len(table)})


def _written(ctx: Context, name: str, found: dict[str, Any]) -> dict[str, Any]:
    (ctx.out / f"{name}.json").write_text(json.dumps(found, sort_keys=True))
    return found
