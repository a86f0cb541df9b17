"""What can be checked of the user's models before any work: files first, chat templates last.

Nothing here starts Prefect or keeps weights in memory. What needs transformers comes after what
needs files alone, and the reading of all weights last.
"""

import gc
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from data.errors import InputError
from data.paths import named_path
from data.readers.messages import Messages
from data.readers.seen import Prompt, Prompts
from data.recipes.names import MODELS, Kind, Naming, references
from data.recipes.recipe import RunRecipe, TrainConfig
from flows.preflight.findings import Findings
from flows.preflight.folders import folder_of, model_path
from flows.preflight.gguf import imported
from flows.preflight.heads import check_student, head_note
from flows.preflight.judges import room_notes
from flows.preflight.notes import answer_notes, special_notes
from flows.preflight.rendered import some_of_each_kind, to_render, with_special
from flows.preflight.served import (
    address,
    check_served_words,
    check_words_known,
    rows_of,
)
from flows.preflight.templates import (
    check_template,
    template_notes,
    template_of,
    template_text,
)
from flows.preflight.vocabulary import check_one_vocabulary
from models.checkpoints import (
    check_not_quantised,
    check_policy,
    check_side_files,
    check_targets,
    context_length,
    count_parameters,
    position_padding,
    readable_length,
)
from models.engine_choice import Choice, choose
from models.gguf import gguf_file
from models.reward_files import check_reward_model, compares, lacks_head
from tasks.running.machine import dtype

if TYPE_CHECKING:
    from models.loading import Use
    from models.special_text import Tokenizer

_CHUNK = 128  # prompts whose tokens are in memory at once
_QUESTION: Messages = [{"role": "user", "content": "What is 12 plus 30?"}]


def own_models(recipe: RunRecipe) -> dict[str, Path]:
    """Local folders of the models the user brought, by field. Raises InputError."""
    return {one.field: folder_of(one) for one in brought(recipe)}


def brought(recipe: RunRecipe) -> list[Naming]:
    """The models the user brought, in the order of the recipe; of a scorer, which it is, and of a
    policy whether a server has it."""
    named = (one for one in references(recipe) if one.kind in MODELS)
    return [one._replace(kind=_kind_of(one)) for one in named]


def _kind_of(named: Naming) -> Kind:
    if named.kind == "scorer":
        return scorer_kind(named)
    return "served" if address(named) else named.kind


def scorer_kind(named: Naming) -> Kind:
    """Whether a folder judges as a language model or as a reward model, by its config.json.

    The latter of one that cannot be read: what reads it next says what is wrong.
    """
    with suppress(InputError):
        if compares(model_path(named.field, named.value), named.field):
            return "judge"
    return "reward model"


def check_models(recipe: RunRecipe, found: Findings) -> dict[str, Path]:
    """The user's models by field, of those that are in order as far as files tell."""
    models = {}
    for one in brought(recipe):
        if path := found.attempt(check_model, recipe, one):
            models[one.field] = path
            if file := gguf_file(named_path(one.value, one.field), one.field):
                found.notes.append(imported(file, one.field).about)
    return models


def check_model(recipe: RunRecipe, named: Naming) -> Path:
    """The folder of a model, checked without loading weights. Raises InputError."""
    field, section = named.field, named.section
    path = folder_of(named)
    if named.writes:
        check_words_known(path, field) if named.kind == "served" else check_policy(path, field)
        check_context(recipe, path, field)
        check_template(section, path, field)
    elif named.kind == "student":  # one without a template reads a text pair
        check_student(recipe, path, field)
    else:
        check_reward_model(path, field)
    check_side_files(path, field)
    if is_trained(named):
        check_not_quantised(path, field)
    if adapter := getattr(section, "adapter", None):
        part = field.removesuffix(".model")
        check_targets(path, adapter.target_modules, f"{part}.adapter.target_modules")
    return path


def is_trained(named: Naming) -> bool:
    """Whether the model is the start of a training, whose result is saved."""
    return isinstance(named.section, TrainConfig) and named.section.trains


