"""A model without a head becomes a student: its own weights below a new head, from a seed."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    LlamaForCausalLM,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
)

from data.errors import InputError
from data.recipes.recipe import AdapterConfig, RuntimeConfig, StudentConfig
from models.loading import check_weights
from models.reward_files import check_headless, check_reward_model, lacks_head
from models.rewards import load_scorer
from models.text_pairs import load_reader, reads_segments
from models.training.fresh_head import add_head
from models.training.reward_training import train_reward_model
from tests.fixtures.models import llama_config
from tests.models.test_text_pairs import SMALL, bert_tokenizer, conversations, roberta_tokenizer
from tests.models.training.training_rows import preferences

BODY = {name: value for name, value in SMALL.items() if name != "num_labels"}
DISTIL = {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2}
KINDS = {
    "bert": lambda n: BertModel(BertConfig(**BODY, vocab_size=n)),
    "bert-no-pooler": lambda n: BertModel(BertConfig(**BODY, vocab_size=n), False),
    "bert-masked": lambda n: BertForMaskedLM(BertConfig(**BODY, vocab_size=n)),
    "roberta": lambda n: RobertaModel(RobertaConfig(**BODY, vocab_size=n, pad_token_id=1)),
    "mpnet": lambda n: MPNetModel(MPNetConfig(**BODY, vocab_size=n, pad_token_id=1)),
    "distilbert": lambda n: DistilBertModel(DistilBertConfig(**DISTIL, vocab_size=n)),
}
RUNTIME = RuntimeConfig()


def save(kind, out, tokenizer=None):
    torch.manual_seed(0)
    if kind == "llama":
        model = LlamaForCausalLM(llama_config(tokenizer))
    else:
        tokenizer = roberta_tokenizer() if kind in ("roberta", "mpnet") else bert_tokenizer()
        model = KINDS[kind](len(tokenizer))
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


@pytest.fixture(params=[*KINDS, "llama"])
def plain(request, tmp_path, tokenizer):
    return save(request.param, tmp_path / request.param, tokenizer)


def headed(plain, out, seed=0):
    out.mkdir()
    add_head(out, model=plain, runtime=RUNTIME, seed=seed)
    return out


def test_the_head_is_new_and_the_rest_is_the_models(plain, tmp_path):
    assert lacks_head(plain)
    check_headless(plain, "student.model")
    check_weights(plain, "student.model", False, "head")
    made = headed(plain, tmp_path / "made")
    assert not lacks_head(made)
    check_reward_model(made)
    check_weights(made, "student.model", False, "read")
    before, after = (load_file(f / "model.safetensors") for f in (plain, made))
    bodies = {name.partition(".")[2]: tensor for name, tensor in after.items()}
    kept = [
        name for name, tensor in before.items()
        if torch.equal(tensor, after.get(name, bodies.get(name, torch.zeros(0))))
    ]  # fmt: skip
    assert set(before) - set(kept) <= {n for n in before if n.startswith(("lm_head", "cls", "po"))}
    scores = load_scorer(made, RUNTIME, max_length=64).score(conversations())
    assert len(set(scores.tolist())) == 3


def test_equal_seeds_give_equal_bytes_whatever_was_drawn_before(plain, tmp_path):
    def weights(name, seed):
        torch.rand(seed + len(name))
        return (headed(plain, tmp_path / name, seed) / "model.safetensors").read_bytes()

    first = weights("one", 0)
    assert weights("again", 0) == first
    assert weights("other", 1) != first


def test_it_reads_prompt_and_answer_as_a_pair_and_does_so_once_distilled(plain, tmp_path):
    made, out = headed(plain, tmp_path / "made"), tmp_path / "distilled"
    reader = load_reader(made)
    assert reads_segments(reader) == plain.name.startswith("bert")
    if plain.name != "llama":  # which has a chat template
        question, answer = "What is 12 plus 30?", "The answer is 42."
        ids = reader.apply_chat_template(
            [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            tokenize=True, return_dict=False,
        )  # fmt: skip
        assert ids == AutoTokenizer.from_pretrained(plain)(question, answer)["input_ids"]
    out.mkdir()
    before = load_scorer(made, RUNTIME, 64).score(conversations())
    train_reward_model(
        out,
        model=made,
        tokenizer=reader,
        preferences=preferences(16),
        config=StudentConfig(model="x", batch_size=4, max_length=64, learning_rate=1e-2),
        adapter=AdapterConfig(r=4, alpha=8),
        runtime=RUNTIME,
        seed=0,
    )
    assert load_reader(out).chat_template == reader.chat_template
    assert abs(load_scorer(out, RUNTIME, 64).score(conversations()) - before).min() > 0


def test_a_backbone_with_a_hole_is_not_filled_up(tmp_path):
    plain = save("bert", tmp_path / "bert")
    tensors = load_file(plain / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, plain / "model.safetensors", metadata={"format": "pt"})
    for use in (lambda: check_weights(plain, "student.model", False, "head"),
                lambda: headed(plain, tmp_path / "made")):  # fmt: skip
        with pytest.raises(InputError, match=r"lacks the tensor bert.encoder.layer.1.output.dense"):
            use()


def test_a_head_that_is_there_is_not_made_again(tmp_path):
    torch.manual_seed(0)
    config = BertConfig(**SMALL, vocab_size=300)
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    assert not lacks_head(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace("BertForSequenceClassification", "BertModel"))
    with pytest.raises(InputError, match="has a classification head in its weights"):
        check_headless(tmp_path, "student.model")
