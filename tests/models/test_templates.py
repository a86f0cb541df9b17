"""Chat templates for base models: what they write, where answers end, and that both stay."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, pipeline

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
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
from models.engines import open_engine
from models.engines.base import Sampling, make_output
from models.templates import length_before, save_with_template, set_template, stop_marks
from tests.fixtures.models import CHATML, SPECIAL, save_policy

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 12 plus 30?"},
    {"role": "assistant", "content": "42."},
    {"role": "user", "content": "And 7?"},
]
PLAIN = (
    "Be brief.\n\nUser:\nWhat is 12 plus 30?\n\nAssistant:\n42.</s>\n\n"
    "User:\nAnd 7?\n\nAssistant:\n"
)


@pytest.fixture(scope="module")
def base(make_tokenizer):
    """Tokenizers of base models, by what they are like; none has a chat template."""
    ends = ["<pad>", "<s>", "</s>"]
    return {
        "gpt": lambda: make_tokenizer(ends, None, bos=None, eos="</s>", pad="<pad>"),
        "llama": lambda: make_tokenizer(ends, None, bos="<s>", eos="</s>", pad="<pad>"),
        "qwen": lambda: make_tokenizer([*SPECIAL, "</s>"], None, bos=None, eos="</s>", pad="<pad>"),
    }


def text(tokenizer, messages, **options):
    return tokenizer.apply_chat_template(messages, tokenize=False, **options)


def test_plain_writes_turns_as_words(base):
    tokenizer = set_template(base["gpt"](), "plain")
    assert text(tokenizer, TALK, add_generation_prompt=True) == PLAIN
    assert end_of_turn(tokenizer) == tokenizer.eos_token_id
    check_chat_template(tokenizer, "policy.model", TALK)
    prompt, completion = render_completion(tokenizer, TALK, "49, I think.\n\nSure.")
    assert completion[-1] == tokenizer.eos_token_id
    assert decode_completion(tokenizer, completion) == "49, I think.\n\nSure."
    assert render_conversation(tokenizer, TALK, "49")[: len(prompt)] == prompt


def test_what_a_tokenizer_begins_a_text_with_the_template_begins_it_with(base):
    for kind, name in (("llama", "plain"), ("gpt", "plain"), ("qwen", "chatml")):
        tokenizer = set_template(base[kind](), name)
        ids = render_prompt(tokenizer, TALK)
        bos = tokenizer.convert_tokens_to_ids("<s>")
        assert ids.count(bos) == (kind == "llama") == (ids[0] == bos)


def test_chatml_is_chatml_and_needs_its_tokens(base, make_tokenizer):
    tokenizer = set_template(base["qwen"](), "chatml")
    known = make_tokenizer(SPECIAL, CHATML, bos=None, eos="<|im_end|>")
    for prompt in (True, False):
        options = {"add_generation_prompt": prompt}
        assert text(tokenizer, TALK, **options) == text(known, TALK, **options)
    assert end_of_turn(tokenizer) == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert stop_marks(tokenizer) == ()
    check_chat_template(tokenizer, "policy.model", TALK)
    with pytest.raises(InputError, match=r"marks turns with <\|im_start\|>, .* use plain"):
        set_template(base["gpt"](), "chatml")


def test_a_name_never_replaces_a_template_and_plain_needs_an_end(base, make_tokenizer):
    with pytest.raises(InputError, match="has a chat template of its own"):
        set_template(make_tokenizer(SPECIAL, CHATML, bos=None, eos="<|im_end|>"), "plain")
    endless = base["gpt"]()
    endless.eos_token = None
    with pytest.raises(InputError, match="the tokenizer has none; set eos_token"):
        set_template(endless, "plain")


def test_a_text_is_taken_as_it_is_and_may_name_its_marks(base):
    own = '{#- ends at ["\\n###", "\\nQ:"] -#}{{ messages[-1]["content"] }}'
    tokenizer = set_template(base["gpt"](), own)
    assert tokenizer.chat_template == own and stop_marks(tokenizer) == ("\n###", "\nQ:")
    for wrong in ("[3]", '["a", ""]', "[x]"):
        with pytest.raises(InputError, match="no JSON list of texts"):
            set_template(base["gpt"](), f"{{#- ends at {wrong} -#}}")


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("It is 42.\n\nUser:\nThanks!", "It is 42."),
        ("It is 42.\nUser: and\n\nUser:\n", "It is 42."),
        ("The User: is 42", None),
        ("\n\nUser:\n", ""),
        ("Two\n\nlines é\n \nUser:", "Two\n\nlines é"),
    ],
)
def test_an_answer_ends_before_the_next_turn(base, answer, kept):
    tokenizer = set_template(base["gpt"](), "plain")
    ids, end = tokenizer(answer)["input_ids"], tokenizer.eos_token_id
    count = length_before(tokenizer, ids, stop_marks(tokenizer))
    output = make_output(tokenizer, ids, [end], stop_marks(tokenizer))
    if kept is None:
        assert count is None and output.finish_reason == "length" and output.token_ids == ids
    else:
        assert output.text == kept and output.finish_reason == "stop"
        assert output.token_ids == [*ids[:count], end] and output.n_tokens == count + 1
        assert make_output(tokenizer, [*ids, end], [end], stop_marks(tokenizer)) == output


def test_a_token_with_the_answers_end_and_the_marks_beginning_stays_whole():
    """As Llama 3's ".\\n\\n": the answer keeps its full stop."""

    class Words:
        chat_template = None

        def __call__(self, texts, **_):
            return {"input_ids": [[0] for _ in texts]}

        def decode(self, ids, **_):
            words = ["a", "It", " is", ".\n\n", "User", ":", "x\nUser:"]
            return "".join(words[i] for i in ids)

    assert length_before(Words(), [1, 2, 3, 4, 5], ["\nUser:"]) == 3
    assert length_before(Words(), [1, 2, 6], ["\nUser:"]) == 2


