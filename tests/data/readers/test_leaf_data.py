"""`benchmarks.leaf_data` on the recorded data sets, their traps included; skipped where absent."""

import pytest

from benchmarks.leaf_data import (
    cranfield,
    grams,
    passages,
    questions,
    stsb,
    to_learn,
    write_all,
    xquad,
)
from data.readers.retrieval import read_corpus, read_pairs, read_queries, read_relevance, read_texts
from tests.repository import ROOT

DATA = ROOT.parent / "shared" / "realdata"
needs_data = pytest.mark.skipif(
    not (DATA / "cranfield").is_dir(), reason="the recorded data sets are not beside this folder"
)


def test_passages_are_of_so_many_words_at_most_and_lose_nothing():
    text = "One two three. Four five? Six seven eight nine ten eleven. Twelve."
    found = list(passages(text, words=5))
    assert found == ["One two three. Four five?", "Six seven eight nine ten", "Twelve."]
    assert list(questions(text + " Is this a question here?")) == ["Is this a question here?"]


@needs_data
def test_cranfield_is_numbered_as_its_judgments_are():
    documents, queries, judged = cranfield(DATA)
    assert len(queries) == 225 and len(documents) == 1_398  # two of 1,400 have no text
    assert not {"471", "995"} & set(documents) and set(queries) == {q for q, *_ in judged}
    # Codes 1, 3 and 5 of the file.
    assert queries["1"].startswith("what similarity laws must be obeyed")
    gains = {(q, d): gain for q, d, gain in judged}
    assert gains["1", "13"] == 4 and gains["1", "184"] == 2 and gains["1", "486"] == 1
    assert len(judged) == 1_837 - 1  # one is of a document without text, 995


@needs_data
def test_xquad_and_stsb_have_as_many_as_they_say():
    documents, queries, judged = xquad(DATA)
    assert (len(documents), len(queries), len(judged)) == (240, 1_190, 1_190)
    assert (len(stsb(DATA, "train")), len(stsb(DATA, "test"))) == (5_749, 1_379)


@needs_data
def test_what_is_tested_is_not_learned():
    documents, queries = to_learn(DATA, apart=True)
    asked = set(xquad(DATA)[1].values()) | set(cranfield(DATA)[1].values())
    assert not asked & set(queries) and len(documents) > 20_000 and len(queries) > 10_000
    abstracts = {part for text in cranfield(DATA)[0].values() for part in passages(text)}
    assert not abstracts & set(documents)
    shared = set().union(*map(grams, abstracts))
    assert not any(grams(one) & shared for one in documents)
    assert abstracts <= set(to_learn(DATA, apart=False)[0])


@needs_data
def test_what_is_written_is_read(tmp_path):
    write_all(DATA, tmp_path, apart=True, limits={"documents": 50, "queries": 30}, seed=1)
    files = [(tmp_path / f"{side}.jsonl", "text", side) for side in ("documents", "queries")]
    assert [len(read_texts([one])[0]) for one in files] == [50, 30]
    for name, documents, queries in (("xquad", 240, 1_190), ("cranfield", 1_398, 225)):
        assert len(read_corpus(tmp_path / name, name)) == documents
        assert len(read_queries(tmp_path / name, name)) == queries
        assert len(read_relevance(tmp_path / name)) >= queries
    assert len(read_pairs(tmp_path / "stsb.csv")[0]) == 1_379