def sampling_engine(recipe: RunRecipe) -> Choice:
    """The engine of a recipe that generates, "auto" settled by the largest of its policies.

    Those of the embedded world are tiny, and of one that cannot be read preflight says so. Raises
    InputError.
    """
    assert recipe.sampling is not None

    def largest() -> int:
        sizes = [0]
        for one in brought(recipe):
            if one.kind == "policy":
                with suppress(InputError):
                    sizes.append(count_parameters(model_path(one.field, one.value), one.field))
        return max(sizes)

    return choose(recipe.sampling.engine, recipe.runtime, largest)


def use_of(recipe: RunRecipe, named: Naming, path: Path) -> "Use":
    """Who loads the model of this field, and for what."""
    if named.kind == "student" and lacks_head(path, named.field):
        return "head"
    if named.kind != "policy":
        return "read"
    if is_trained(named):  # whoever serves it, transformers checks what it answers
        return "sample"
    engine = sampling_engine(recipe).engine if recipe.sampling else "transformers"
    return "sample" if engine == "transformers" else "serve"


def check_context(recipe: RunRecipe, policy: Path, field: str) -> None:
    limit = context_length(policy, field)
    if limit and recipe.max_length > limit:
        asked = recipe.sampling is not None
        lengths = "prompts.max_tokens + generate.max_tokens is" if asked else "policy.max_length is"
        raise InputError(
            f"{field}: knows {limit} positions, {lengths} {recipe.max_length}; lower "
            + ("one of them" if asked else "it")
        )


def check_rendering(
    recipe: RunRecipe,
    models: dict[str, Path],
    prompts: Prompts,
    replay: Prompts,
    found: Findings,
) -> None:
    """Every model renders every kind of conversation, and the policy every prompt in its limit.

    Those of `replay` only the student has to render; of what is too long, distillation keeps count.
    """
    gc.collect()  # what reading the prompts has left, so that transformers can have it
    pa.default_memory_pool().release_unused()
    gc.disable()  # collecting what transformers makes at its import takes half a second in vain
    from models.silence import quiet

    gc.enable()
    with quiet():
        tokenizers, named = {}, {one.field: one for one in brought(recipe)}
        kinds = conversation_kinds(some_of_each_kind(prompts))
        for field, path in models.items():
            read = [prompts, replay] if named[field].kind == "student" else [prompts]
            tokenizer = found.attempt(check_texts, recipe, named[field], path, read, kinds)
            if tokenizer is not None:
                tokenizers[field] = tokenizer
        check_one_vocabulary(recipe, tokenizers, found)
        check_served_words(list(named.values()), tokenizers, found)
        for field, path in models.items():
            if named[field].kind == "student" and lacks_head(path, field):
                found.notes.append(head_note(recipe, path, field))
        trained = {
            f: (named[f].section, path) for f, path in models.items() if is_trained(named[f])
        }
        found.notes += template_notes(trained)
        policies = [f for f in trained if named[f].kind == "policy"]
        for field in policies:
            found.notes += answer_notes(tokenizers.get(field))
        room_notes(recipe, list(named.values()), models, tokenizers, found)
        marked = chain(with_special(prompts, tokenizers.values()), replay)
        found.notes += special_notes(tokenizers, marked)


def check_texts(
    recipe: RunRecipe, named: Naming, path: Path, read: Sequence[Prompts], kinds: list[Prompt]
) -> "Tokenizer":
    """The model's tokenizer, whose chat template renders the prompts. Raises InputError.

    `kinds`: one prompt of each kind of the first that are read.
    """
    from models.architectures import check_architecture
    from models.chat import ANSWER, check_chat_template, check_read_prompts, check_vocabulary

    field = named.field
    check_architecture(path, field, recipe.runtime.trust_remote_code)
    part = field.removesuffix(".model")
    template = f"{part}.template" if template_of(named.section) else field
    try:
        tokenizer = tokenizer_of(recipe, named, path)
    except InputError as error:
        raise InputError(f"{template}: {error}") from error
    rows = rows_of(named, path)
    check_vocabulary(tokenizer, field, rows)
    for prompt in conversation_kinds(chain(kinds, *read[1:])):
        try:
            check_chat_template(tokenizer, template, prompt.messages, named.writes)
        except InputError as error:
            raise InputError(f"{error} ({prompt.place})") from error
    if named.kind == "policy" and is_trained(named):
        check_every_prompt(recipe, field, tokenizer, read[0], rows)
    elif not named.writes:
        unknown = [to_render(prompts, tokenizer, answer=ANSWER) for prompts in read]
        check_read_prompts(tokenizer, field, chain(*unknown))
    check_fitting(named, path, tokenizer, read)
    check_tokens(named, path, tokenizer, [prompt.messages for prompt in kinds] or [_QUESTION])
    return tokenizer


