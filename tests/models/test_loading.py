"""Weights become a model whole or not at all; preflight says so from the files alone."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from models import loading
from models.checkpoints import is_causal
from models.loading import check_weights, load_policy, load_reward_model
from models.training.averaging import average_models
from models.training.trainers import save_model

Tensors = dict[str, torch.Tensor]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
SIZES |= {"num_attention_heads": 2, "vocab_size": 40, "pad_token_id": 0}
DECODER = SIZES | {"num_key_value_heads": 1, "eos_token_id": 1, "bos_token_id": None}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 40, "pad_token_id": 0}
GPT2 |= {"eos_token_id": 1, "bos_token_id": None}


def save(config: Any, out: Path, **how: Any) -> Path:
    """A model of random weights; a classifier where the configuration has one label."""
    torch.manual_seed(0)
    classifier = config.num_labels == 1
    kind = tf.AutoModelForSequenceClassification if classifier else tf.AutoModelForCausalLM
    kind.from_config(config).save_pretrained(out, **how)
    return out


def tensors(change: Callable[[Tensors], Tensors]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        save_file(change(load_file(path)), path, metadata={"format": "pt"})

    return damage


def config(**changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def load(folder: Path) -> Any:
    return (load_policy if is_causal(folder) else load_reward_model)(folder, torch.float32)


def check(folder: Path) -> None:
    check_weights(folder, "field", False, "sample" if is_causal(folder) else "read")


def renamed(pairs: dict[str, str], added: Tensors) -> Callable[[Path], None]:
    def change(held: Tensors) -> Tensors:
        for old, new in pairs.items():
            held = {name.replace(old, new): tensor for name, tensor in held.items()}
        return held | added

    return tensors(change)


LLAMA, BERT, LABEL = tf.LlamaConfig, tf.BertConfig, {"num_labels": 1}
HEAD = {"lm_head.weight": torch.ones(40, 32)}
GOOD: dict[str, tuple[Any, Callable[[Path], None] | None]] = {
    "llama": (LLAMA(**DECODER), None),
    "llama tied": (LLAMA(**DECODER, tie_word_embeddings=True), None),
    "llama tied, head stored": (LLAMA(**DECODER, tie_word_embeddings=True), renamed({}, HEAD)),
    "llama, old buffers": (
        LLAMA(**DECODER),
        renamed({}, {"model.layers.1.self_attn.rotary_emb.inv_freq": torch.ones(8)}),
    ),
    "qwen2": (tf.Qwen2Config(**DECODER), None),
    "qwen3": (tf.Qwen3Config(**DECODER, head_dim=16), None),
    "gemma2": (tf.Gemma2Config(**DECODER, head_dim=16), None),
    "mixture of experts": (tf.MixtralConfig(**DECODER, num_local_experts=2), None),
    "gpt2": (
        tf.GPT2Config(**GPT2),
        renamed({}, {"transformer.h.1.attn.masked_bias": torch.tensor(-1e4)}),
    ),
    "bert": (BERT(**SIZES, **LABEL), None),
    "bert of 2019": (
        BERT(**SIZES, **LABEL),
        renamed(
            {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"},
            {
                "bert.embeddings.position_ids": torch.arange(512)[None],
                "cls.predictions.bias": torch.zeros(40),
            },
        ),
    ),
    "roberta": (tf.RobertaConfig(**SIZES, **LABEL), None),
    "deberta": (tf.DebertaV2Config(**SIZES, **LABEL), None),
    "llama classifier, another head left in": (LLAMA(**DECODER, **LABEL), renamed({}, HEAD)),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_good_models_of_many_layouts_are_taken(name: str, tmp_path: Path) -> None:
    settings, change = GOOD[name]
    folder = save(settings, tmp_path)
    if change:
        change(folder)
    check(folder)
    assert not list(load(folder).parameters())[0].is_meta


def test_a_model_in_several_files_is_taken(tmp_path: Path) -> None:
    folder = save(LLAMA(**DECODER), tmp_path, max_shard_size="30KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    (folder / "consolidated.safetensors").write_bytes(b"the same in another layout, not read")
    check(folder)
    load(folder)


def test_a_base_model_without_the_prefix_is_taken(tmp_path: Path) -> None:
    settings = LLAMA(**DECODER, tie_word_embeddings=True)
    tf.LlamaModel(settings).save_pretrained(tmp_path)
    config(architectures=["LlamaForCausalLM"])(tmp_path)
    check(tmp_path)
    load(tmp_path)


class Bad(NamedTuple):
    config: Any
    damage: Callable[[Path], None]
    says: str


def without(part: str) -> Callable[[Path], None]:
    return tensors(lambda held: {name: t for name, t in held.items() if part not in name})


def filled(name: str, value: float, dtype: torch.dtype = torch.float32) -> Callable[[Path], None]:
    def change(held: Tensors) -> Tensors:
        held[name] = held[name].to(dtype)
        held[name].view(-1)[-1] = value
        return held

    return tensors(change)


NAN, INF = float("nan"), float("inf")
BAD = {
    "prefix": Bad(LLAMA(**DECODER), renamed({"model.": "module.model."}, {}),
                  r"lacks the tensor model\.embed_tokens\.weight .*it has module\.model\.embed"),
    "no head": Bad(LLAMA(**DECODER), without("lm_head"), r"lacks the tensor lm_head\.weight"),
    "lost layer": Bad(LLAMA(**DECODER), without("layers.1.mlp"), r"lacks the tensor model\.layers"),
    "layer too many": Bad(LLAMA(**DECODER), config(num_hidden_layers=3, layer_types=None),
                          r"lacks the tensor model\.layers\.2\."),
    "layer too few": Bad(LLAMA(**DECODER), config(num_hidden_layers=1, layer_types=None),
                         r"holds the tensor model\.layers\.1\..* does not read"),
    "bias not read": Bad(
        LLAMA(**DECODER), renamed({}, {"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}),
        r"holds the tensor model\.layers\.0\.self_attn\.q_proj\.bias"),
    "norm not read": Bad(
        LLAMA(**DECODER), renamed({}, {"model.layers.0.self_attn.q_norm.weight": torch.ones(16)}),
        r"holds the tensor model\.layers\.0\.self_attn\.q_norm\.weight"),
    "other width": Bad(LLAMA(**DECODER), config(intermediate_size=48), r"mlp.* has shape \(32, 64"),
    "tied, no embeddings": Bad(LLAMA(**DECODER, tie_word_embeddings=True), without("embed_tokens"),
                               r"lacks the tensor (lm_head|model\.embed_tokens)\.weight"),
    "no pooler": Bad(BERT(**SIZES, **LABEL), without("pooler"), r"lacks the tensor bert\.pooler"),
    "head of another name": Bad(LLAMA(**DECODER, **LABEL), renamed({"score.": "v_head."}, {}),
                                r"lacks the tensor score\.weight"),
    "nan": Bad(LLAMA(**DECODER), filled("lm_head.weight", NAN), r"lm_head\.weight holds a NaN"),
    "half infinity": Bad(LLAMA(**DECODER), filled("model.norm.weight", INF, torch.float16),
                         r"model\.norm\.weight holds a NaN or an infinity"),
    "nan head": Bad(BERT(**SIZES, **LABEL), filled("classifier.bias", NAN),
                    r"classifier\.bias holds a NaN"),
    "scale of eight bits": Bad(
        LLAMA(**DECODER),
        renamed({}, {"model.layers.0.self_attn.q_proj.weight_scale": torch.ones(1)}),
        r"holds the tensor model\.layers\.0\.self_attn\.q_proj\.weight_scale"),
    "adapter beside": Bad(LLAMA(**DECODER),
                          lambda folder: (folder / "adapter_config.json").write_text("{}"),
                          "remove adapter_config.json"),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn], ids=str)
def test_weights_of_eight_bits_need_a_quantization_config(tmp_path: Path, dtype: Any) -> None:
    folder = save(LLAMA(**DECODER), tmp_path)
    filled("model.layers.0.mlp.up_proj.weight", 1, dtype)(folder)
    with pytest.raises(InputError, match=r"^field: .*up_proj\.weight is torch\.\w+, and config"):
        check(folder)


@pytest.mark.parametrize("name", BAD)
def test_weights_of_another_model_are_refused(name: str, tmp_path: Path) -> None:
    folder = save(BAD[name].config, tmp_path)
    BAD[name].damage(folder)
    with pytest.raises(InputError, match=BAD[name].says) as loaded:
        load(folder)
    assert "\n" not in str(loaded.value)
    if name != "adapter beside":  # which preflight sees before
        with pytest.raises(InputError, match=f"^field: .*{BAD[name].says}"):
            check(folder)


def test_a_checked_folder_is_read_again_only_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(LLAMA(**DECODER), tmp_path)
    read: list[Path] = []
    finite = loading.check_finite
    monkeypatch.setattr(
        loading, "check_finite", lambda path, *rest: (read.append(path), finite(path, *rest))
    )
    check(folder)
    check(folder)
    assert len(read) == 1
    filled("lm_head.weight", NAN)(folder)
    for _ in range(2):  # what failed is not remembered
        with pytest.raises(InputError, match="holds a NaN"):
            check(folder)


RECURRENT = {
    "mamba": tf.MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=40),
    "lfm2": tf.Lfm2Config(**DECODER, layer_types=["conv", "full_attention"]),
    "bloom": tf.BloomConfig(hidden_size=32, n_layer=2, n_head=2, vocab_size=40),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_a_model_that_the_engine_cannot_sample_from_is_refused(name: str, tmp_path: Path) -> None:
    folder = save(RECURRENT[name], tmp_path)
    with pytest.raises(InputError, match="^field: .*cannot sample from it"):
        check(folder)
    check_weights(folder, "field", False, "serve")


UNWRITABLE = {"do_sample": False, "temperature": 0.9, "top_p": 0.6, "eos_token_id": 1}


def test_a_generation_config_is_carried_over_as_it_is(
    policy_dir: Path, tokenizer: Any, tmp_path: Path
) -> None:
    """transformers reads this one, and refuses to write it."""
    policy = Path(shutil.copytree(policy_dir, tmp_path / "policy"))
    source = policy / "generation_config.json"
    source.write_text(json.dumps(UNWRITABLE, indent=1))
    model = load_policy(policy, torch.float32)
    save_model(model, tokenizer, tmp_path / "saved", torch.float32, like=policy)
    assert (tmp_path / "saved" / source.name).read_bytes() == source.read_bytes()
    average_models(
        tmp_path / "mean", average=policy, policy=policy, decay=0.5, runtime=RuntimeConfig()
    )
    assert (tmp_path / "mean" / source.name).read_bytes() == source.read_bytes()


def test_a_model_without_generation_config_gets_none(
    policy_dir: Path, tokenizer: Any, tmp_path: Path
) -> None:
    """Or the trained policy would end its answers at other tokens than the one before."""
    policy = Path(shutil.copytree(policy_dir, tmp_path / "policy"))
    (policy / "generation_config.json").unlink()
    model = load_policy(policy, torch.float32)
    save_model(model, tokenizer, tmp_path / "saved", torch.float32, like=policy)
    assert not (tmp_path / "saved" / "generation_config.json").exists()


def in_another_process(code: str, folder: Path) -> str:
    """What the code prints; a signal that ends it is an error."""
    ready = "import os, sys, torch; from pathlib import Path; folder = Path(sys.argv[1])\n"
    ready += "weights = folder / 'model.safetensors'\n"
    command = [sys.executable, "-c", ready + code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-1000:]}"
    return done.stdout


def test_weights_that_are_cut_while_they_are_checked_are_one_line(tmp_path: Path) -> None:
    folder = save(LLAMA(**DECODER), tmp_path)
    code = """
