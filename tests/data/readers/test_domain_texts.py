"""Texts of several domains: read, parted, and with noise beside them."""

import json
from collections import Counter

import pytest

from data.errors import InputError
from data.readers.prompts import content_of
from data.readers.texts import check_known, domains_of, parted, read_texts, with_noise
from data.recipes.domains import NOISE, TextColumns


def written(folder, rows):
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows(**numbers):
    return [
        {"prompt": f"{name} number {i}?", "completion": f"It is {name} {i}.", "dataset": name}
        for name, number in numbers.items()
        for i in range(number)
    ]


@pytest.fixture
def table(tmp_path):
    return read_texts(written(tmp_path, rows(a=10, b=7)), TextColumns()).table


def test_rows_become_texts_each_once_in_its_domain(tmp_path):
    given = rows(a=3, b=2)
    other = given[0] | {"dataset": "b"}
    found = read_texts(written(tmp_path, [*given, given[0], other]), TextColumns())
    assert found.counts == {"read": 7, "kept": 6, "duplicate": 1}
    assert Counter(found.table["dataset"].to_pylist()) == {"a": 3, "b": 3}
    assert len(set(found.table["completion_id"].to_pylist())) == 6
    assert len(found.places) == 6 and found.places[1].endswith("line 2")


def test_columns_may_have_other_names(tmp_path):
    given = [{"q": "Why?", "a": "So.", "field": name} for name in ("x", "y")]
    columns = TextColumns(prompt="q", completion="a", dataset="field")
    assert domains_of(read_texts(written(tmp_path, given), columns).table) == ["x", "y"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"completion": " "}, r"texts\.jsonl line 1: completion is empty"),
        (
            {"completion": None},
            r"texts\.jsonl line 1: has no 'completion'; .*texts\.columns\.compl",
        ),
        ({"completion": 3}, r"texts\.jsonl line 1: completion must be text"),
        ({"dataset": None}, r"texts\.jsonl line 1: has no 'dataset'; .*texts\.columns\.dataset"),
        ({"prompt": None}, r"texts\.jsonl line 1: prompt must be text or a list of messages"),
    ],
)
def test_a_row_that_is_no_text_is_refused_with_its_line(tmp_path, change, said):
    given = rows(a=2, b=2)
    given[0] |= change
    with pytest.raises(InputError, match=said):
        read_texts(written(tmp_path, given), TextColumns())


def test_one_domain_is_no_mixture(tmp_path):
    with pytest.raises(InputError, match="has one domain, 'a', and a mixture takes two"):
        read_texts(written(tmp_path, rows(a=5)), TextColumns())


def test_parts_are_disjoint_and_of_every_domain_so_many(table):
    parts = parted(table, dev_size=2, test_size=3, seed=0)
    counted = {name: Counter(one["dataset"].to_pylist()) for name, one in parts.items()}
    assert counted == {
        "pool": {"a": 5, "b": 2}, "dev": {"a": 2, "b": 2}, "test": {"a": 3, "b": 3},
    }  # fmt: skip
    ids = [name for one in parts.values() for name in one["prompt_id"].to_pylist()]
    assert len(set(ids)) == len(ids) == 17
    again = parted(table, dev_size=2, test_size=3, seed=0)
    assert all(parts[name].equals(again[name]) for name in parts)
    assert not parts["test"].equals(parted(table, 2, 3, seed=1)["test"])


def test_a_prompt_with_several_answers_is_in_one_part_alone(tmp_path):
    given = [one | {"completion": f"Answer {n}"} for one in rows(a=6, b=6) for n in range(3)]
    table = read_texts(written(tmp_path, given), TextColumns()).table
    parts = parted(table, dev_size=4, test_size=4, seed=0)
    for domain in "ab":
        prompts = [
            {content_of(row["messages"]) for row in one.to_pylist() if row["dataset"] == domain}
            for one in parts.values()
        ]
        assert sum(map(len, prompts)) == len(set().union(*prompts))


def test_a_domain_without_a_text_to_learn_is_refused(table):
    with pytest.raises(InputError, match="the domain 'b' has 7 texts, of which none is left"):
        parted(table, dev_size=4, test_size=3, seed=0)


def test_an_unknown_domain_is_refused_with_those_there_are(table):
    check_known(("a",), domains_of(table), "warm_up.datasets")
    with pytest.raises(InputError, match=r"no text is of the domain 'c'; there are 'a', 'b'"):
        check_known(("a", "c"), domains_of(table), "warm_up.datasets")


def test_noise_is_the_words_of_all_in_random_order(table):
    found = with_noise(table, seed=3)
    noise = [row for row in found.to_pylist() if row["dataset"] == NOISE]
    assert len(noise) == round(17 / 2) and found.slice(0, 17).equals(table)
    words = {word for row in table.to_pylist() for word in row["completion"].split()}
    said = [row["completion"].split() for row in noise]
    assert {word for one in said for word in one} <= words
    assert all(len(one) == 4 for one in said)  # words, as every answer has
    assert not {row["completion"] for row in noise} & set(table["completion"].to_pylist())
    assert found.equals(with_noise(table, seed=3)) and not found.equals(with_noise(table, seed=4))
    with pytest.raises(InputError, match="there is a domain 'noise' already"):
        with_noise(found, seed=3)
