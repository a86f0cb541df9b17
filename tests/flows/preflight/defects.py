"""Defects of model folders: each makes a good one one that cannot be used."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaConfig,
    MambaConfig,
    RobertaConfig,
)

Defect = Callable[[Path], None]


def config(**changes: Any) -> Defect:
    """Other values in config.json; None removes one."""

    def damage(folder: Path) -> None:
        path = folder / "config.json"
        values = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))

    return damage


def written(name: str, content: str | bytes) -> Defect:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def removed(*names: str) -> Defect:
    def damage(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return damage


def weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Defect:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return damage


def without_head(tensors: dict[str, torch.Tensor]) -> None:
    for name in [n for n in tensors if n.startswith(("score", "classifier"))]:
        del tensors[name]


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def pickled(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def tokenizer_of_more_words(folder: Path) -> None:
    """Configuration and weights agree on 300 tokens, the tokenizer has 397."""
    config(vocab_size=300)(folder)

    def shorten(tensors: dict[str, torch.Tensor]) -> None:
        for name in [n for n in tensors if "embed" in n or "lm_head" in n]:
            if tensors[name].shape[0] == 397:
                tensors[name] = tensors[name][:300].clone()

    weights(shorten)(folder)


def template(text: str) -> Defect:
    return written("chat_template.jinja", text)


def index(folder: Path) -> None:
    listed = {"weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors", "x": "y"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(listed))


def own_code(folder: Path) -> None:
    """Code beside the model that leaves a trace if it is run."""
    trace = folder / "code_has_run"
    (folder / "own.py").write_text(
        f"open({str(trace)!r}, 'w').close()\n"
        "from transformers import PretrainedConfig\n"
        "class OwnConfig(PretrainedConfig):\n    model_type = 'own'\n"
    )
    config(model_type="own", auto_map={"AutoConfig": "own.OwnConfig"})(folder)


def generation(content: Any) -> Defect:
    return written("generation_config.json", json.dumps(content))


def adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def more_tokens(folder: Path) -> None:
    """The template writes tokens that were added after the model was made."""
    for name in ("tokenizer.json", "chat_template.jinja"):
        path = folder / name
        path.write_text(path.read_text().replace("<|im_start|>", "<|turn|>"))
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    for token in values["added_tokens"]:
        if token["content"] == "<|turn|>":
            values["model"]["vocab"]["<|unused|>"] = token["id"]
            token["id"] = 397
    del values["model"]["vocab"]["<|turn|>"]
    path.write_text(json.dumps(values))


def one_special_token(folder: Path) -> None:
    """Its end of turn is all that it could pad with."""
    path = folder / "tokenizer_config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"pad_token": "<|im_end|>", "bos_token": None}))
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("<|im_end|>\\n", "<|im_end|>"))


def future_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"pre_tokenizer": {"type": "FutureSplit"}}))


def recurrent(folder: Path) -> None:
    settings = LlamaConfig.from_pretrained(folder)
    mamba = MambaConfig(
        hidden_size=32,
        num_hidden_layers=1,
        vocab_size=settings.vocab_size,
        eos_token_id=settings.eos_token_id,
        pad_token_id=settings.pad_token_id,
    )
    AutoModelForCausalLM.from_config(mamba).save_pretrained(folder)


def no_layers(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": None}))


def index_elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    written("model.safetensors.index.json", '{"weight_map": {"x": "../a.safetensors"}}')(folder)


def position_padding(folder: Path) -> None:
    """A RoBERTa that counts its positions from another token than its tokenizer pads with."""
    values = json.loads((folder / "config.json").read_text())
    settings = RobertaConfig(**(values | {"model_type": "roberta", "pad_token_id": 1}))
    AutoModelForSequenceClassification.from_config(settings).save_pretrained(folder)


def poisoned(name: str) -> Defect:
    return weights(lambda tensors: tensors[name].view(-1)[:1].fill_(float("nan")))


def without(part: str) -> Defect:
    def drop(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if part in name]:
            del tensors[name]

    return weights(drop)