@pytest.fixture(params=[("gpt", "plain"), ("llama", "plain"), ("qwen", "chatml")])
def made(request, base, tmp_path):
    """A base policy saved with a template, and the folder it was made of."""
    kind, name = request.param
    folder = save_policy(base[kind](), tmp_path / kind, seed=0)
    assert not load_tokenizer(folder).chat_template
    (tmp_path / "made").mkdir()
    save_with_template(tmp_path / "made", policy=folder, template=name, trust_remote_code=False)
    return folder, tmp_path / "made", name


def test_the_saved_policy_has_its_weights_and_the_template(made, base):
    folder, out, name = made
    for file in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (out / file).read_bytes() == (folder / file).read_bytes()
    tokenizer = load_tokenizer(out)
    assert tokenizer.chat_template == set_template(base[folder.name](), name).chat_template
    settings = GenerationConfig.from_pretrained(out)
    assert end_of_turn(tokenizer) in stop_ids(tokenizer, out)
    ends = settings.eos_token_id
    assert end_of_turn(tokenizer) in (ends if isinstance(ends, list) else [ends])


def test_transformers_alone_chats_with_it(made):
    _, out, _ = made
    chat = pipeline("text-generation", model=str(out))
    (answer,) = chat([{"role": "user", "content": "What is 12?"}], max_new_tokens=3)
    assert answer["generated_text"][-1]["role"] == "assistant"


def test_a_file_takes_the_place_of_every_other_template(policy_dir, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    out.mkdir()
    AutoModelForCausalLM.from_pretrained(policy_dir).save_pretrained(source)
    AutoTokenizer.from_pretrained(policy_dir).save_pretrained(source)
    (source / "chat_template.json").write_text(json.dumps({"chat_template": "old"}))
    path = source / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": "older"}))
    own = CHATML.replace("'\\n'", "'\\n\\n'")
    save_with_template(out, policy=source, template=own, trust_remote_code=False)
    assert load_tokenizer(out).chat_template == own
    assert not (out / "chat_template.json").exists()
    assert "older" not in (out / "tokenizer_config.json").read_text()
    assert load_file(out / "model.safetensors").keys()


def answers(name, folder, prompts, max_tokens=48):
    engine = open_engine(name, folder, RuntimeConfig(), 128, seed=0)
    try:
        sampling = Sampling(2, 1.0, 1.0, max_tokens)
        return [o for row in engine.generate(prompts, [3] * len(prompts), sampling) for o in row]
    finally:
        engine.close()


@pytest.mark.parametrize(
    "name", ["transformers", pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.slow])]
)
def test_an_engine_ends_where_the_words_are_and_says_the_same_until_then(name, base, tmp_path):
    """The same policy, answers ending at a sign that a random model writes often."""
    if name == "vllm":
        pytest.importorskip("vllm")
    tokenizer = base["gpt"]()
    folder = save_policy(tokenizer, tmp_path / "policy", seed=0)
    turns = "{% for m in messages %}{{ m['content'] }}</s>{% endfor %}"
    ends = {"free": "", "marked": '{#- ends at ["e"] -#}'}
    for kind, comment in ends.items():
        (tmp_path / kind).mkdir()
        save_with_template(
            tmp_path / kind, policy=folder, template=comment + turns, trust_remote_code=False
        )
    prompts = [tokenizer(word)["input_ids"] for word in ("Sort", "What is", "red, green", "fig")]
    free, marked = (answers(name, tmp_path / kind, prompts) for kind in ends)
    cut = [make_output(tokenizer_of(tmp_path), o.token_ids, [2], ["e"]) for o in free]
    assert marked == cut and marked != free
    assert all("e" not in output.text for output in marked)
    assert torch.tensor([o.n_tokens for o in marked]).float().mean() < 40


def tokenizer_of(tmp_path):
    return load_tokenizer(tmp_path / "marked")
