"""Reward models without a chat template: what they read is their tokenizer's own text pair."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from data.errors import InputError
from data.recipes.recipe import AdapterConfig, RuntimeConfig, StudentConfig
from models.chat import render_conversation
from models.rewards import load_scorer
from models.text_pairs import load_reader, reads_segments
from models.training.reward_training import train_reward_model
from tests.fixtures.models import CORPUS
from tests.models.training.training_rows import preferences

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.2,
    "num_labels": 1,
}


def bert_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def roberta_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in names.items()},
    )


def save(kind: str, out):
    tokenizer = roberta_tokenizer() if kind == "roberta" else bert_tokenizer()
    size = len(tokenizer)
    torch.manual_seed(0)
    if kind == "bert":
        model = BertForSequenceClassification(BertConfig(**SMALL, vocab_size=size))
    elif kind == "roberta":
        config = RobertaConfig(**SMALL, vocab_size=size, pad_token_id=1)
        model = RobertaForSequenceClassification(config)
    else:
        config = DistilBertConfig(
            vocab_size=size, dim=32, hidden_dim=64, n_layers=2, n_heads=2, num_labels=1
        )
        model = DistilBertForSequenceClassification(config)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


@pytest.fixture(params=["bert", "roberta", "distilbert"])
def encoder(request, tmp_path):
    return save(request.param, tmp_path / request.param)


ITEMS = [
    ("What is 12 plus 30?", "The answer is 42."),
    ("Name three colours:\nred", "green and  blue"),
    ("Sort these words", " pear apple"),
]


def conversations():
    return [([{"role": "user", "content": prompt}], answer) for prompt, answer in ITEMS]


def test_the_scores_are_those_of_the_tokenizers_own_pair(encoder):
    """Ids and segments of a padded batch: what a user of the model would pass it."""
    tokenizer = load_reader(encoder)
    plain = AutoTokenizer.from_pretrained(encoder)
    batch = plain([p for p, _ in ITEMS], [a for _, a in ITEMS], padding=True, return_tensors="pt")
    if "distil" in encoder.name:
        batch.pop("token_type_ids")
    model = AutoModelForSequenceClassification.from_pretrained(encoder).eval()
    with torch.no_grad():
        expected = model(**batch).logits[:, 0].tolist()
    scorer = load_scorer(encoder, RuntimeConfig(), max_length=64)
    assert scorer.score(conversations()).tolist() == pytest.approx(expected, abs=1e-5)
    assert reads_segments(tokenizer) == (encoder.name == "bert")


def test_segments_change_the_score(tmp_path):
    """Or the test above would not see that they are missing."""
    folder = save("bert", tmp_path / "m")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = AutoTokenizer.from_pretrained(folder)([ITEMS[0][0]], [ITEMS[0][1]], return_tensors="pt")
    with torch.no_grad():
        with_types = model(**batch).logits
        batch["token_type_ids"].zero_()
        assert not torch.allclose(with_types, model(**batch).logits)


def test_a_separator_in_the_text_does_not_end_it(tmp_path):
    tokenizer = load_reader(save("bert", tmp_path / "m"))
    talk = [{"role": "user", "content": "What is [SEP] the answer"}]
    assert render_conversation(tokenizer, talk, "[SEP]").count(tokenizer.sep_token_id) == 2


def test_a_longer_talk_names_the_roles(tmp_path):
    tokenizer = load_reader(save("bert", tmp_path / "m"))
    talk = [
        {"role": "user", "content": "the answer"},
        {"role": "assistant", "content": "is 42"},
        {"role": "user", "content": "What"},
    ]
    text = tokenizer.apply_chat_template(
        [*talk, {"role": "assistant", "content": "pear"}], tokenize=False
    )
    assert text == "[CLS]user: the answer\nassistant: is 42\nuser: What[SEP]pear[SEP]"


def test_a_student_of_that_kind_is_distilled_and_reads_the_same_afterwards(encoder, tmp_path):
    config = StudentConfig(model="x", batch_size=4, max_length=64, epochs=2, learning_rate=1e-2)
    out = tmp_path / "student"
    out.mkdir()
    targets = ["query", "value"] if "distil" not in encoder.name else ["q_lin", "v_lin"]
    before = load_scorer(encoder, RuntimeConfig(), 64).score(conversations())
    meta = train_reward_model(
        out,
        model=encoder,
        tokenizer=load_reader(encoder),
        preferences=preferences(16),
        config=config,
        adapter=AdapterConfig(r=4, alpha=8, target_modules=targets),
        runtime=RuntimeConfig(),
        seed=0,
    )
    assert meta["rows"] == 16
    saved = load_reader(out)
    assert reads_segments(saved) == (encoder.name == "bert")
    assert saved.chat_template == load_reader(encoder).chat_template
    assert abs(load_scorer(out, RuntimeConfig(), 64).score(conversations()) - before).min() > 0


def test_a_decoder_without_a_template_is_refused(tmp_path, llama_reward_dir):
    tokenizer = load_reader(llama_reward_dir)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((llama_reward_dir / "config.json").read_text())
    with pytest.raises(InputError, match="no chat template, and does not separate a text pair"):
        load_reader(tmp_path)
