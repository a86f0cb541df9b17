"""How good is my teacher: reward models and language models on labelled pairs."""

import json
import math
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.main import main
from cli.use.score_model import ROWS, score_model
from data.recipes.recipe import RuntimeConfig
from models.judges.letters import log_odds
from models.rewards import load_scorer
from tests.fixtures.commands import refused_in_new_process
from tests.repository import SHARED

PANDALM = SHARED / "realdata" / "pandalm"

WORDS = "pear apple fig cherry lemon grape red green blue".split()


def rows(n=12):
    for i in range(n):
        better, worse = " ".join(WORDS[: 1 + i % 5]), " ".join(WORDS[4 : 5 + (i * 3) % 4])
        yield {
            "prompt": f"What is {i}?",
            "chosen": better,
            "rejected": worse,
            "dataset": "ab"[i % 2],
        }


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "my pairs" / "pairs.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def answers(model, items):
    return load_scorer(model, RuntimeConfig(), 256).score(items)


@pytest.mark.parametrize("model", ["bert_reward_dir", "llama_reward_dir"])
def test_accuracy_is_that_of_the_models_own_rewards(model, pairs, request):
    folder = request.getfixturevalue(model)
    seen = []
    found = score_model(str(folder), [pairs], on_progress=lambda *step: seen.append(step))
    items = [
        ([{"role": "user", "content": row["prompt"]}], row[side])
        for row in rows()
        for side in ("chosen", "rejected")
    ]
    rewards = answers(folder, items).reshape(-1, 2)
    expected = float((rewards[:, 0] > rewards[:, 1]).mean())
    assert found.summary["accuracy"]["share"] == pytest.approx(expected)
    assert found.summary["judge"] == "reward model" and found.summary["turned_with_order"] is None
    assert set(found.summary["by_dataset"]) == {"a", "b"}
    assert seen[-1] == (24, 24)
    table = found.table.to_pylist()
    order = [*range(0, 12, 2), *range(1, 12, 2)]  # by data set
    assert [row["margin"] for row in table] == pytest.approx(
        [rewards[i, 0] - rewards[i, 1] for i in order], abs=1e-5
    )
    assert table[0]["place"].endswith("pairs.jsonl line 1") and table[0]["tie"] is False


def test_a_language_model_is_asked_in_both_orders(judge_dir, pairs):
    found = score_model(str(judge_dir), [pairs], limit=2)
    items = [
        ([{"role": "user", "content": row["prompt"]}], row["chosen"], row["rejected"])
        for row in rows(4)
    ]
    odds, _ = log_odds(judge_dir, [items[i] for i in (0, 2, 1, 3)], runtime=RuntimeConfig())
    assert found.summary["judge"] == "language model"
    assert found.summary["pairs"] == 4
    assert found.table["margin"].to_pylist() == pytest.approx(odds.mean(axis=1).tolist(), abs=1e-4)
    assert found.summary["turned_with_order"] == int((odds.prod(axis=1) < 0).sum())
    assert found.table["chosen_reward"].null_count == 4


