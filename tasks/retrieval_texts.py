"""Texts for encoders, read from a recipe's files: to learn from, to search in, to compare."""

from data.readers.retrieval import (
    read_corpus,
    read_pairs,
    read_queries,
    read_relevance,
    read_texts,
)
from data.schemas import RELEVANCE, TEXT_PAIRS, TEXTS
from tasks.running.outside import External
from tasks.stage import Context, Rows, stage


@stage(TEXTS, version="1")
def import_segments(ctx: Context, *, files: list[External], columns: list[str]) -> Rows:
    """In: files of texts, each with the column that holds them. Out: TEXTS, each text once."""
    named = zip(files, columns, strict=True)
    return Rows(*read_texts((file.path, column, file.name) for file, column in named))


@stage(TEXTS, version="1")
def import_corpus(ctx: Context, *, collection: External) -> Rows:
    """In: a folder as BEIR has them. Out: TEXTS, its documents."""
    table = read_corpus(collection.path, collection.name)
    return Rows(table, {"documents": len(table)})


@stage(TEXTS, version="1")
def import_queries(ctx: Context, *, collection: External) -> Rows:
    """In: as `import_corpus`. Out: TEXTS, its queries that have something to find."""
    table = read_queries(collection.path, collection.name)
    return Rows(table, {"queries": len(table)})


@stage(RELEVANCE, version="1")
def import_relevance(ctx: Context, *, collection: External) -> Rows:
    """In: as `import_corpus`. Out: RELEVANCE of those queries."""
    table = read_relevance(collection.path)
    return Rows(table, {"judgments": len(table)})


@stage(TEXT_PAIRS, version="1")
def import_pairs(ctx: Context, *, file: External) -> Rows:
    """In: a file of pairs with scores. Out: TEXT_PAIRS."""
    table, texts = read_pairs(file.path)
    return Rows(table, {"pairs": len(table), "different_texts": len(texts)})


@stage(TEXTS, version="1")
def import_paired_texts(ctx: Context, *, file: External) -> Rows:
    """In: a file of pairs with scores. Out: TEXTS, those that they are of."""
    table = read_pairs(file.path)[1]
    return Rows(table, {"different_texts": len(table)})
