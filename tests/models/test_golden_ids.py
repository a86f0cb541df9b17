"""Exact token ids: what each kind of chat template gives policies, reward models and trainings.

Ids are written out by hand; `tests/models/families.py` says which word each stands for.
"""

from pathlib import Path

import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForSequenceClassification

from data.errors import InputError
from data.recipes.recipe import PolicyConfig, RuntimeConfig
from data.schemas import PREFERENCES
from models.chat import (
    check_chat_template,
    decode_completion,
    load_tokenizer,
    render_completion,
    render_conversation,
    render_prompt,
    stop_ids,
    token_ids,
)
from models.engines import Engine, open_engine
from models.engines.base import Sampling, make_output
from models.logps import sequence_logps
from models.rewards import load_scorer
from models.training.dpo import make_trainer, tokenise_pairs
from models.training.sft import sft_trainer, tokenise_conversations
from tests.fixtures.models import llama_config, save_policy
from tests.models.families import FAMILIES, tokenizer_of
from tests.models.training.training_rows import preferences, reference

CPU = RuntimeConfig(device="cpu")
SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "What is 2?"}
SAID = {"role": "assistant", "content": "It is 4."}
AGAIN = {"role": "user", "content": "And 3?"}
TALKS = {
    "one turn": [ASKED],
    "system": [SYSTEM, ASKED],
    "turns": [ASKED, SAID, AGAIN],
    "all": [SYSTEM, ASKED, SAID, AGAIN],
}
# The turns of a family, and what a reward model reads after the end of turn of the last answer.
PIECES = {
    "llama": {
        "begin": [0],
        "system": [2, 12, 3, 11, 16, 18, 19, 4],
        "asked": [2, 13, 3, 11, 20, 21, 22, 23, 4],
        "said": [2, 14, 3, 11, 24, 21, 25, 19, 4],
        "again": [2, 13, 3, 11, 26, 27, 23, 4],
        "answer": [2, 14, 3, 11],
    },
    "chatml": {
        "begin": [],
        "system": [1, 12, 10, 16, 18, 19, 2, 10],
        "asked": [1, 13, 10, 20, 21, 22, 23, 2, 10],
        "said": [1, 14, 10, 24, 21, 25, 19, 2, 10],
        "again": [1, 13, 10, 26, 27, 23, 2, 10],
        "answer": [1, 14, 10],
    },
    "gemma": {
        "begin": [2],
        "asked": [3, 13, 10, 20, 21, 22, 23, 4, 10],
        "said": [3, 15, 10, 24, 21, 25, 19, 4, 10],
        "again": [3, 13, 10, 26, 27, 23, 4, 10],
        "answer": [3, 15, 10],
    },
    "mistral": {
        "begin": [1],
        "asked": [10, 11, 12, 13, 16],
        "said": [17, 12, 18, 2],
        "again": [10, 14, 15, 16],
        "answer": [],
    },
    "mistral-3": {
        "begin": [1],
        "asked": [3, 11, 12, 13, 4],
        "said": [17, 12, 18, 2],
        "again": [3, 14, 15, 4],
        "answer": [],
    },
}
PIECES["qwen"] = PIECES["chatml"]
QWENS_OWN = [1, 12, 10, 16, 17, 19, 2, 10]  # its system message, where the prompt has none
# "It is 4." with its end of turn, and what the template writes after that.
ANSWERS = {
    "llama": ([24, 21, 25, 19, 4], []),
    "chatml": ([24, 21, 25, 19, 2], [10]),
    "qwen": ([24, 21, 25, 19, 2], [10]),
    "gemma": ([24, 21, 25, 19, 4], [10]),
    "mistral": ([17, 12, 18, 2], []),
    "mistral-3": ([17, 12, 18, 2], []),
}
KNOWN = [
    (family, talk)
    for family in FAMILIES
    for talk in TALKS
    if "system" in PIECES[family] or talk not in ("system", "all")
]


def golden(family: str, talk: str) -> list[int]:
    pieces = PIECES[family]
    ids = list(pieces["begin"])
    if talk in ("system", "all"):
        ids += pieces["system"]
    elif family == "qwen":
        ids += QWENS_OWN
    ids += pieces["asked"]
    if talk in ("turns", "all"):
        ids += pieces["said"] + pieces["again"]
    return ids + pieces["answer"]


@pytest.mark.parametrize(("family", "talk"), KNOWN)
def test_a_policy_is_asked_and_taught_these_ids(family: str, talk: str) -> None:
    tokenizer, messages = tokenizer_of(family), TALKS[talk]
    prompt, (answer, after) = golden(family, talk), ANSWERS[family]
    assert render_prompt(tokenizer, messages) == prompt
    assert render_completion(tokenizer, messages, "It is 4.") == (prompt, answer)
    assert render_conversation(tokenizer, messages, "It is 4.") == prompt + answer + after
    check_chat_template(tokenizer, "policy.model", messages)
    check_chat_template(tokenizer, "teacher.model", messages, writes=False)
    own = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert own == prompt


