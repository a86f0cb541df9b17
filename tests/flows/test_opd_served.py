"""A teacher behind a server: a run with one, its keys, and what is refused before it."""

import json
from pathlib import Path

import numpy as np
import pytest

from cli.main import main
from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from data.tables import mapping
from flows.preflight.fitting import fitted
from flows.preflight.inputs import check_inputs
from flows.table import recipe_from
from models.served import KEY
from models.teacher import Teacher
from tests.fixtures import teaching
from tests.fixtures.models import build_tokenizer, chatml_tokenizer, save_policy
from tests.fixtures.teaching import without_weights
from tests.flows.tiny_recipes import TINY

ADDRESS = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def own(tiny_recipe, tmp_path_factory):
    """A tiny recipe whose teacher is here."""
    return TINY["opd"].recipe(tiny_recipe, tmp_path_factory.mktemp("files")) | {"run": "served"}


@pytest.fixture(scope="module")
def words(own, tmp_path_factory):
    """What is here of the teacher that is served."""
    return without_weights(teacher_of(own), tmp_path_factory.mktemp("words") / "teacher")


def teacher_of(own):
    return Path(own["teacher"]["model"])


@pytest.fixture
def serve(own, monkeypatch):
    monkeypatch.setenv(KEY, teaching.KEY)
    return lambda folder=None: teaching.teaching(folder or teacher_of(own))


def recipe(own, words, url, **changes):
    teacher = {"model": str(words), "url": url} | changes.pop("teacher", {})
    return own | {"teacher": teacher, "rounds": 1} | changes


def records(summary, name):
    return [one for one in summary.stages() if one.name == name]


def test_a_run_with_one_and_again_when_it_has_moved(
    prefect, own, words, serve, tmp_path, write_recipe, capfd
):
    """Its targets are those of the model loaded here to 4e-3 nats, a last digit of the half
    precision that they are kept in; its key names what it serves and not where."""
    where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs"), "--quiet"]
    judges = {"evaluate": {"judge": ["length-band", "teacher"]}}

    def run(name, url):
        path = write_recipe(recipe(own, words, url, **judges) | {"run": name})
        assert main(["align", str(path), *where]) == 0
        return read_summary(tmp_path / "runs" / name / "summary.json")

    with serve() as server:
        first = run("first", server.url)
        url = server.url
    (made,) = [one for one in records(first, "targets") if not one.role]
    store = Store(str(tmp_path / "store"))
    artifact = Artifact(kind=made.kind, key=made.key, digest=made.artifact)
    key = store.record(artifact).key
    assert key["engine"] == "openai 0.32.0 teacher" and key["teacher"].endswith(" 0.32.0 teacher")
    assert url.split(":")[-1] not in json.dumps(key) and "libraries" not in key
    (generated,) = [one for one in records(first, "generate") if not one.role]
    answers = store.table(
        Artifact(kind=generated.kind, key=generated.key, digest=generated.artifact)
    )
    (chosen,) = [one for one in records(first, "select") if not one.role]
    prompts = store.table(Artifact(kind=chosen.kind, key=chosen.key, digest=chosen.artifact))
    messages = mapping(prompts, "prompt_id", "messages")
    items = [(messages[one["prompt_id"]], one["token_ids"]) for one in answers.to_pylist()]
    expected = Teacher(teacher_of(own), RuntimeConfig(device="cpu")).targets(items, 10, 1.0)
    for row, one in zip(store.table(artifact).to_pylist(), expected, strict=True):
        assert row["token_ids"] == one.token_ids.tolist()
        np.testing.assert_allclose(row["logps"], one.logps, atol=4e-3)
        top = np.array(row["top_logps"], np.float32).reshape(-1, 10)
        np.testing.assert_allclose(top, one.top_logps, atol=4e-3)
    assert first.measures["win_rate_by_teacher"].n and "kl_to_teacher" not in first.measures
    assert not records(first, "divergence")
    report = (tmp_path / "runs" / "first" / "report.html").read_text()
    assert "how far the policy is from it has not been computed" in report
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(teaching.KEY.encode() in path.read_bytes() for path in files)
    with serve() as server:
        again = run("again", server.url)
        assert {tuple(body["prompt"]) for body in server.asked} == {(0, 0)}  # whether it can
    assert all(one.cached for one in again.stages())


def problems(values):
    with pytest.raises(InputError) as caught:
        check_inputs(fitted(recipe_from(values)))
    return "\n".join(caught.value.problems)


def test_what_the_server_cannot_do_is_said_before_a_run(own, words, serve, tmp_path):
    with serve() as server:
        check_inputs(fitted(recipe_from(recipe(own, words, server.url))))
        server.max_logprobs = 5
        said = problems(recipe(own, words, server.url))
        assert "teacher.url: the server at" in said and "start it with --max-logprobs 10" in said
        server.max_logprobs = 1000
        server.names = ["one", "two"]
        assert "lists several models, one, two" in problems(recipe(own, words, server.url))
        named = recipe(own, words, server.url, teacher={"served_model": "two"})
        check_inputs(fitted(recipe_from(named)))
    assert "teacher.url: no server answers at" in problems(recipe(own, words, server.url))


def test_the_folder_stands_for_the_served_model(own, words, serve, tmp_path):
    """Its tokenizer is the policy's and the server's; both are compared before a run."""
    special = ["<pad>", "<s>", "<|im_start|>", "<|im_end|>", "<|more|>"]
    template = chatml_tokenizer().chat_template
    other = build_tokenizer(special, template, bos=None, eos="<|im_end|>", pad="<pad>")
    folder = save_policy(other, tmp_path / "other", seed=2)
    with serve() as server:
        said = problems(recipe(own, folder, server.url))
        assert "teacher.model: has another vocabulary than policy.model" in said
        nowhere = problems(recipe(own, "ORG/LARGE", server.url))
        assert "teacher.model: 'ORG/LARGE' is no folder here; the model answers at" in nowhere
    with serve(folder) as server:
        said = problems(recipe(own, words, server.url))
        assert "and that of the server at http://127.0.0.1" in said and "give other ids" in said


def test_a_data_set_has_a_teacher_behind_a_server(own, words, serve):
    of_sums = {"dataset": "sums", "model": str(words)}
    with serve() as server:
        teacher = own["teacher"] | {"by_dataset": [of_sums | {"url": server.url}]}
        check_inputs(fitted(recipe_from(own | {"teacher": teacher})))
        server.max_logprobs = 5
        assert "teacher of sums: the server at" in problems(own | {"teacher": teacher})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": {"url": "localhost:8000"}}, "must be the address of an OpenAI-compatible"),
        ({"teacher": {"url": f"{ADDRESS}?key=1"}}, "must be the address of an OpenAI-compatible"),
        ({"teacher": {"url": None, "served_model": "a"}}, r"served_model: .* name its url too"),
        ({"teacher": {"engine": "vllm"}}, r"teacher\.engine: a teacher at teacher\.url is asked"),
        ({"teacher": {"model": "world"}}, r"teacher\.url: the world's teacher is made here"),
        ({"answers": "teacher"}, "answers: a teacher at teacher.url reads answers and gives none"),
        ({"targets": {"k": 10, "temperature": 2.0}}, r"targets\.temperature: must be 1 with"),
    ],
)
def test_settings_that_do_not_fit_a_server_are_refused(own, words, changes, message):
    with pytest.raises((ValueError, InputError), match=message):
        recipe_from(recipe(own, words, ADDRESS, **changes))


def test_an_address_has_no_last_slash(own, words):
    assert recipe_from(recipe(own, words, f"{ADDRESS}/")).teacher.url == ADDRESS
