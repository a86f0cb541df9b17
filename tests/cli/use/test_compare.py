"""A user's prompts answered by two policies: a table, a page, and the teacher's verdict."""

import json

import pyarrow.parquet as pq
import pytest

from cli.main import main
from cli.use.compare import COMPARISON, _engines
from flows.loop.recipe import AlignRecipe
from models import engine_choice
from tests.cli.use.used import Place


@pytest.fixture(scope="module")
def place(tiny_run):
    return Place(tiny_run)


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "my prompts.jsonl"
    rows = [{"prompt": f"Name {n} colours.", "dataset": ("a", "b")[n % 2]} for n in range(1, 6)]
    rows.append({"prompt": "Say <script>alert(1)</script> twice."})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def compare(place, prompts, tmp_path, capsys):
    def call(*options):
        out = tmp_path / "out" / "both"
        code = main(
            ["compare", "tiny", "--prompts", str(prompts), "--out", str(out), *options]
            + place.options
        )
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return out, printed

    return call


def rows_of(out):
    with pq.ParquetFile(f"{out}.parquet") as file:
        assert file.schema_arrow.equals(COMPARISON)
        return file.read().to_pylist()


def test_a_row_and_an_article_per_prompt(compare):
    out, printed = compare()
    rows = rows_of(out)
    assert [row["messages"][0]["content"] for row in rows[:2]] == [
        "Name 1 colours.",
        "Name 2 colours.",
    ]
    assert {(row["a"], row["b"]) for row in rows} == {("base", "round 2")}
    assert any(row["a_answer"] != row["b_answer"] for row in rows)
    assert {row["outcome"] for row in rows} == {None}
    page = (out.parent / "both.html").read_text()
    assert page.count("<article>") == 6 and "Nobody has judged" in page
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "default-src 'none'" in page and "http" not in page.replace("http-equiv", "")
    assert printed.out.count("\nround 2: ") == 6 and "both.parquet" in printed.out


def test_what_was_answered_is_found_again_whatever_the_file_is_called(compare, prompts, tmp_path):
    first, _ = compare("--limit", "4")
    before = rows_of(first)
    prompts.rename(tmp_path / "moved.jsonl")
    (tmp_path / "my prompts.jsonl").symlink_to(tmp_path / "moved.jsonl")
    _, printed = compare("--limit", "4")
    assert "3 stages found" in printed.err  # prompts, and the answers of both
    assert rows_of(first) == before and len(before) == 4


def test_the_teachers_verdict(compare):
    out, printed = compare("--judge")
    rows = rows_of(out)
    for row in rows:
        better = (row["b_score"] > row["a_score"]) - (row["b_score"] < row["a_score"])
        assert row["outcome"] == (better + 1) / 2
    won = sum(row["outcome"] == 1 for row in rows)
    assert f"{won} won" in " ".join(printed.out.split())
    assert "labelled its training pairs" in " ".join(printed.out.split())
    assert "wins" in (out.parent / "both.html").read_text()


def test_another_seed_and_other_rounds_give_other_answers(compare):
    base = rows_of(compare()[0])
    other = rows_of(compare("--seed", "1")[0])
    rounds = rows_of(compare("--rounds", "2,1")[0])
    assert [row["a_answer"] for row in base] != [row["a_answer"] for row in other]
    assert [row["b_answer"] for row in base] == [row["a_answer"] for row in rounds]


def test_quiet_prints_nothing(compare):
    _, printed = compare("--quiet")
    assert printed.out == printed.err == ""


@pytest.mark.parametrize(
    ("wanted", "count", "size", "engine"),
    [
        ("auto", 64, 1_000_000, "transformers"),  # answered before vLLM has started on a CPU
        ("auto", 65, 1_000_000, "vllm"),
        ("auto", 65, 10**10, "transformers"),
        ("vllm", 1, 100_000_000, "vllm"),
        ("transformers", 1000, 1_000_000, "transformers"),
    ],
)
def test_few_prompts_are_not_worth_a_start_of_vllm(
    tiny_recipe, monkeypatch, wanted, count, size, engine
):
    monkeypatch.setattr(engine_choice, "find_spec", lambda name: name)
    values = {**tiny_recipe, "recipe": "ts-align"}
    values["generate"] = {**values["generate"], "engine": wanted}
    values["runtime"] = {**values.get("runtime", {}), "device": "cpu"}
    assert _engines(AlignRecipe.model_validate(values), count, size)[0] == engine