from data.errors import InputError
from models import finite
whole = finite.is_finite
def cut(tensor):
    os.truncate(weights, 1000)
    return whole(tensor)
finite.is_finite = cut
try:
    finite.check_finite(folder, "policy.model", set(), torch.float32)
except InputError as error:
    print(error)
"""
    said = in_another_process(code, folder)
    assert said.startswith("policy.model: ") and "was cut off while it was read" in said
    assert said.count("\n") == 1


def test_a_loaded_model_is_not_that_of_the_file_any_more(tmp_path: Path) -> None:
    """Written over or cut in place, as `cp` does to a "latest" checkpoint."""
    folder = save(LLAMA(**DECODER), tmp_path)
    code = """
from models.loading import load_policy
model, words = load_policy(folder, torch.float32), torch.arange(9)[None]
before = model(words).logits
with weights.open("r+b") as file:
    file.seek(-4000, os.SEEK_END)
    file.write(b"\\x11" * 4000)
os.truncate(weights, 1000)
print(torch.equal(model(words).logits, before))
"""
    assert in_another_process(code, folder) == "True\n"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_weights_beyond_the_range_of_the_type_they_are_computed_with(
    tmp_path: Path, dtype: str
) -> None:
    folder = save(LLAMA(**DECODER), tmp_path)
    filled("lm_head.weight", 7e4)(folder)
    if dtype != "float16":
        check_weights(folder, "field", False, "sample", dtype)
        return
    says = "lm_head.weight holds a value of 70000, float16 ends at 65504; set runtime.dtype"
    with pytest.raises(InputError, match=says):
        check_weights(folder, "field", False, "sample", dtype)