@pytest.mark.parametrize("family", FAMILIES)
def test_what_it_sampled_is_kept_and_read_by_others_as_text(family: str) -> None:
    """Whether it ended, or was cut off in the middle of a turn that it would have gone on with."""
    tokenizer, (answer, _) = tokenizer_of(family), ANSWERS[family]
    ends = stop_ids(tokenizer, "nowhere")
    whole, cut = (make_output(tokenizer, ids, ends) for ids in (answer, answer[:-1]))
    assert (whole.text, whole.token_ids, whole.finish_reason) == ("It is 4.", answer, "stop")
    assert (cut.text, cut.token_ids, cut.finish_reason) == ("It is 4.", answer[:-1], "length")
    prompt = golden(family, "one turn")
    for output in (whole, cut):
        assert token_ids(tokenizer, [ASKED], output.token_ids) == (prompt, output.token_ids)


def test_a_space_that_the_template_writes_is_no_part_of_the_answer() -> None:
    """A policy of Mistral's kind samples it every time; a second one is its own."""
    tokenizer = tokenizer_of("mistral")
    assert decode_completion(tokenizer, [17, 12, 18, 2]) == "It is 4."
    assert decode_completion(tokenizer, [22, 12, 18, 2]) == "It is 4."  # without any space
    chatml = tokenizer_of("mistral")
    chatml.chat_template = FAMILIES["chatml"][0].replace("<|im_end|>", "</s>")
    assert decode_completion(chatml, [17, 12, 18, 2]) == " It is 4."


@pytest.mark.parametrize("reads", ["policy.model", "teacher.model"])
@pytest.mark.parametrize("talk", ["system", "all"])
@pytest.mark.parametrize(
    ("family", "says"),
    [
        ("gemma", "There is no system role"),
        ("mistral", "Roles must go user, assistant"),
        ("mistral-3", "without the role system"),
    ],
)
def test_a_template_without_a_system_role_is_refused_in_one_line(
    family: str, says: str, talk: str, reads: str
) -> None:
    """Nothing is merged into another turn unasked: the user says what is to become of it."""
    writes = reads == "policy.model"
    with pytest.raises(InputError) as caught:
        check_chat_template(tokenizer_of(family), reads, TALKS[talk], writes)
    line = str(caught.value)
    assert line.startswith(f"{reads}: ") and "\n" not in line
    assert says in line or (not writes and "drops the content of role 'system'" in line)


def pair_of(messages: list[dict[str, str]], chosen: list[int], rejected: list[int]) -> pa.Table:
    row = preferences(1).to_pylist()[0] | {"messages": messages}
    row |= {"chosen_token_ids": chosen, "rejected_token_ids": rejected}
    return pa.Table.from_pylist([row], PREFERENCES)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A policy of each family, whose padding is EOS in four of six."""
    made = tmp_path_factory.mktemp("policies")
    return {f: save_policy(tokenizer_of(f), made / f, seed=0) for f in FAMILIES}


@pytest.mark.parametrize("talk", ["one turn", "turns"])
@pytest.mark.parametrize("family", FAMILIES)
def test_dpo_learns_from_the_answers_and_their_ends_alone(
    family: str, talk: str, policies: dict[str, Path], tmp_path: Path
) -> None:
    """The shorter side is padded, with EOS in most; its end of turn still counts."""
    tokenizer, prompt = load_tokenizer(policies[family]), golden(family, talk)
    long, end = ANSWERS[family][0], ANSWERS[family][0][-1]
    short = [long[0], end]
    pairs = pair_of(TALKS[talk], long, short)
    rows, counts = tokenise_pairs(tokenizer, pairs, reference(pairs), 64)
    assert counts == {"too_long": 0, "retokenized": 0}
    trainer = make_trainer(
        tmp_path, policies[family], tokenizer, rows, PolicyConfig(model="x"), CPU, seed=0
    )
    (part,) = trainer.data_collator(rows)["parts"]
    gap, padding = len(long) - 2, load_tokenizer(policies[family]).pad_token_id
    assert part["input_ids"].tolist() == [prompt + long, [*prompt, *short, *[padding] * gap]]
    assert part["attention_mask"].tolist() == [[1] * len(prompt + long)] + [
        [1] * len(prompt + short) + [0] * gap
    ]
    assert part["completion_mask"].tolist() == [
        [0] * len(prompt) + [1] * len(long),
        [0] * len(prompt) + [1, 1] + [0] * gap,
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_fine_tuning_has_labels_on_the_last_answer_and_its_end(
    family: str, policies: dict[str, Path], tmp_path: Path
) -> None:
    tokenizer, answer = load_tokenizer(policies[family]), ANSWERS[family][0]
    talks = [[*TALKS["turns"], SAID], [ASKED, SAID]]
    rows, _ = tokenise_conversations(tokenizer, talks, 64)
    long, short = golden(family, "turns"), golden(family, "one turn")
    model = AutoModelForCausalLM.from_pretrained(policies[family])
    trainer = sft_trainer(tmp_path, model, tokenizer, rows, PolicyConfig(model="x"), CPU, seed=0)
    (part,) = trainer.data_collator(rows)["parts"]
    gap = len(long) - len(short)
    assert part["labels"].tolist() == [
        [-100] * len(long) + answer,
        [-100] * len(short) + answer + [-100] * gap,
    ]
    assert part["input_ids"][1, : len(short + answer)].tolist() == short + answer


@torch.no_grad()
def alone(model: torch.nn.Module, prompt: list[int], answer: list[int]) -> float:
    """Sum of log-probabilities of the answer's tokens, one sequence without any padding."""
    logits = model(torch.tensor([prompt + answer])).logits[0].double().log_softmax(-1)
    return sum(logits[len(prompt) + i - 1, token].item() for i, token in enumerate(answer))


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_are_those_of_the_golden_ids(
    family: str, policies: dict[str, Path]
) -> None:
    """Of a text and of sampled tokens, in one padded batch; the end of turn is among them."""
    answer = ANSWERS[family][0]
    items = [(TALKS["turns"], "It is 4."), ([ASKED], answer[-1:])]
    sums, lengths = sequence_logps(policies[family], items, runtime=CPU)
    model = AutoModelForCausalLM.from_pretrained(policies[family]).eval()
    expected = [
        alone(model, golden(family, "turns"), answer),
        alone(model, golden(family, "one turn"), answer[-1:]),
    ]
    assert sums.tolist() == pytest.approx(expected, abs=1e-4)
    assert lengths.tolist() == [len(answer), 1]


