"""Model folders that cannot be used, each made from a good one by one defect."""

import json
import shutil
from typing import Any, NamedTuple

import pytest
import yaml

from cli.main import main
from flows.preflight.inputs import check_inputs
from flows.table import recipe_from
from tests.fixtures.commands import in_new_process, refused_in_new_process
from tests.flows.preflight.defects import (
    Defect,
    adapter,
    config,
    cut,
    future_tokenizer,
    generation,
    index,
    index_elsewhere,
    more_tokens,
    no_layers,
    one_special_token,
    own_code,
    pickled,
    poisoned,
    position_padding,
    recurrent,
    removed,
    template,
    tokenizer_of_more_words,
    weights,
    without,
    without_head,
    written,
)

POLICY, STUDENT, TEACHER = "policy.model", "student.model", "teacher.model"


class Case(NamedTuple):
    field: str
    name: str
    damage: Defect
    says: str


QUANTISED = config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
NO_TEMPLATE = removed("chat_template.jinja")
LOUD = "{{ raise_exception('no system') }}"
CASES = [
    Case(POLICY, "no config", removed("config.json"), "has no config.json; name a Hugging Face"),
    Case(POLICY, "adapter only", lambda f: (f / "config.json").rename(f / "adapter_config.json"),
         "merge the adapter into its model first"),
    Case(POLICY, "config cut", written("config.json", "{"), "has no readable config.json"),
    Case(POLICY, "config a list", written("config.json", "[]"), "is not a JSON object"),
    Case(POLICY, "config binary", written("config.json", b"\xff"), "has no readable config.json"),
    Case(POLICY, "no weights", removed("model.safetensors"), "has no .safetensors file; save the"),
    Case(POLICY, "weights cut", cut, "model.safetensors' is damaged"),
    Case(POLICY, "weights empty", written("model.safetensors", b""), "is damaged"),
    Case(POLICY, "weights text", written("model.safetensors", "git-lfs" * 9), "is damaged"),
    Case(POLICY, "pickled weights", pickled,
         "pytorch_model.bin is pickled and can run code when loaded; convert it to safetensors"),
    Case(POLICY, "shard missing", index, "copy y or the whole model again"),
    Case(POLICY, "index cut", written("model.safetensors.index.json", "{"), "has no readable"),
    Case(POLICY, "classifier", config(architectures=["LlamaForSequenceClassification"]),
         "is a LlamaForSequenceClassification, not a causal language model"),
    Case(POLICY, "encoder", config(architectures=["BertModel"]), "is a BertModel, not a causal"),
    Case(POLICY, "masked", config(architectures=["BertForMaskedLM"]), "not a causal language"),
    Case(POLICY, "encoder-decoder", config(is_encoder_decoder=True), "not a causal language"),
    Case(POLICY, "no architecture", config(architectures=None), "not a causal language model"),
    Case(POLICY, "unknown type", config(model_type="llama99"), "cannot read the config.json"),
    Case(POLICY, "other embeddings", config(vocab_size=500),
         "has a vocab_size of 500 and embeddings for 397 tokens"),
    Case(POLICY, "tokenizer too large", tokenizer_of_more_words,
         "the tokenizer has 397 tokens, the model embeddings for 300"),
    Case(POLICY, "short context", config(max_position_embeddings=64),
         "knows 64 positions, prompts.max_tokens + generate.max_tokens is 76; lower one of them"),
    Case(POLICY, "no tokenizer", removed("tokenizer.json", "tokenizer_config.json"),
         "no tokenizer can be loaded"),
    Case(POLICY, "tokenizer cut", written("tokenizer.json", "{"), "no tokenizer can be loaded"),
    Case(POLICY, "no template", NO_TEMPLATE, "the tokenizer has no chat template"),
    Case(POLICY, "template cut", template("{% for m in messages %}"), "the chat template refuses"),
    Case(POLICY, "template adds", template("{{ 1 + 'a' }}"), "the chat template refuses"),
    Case(POLICY, "template silent", template("<s>"), "drops an assistant's answer"),
    Case(POLICY, "template ends nothing",
         template("{% for m in messages %}{{ m['content'] }}{% endfor %}"), "end-of-turn"),
    Case(POLICY, "own code", own_code, "needs Python code of its own; read it, and set runtime.tr"),
    Case(POLICY, "lost layer", without("layers.1.mlp"), "policy.model: "),
    Case(POLICY, "lost head", without("lm_head"), "lacks the tensor lm_head.weight of a LlamaFor"),
    Case(POLICY, "poisoned", poisoned("model.norm.weight"), "model.norm.weight holds a NaN"),
    Case(POLICY, "adapter beside", adapter, "merge the adapter first, or remove adapter_config"),
    Case(POLICY, "quantised", QUANTISED, "is quantised (bitsandbytes), and quantised weights ca"),
    Case(POLICY, "recurrent", recurrent, "is a MambaForCausalLM, which keeps more than keys"),
    Case(POLICY, "generation cut", written("generation_config.json", "{"),
         "(generation_config.json is no JSON)"),
    Case(POLICY, "generation a list", generation([1]), "generation_config.json' is not a JSON obj"),
    Case(POLICY, "end a text", generation({"eos_token_id": "2"}), "has eos_token_id: '2', which"),
    Case(POLICY, "heat a text", generation({"temperature": "hot"}), "has temperature: 'hot'"),
    Case(POLICY, "tokens without embeddings", more_tokens,
         "gives token 397, the model has embeddings for 397"),
    Case(POLICY, "tokenizer of the future", future_tokenizer,
         "policy.model: no tokenizer can be loaded"),
    Case(POLICY, "tokenizer a list", written("tokenizer_config.json", "[]"), "is not a JSON obj"),
    Case(POLICY, "length a text", written("tokenizer_config.json", '{"model_max_length": "x"}'),
         "has model_max_length: 'x', which must be a number or null"),
    Case(POLICY, "vocabulary a text", config(vocab_size="397"), "has vocab_size: '397', which"),
    Case(POLICY, "no number of layers", no_layers, "has num_hidden_layers: 'None', which"),
    Case(POLICY, "layers without end", config(num_hidden_layers=10**9), "1000000000 layers by its"),
    Case(POLICY, "positions a text", config(max_position_embeddings="x"), "max_position"),
    Case(POLICY, "architecture a text", config(architectures="LlamaForCausalLM"),
         "has architectures: 'LlamaForCausalLM', which must be a list of names"),
    Case(POLICY, "scaling a list", config(rope_scaling=[]), "has rope_scaling: '[]', which must"),
    Case(POLICY, "scaling unknown", config(rope_scaling={"rope_type": "x", "factor": "y"}),
         "policy.model: "),
    Case(POLICY, "heads do not divide", config(num_attention_heads=3), "policy.model: "),
    Case(POLICY, "index elsewhere", index_elsewhere,
         "names the file '../a.safetensors', which is none of this folder's"),
    Case(POLICY, "other name of the file", lambda f: (f / "model.safetensors").rename(
         f / "weights.safetensors"), "no .safetensors file that transformers would load"),
    Case(POLICY, "generation config", written("generation_config.json", '{"max_new_tokens": -3}'),
         "policy.model: transformers refuses"),
    Case(STUDENT, "labels a number", config(id2label=3), "has id2label: '3', which must be an obj"),
    Case(STUDENT, "lost pooler", without("pooler"), "lacks the tensor bert.pooler.dense.bias"),
    Case(STUDENT, "poisoned head", poisoned("classifier.weight"), "classifier.weight holds a NaN"),
    Case(STUDENT, "nothing to pad with", one_special_token, "no padding token apart from the one"),
    Case(STUDENT, "padding and positions", position_padding, "counts its positions from there"),
    Case(STUDENT, "quantised", QUANTISED, "is quantised (bitsandbytes), and quantised weights ca"),
    Case(TEACHER, "adapter beside", adapter, "merge the adapter first, or remove adapter_config"),
    Case(TEACHER, "poisoned", poisoned("score.weight"), "score.weight holds a NaN or an infinity"),
    Case(TEACHER, "tokens without embeddings", more_tokens, "teacher.model: the chat template wr"),
    Case(TEACHER, "quantised", QUANTISED, "bitsandbytes"),
    Case(STUDENT, "two labels", config(id2label={"0": "a", "1": "b"}),
         "(BertForSequenceClassification) has 2 labels, a reward model has one"),
    Case(STUDENT, "generative", config(architectures=["LlamaForCausalLM"]),
         "is a LlamaForCausalLM, not a reward model"),
    Case(STUDENT, "bare encoder", config(architectures=["BertModel"]), "not a reward model"),
    Case(STUDENT, "model in a folder", lambda f: shutil.move(
        shutil.copytree(f, f.parent / "0_Transformer"), removed("config.json")(f) or f),
        "has no config.json; name a Hugging Face directory, such as 0_Transformer in it"),
    Case(STUDENT, "no head", weights(without_head), "has no classification head"),
    Case(STUDENT, "weights cut", cut, "is damaged"),
    Case(STUDENT, "pickled weights", pickled, "pytorch_model.bin is pickled"),
    Case(STUDENT, "no template", NO_TEMPLATE, "student.model: the tokenizer has no chat template"),
    Case(STUDENT, "template refuses", template(LOUD), "no system"),
    Case(STUDENT, "other embeddings", config(vocab_size=7), "has a vocab_size of 7 and embeddings"),
    Case(STUDENT, "tokenizer too large", tokenizer_of_more_words, "the tokenizer has 397 tokens"),
    Case(STUDENT, "own code", own_code, "needs Python code of its own"),
    Case(STUDENT, "encoder-decoder", config(is_encoder_decoder=True, architectures=["T5Model"]),
         "is a T5Model, an encoder with a decoder, not a reward model, and is given no head here"),
    Case(TEACHER, "bare decoder", config(architectures=["LlamaModel"]),
         "is a LlamaModel, not a reward model: it has no head, and one made up here would judge"),
    Case(TEACHER, "two labels", config(id2label={"0": "a", "1": "b"}), "has 2 labels"),
    Case(TEACHER, "no weights", removed("model.safetensors"), "has no .safetensors file"),
    Case(TEACHER, "no template", NO_TEMPLATE, "teacher.model: the tokenizer has no chat template"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.field}-{case.name}")
def test_a_model_folder(refuse_change, tmp_path, tiny_recipe, case):
    model = tmp_path / "model"
    section, name = case.field.split(".")
    shutil.copytree(tiny_recipe[section][name], model)
    case.damage(model)
    line = refuse_change({case.field: str(model)})
    assert case.says in line and (case.field in line or str(model) in line)
    assert not (model / "code_has_run").exists()


class Name(NamedTuple):
    changes: dict[str, Any]
    says: str


NAMES = [
    Name({POLICY: "./no/such/folder"}, "policy.model: './no/such/folder' is no folder here"),
    Name({POLICY: "no/such/folder/here"}, "policy.model: 'no/such/folder/here' is no folder here"),
    Name({POLICY: "nobody/nothing"}, "'nobody/nothing' is neither a folder here nor a model"),
    Name({POLICY: "what is this?"}, "policy.model: 'what is this?' is neither a folder here"),
    Name({POLICY: "../../etc/passwd"}, "policy.model: '../../etc/passwd' is no folder here"),
    Name({POLICY: "/etc/passwd"}, "policy.model: '/etc/passwd' is no folder here"),
    Name({POLICY: "https://huggingface.co/a/b"}, "is a URL, which is not read; name the mo"),
    Name({"policy.max_length": 8, "generate.max_tokens": 4, "prompts.max_tokens": 40},
         "policy.max_length: 8 tokens are less than every prompt has with an answer"),
    Name({"student.max_length": 8}, "student.max_length: 8 tokens are less than every prompt has"),
    Name({POLICY: ""}, "policy.model: '' has no config.json"),
    Name({POLICY: "world"}, "policy.model: name your own, or add 'world: {}'"),
    Name({STUDENT: "nobody/nothing"}, "student.model: 'nobody/nothing' is neither"),
    Name({TEACHER: "./nothing"}, "teacher.model: './nothing' is no folder here"),
    Name({TEACHER: "none"}, "teacher.model: 'none' is neither a folder here nor a model"),
    Name({POLICY: "teacher"}, "policy.model: 'teacher' is neither a folder here nor a model"),
    Name({"student.adapter.target_modules": ["q"]}, "adapter.target_modules: the model has no"),
    Name({"student.adapter.target_modules": "["}, "'[' is no regular expression"),
    Name({"policy.method": "lora", "policy.adapter.target_modules": ["qkv"]}, "no module ['qkv']"),
    Name({"prompts.max_tokens": 8}, "more prompts), prompts.max_tokens is 8; raise it or remove"),
    Name({"prompts.max_tokens": 512}, "knows 256 positions, prompts.max_tokens + generate."),
    Name({"evaluate.judge": "oracle"}, "evaluate.judge: the oracle knows only the embedded world"),
    Name({"runtime.device": "cuda"}, "runtime.device: 'cuda' asked for, but no NVIDIA GPU answers"),
]  # fmt: skip


@pytest.mark.parametrize("case", NAMES, ids=lambda case: str(case.changes))
def test_what_a_recipe_says_of_models(refuse_change, monkeypatch, case):
    monkeypatch.setattr("models.devices.has_cuda", lambda: False)
    assert case.says in refuse_change(case.changes)


def test_good_models_are_not_refused(tiny_recipe):
    check_inputs(recipe_from(tiny_recipe))


@pytest.mark.parametrize("field", [POLICY, STUDENT, TEACHER])
def test_a_template_that_refuses_a_role_of_the_prompts(field, refuse_change, tmp_path, tiny_recipe):
    """Two models with no common rendering: one knows system messages, the other refuses them."""
    strict, prompts = tmp_path / "strict", tmp_path / "system.jsonl"
    shutil.copytree(tiny_recipe[field.partition(".")[0]]["model"], strict)
    path = strict / "chat_template.jinja"
    path.write_text(
        "{% if messages[0]['role'] == 'system' %}" + LOUD + "{% endif %}" + path.read_text()
    )
    turns = [{"role": "system", "content": "Be brief."}]
    rows = [{"messages": [*turns, {"role": "user", "content": f"Say {i}"}]} for i in range(60)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = refuse_change({"prompts.path": str(prompts), field: str(strict)})
    assert line.startswith(f"{field}: the chat template refuses") and "no system" in line
    assert line.endswith(f"({prompts} line 1)")


def test_a_bad_model_is_refused_in_seconds_without_prefect(tmp_path, tiny_recipe):
    """The slowest check, a chat template's rendering, loads transformers and nothing beyond."""
    model, recipe = tmp_path / "model", tmp_path / "recipe.yaml"
    shutil.copytree(tiny_recipe["teacher"]["model"], model)
    template(LOUD)(model)
    library = in_new_process("from transformers import AutoTokenizer").computing
    recipe.write_text(yaml.safe_dump(tiny_recipe | {"teacher": {"model": str(model)}}))
    arguments = ["align", str(recipe), "--store", str(tmp_path / "s")]
    arguments += ["--runs-dir", str(tmp_path)]
    # Seconds on an idle machine; elsewhere, little more than what it takes to import the library.
    within, without = library + 1.5, {"prefect", "trl", "peft", "vllm"}
    spent = refused_in_new_process(*arguments, without=without, within=within)
    assert "teacher.model: " in spent.error and "chat template" in spent.error
    assert spent.computing < within


@pytest.mark.usefixtures("without_prefect")
def test_a_loss_that_is_not_finite_loses_nothing(tmp_path, tiny_recipe, write_recipe, capsys):
    values = tiny_recipe | {"policy": tiny_recipe["policy"] | {"learning_rate": 1e30}}
    arguments = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
    assert main(["align", str(write_recipe(values)), "--quiet", *arguments]) == 2
    error = capsys.readouterr().err
    assert "not finite" in error and "learning_rate" in error
    assert list((tmp_path / "store" / "completions").iterdir()), "finished work is kept"
