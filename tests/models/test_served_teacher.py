"""A teacher behind a server, beside the same model by transformers, and what a server refuses."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data.errors import InputError, ServerError
from data.recipes.recipe import RuntimeConfig
from models.engines import openai_server, patient
from models.engines.prompt_reader import PromptReader
from models.served import KEY, Served, url_field
from models.teacher import Targets, Teacher
from models.teacher_engines import Reader, open_teacher
from tests.fixtures import teaching
from tests.fixtures.teaching import Teaching, without_weights
from tests.fixtures.vllm_serving import vllm_serving
from tests.models.training.training_rows import conversations

RUNTIME = RuntimeConfig(device="cpu")
ITEMS = [(talk[:-1], talk[-1]["content"]) for talk in conversations(13)]
WORDS = 397  # of the tiny tokenizer
FIELD = "teacher.url"


@pytest.fixture
def server(policy_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Teaching]:
    monkeypatch.setenv(KEY, teaching.KEY)
    monkeypatch.setattr(patient, "LONGEST_PAUSE", 0.01)
    with teaching.teaching(policy_dir) as server:
        yield server


@pytest.fixture
def folder(policy_dir: Path, tmp_path: Path) -> Path:
    return without_weights(policy_dir, tmp_path / "words")


def opened(server: Teaching, folder: Path, k: int = 5) -> Reader:
    return open_teacher("openai", folder, RUNTIME, 128, k, Served(server.url, "teacher", FIELD))


def same(found: list[Targets | None], expected: list[Targets | None], atol: float) -> None:
    """Of two ways to compute them; where two tokens are nearly equal they may change places."""
    assert [one is None for one in found] == [one is None for one in expected]
    ids = []
    for one, other in zip(found, expected, strict=True):
        if one is None or other is None:
            continue
        assert one.token_ids.tolist() == other.token_ids.tolist()
        np.testing.assert_allclose(one.logps, other.logps, atol=atol)
        np.testing.assert_allclose(one.top_logps, other.top_logps, atol=atol)
        np.testing.assert_allclose(one.rest, other.rest, atol=atol)
        assert one.top_ids.dtype == other.top_ids.dtype and one.rest.dtype == other.rest.dtype
        ids.append((one.top_ids == other.top_ids).mean())
    assert np.mean(ids) > 0.99


@pytest.mark.parametrize("k", [1, 20, WORDS])
def test_it_says_what_the_model_says_that_is_loaded_here(
    server: Teaching, folder: Path, policy_dir: Path, k: int
) -> None:
    """To 1e-4 nats, and without weights in the folder."""
    talk = ITEMS[0][0]
    items = [*ITEMS, (talk, "yes " * 300), (talk, [7, 8, 9]), (talk, [])]
    teacher, seen = opened(server, folder, k), list[tuple[int, int]]()
    found = teacher.targets(items, k, 1.0, on_progress=lambda *step: seen.append(step))
    same(found, Teacher(policy_dir, RUNTIME).targets(items, k, 1.0), atol=1e-4)
    assert found[13] is None and found[15] is None
    assert found[14] is not None and found[14].token_ids.tolist() == [7, 8, 9]
    assert seen[-1] == (14, 14)
    assert {body["prompt_logprobs"] for body in server.asked} == {k}
    teacher.close()


def test_more_than_the_vocabulary_is_all_of_it(server: Teaching, folder: Path) -> None:
    (found,) = opened(server, folder, 1000).targets(ITEMS[:1], 1000, 1.0)
    assert found is not None and found.top_ids.shape[1] == WORDS
    np.testing.assert_allclose(found.rest, 0, atol=1e-5)


def test_what_is_longer_than_the_server_reads_is_not_sent(server: Teaching, folder: Path) -> None:
    opened(server, folder).targets(ITEMS, 5, 1.0)
    lengths = [len(body["prompt"]) for body in server.asked]
    server.longest = max(lengths)  # one more than it reads, as it adds a token
    server.asked.clear()
    found = opened(server, folder).targets(ITEMS, 5, 1.0)
    assert None in found and len(server.asked) == len([one for one in found if one])
    assert max(len(body["prompt"]) for body in server.asked) < max(lengths)


def test_it_asks_again_when_the_server_is_away_for_a_moment(server: Teaching, folder: Path) -> None:
    teacher = opened(server, folder)
    expected = teacher.targets(ITEMS, 5, 1.0)
    server.failures = [0, 503, 0, 429, 502, 0]
    same(teacher.targets(ITEMS, 5, 1.0), expected, atol=0)
    assert server.failures == []
    server.failures = [503] * 1000
    with pytest.raises(ServerError, match=r"^teacher\.url: the server at .* is busy or broken"):
        teacher.targets(ITEMS[:1], 5, 1.0)


def refused(server: Teaching, k: int = 5) -> str:
    with pytest.raises(InputError) as caught:
        PromptReader(Served(server.url, "teacher", FIELD)).check(k)
    said = str(caught.value)
    assert said.startswith(f"{FIELD}: ") and "\n" not in said and teaching.KEY not in said
    return said


def test_what_a_server_does_not_give_is_one_line(
    server: Teaching, monkeypatch: pytest.MonkeyPatch
) -> None:
    PromptReader(Served(server.url, "teacher", FIELD)).check(5)
    server.max_logprobs = 4
    assert "fewer than 5 log-probabilities of a token; start it with --max-logprobs 5" in refused(
        server
    )
    server.max_logprobs = 1000
    server.gives = "nothing"
    assert "gives no log-probabilities of prompts (prompt_logprobs)" in refused(server)
    server.gives = "logits"
    assert "start it without --logprobs-mode" in refused(server)
    server.gives = "logprobs"
    monkeypatch.setattr(server, "answer", lambda *_: (200, ["no completion"]))
    assert "answers what is no completion" in refused(server)
    monkeypatch.setenv(KEY, "wrong-key")
    said = refused(server)
    assert "refuses a request" in said and "wrong-key" not in said


def test_only_what_it_can_do_is_asked_of_it(server: Teaching, folder: Path) -> None:
    teacher = opened(server, folder)
    with pytest.raises(InputError, match="at temperature 1 alone"):
        teacher.targets(ITEMS[:1], 5, 2.0)
    with pytest.raises(InputError, match="at temperature 1 alone"):
        teacher.targets(ITEMS[:1], 5, 1.0, [np.zeros((4, 5), np.int32)])


def test_which_of_its_models_is_meant(server: Teaching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_MODEL", "a judge's")  # on another server
    assert openai_server.said_by(server.url, None, FIELD) == ("0.32.0", "teacher")
    server.names = ["teacher", "its-adapter"]
    assert openai_server.said_by(server.url, "its-adapter", FIELD) == ("0.32.0", "its-adapter")
    with pytest.raises(InputError, match="several models, teacher, its-adapter; .* served_model"):
        openai_server.said_by(server.url, None, FIELD)
    with pytest.raises(InputError, match="no model 'techer' .did you mean 'teacher'"):
        openai_server.said_by(server.url, "techer", FIELD)
    monkeypatch.setenv(KEY, "wrong-key")
    with pytest.raises(InputError, match=r"HTTP 401; check the address and TEACHER_API_KEY"):
        openai_server.said_by(server.url, None, FIELD)
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match=r"^teacher\.url: no server answers at http://127"):
        openai_server.said_by(server.url, None, FIELD)


def test_the_ids_of_its_tokenizer_if_it_has_one(server: Teaching, folder: Path) -> None:
    reader = PromptReader(Served(server.url, "teacher", FIELD))
    assert reader.tokenized("yes") == server.tokenizer("yes", add_special_tokens=False)["input_ids"]
    server.tokenizes = False
    assert reader.tokenized("yes") is None


def test_the_field_that_names_the_server() -> None:
    assert url_field("teacher.model") == FIELD and url_field("teacher of sums") == "teacher of sums"


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_a_real_server_says_what_transformers_says_on_32_rows(
    policy_dir: Path, tmp_path: Path
) -> None:
    """To 1e-3 nats; of as many tokens as vLLM gives by itself, 20, and then of 50."""
    pytest.importorskip("vllm")
    items = [(talk[:-1], talk[-1]["content"]) for talk in conversations(32)]
    items[3] = (items[3][0], "yes " * 300)
    folder = without_weights(policy_dir, tmp_path / "words")
    with vllm_serving(policy_dir, 128, "tiny", "--max-logprobs", "50") as root:
        version, name = openai_server.said_by(f"{root}/v1", None, FIELD)
        assert name == "tiny" and version != "unknown"
        served = Served(f"{root}/v1", name, FIELD)
        reader = PromptReader(served)
        tokenizer = teaching.load_tokenizer(folder)
        assert reader.longest() == 128
        assert reader.tokenized("fig.") == tokenizer("fig.", add_special_tokens=False)["input_ids"]
        with pytest.raises(InputError, match="start it with --max-logprobs 51, or lower targets.k"):
            reader.check(51)
        for k in (20, 50):
            teacher = open_teacher("openai", folder, RUNTIME, 128, k, served)
            found = teacher.targets(items, k, 1.0)
            same(found, Teacher(policy_dir, RUNTIME).targets(items, k, 1.0), atol=1e-3)
