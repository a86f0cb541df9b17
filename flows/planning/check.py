"""A look at a recipe before hours of work: what is wrong with it, what it reads, what it will do.

No weights are loaded unless asked for (`deep`), nothing is computed, and nothing is written but
what a GGUF file is made into.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from data.errors import InputError
from data.paths import named_path
from data.places import check_writable, in_its_store
from data.readers.seen import Prompts
from data.recipes.names import Naming
from data.recipes.recipe import RunRecipe
from data.store.remote import local_folder
from flows.planning.on_paper import Paper, on_paper
from flows.planning.plan import Plan, planned
from flows.planning.predict import Prediction
from flows.planning.preview import Preview, prompt_files, read_by_models
from flows.preflight import inputs as preflight
from flows.preflight.findings import Findings
from flows.preflight.fitting import filled, left_out
from flows.preflight.models import brought, is_trained, sampling_engine, tokenizer_of
from flows.preflight.templates import template_of
from models.checkpoints import (
    context_length,
    count_parameters,
    has_template,
    is_causal,
    read_config,
    weight_files,
)
from models.engine_python import environment
from models.gguf import gguf_file
from models.gpus import Gpus, sizes_of
from models.reward_files import compares, lacks_head
from tasks.running import machine

_TOKEN_BYTES = 10  # of a completion's token in the store: its id and its text
_OPTIMIZER_BYTES = 12  # of a trained weight in a checkpoint: itself in float32, and Adam's two


@dataclass(frozen=True)
class ModelFacts:
    """What the files of a model tell."""

    field: str
    path: str
    architecture: str
    parameters: int
    bytes: int
    dtype: str
    context: int | None
    reads: str  # "chat template", "text pair"
    template: str | None = None  # that the recipe gives it
    imported: str | None = None  # the GGUF file that it was made of


@dataclass(frozen=True)
class Tried:
    """What a model did when it was loaded, with --deep."""

    field: str
    seconds: float
    answer: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class Disk:
    store: str
    needed: int  # bytes at most, roughly
    meanwhile: int  # bytes of checkpoints during a training, which are removed
    free: int
    own_models: bool = False  # the run makes models whose size is not known, and not in it


@dataclass
class Check:
    """Everything that is known of a recipe before its run."""

    recipe: RunRecipe
    chosen: dict[str, Any]  # what the recipe leaves out and its models decide
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)
    engine_why: str | None = None  # what decided the engine; None: nothing is generated
    models: list[ModelFacts] = field(default_factory=list)
    prompts: Preview = field(default_factory=Preview)
    plan: Plan | None = None
    disk: Disk | None = None
    tried: list[Tried] = field(default_factory=list)
    time: Prediction | None = None  # of a run here, with --time
    paper: Paper | None = None  # of a run on GPUs, estimated


@in_its_store
def checked(
    recipe: RunRecipe,
    *,
    store: str,
    runs_dir: Path,
    deep: bool = False,
    gpus: Gpus | None = None,
) -> Check:
    """Look at all that the recipe names. What is wrong is in `problems`, and then there is no plan.

    A GGUF file that cannot be read is told alone: no other is imported for the rest.

    With `deep` every model of the user's is loaded and used once; with `gpus` the run's stages on
    these are estimated on paper.

    Raises:
        InputError: `gpus`, and the recipe names no models.
    """
    before = Findings()
    chosen = before.attempt(left_out, recipe)
    if chosen is None:
        return Check(recipe, {}, before.problems)
    whole = filled(recipe, chosen)
    seen = preflight.inspect(whole, weights=deep)
    findings, models, prompts = seen.findings, seen.models, seen.prompts
    findings.attempt(check_writable, "--store", local_folder(store)[0])
    findings.attempt(check_writable, "--runs-dir", runs_dir / whole.run)
    found = Check(whole, chosen, findings.problems, findings.notes)
    if found.problems:
        return found
    if gpus and not models:
        raise InputError(
            "--device: the recipe's models are made by its run; name models of your own to "
            "estimate a run on paper"
        )
    found.machine = _machine(whole)
    if whole.sampling:
        found.machine["engine"], found.engine_why = sampling_engine(whole)
    named = {one.field: one for one in brought(whole)}
    found.models = [
        _facts(named[name], path) for name, path in models.items() if named[name].kind != "served"
    ]
    found.prompts = prompt_files(whole)
    read_by_models(whole, models, prompts, found.prompts)
    found.plan = planned(whole, store, runs_dir / whole.run, found.prompts.rows)
    found.disk = _disk(whole, found, local_folder(store)[0])
    if gpus:
        found.paper = _on_paper(whole, runs_dir / whole.run, found, gpus)
    if deep:
        found.tried = _tried(whole, models, prompts)
    return found


def _machine(recipe: RunRecipe) -> dict[str, str]:
    there = environment(recipe.runtime)
    found = {"device": machine.device(recipe.runtime), "dtype": machine.dtype(recipe.runtime)}
    return found | ({"engine_python": f"vllm {there}"} if there else {})


def _facts(named: Naming, path: Path) -> ModelFacts:
    name = named.field
    config = read_config(path, name)
    reads = "chat template" if named.writes or has_template(path, name) else "text pair"
    stored = config.get("dtype") or config.get("torch_dtype") or "float32"
    return ModelFacts(
        field=name,
        path=str(path),
        architecture=str((config.get("architectures") or ["unnamed"])[0]),
        parameters=count_parameters(path, name),
        bytes=sum(file.stat().st_size for file in weight_files(path, name)),
        dtype=str(stored),
        context=context_length(path, name),
        reads=reads,
        template=template_of(named.section),
        imported=str(file) if (file := gguf_file(named_path(named.value, name), name)) else None,
    )


def _disk(recipe: RunRecipe, found: Check, root: Path) -> Disk:
    """Roughly: whole models as they were saved, tokens of completions, checkpoints meanwhile."""
    assert found.plan is not None
    sizes = {one.field.removesuffix(".model"): one for one in found.models}
    needed = meanwhile = 0
    own = False
    for step in found.plan.steps:
        needed += step.tokens * _TOKEN_BYTES
        model = sizes.get(step.makes)
        if model:
            needed += model.bytes
            full = getattr(getattr(recipe, step.makes), "adapter", None) is None
            meanwhile = max(meanwhile, model.parameters * _OPTIMIZER_BYTES if full else 0)
        own = own or bool(step.makes and step.state != "found" and not model)
    there = next(parent for parent in (root, *root.absolute().parents) if parent.exists())
    return Disk(str(root), needed, meanwhile, shutil.disk_usage(there).free, own)


def _on_paper(recipe: RunRecipe, folder: Path, found: Check, gpus: Gpus) -> Paper:
    sizes = {
        one.field.removesuffix(".model"): sizes_of(
            read_config(Path(one.path), one.field), one.parameters
        )
        for one in found.models
    }
    return on_paper(recipe, folder, sizes, found.prompts, gpus)


def _tried(recipe: RunRecipe, models: dict[str, Path], prompts: Prompts) -> list[Tried]:
    """Every model loaded as the run will load it, and used once."""
    first = next(iter(prompts), None)
    messages = first.messages if first else [{"role": "user", "content": "Hello!"}]
    found, answer = [], "Yes."
    named = {one.field: one for one in brought(recipe)}
    for name, path in sorted(models.items(), key=lambda one: not named[one[0]].writes):
        started, kind = monotonic(), named[name].kind
        if kind == "served":
            continue  # it has been asked
        if kind == "policy" and is_causal(path, name):
            text = _answer(recipe, named[name], path, messages)
            answer = text or answer if is_trained(named[name]) else answer
            found.append(Tried(name, round(monotonic() - started, 1), answer=text))
        elif kind == "student" and lacks_head(path, name):
            continue  # its head is made by the run; its weights have been read
        elif not compares(path, name):
            score = _score(recipe, path, messages, answer)
            found.append(Tried(name, round(monotonic() - started, 1), score=score))
    return found


def _answer(recipe: RunRecipe, named: Naming, path: Path, messages: list[dict[str, str]]) -> str:
    from models.chat import render_prompt
    from models.engines import open_engine
    from models.engines.base import Sampling

    assert recipe.sampling is not None
    name, _ = sampling_engine(recipe)
    tokenizer = tokenizer_of(recipe, named, path)
    asked = recipe.sampling
    engine = open_engine(name, path, recipe.runtime, recipe.max_length, recipe.seed, asked.parallel)
    try:
        longest = min(recipe.sampling.max_tokens, 128)
        ids = [render_prompt(tokenizer, messages)]
        ((output,),) = engine.generate(ids, [recipe.seed], Sampling(1, 0.0, 1.0, longest))
        return output.text
    finally:
        engine.close()


def _score(
    recipe: RunRecipe, path: Path, messages: list[dict[str, str]], answer: str
) -> float | None:
    from models.rewards import open_scorer

    device = machine.device(recipe.runtime)
    scorer = open_scorer(path, recipe.runtime, recipe.max_length, device=device)
    try:
        (reward,) = scorer.score([(messages, answer)]).tolist()
        return None if reward != reward else round(reward, 4)
    finally:
        scorer.close()
