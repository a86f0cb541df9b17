"""Estimates on paper are closed forms of published figures."""

import pytest

from data.errors import InputError
from models.gpus import (
    AT_ONCE,
    BANDWIDTH,
    GPUS,
    LEARN,
    READ,
    SHARED,
    Gpus,
    Sizes,
    named_gpus,
    reading,
    sampling,
    sizes_of,
    training,
)

H100 = GPUS["h100"]
ONE = Gpus(H100)
SEVEN = Sizes(7_000_000_000, layers=32, hidden=4096, cached=2048)


@pytest.mark.parametrize(("text", "count"), [("h100", 1), ("8xh100", 8), (" 8xH100 ", 8)])
def test_gpus_by_name(text, count):
    assert named_gpus(text) == Gpus(H100, count)


@pytest.mark.parametrize("text", ["h1000", "8x", "0xh100", "h100x8", "", "-1xh100", "8 h100"])
def test_another_name_is_refused_with_those_that_are_known(text):
    with pytest.raises(InputError, match=r"^--device: .* is none of h100, h200"):
        named_gpus(text)


def test_a_token_costs_two_operations_a_weight_to_read():
    found = reading(ONE, SEVEN, tokens=1e6)
    assert found.seconds == pytest.approx(2 * 7e9 * 1e6 / (989.4e12 * READ))
    assert reading(ONE, SEVEN, tokens=3e6).seconds == pytest.approx(3 * found.seconds)
    assert found.memory > SEVEN.bytes == 14e9


def test_learning_costs_eight_of_all_weights_and_six_of_an_adapter():
    full, lora = (training(ONE, SEVEN, 1e6, method) for method in ("full", "lora"))
    assert full.seconds == pytest.approx(8 * 7e9 * 1e6 / (989.4e12 * LEARN))
    assert lora.seconds == pytest.approx(full.seconds * 6 / 8)
    eight = training(Gpus(H100, 8), SEVEN, 1e6)
    assert eight.seconds == pytest.approx(full.seconds / (8 * SHARED))
    assert full.memory > 16 * 7e9 > H100.memory  # on one it does not fit
    assert 2 * 7e9 < eight.memory < 3 * 7e9  # an eighth of 16 bytes, and activations
    assert training(ONE, SEVEN, 1e6, "qlora").memory < lora.memory < 20e9


def test_few_sequences_take_what_reading_the_weights_takes():
    found = sampling(ONE, SEVEN, prompts=1, k=1, prompt_tokens=0, answer_tokens=100)
    cache = SEVEN.token_bytes * 50  # half of the answer, on average
    assert found.seconds == pytest.approx(100 * (14e9 + cache) / (3.35e12 * BANDWIDTH))


def test_many_sequences_take_their_batches_one_after_the_other():
    small = Sizes(1_000_000_000, layers=16, hidden=2048, cached=0)  # no cache: weights alone
    one, ten = (sampling(ONE, small, n * AT_ONCE, 1, 0, 100).seconds for n in (1, 10))
    assert ten == pytest.approx(10 * one)
    step = max(2e9 / (3.35e12 * BANDWIDTH), 2e9 * AT_ONCE / (989.4e12 * READ))
    assert one == pytest.approx(100 * step)


def test_the_cache_bounds_what_is_sampled_at_once():
    long = Sizes(7_000_000_000, layers=32, hidden=4096, cached=8192)  # all heads have keys
    both = sampling(ONE, long, 64, 8, 1000, 3000).seconds
    free = sampling(ONE, SEVEN, 64, 8, 1000, 3000).seconds
    assert both > 2 * free


def test_all_answers_to_a_prompt_share_its_reading():
    apart, shared = sampling(ONE, SEVEN, 512, 1, 4000, 1), sampling(ONE, SEVEN, 32, 16, 4000, 1)
    reads = 2 * 7e9 * 4000 / (989.4e12 * READ)
    assert apart.seconds - shared.seconds == pytest.approx((512 - 32) * reads)


def test_a_model_that_fits_on_no_gpu_is_refused():
    large = Sizes(70_000_000_000, layers=80, hidden=8192, cached=2048)
    assert sampling(Gpus(H100, 8), large, 10, 1, 10, 10).seconds > 0  # by four together
    with pytest.raises(InputError, match="70 billion weights do not fit on h100"):
        sampling(ONE, large, 10, 1, 10, 10)


def test_sizes_by_the_names_that_families_use():
    llama = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 1}  # fmt: skip
    assert sizes_of(llama, 10) == Sizes(10, 2, 64, 2 * 16)
    gpt2 = {"n_embd": 64, "n_layer": 3, "n_head": 4}
    assert sizes_of(gpt2, 10) == Sizes(10, 3, 64, 2 * 64)
