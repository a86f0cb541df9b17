"""What a student encoder begins as: layers of its teacher, token vectors, random or own weights.

Encoder, mean over tokens, a linear map to the teacher's dimensions where these differ (W_out of
LEAF), and length 1 where the teacher's vectors have it (arXiv 2509.12539, section 3).
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding
from transformers import AutoModel

from data.errors import InputError
from data.recipes.encoders import (
    Backbone,
    FreshBackbone,
    LayersBackbone,
    OwnBackbone,
    StaticBackbone,
)
from data.recipes.recipe import RuntimeConfig
from models.encoders.loading import (
    dimensions,
    load_encoder,
    normalises,
    pipeline,
    save_encoder,
)
from models.silence import quiet

Modules = list[Any]


@quiet()
def start_student(
    out: Path,
    *,
    teacher: Path,
    own: Path | None,
    backbone: Backbone,
    max_length: int,
    prompts: dict[str, str],
    runtime: RuntimeConfig,
    seed: int,
) -> dict[str, int]:
    """Write the student that is to be trained into `out`; returns how many parameters it and its
    teacher have.

    Args:
        own: The folder of the user's encoder, where that is the backbone.
        max_length: Tokens after which it cuts texts off; a static one reads all.
        prompts: By "query" and "document", kept in its folder.

    Raises:
        InputError: the backbone cannot be made of this teacher.
    """
    torch.manual_seed(seed)
    source = load_encoder(teacher, runtime, on_cpu=True)
    wanted, unit = dimensions(source), normalises(source)
    counts = {"teacher_parameters": _parameters(source)}
    match backbone:
        case LayersBackbone():
            modules = _layers_of(source, backbone.layers)
        case StaticBackbone():
            modules = _static_of(source)
        case FreshBackbone():
            modules = _fresh_like(source, backbone)
        case OwnBackbone():
            assert own is not None
            modules = pipeline(load_encoder(own, runtime, on_cpu=True))
    modules = [module for module in modules if not isinstance(module, Normalize)]
    width = dimensions(SentenceTransformer(modules=modules, device="cpu"))
    if width != wanted:
        modules.append(Dense(width, wanted, bias=False, activation_function=torch.nn.Identity()))
    if unit:
        modules.append(Normalize())
    student = SentenceTransformer(modules=modules, device="cpu", prompts=prompts)
    if isinstance(modules[0], Transformer):
        student.max_seq_length = min(max_length, modules[0].max_seq_length or max_length)
    counts["parameters"] = _parameters(student)
    save_encoder(student, out, runtime)
    return counts


def _parameters(model: SentenceTransformer) -> int:
    return sum(one.numel() for one in model.parameters())


def _transformer(source: SentenceTransformer) -> Transformer:
    """The teacher's transformer. Raises InputError where it has none, as one of token vectors."""
    first = pipeline(source)[0]
    if not isinstance(first, Transformer):
        raise InputError(
            f"student.backbone: the teacher begins with {type(first).__name__}, not with a "
            "transformer; use the backbone 'model'"
        )
    return first


def _layers_of(source: SentenceTransformer, layers: tuple[int, ...]) -> Modules:
    """The teacher's modules, of whose transformer these layers are left."""
    model = _transformer(source).auto_model
    depth = model.config.num_hidden_layers
    if layers[-1] >= depth:
        raise InputError(
            f"student.backbone.layers: {layers[-1]} is none of the teacher's {depth} layers, which "
            f"count from 0 to {depth - 1}; name others"
        )
    stacks = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, torch.nn.ModuleList) and len(child) == depth
    ]
    if len(stacks) != 1:
        raise InputError(
            f"student.backbone: cannot tell which are the layers of {type(model).__name__}; use "
            "the backbone 'fresh', 'static' or 'model'"
        )
    parent, name, stack = stacks[0]
    setattr(parent, name, torch.nn.ModuleList(stack[number] for number in layers))
    model.config.num_hidden_layers = len(layers)
    return pipeline(source)


def _static_of(source: SentenceTransformer) -> Modules:
    first = _transformer(source)
    vectors = first.auto_model.get_input_embeddings().weight.detach().clone()
    return [StaticEmbedding(first.tokenizer, embedding_weights=vectors)]


def _fresh_like(source: SentenceTransformer, backbone: FreshBackbone) -> Modules:
    """A random transformer of the teacher's kind, with its tokenizer, and mean pooling."""
    first = _transformer(source)
    config = first.auto_model.config.__class__.from_dict(first.auto_model.config.to_dict())
    sizes = {
        "num_hidden_layers": backbone.depth,
        "hidden_size": backbone.width,
        "num_attention_heads": backbone.heads,
        "intermediate_size": 4 * backbone.width,
    }
    for name, value in sizes.items():
        setattr(config, name, value)
    with tempfile.TemporaryDirectory() as folder:
        AutoModel.from_config(config).save_pretrained(folder)
        first.tokenizer.save_pretrained(folder)
        made = Transformer(folder)
    return [made, Pooling(made.get_embedding_dimension(), "mean")]