@pytest.mark.parametrize(
    "name", ["transformers", pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.slow])]
)
@pytest.mark.parametrize("family", ["llama", "chatml", "mistral-3"])
def test_an_engine_reads_the_golden_prompt_and_nothing_else(
    name: str, family: str, policies: dict[str, Path]
) -> None:
    """No second BOS, no lost one: greedy answers and log-probabilities are the model's own."""
    if name == "vllm":
        pytest.importorskip("vllm")
    model = AutoModelForCausalLM.from_pretrained(policies[family]).eval()
    tokenizer = load_tokenizer(policies[family])
    asked = [render_prompt(tokenizer, TALKS[talk]) for talk in ("turns", "one turn")]
    engine: Engine = open_engine(name, policies[family], CPU, 64, seed=0)
    try:
        answers = engine.generate(asked, [1, 2], Sampling(1, 0.0, 1.0, 8))
        found = engine.logprobs(asked, [ANSWERS[family][0]] * 2)
    finally:
        engine.close()
    for talk, (output,), logps in zip(("turns", "one turn"), answers, found, strict=True):
        prompt = golden(family, talk)
        ids = torch.tensor([prompt])
        own = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8
        )[0, len(prompt) :].tolist()
        ends = stop_ids(tokenizer, policies[family])
        assert output.token_ids == make_output(tokenizer, own, ends).token_ids
        assert sum(logps) == pytest.approx(alone(model, prompt, ANSWERS[family][0]), abs=1e-3)


@pytest.mark.parametrize("talk", ["one turn", "turns"])
@pytest.mark.parametrize("reads", ["llama", "chatml", "gemma"])
@pytest.mark.parametrize("writes", ["qwen", "mistral"])
def test_a_reward_model_reads_a_policys_words_in_its_own_ids(
    writes: str, reads: str, talk: str, tmp_path: Path
) -> None:
    """Its words begin at 40, so that an id of the policy's would be another word or none."""
    tokenizer = tokenizer_of(reads, first=40)
    torch.manual_seed(0)
    config = llama_config(tokenizer)
    config.num_labels, config.pad_token_id = 1, tokenizer.pad_token_id
    model = LlamaForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    answer, _ = ANSWERS[writes]
    policy = tokenizer_of(writes)
    said = [make_output(policy, ids, [answer[-1]]).text for ids in (answer, answer[:-1])]
    own, after = ANSWERS[reads]
    expected = [i if i < 10 else i + 30 for i in golden(reads, talk) + own + after]
    with torch.no_grad():
        hidden = model.model(torch.tensor([expected])).last_hidden_state
        score = model.score(hidden)[0, -1].item()
    # In one batch with a longer one, so that it is padded; a cut answer is read as an ended one.
    items = [(TALKS[talk], text) for text in said] + [(TALKS["turns"], "It is 4. It is 4.")]
    found = load_scorer(tmp_path, CPU, 128).score(items)
    assert found[:2].tolist() == pytest.approx([score, score], abs=1e-5)
    assert abs(found[2] - score) > 1e-3