def test_what_is_too_long_is_counted_and_not_cut(bert_reward_dir, tmp_path):
    path = tmp_path / "long.jsonl"
    lines = [*rows(3), {"prompt": "x", "chosen": "red " * 300, "rejected": "no", "dataset": "a"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = score_model(str(bert_reward_dir), [path])
    assert (found.summary["pairs"], found.summary["unread"]) == (4, 1)
    assert found.summary["accuracy"]["n"] == 3
    (long,) = [row for row in found.table.to_pylist() if "red red" in row["chosen"]]
    assert long["margin"] is None and long["chosen_reward"] is None


def test_the_command_prints_tables_and_sentences_in_80_columns(
    bert_reward_dir, pairs, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "scored" / "pairs.parquet"
    assert main(["score-model", str(bert_reward_dir), str(pairs), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0].endswith(", a reward model")
    assert [line.split()[0] for line in lines[2:6]] == ["data", "a", "b", "all"]
    assert "in the labels' order" in text and "longer" in text and "Calibration error" in text
    assert pq.read_schema(out).names == ROWS.names


def test_json_is_all_the_measures(bert_reward_dir, pairs, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["score-model", str(bert_reward_dir), str(pairs), "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps(score_model(str(bert_reward_dir), [pairs]).summary)) | {
        "model": str(bert_reward_dir)
    }
    assert not any(math.isnan(x) for x in _numbers(found))


def _numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for part in value for number in _numbers(part)]
    return [value] if isinstance(value, float) else []


def test_a_sum_of_rows_over_data_sets(bert_reward_dir, pairs):
    summary = score_model(str(bert_reward_dir), [pairs]).summary
    assert summary["rows"] == {"read": 12, "pairs": 12, "same": 0, "empty": 0, "other": 0}
    shares = [part["accuracy"]["share"] for part in summary["by_dataset"].values()]
    assert summary["mean_over_datasets"] == pytest.approx(float(np.mean(shares)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{model}", "missing.jsonl"], "missing.jsonl"),
        (["./no-model", "{pairs}"], "MODEL: './no-model'"),
        (["{model}", "{pairs}", "--out", "pairs.csv"], "must name a .parquet file"),
        (["{model}", "{pairs}", "--out", "/dev/null/x.parquet"], "cannot be written"),
        (["{model}", "{pairs}", "--max-length", "8"], "every pair is too long"),
        (["{model}"], "missing argument"),
    ],
)
def test_bad_input_is_one_line(refuse, bert_reward_dir, pairs, arguments, message):
    places = {"model": str(bert_reward_dir), "pairs": str(pairs)}
    line = refuse("score-model", *(part.format(**places) for part in arguments))
    assert message in line


def test_a_wrong_file_is_refused_without_loading_torch_or_prefect(bert_reward_dir):
    refused_in_new_process(
        "score-model", str(bert_reward_dir), "missing.jsonl", without={"torch", "prefect"}
    )


VOTED = [  # id, verdict, three votes
    ("a", "1", (1, 1, 2)),  # right
    ("b", "2", (1, 1, 1)),  # wrong
    ("c", "Tie", (0, 0, 1)),  # right, in other words than the label's
    ("d", 0, (0, 0, 0)),  # right
    ("e", "no idea", (0, 0, 2)),  # no verdict
    ("f", "tie", (2, 2, 2)),  # half right
]


@pytest.fixture
def recorded(tmp_path):
    """A file of pairs with votes, and one of verdicts on them in another order."""
    pairs, said = tmp_path / "voted.jsonl", tmp_path / "said.json"
    rows = [
        {
            "idx": id_,
            "instruction": "x",
            "response1": "red",
            "response2": "blue" if id_ != "e" else "",
            **{f"annotator{place}": vote for place, vote in enumerate(votes, start=1)},
        }
        for id_, _, votes in VOTED
    ]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    verdicts = [{"idx": id_, "my_result": verdict} for id_, verdict, _ in VOTED]
    said.write_text(json.dumps(verdicts[::-1] + [{"idx": "of no pair", "my_result": 1}]))
    return said, pairs


def test_a_recorded_judge_is_measured_on_all_it_has_judged(recorded, capsys):
    said, pairs = recorded
    summary = score_model(str(said), [pairs]).summary
    assert (summary["judge"], summary["pairs"], summary["unread"]) == ("recorded judge", 6, 1)
    assert (summary["agreement"]["share"], summary["agreement"]["n"]) == (3 / 6, 6)
    readings = summary["agreement_by_reading"]
    assert readings["as_written"]["share"] == 2 / 6, "'Tie' is not the annotators' 0"
    assert readings["unread_is_tie"]["share"] == 4 / 6
    assert summary["accuracy"] | {"ci95": None} == {"share": 1.5 / 3, "ci95": None, "n": 3}
    assert summary["quantiles"] == [] and summary["calibration_error"] is None
    # First and second annotator: 6 of 6 say the same; with the third each: 3 of 6.
    among = {"share": pytest.approx((6 + 3 + 3) / 18), "annotators": 3, "n": 6}
    assert summary["among_annotators"] == among
    assert main(["score-model", str(said), str(pairs)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "a recorded judge" in text and "on 50.0% of 6 pairs" in text
    assert "two annotators do on 66.7%" in text and "1 without a verdict" in text
    assert "Read otherwise it is 33.3%" in text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"result": 1}, "no id; a verdict has pair_id, id, idx"),
        ({"id": "a"}, "no verdict; name one column"),
        ({"id": "a", "result": 1, "winner": 2}, "more than one verdict"),
        ({"id": "b", "result": 1}, "a second verdict on the pair 'b'"),
    ],
)
def test_a_file_of_no_verdicts_is_one_line(refuse, tmp_path, recorded, row, message):
    path = tmp_path / "wrong.jsonl"
    path.write_text(json.dumps({"id": "b", "result": 2}) + "\n" + json.dumps(row) + "\n")
    line = refuse("score-model", str(path), str(recorded[1]))
    assert f"{path} line 2: " in line and message in line


def test_verdicts_are_found_by_id_alone(refuse, recorded, pairs):
    said, voted = recorded
    assert "no id, by which recorded verdicts are found" in refuse(
        "score-model", str(said), str(pairs)
    )
    assert "two pairs have one id" in refuse("score-model", str(said), str(voted), str(voted))


@pytest.mark.skipif(not PANDALM.is_dir(), reason="the real data is not beside the checkout")
def test_the_recorded_judges_of_pandalm_have_the_figures_that_are_known():
    """Its README's accuracies are 0.7107 and 0.6677: what is no verdict is a tie there."""
    known = {  # verdicts in the annotators' spelling; ours; PandaLM's compute_metrics.py
        "gpt-3.5-turbo": (692, 697, 710),
        "pandalm-7b": (667, 667, 667),
    }
    rounded = {"gpt-3.5-turbo": 0.693, "pandalm-7b": 0.668}
    for judge, figures in known.items():
        verdicts, pairs = PANDALM / f"{judge}-testset-v1.json.gz", PANDALM / "testset-v1.json.gz"
        summary = score_model(str(verdicts), [pairs]).summary
        readings = summary["agreement_by_reading"]
        found = [readings["as_written"], summary["agreement"], readings["unread_is_tie"]]
        assert [entry["share"] * 999 for entry in found] == pytest.approx(figures)
        assert round(readings["as_written"]["share"], 3) == rounded[judge]
        assert round(summary["among_annotators"]["share"], 3) == 0.920
        assert summary["rows"]["pairs"] == 999


MINE = """
def shorter(prompts, completions, wanted=None, **columns):
    texts = [completion[0]["content"] for completion in completions]
    return [None if "fig" in text else -float(len(text)) for text in texts]


def needs(prompts, completions, answer):
    return [float(a in c[0]["content"]) for a, c in zip(answer, completions)]
"""


def test_a_reward_function_is_measured_as_a_reward_model_is(pairs, tmp_path, refuse, capsys):
    (tmp_path / "mine.py").write_text(MINE)
    name = f"{tmp_path}/mine.py:shorter"
    assert "--trust-remote-code" in refuse("score-model", name, str(pairs))
    found = score_model(name, [pairs], trust_remote_code=True)
    assert found.summary["judge"] == "reward function"
    for row in found.table.to_pylist():
        sides = row["chosen"], row["rejected"]
        if any("fig" in side for side in sides):
            assert row["margin"] is None
        else:
            assert row["margin"] == len(sides[1]) - len(sides[0])
    unread = sum(margin is None for margin in found.table["margin"].to_pylist())
    assert found.summary["unread"] == unread > 0
    assert found.summary["counts"]["without:shorter"] > 0
    assert found.summary["quantiles"] == [], "its rewards are no log-odds"
    assert main(["score-model", name, str(pairs), "--trust-remote-code"]) == 0
    assert "without a reward" in capsys.readouterr().out


def test_a_function_reads_the_columns_of_the_pairs(tmp_path, refuse):
    (tmp_path / "mine.py").write_text(MINE)
    name, path = f"{tmp_path}/mine.py:needs", tmp_path / "p.parquet"
    rows = [{"prompt": "2+2?", "chosen": "It is 4.", "rejected": "It is 5.", "answer": "4"}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    summary = score_model(name, [path], trust_remote_code=True).summary
    assert summary["accuracy"]["share"] == 1
    shipped = [{"prompt": "2+2?", "chosen": "#### 4", "rejected": "#### 5", "answer": "#### 4"}]
    pq.write_table(pa.Table.from_pylist(shipped), path)
    assert score_model("exact-answer", [path]).summary["accuracy"]["share"] == 1
    pq.write_table(pa.Table.from_pylist(shipped).drop(["answer"]), path)
    line = refuse("score-model", name, str(path), "--trust-remote-code")
    assert "reads the column 'answer', which no pair has" in line


class Longer(BaseHTTPRequestHandler):
    """A judge that calls the longer answer the better one; where one says fig it rambles."""

    def do_POST(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = content["messages"][0]["content"]
        first, second = re.findall(r"answer [AB] begins\]\n(.*)\n", asked)
        sides = {"A": len(first), "B": len(second), "tie": max(len(first), len(second))}
        better = "tie" if len(first) == len(second) else max(sides, key=sides.get)
        said = "Hm." if "fig" in first + second else f"Well.\nVerdict: {better}"
        choice = {"message": {"content": said}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 10, "completion_tokens": 3}
        body = json.dumps({"choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def longer_judge(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Longer)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("longer_judge")
def test_a_language_model_behind_an_endpoint_writes_its_verdicts(pairs, capsys):
    found = score_model("openai:longer", [pairs])
    table = found.table.to_pylist()
    for row in table:
        sides = [len(row["chosen"]), len(row["rejected"])]
        if "fig" in row["chosen"] + row["rejected"]:
            assert row["margin"] is None
        else:
            assert row["margin"] == np.sign(sides[0] - sides[1])
    unread = sum(row["margin"] is None for row in table)
    assert found.summary["judge"] == "language model" and found.summary["unread"] == unread > 0
    counts = found.summary["counts"]
    assert (counts["unparsable"], counts["judge_calls"]) == (unread, 24)
    assert counts["judge_prompt_tokens"] == 240 and found.summary["turned_with_order"] == 0
    assert main(["score-model", "openai:longer", str(pairs)]) == 0
    assert "Asked 24 times: 240 tokens" in " ".join(capsys.readouterr().out.split())
