"""Token ids of Llama-3-like, Qwen-like and Gemma-like templates, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from data.errors import InputError
from models.chat import (
    check_chat_template,
    decode_completion,
    end_of_turn,
    load_tokenizer,
    render_completion,
    render_conversation,
    render_prompt,
    stop_ids,
)

# Written in the manner of the three families, reduced to what a conversation needs.
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start|>' + m['role'] + '<|end|>\\n\\n' "
    "+ m['content'] | trim + '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\\n\\n' }}{% endif %}"
)
QWEN = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}"
    "{% endif %}{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n' "
    "+ m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
FAMILIES = {
    "llama3": (["<|bos|>", "<|start|>", "<|end|>", "<|eot|>"], LLAMA3, "<|bos|>", "<|eot|>"),
    "qwen": (["<|endoftext|>", "<|im_start|>", "<|im_end|>"], QWEN, None, "<|im_end|>"),
    "gemma": (["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"], GEMMA, "<bos>", "<eos>"),
}
TURN_END = {"llama3": "<|eot|>", "qwen": "<|im_end|>", "gemma": "<end_of_turn>"}
MESSAGES = [{"role": "user", "content": "What is 2 + 2?"}]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, make_tokenizer: Callable) -> tuple:
    special, template, bos, eos = FAMILIES[request.param]
    return request.param, make_tokenizer(special, template, bos=bos, eos=eos)


def bytes_of(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def golden(name: str, tokenizer) -> tuple[list[int], list[int]]:
    """Ids put together by hand from special ids and plain text."""
    special = tokenizer.convert_tokens_to_ids
    question, answer = bytes_of(tokenizer, "What is 2 + 2?"), bytes_of(tokenizer, "It is 4.")
    newline = bytes_of(tokenizer, "\n")
    if name == "llama3":
        start, end, eot = special(["<|start|>", "<|end|>", "<|eot|>"])
        gap = bytes_of(tokenizer, "\n\n")
        role = [start, *bytes_of(tokenizer, "assistant"), end, *gap]
        user = [start, *bytes_of(tokenizer, "user"), end]
        user += bytes_of(tokenizer, "\n\nWhat is 2 + 2?") + [eot]
        return [special("<|bos|>"), *user, *role], [*answer, eot]
    if name == "qwen":
        start, end = special(["<|im_start|>", "<|im_end|>"])
        system = [start, *bytes_of(tokenizer, "system\nBe kind."), end, *newline]
        user = [start, *bytes_of(tokenizer, "user\nWhat is 2 + 2?"), end, *newline]
        return [*system, *user, start, *bytes_of(tokenizer, "assistant\n")], [*answer, end]
    start, end = special(["<start_of_turn>", "<end_of_turn>"])
    user = [start, *bytes_of(tokenizer, "user\n"), *question, end, *newline]
    return [special("<bos>"), *user, start, *bytes_of(tokenizer, "model\n")], [*answer, end]


def test_ids_are_those_put_together_by_hand(family: tuple) -> None:
    name, tokenizer = family
    prompt_ids, completion_ids = golden(name, tokenizer)
    assert render_prompt(tokenizer, MESSAGES) == prompt_ids
    assert render_completion(tokenizer, MESSAGES, "It is 4.") == (prompt_ids, completion_ids)


def test_a_tokenizer_that_adds_bos_itself_adds_no_second_one(family: tuple) -> None:
    name, tokenizer = family
    ids = render_conversation(tokenizer, MESSAGES, "It is 4.")
    expected = 0 if name == "qwen" else 1
    assert ids.count(tokenizer.bos_token_id) == expected
    if expected:  # the fixture's tokenizer does add one to plain text
        assert tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    check_chat_template(tokenizer, "policy.model", MESSAGES)


@pytest.mark.parametrize("completion", ["It is 4.", "", "two\n\nlines", "naïve 漢字 🙂"])
def test_prompt_and_completion_make_up_the_full_rendering(family: tuple, completion: str) -> None:
    name, tokenizer = family
    messages = [*MESSAGES, {"role": "assistant", "content": "4"}, {"role": "user", "content": "?"}]
    prompt_ids, completion_ids = render_completion(tokenizer, messages, completion)
    full = render_conversation(tokenizer, messages, completion)
    rest = full[len(prompt_ids) + len(completion_ids) :]
    assert prompt_ids + completion_ids + rest == full
    assert tokenizer.decode(rest).strip() == ""
    assert completion_ids[-1] == tokenizer.convert_tokens_to_ids(TURN_END[name])
    assert decode_completion(tokenizer, completion_ids) == completion


def test_end_of_turn_is_a_stop_id_beside_eos(family: tuple, tmp_path: Path) -> None:
    name, tokenizer = family
    turn_end = tokenizer.convert_tokens_to_ids(TURN_END[name])
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [0, 1]}')
    assert end_of_turn(tokenizer) == turn_end
    assert stop_ids(tokenizer, tmp_path) == sorted({0, 1, tokenizer.eos_token_id, turn_end})


def test_a_token_across_the_border_is_split_as_the_policy_would(make_tokenizer: Callable) -> None:
    special, template, bos, eos = FAMILIES["llama3"]
    tokenizer = make_tokenizer(special, template.replace(" | trim", ""), bos=bos, eos=eos)
    prompt_ids, completion_ids = render_completion(tokenizer, MESSAGES, "\n\nIt")
    assert prompt_ids == render_prompt(tokenizer, MESSAGES)
    assert decode_completion(tokenizer, completion_ids) == "\n\nIt"


def test_a_refused_role_is_named(make_tokenizer: Callable) -> None:
    special, template, bos, eos = FAMILIES["gemma"]
    tokenizer = make_tokenizer(special, template, bos=bos, eos=eos)
    with pytest.raises(InputError, match=r"teacher\.model: .*roles system, user.*not supported"):
        check_chat_template(
            tokenizer, "teacher.model", [{"role": "system", "content": "x"}, *MESSAGES]
        )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "no chat template"),
        (LLAMA3.replace("'<|eot|>'", "''"), "no end-of-turn token"),
        ("{{ bos_token }}" + LLAMA3, "2 BOS tokens"),
        (LLAMA3.replace("assistant<|end|>", "assistant<|end|>think"), "does not begin"),
        (
            LLAMA3.replace("for m in messages", "for m in messages if m['role'] != 'system'"),
            "drops the content of role 'system'",
        ),
    ],
)
def test_an_unusable_template_is_refused(
    make_tokenizer: Callable, template: str | None, message: str
) -> None:
    special, _, bos, eos = FAMILIES["llama3"]
    tokenizer = make_tokenizer(special, template, bos=bos, eos=eos)
    conversation = [{"role": "system", "content": "Be brief."}, *MESSAGES]
    with pytest.raises(InputError, match=message) as caught:
        check_chat_template(tokenizer, "policy.model", conversation)
    assert str(caught.value).startswith("policy.model: ")
    assert "\n" not in str(caught.value)


def test_a_template_may_begin_every_turn_with_bos(make_tokenizer: Callable) -> None:
    """As SmolLM2's does, whose BOS is <|im_start|>."""
    special, template, _, eos = FAMILIES["qwen"]
    tokenizer = make_tokenizer(special, template, bos="<|im_start|>", eos=eos)
    conversation = [{"role": "system", "content": "Be brief."}, *MESSAGES]
    check_chat_template(tokenizer, "policy.model", conversation)


def test_a_directory_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tokenizer can be loaded"):
        load_tokenizer(tmp_path)


def test_a_saved_tokenizer_renders_the_same(tokenizer, policy_dir: Path) -> None:
    loaded = load_tokenizer(policy_dir)
    assert render_completion(loaded, MESSAGES, "4") == render_completion(tokenizer, MESSAGES, "4")