def tokenizer_of(recipe: RunRecipe, named: Naming, path: Path) -> "Tokenizer":
    """The tokenizer as the run will have it. Raises InputError."""
    from models.chat import load_tokenizer
    from models.text_pairs import load_reader

    load = load_tokenizer if named.writes else load_reader
    tokenizer = load(path, recipe.runtime.trust_remote_code)
    if template := template_text(named.section):
        from models.templates import set_template

        set_template(tokenizer, template)
    return tokenizer


def check_fitting(
    named: Naming, path: Path, tokenizer: "Tokenizer", read: Sequence[Prompts]
) -> None:
    """A model that is trained can read some of the prompts whole. Raises InputError."""
    from models.chat import check_some_fit

    if not is_trained(named):
        return
    assert isinstance(named.section, TrainConfig)
    limit = readable_length(path, named.section.max_length, named.field)
    part = named.field.removesuffix(".model")
    check_some_fit(tokenizer, chain(*read), limit, f"{part}.max_length")


def check_tokens(named: Naming, path: Path, tokenizer: "Tokenizer", kinds: list[Messages]) -> None:
    """Every token that a template writes has an embedding, and a trained model has padding."""
    from models.tokenizer_checks import check_padding, check_reward_padding, check_written_ids

    field = named.field
    rows = rows_of(named, path)
    check_written_ids(tokenizer, field, rows, kinds)
    if is_trained(named) and named.writes:
        check_padding(tokenizer, field, rows)
    elif is_trained(named):
        check_reward_padding(tokenizer, field, rows, position_padding(path, field))


def check_loading(recipe: RunRecipe, models: dict[str, Path], found: Findings) -> None:
    """Every model loads whole and finite, and what is trained can be saved: reads all weights."""
    from models.loading import check_weights
    from models.tokenizer_checks import check_saved_again

    trusted = recipe.runtime.trust_remote_code
    named = {one.field: one for one in brought(recipe)}
    for field, path in models.items():
        if named[field].kind == "served":
            continue
        use = use_of(recipe, named[field], path)
        found.attempt(check_weights, path, field, trusted, use, dtype(recipe.runtime))
    for field, path in models.items():
        if is_trained(named[field]):
            template = template_text(named[field].section)
            found.attempt(check_saved_again, path, field, trusted, template)


def conversation_kinds(prompts: Iterable[Prompt]) -> list[Prompt]:
    """The first prompt of each sequence of roles, with and without white space around each text."""
    kinds: dict[tuple[tuple[str, bool], ...], Prompt] = {}
    for prompt in prompts:
        key = tuple((m["role"], m["content"] == m["content"].strip()) for m in prompt.messages)
        kinds.setdefault(key, prompt)
    return list(kinds.values())


def check_every_prompt(
    recipe: RunRecipe, field: str, tokenizer: object, prompts: Prompts, rows: int | None
) -> None:
    """The policy reads every prompt whole, within `prompts.max_tokens`. Raises InputError."""
    from models.chat import check_prompts
    from models.short_text import has_rows

    limit = recipe.prompt_tokens or recipe.max_length
    if has_rows(tokenizer, rows):
        prompts = to_render(prompts, tokenizer, limit)
    long = []
    stream = iter(prompts)
    while part := list(islice(stream, _CHUNK)):
        lengths = check_prompts(tokenizer, field, part, rows, limit)
        long += [
            (p.place, length) for p, length in zip(part, lengths, strict=True) if length > limit
        ]
    if long:
        place, length = long[0]
        field_of_limit = "prompts.max_tokens" if recipe.prompt_tokens else "policy.max_length"
        more = f" (and {len(long) - 1} more prompts)" if len(long) > 1 else ""
        raise InputError(
            f"{place}: has {length} tokens in the policy's chat template{more}, "
            f"{field_of_limit} is {limit}; raise it or remove the prompt"
        )
