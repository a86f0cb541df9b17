"""Texts, retrieval collections and scored pairs: what they give, and what is refused."""

import pytest

from data.errors import InputError
from data.readers.retrieval import (
    read_corpus,
    read_pairs,
    read_queries,
    read_relevance,
    read_texts,
)
from tests.fixtures.encoders import save_collection, save_pairs, save_rows


def test_a_text_counts_once_with_its_first_file(tmp_path):
    one = save_rows(tmp_path / "one.jsonl", [{"text": " a b "}, {"text": "c"}, {"text": " "}])
    two = save_rows(tmp_path / "two.jsonl", [{"said": "c"}, {"said": "d"}])
    table, counts = read_texts([(one, "text", "one"), (two, "said", "two")])
    assert table["text"].to_pylist() == ["a b", "c", "d"]
    assert table["dataset"].to_pylist() == ["one", "one", "two"]
    assert len(set(table["text_id"].to_pylist())) == 3
    assert counts == {"rows": 5, "empty": 1, "repeated": 1}


def test_the_name_of_a_text_follows_from_the_text_alone(tmp_path):
    a = save_rows(tmp_path / "a.jsonl", [{"text": "x"}, {"text": "y"}])
    b = save_rows(tmp_path / "b.jsonl", [{"text": "y"}])
    names = read_texts([(a, "text", "a")])[0]["text_id"].to_pylist()
    assert read_texts([(b, "text", "b")])[0]["text_id"].to_pylist() == names[1:]


def test_a_collection_has_documents_queries_with_something_to_find_and_their_judgments(tmp_path):
    folder = save_collection(tmp_path / "topics", documents=24, queries=12)
    (folder / "corpus.jsonl").open("a").write('{"_id": "t", "title": "A title", "text": "text"}\n')
    (folder / "queries.jsonl").open("a").write('{"_id": "lost", "text": "nothing"}\n')
    (folder / "qrels" / "test.tsv").open("a").write("lost\td0\t0\n")
    documents, queries = read_corpus(folder, "topics"), read_queries(folder, "topics")
    assert len(documents) == 25 and documents["text"][24].as_py() == "A title text"
    assert len(queries) == 12 and set(queries["dataset"].to_pylist()) == {"topics"}
    relevance = read_relevance(folder)
    assert set(relevance["query_id"].to_pylist()) == set(queries["text_id"].to_pylist())
    assert set(relevance["relevance"].to_pylist()) <= {1, 2}


def test_pairs_and_their_texts(tmp_path):
    pairs, texts = read_pairs(save_pairs(tmp_path / "alike.jsonl", n=6))
    assert pairs["score"].to_pylist() == [1, 0, 1, 0, 1, 0]
    known = set(texts["text_id"].to_pylist())
    assert {*pairs["left_id"].to_pylist(), *pairs["right_id"].to_pylist()} == known


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("corpus.jsonl", '{"_id": "d0", "text": "again"}', "is there twice"),
        ("corpus.jsonl", '{"_id": 7, "text": "a"}', "'_id' is no text"),
        ("queries.jsonl", '{"_id": "x"}', "'text' is missing"),
        ("qrels/test.tsv", "q0\td0", "by tabs"),
        ("qrels/test.tsv", "q0\td0\thigh", "whole number"),
        ("qrels/test.tsv", "q0\td0\t²", "whole number"),
        ("qrels/test.tsv", "q0\td0\t--1", "whole number"),
        ("qrels/test.tsv", "q0\tnone\t1", "no document 'none'"),
        ("qrels/test.tsv", "none\td0\t1", "no query 'none'"),
    ],
)
def test_a_line_that_is_no_use_is_named(tmp_path, name, line, said):
    folder = save_collection(tmp_path / "topics", documents=12, queries=2)
    (folder / name).open("a").write(line + "\n")
    with pytest.raises(InputError, match=said) as error:
        read_corpus(folder, "")
        read_queries(folder, "")
    assert name in str(error.value) and "line" in str(error.value)


def test_judgments_of_which_none_is_above_0_are_refused(tmp_path):
    folder = save_collection(tmp_path / "topics", documents=12, queries=2)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t0\n")
    with pytest.raises(InputError, match="no judgment is above 0"):
        read_relevance(folder)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"sentence1": "a", "sentence2": "b", "score": "much"}, "'score' holds no number"),
        ({"sentence1": "a", "sentence2": "b"}, "'score' is missing"),
        ({"sentence1": "a", "sentence2": " ", "score": 1}, "a text is empty"),
        ({"sentence1": "a", "score": 1}, "'sentence2' is missing"),
    ],
)
def test_a_pair_that_is_no_use_is_named(tmp_path, row, said):
    path = save_rows(
        tmp_path / "pairs.jsonl", [{"sentence1": "a", "sentence2": "b", "score": 0}, row]
    )
    with pytest.raises(InputError, match=said):
        read_pairs(path)


def test_pairs_of_one_score_are_refused(tmp_path):
    row = {"sentence1": "a", "sentence2": "b", "score": 1}
    with pytest.raises(InputError, match="every pair has the score 1, so they have no order"):
        read_pairs(save_rows(tmp_path / "pairs.jsonl", [row, row]))


def test_a_file_without_a_pair_says_so(tmp_path):
    (tmp_path / "sts.csv").write_text("sentence1,sentence2,score\n")
    with pytest.raises(InputError, match="holds no pair; name a file of rows with sentence1, "):
        read_pairs(tmp_path / "sts.csv")
