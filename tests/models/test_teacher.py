"""A teacher's most likely tokens against a computation of one row at a time, all logits at once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from data.recipes.recipe import RuntimeConfig
from models import teacher
from models.chat import load_tokenizer, render_completion
from models.teacher import Targets, Teacher
from models.teacher_engines import open_teacher
from tests.models.training.training_rows import conversations

RUNTIME = RuntimeConfig(device="cpu")
ITEMS = [(talk[:-1], talk[-1]["content"]) for talk in conversations(13)]
WORDS = 397  # of the tiny tokenizer


def naive(model_dir: Path, item: tuple, temperature: float = 1.0) -> tuple[list[int], np.ndarray]:
    """Token ids of a completion, and log-probabilities of shape (tokens, vocabulary)."""
    prompt, answer = render_completion(load_tokenizer(model_dir), *item)
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype="float32").eval()
    with torch.no_grad():
        logits = model(torch.tensor([prompt + answer])).logits[0].double() / temperature
    return answer, logits.log_softmax(-1)[len(prompt) - 1 : -1].numpy()


def read(model_dir: Path, k: int, temperature: float = 1.0, **changes: int) -> list[Targets]:
    runtime = RUNTIME.model_copy(update=changes)
    found = Teacher(model_dir, runtime).targets(ITEMS, k, temperature)
    assert None not in found
    return [one for one in found if one]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("k", [1, 20, WORDS - 1])
def test_equals_a_row_by_row_computation(policy_dir: Path, k: int, temperature: float) -> None:
    for item, found in zip(ITEMS, read(policy_dir, k, temperature), strict=True):
        answer, logps = naive(policy_dir, item, temperature)
        assert found.token_ids.tolist() == answer
        np.testing.assert_allclose(
            found.logps, logps[np.arange(len(answer)), answer], rtol=1e-4, atol=1e-4
        )
        best = np.sort(logps, axis=1)[:, ::-1]
        np.testing.assert_allclose(found.top_logps, best[:, :k], rtol=1e-4, atol=1e-4)
        of_ids = np.take_along_axis(logps, found.top_ids.astype(int), axis=1)
        np.testing.assert_allclose(found.top_logps, of_ids, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.rest, np.exp(best[:, k:]).sum(1), rtol=1e-3)


@pytest.mark.parametrize("k", [WORDS, 1000])
def test_of_the_whole_vocabulary_nothing_is_left(policy_dir: Path, k: int) -> None:
    for found in read(policy_dir, k):
        assert found.top_ids.shape == (len(found.token_ids), WORDS)
        assert not found.rest.any()
        np.testing.assert_allclose(np.exp(found.top_logps).sum(1), 1, rtol=1e-5)


def test_batches_and_pieces_change_nothing(
    policy_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read(policy_dir, 5)
    monkeypatch.setattr(teacher, "_AT_A_TIME", 7)
    for one, other in zip(whole, read(policy_dir, 5, token_budget=64), strict=True):
        np.testing.assert_allclose(one.top_logps, other.top_logps, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one.logps, other.logps, rtol=1e-4, atol=1e-5)


def test_what_it_cannot_read_whole_has_no_targets_and_sampled_tokens_stay(policy_dir: Path) -> None:
    talk = ITEMS[0][0]
    items = [(talk, "yes " * 300), (talk, [7, 8, 9]), (talk, []), (talk, [7, WORDS, 9])]
    long, sampled, empty, no_token = Teacher(policy_dir, RUNTIME).targets(items, 3, 1.0)
    assert long is None and empty is None and no_token is None and sampled is not None
    assert sampled.token_ids.tolist() == [7, 8, 9]


def test_at_ids_that_are_no_tokens_it_has_nothing_to_say(policy_dir: Path) -> None:
    items = [(ITEMS[0][0], [7, 8]), (ITEMS[0][0], [7, 8])]
    at = [np.array([[5, 6], [7, WORDS]], np.int32), np.array([[5, 6], [7, 8]], np.int32)]
    padded, fine = Teacher(policy_dir, RUNTIME).targets(items, 2, 1.0, at)
    assert padded is None and fine is not None and fine.top_ids.tolist() == at[1].tolist()


def test_reports_progress_up_to_the_end(policy_dir: Path) -> None:
    calls: list[tuple[int, int]] = []
    Teacher(policy_dir, RuntimeConfig(device="cpu", token_budget=64)).targets(
        ITEMS, 2, 1.0, on_progress=lambda done, total: calls.append((done, total))
    )
    assert len(calls) > 1 and calls[-1] == (len(ITEMS), len(ITEMS))


def test_at_the_ids_of_another_teacher(policy_dir: Path, other_policy_dir: Path) -> None:
    """Its own probabilities of them, though they are none of its most likely."""
    other = read(other_policy_dir, 6)
    here = Teacher(policy_dir, RUNTIME)
    found = here.targets(ITEMS, 1, 1.0, [one.top_ids for one in other])
    for item, one, before in zip(ITEMS, found, other, strict=True):
        _, logps = naive(policy_dir, item)
        assert one is not None and (one.top_ids == before.top_ids).all()
        wanted = np.take_along_axis(logps, one.top_ids.astype(int), axis=1)
        np.testing.assert_allclose(one.top_logps, wanted, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(one.rest, 1 - np.exp(wanted).sum(1), atol=1e-4)


@pytest.mark.slow
@pytest.mark.vllm
def test_vllm_gives_what_transformers_gives_on_32_rows(policy_dir: Path) -> None:
    """Of more tokens than vLLM gives by itself, 20."""
    pytest.importorskip("vllm")
    items = [(talk[:-1], talk[-1]["content"]) for talk in conversations(32)]
    items[3] = (items[3][0], "yes " * 300)
    other = open_teacher("vllm", policy_dir, RUNTIME, 128, 50)
    try:
        theirs = other.targets(items, 50, 1.0)
    finally:
        other.close()
    ours = Teacher(policy_dir, RUNTIME).targets(items, 50, 1.0)
    assert [one is None for one in theirs] == [i == 3 for i in range(32)]
    for one, found in zip(ours, theirs, strict=True):
        if one and found:
            assert found.token_ids.tolist() == one.token_ids.tolist()
            np.testing.assert_allclose(found.logps, one.logps, atol=1e-3)
            np.testing.assert_allclose(found.rest, one.rest, atol=1e-4)
            np.testing.assert_allclose(found.top_logps, one.top_logps, atol=1e-3)
            same = (found.top_ids == one.top_ids).mean()
            assert same > 0.99  # two nearly equal ones may change places
