"""A first recipe for the user's models and prompts, or for the embedded world, with its reasons.

Every value that is not the user's is derived from what is found, and a comment says from what.
Configurations and file headers are read, weights are not, and no torch is loaded.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cli.init import starting
from cli.init.methods import METHODS
from cli.init.recipe_text import recipe_text
from cli.init.starter_world import WORLD_REASONS, Reasons, Values, of_the_world, policy_cells
from data.errors import InputError
from data.paths import named_path
from data.readers.sources import looks_like_file
from data.recipes.judges import OPENAI, ORACLE, RECORDED, TEACHER, is_function
from data.recipes.loading import explained
from data.recipes.recipe import NONE, RunRecipe, RuntimeConfig
from data.source_code import file_and_function
from flows.preflight import inputs as preflight
from flows.preflight.findings import Findings
from flows.preflight.fitting import contexts, left_out
from flows.preflight.folders import model_path
from flows.preflight.prompts import named_file
from flows.table import recipe_class
from models.engine_choice import choose

ROUNDS = 3
_WORDS = (TEACHER, ORACLE, RECORDED)  # of evaluate.judge
_FEW = 60  # prompts of a round below which fewer rounds are better


@dataclass(frozen=True)
class Answers:
    """What the user says, by flags or on a terminal; None: nothing. Names as the recipe has them.

    `smaller` is a weaker model, for TSO's matrix.
    """

    method: str
    run: str | None = None
    policy: str | None = None
    teacher: str | None = None
    student: str | None = None
    smaller: str | None = None
    prompts: str | None = None
    test_prompts: str | None = None
    judge: str | None = None
    world: bool = False


@dataclass(frozen=True)
class Draft:
    """A recipe that can be written: its text, and what was derived from what."""

    recipe: RunRecipe
    text: str
    derived: Values
    reasons: Reasons


_TEMPLATE = (
    "The policy has no chat template of its own: plain (User: ..., Assistant: ...), chatml, or a "
    "Jinja file."
)


def missing(answers: Answers) -> list[str]:
    """Flags without which there is no recipe, by the name of their answer."""
    if answers.world:
        return []
    return [name for name in METHODS[answers.method].needs if not getattr(answers, name)]


def check_placed(answers: Answers) -> None:
    """InputError for a model or file that would be in no recipe of this method, or of the world."""
    places = () if answers.world else (*METHODS[answers.method].needs, "test_prompts")
    given = ("policy", "teacher", "student", "smaller", "prompts", "test_prompts")
    for name in given:
        if getattr(answers, name) and name not in places:
            who = "--world" if answers.world else f"--method {answers.method}"
            raise InputError(f"--{name.replace('_', '-')}: {who} takes none; leave it out")
    distils = METHODS[answers.method].distils
    if distils and answers.teacher and not is_folder(answers.teacher):
        raise InputError(
            f"--teacher: --method {answers.method} learns a language model's distribution; name "
            "its folder or hub id"
        )


def drafted(answers: Answers) -> Draft:
    """The recipe for these answers.

    Raises:
        InputError: a model or file cannot be used, or there are too few prompts.
    """
    method = METHODS[answers.method]
    name = answers.run or ("world" if answers.world else "mine")
    values: Values = {"run": name} | method.values
    reasons = dict(method.reasons)
    derived: Values = {}
    if answers.world:
        values |= of_the_world(answers.method, answers.judge)
        reasons |= WORLD_REASONS
    else:
        values |= _named(answers)
        trusted = _trusted(values, reasons)
        _present(values)
        derived = trusted | _derived(answers, values | trusted, reasons)
    recipe, found = _recipe(values | derived), Findings()
    preflight.check_surroundings(recipe, found)
    preflight.check_files(recipe, found)
    found.refuse()
    head = (
        f"{answers.method}: {method.about}.\n"
        "Written by `tsalign init`. Reasons stand above the values that it derived; change any of "
        "them. What is not here has the default of docs/recipes.md."
    )
    return Draft(recipe, recipe_text(head, values | derived, reasons), derived, reasons)


def _named(answers: Answers) -> Values:
    """What the user brings: folders and files in full, so that the recipe runs from anywhere."""
    full = {"policy": in_full, "teacher": judge_in_full, "student": in_full}
    values: Values = {
        f"{part}.model": called(getattr(answers, part), f"{part}.model")
        for part, called in full.items()
        if getattr(answers, part) and part in METHODS[answers.method].needs
    }
    assert answers.prompts is not None
    values["prompts.path"] = in_full(answers.prompts, "prompts.path")
    if answers.test_prompts:
        values["prompts.test_path"] = in_full(answers.test_prompts, "prompts.test_path")
    if answers.method == "tso":
        values["matrix.correction.judge"] = answers.judge or "teacher"
        if answers.judge not in (None, "teacher", NONE):
            judge = in_full(str(answers.judge), "matrix.correction.judge")
            values["matrix.correction.judge"] = judge
    elif answers.judge:
        values["evaluate.judge"] = judge_in_full(answers.judge, "evaluate.judge")
    return values


def _trusted(named: Values, reasons: Reasons) -> Values:
    """Consent to run the user's own file, where one is named: whoever names it means it to run."""
    judges = [str(named.get(name, "")) for name in ("teacher.model", "evaluate.judge")]
    files = [found[0] for name in judges if (found := file_and_function(name))]
    if not files:
        return {}
    reasons["runtime.trust_remote_code"] = (
        f"The run executes {' and '.join(dict.fromkeys(files))}: you named a function in it. Read "
        "it first, if it is not yours."
    )
    return {"runtime.trust_remote_code": True}


def _present(named: Values) -> None:
    """Everything named is there. Raises InputError, or InputErrors for several that are not."""
    found = Findings()
    for name, value in named.items():
        if name == "teacher.model" and not is_folder(value):
            continue  # what it needs, preflight tells
        if name.endswith(".model") and value != NONE:
            found.attempt(model_path, name, value)
        elif name in ("prompts.path", "prompts.test_path"):
            found.attempt(named_file, name, value)
    found.refuse()


def in_full(name: str, field: str) -> str:
    """A path from the root, where there is something at it; other names as they are.

    Without "..", unless a link makes it mean another place.
    """
    path = named_path(name, field)
    is_prompts = field.startswith("prompts") and looks_like_file(name)
    if not (is_prompts or path.exists()):
        return name
    short = Path(os.path.abspath(path))
    same = path.exists() and short.exists() and short.samefile(path)
    return str(short if same else path.absolute())


def is_folder(judge: str) -> bool:
    """Whether a judge is spelt as a model's folder or hub id; see `data.recipes.judges`."""
    return not (is_function(judge) or judge.partition(":")[0] == OPENAI)


def judge_in_full(name: str, field: str) -> str:
    """The same of a judge: a function's file in full, and words of the field as they are."""
    if found := file_and_function(name):
        return f"{in_full(found[0], field)}:{found[1]}"
    is_word = field == "evaluate.judge" and name in _WORDS
    return in_full(name, field) if is_folder(name) and not is_word else name


def _derived(answers: Answers, named: Values, reasons: Reasons) -> Values:
    """Values that follow from models, prompts and machine; `reasons` are added to."""
    here = starting.this_machine()
    path = model_path("policy.model", named["policy.model"])
    model = starting.model_facts(path, "policy.model")
    facts, prompts = starting.prompt_facts(named["prompts.path"], named.get("prompts.test_path"))
    derived: Values = {}

    def set_(name: str, value: Any, reason: str) -> None:
        derived[name], reasons[name] = value, reason

    if template := starting.template(path, "policy.model"):
        set_("policy.template", template, _TEMPLATE)
    how = starting.method(model, here)
    set_("policy.method", how, f"{model.words} parameters, on {here.words}.")
    if answers.method == "tso":
        derived["matrix.cells"] = _matrix(answers, model, reasons)
    _sizes(answers, set_, facts, small=starting.slow(model, here))
    slow, distils = starting.slow(model, here), METHODS[answers.method].distils
    if distils:
        set_("generate.k", 1, "Answers to each prompt: the teacher has a word on every token.")
    elif slow:
        set_("generate.k", 4, "Completions of each prompt: half the usual 8, without a GPU.")
    else:
        set_("generate.k", 8, "Completions of each prompt, of which a pair is made.")
    if slow:
        set_("generate.max_tokens", 128, "Tokens of an answer at most: short, without a GPU.")
    longest = starting.longest_prompt(path / "tokenizer.json", prompts)
    _lengths(named | derived, set_, longest)
    batch = starting.batch_size(derived["prompts.per_round"])
    rows = "Answers" if distils else "Pairs"
    set_("policy.batch_size", batch, f"{rows} of a step: about thirty steps a round, 8 at least.")
    if named.get("student.model", NONE) != NONE:
        derived["student.batch_size"] = batch
    length = derived["policy.max_length"]
    micro = starting.micro_batch(model, here, how == "full", length, batch)
    whole = "the whole batch should fit" if not micro else "estimated to fit"
    reason = f"{rows} of a forward pass; 0: all of a batch. On {here.words} {whole}."
    set_("runtime.train_micro_batch", micro, reason)
    set_("runtime.device", "auto", f"Here: {here.device}.")
    set_("runtime.dtype", "auto", f"Here: {here.dtype}; bfloat16 on a GPU, float32 on a CPU.")
    if "evaluate.judge" not in named:
        reason = "The teacher, as there is no other judge: a gain is one by its judgment."
        if distils:
            reason = "The teacher, by how likely it finds an answer; better a judge of its own."
        set_("evaluate.judge", "teacher", reason)
    engine, why = choose("auto", RuntimeConfig(), lambda: model.parameters)
    set_("generate.engine", "auto", f"Here: {engine}; {why}.")
    return derived


def _sizes(
    answers: Answers, set_: Callable[..., None], facts: starting.Prompts, small: bool
) -> None:
    """Rounds, and prompts of a round and of the held-out parts. Raises InputError."""
    given = {} if facts.held_out is None else {"test_size": 0}
    once = answers.method == "optune"  # the same prompts in every round
    rounds = ROUNDS
    while True:
        sizes = starting.sizes(facts.available, 1 if once else rounds, given, small)
        if once or rounds == 1 or sizes["per_round"] >= _FEW:
            break
        rounds -= 1
    if facts.available < sum(sizes.values()):
        raise InputError(
            f"prompts.path: {facts.available} different prompts are too few to hold some out and "
            "learn from others; bring at least 10"
        )
    few = "" if rounds == ROUNDS else f", {facts.available:,} prompts are few"
    set_("rounds", rounds, f"{ROUNDS} is usual{few}.")
    found = f"{facts.read:,} rows give {facts.available:,} different prompts"
    found += " that are not held out." if facts.held_out is not None else "."
    slow = " Few, as each takes long without a GPU." if small else ""
    each = "the same in every round" if once else "new ones in every round"
    set_("prompts.per_round", sizes["per_round"], f"{found} A round takes so many, {each}.{slow}")
    why = "the distance to the teacher" if METHODS[answers.method].distils else "the gate"
    set_("prompts.dev_size", sizes["dev_size"], f"Held out for {why}: a tenth, up to a limit.")
    if facts.held_out is None:
        reason = "Held out for the win rate: a fifth, up to a limit."
        set_("prompts.test_size", sizes["test_size"], reason)


def _lengths(values: Values, set_: Callable[..., None], longest: int | None) -> None:
    """Lengths and learning rates, by the rule for recipes that leave them out."""
    chosen = left_out(_recipe(values))
    known = contexts(_recipe(values))
    if longest and "policy.model" in known:  # what is too long for it, preflight names
        longest = min(longest, known["policy.model"] * 3 // 4)
    if longest and longest > chosen.get("prompts.max_tokens", longest):
        set_("prompts.max_tokens", longest, f"The longest prompt has about {longest:,} tokens.")
        chosen = left_out(_recipe(values | {"prompts.max_tokens": longest}))
    reads = ", ".join(f"{name.split('.')[0]} {n:,}" for name, n in known.items())
    why = f"By what the models read (tokens: {reads})." if reads else "No model sets a limit."
    about = {
        "prompts.max_tokens": f"Tokens of a prompt at most. {why}",
        "generate.max_tokens": f"Tokens of an answer at most. {why}",
        "policy.max_length": "Tokens of prompt and answer at most.",
        "student.max_length": "Tokens of prompt and answer at most.",
        "policy.learning_rate": "By the policy's size and method; docs/recipes.md has the table.",
        "student.learning_rate": "By the student's size; docs/recipes.md has the table.",
    }
    for name, reason in about.items():
        if name in chosen:
            set_(name, chosen[name], reason)


def _matrix(answers: Answers, policy: starting.Model, reasons: Reasons) -> list[Values]:
    """The cells of a model matrix, by the number of their parameters. Raises InputError."""
    name = in_full(str(answers.smaller), "--smaller")
    smaller = starting.model_facts(model_path("--smaller", name), "--smaller")
    if smaller.parameters >= policy.parameters:
        raise InputError(
            f"--smaller: '{answers.smaller}' has {smaller.words} parameters, the policy "
            f"{policy.words}; name a smaller model, whose answers are to be the worse ones"
        )
    reasons["matrix.cells"] = "Who answers. scale: billions of parameters, by the models' files."
    cell: Values = {"name": "smaller", "model": name, "scale": smaller.parameters / 1e9}
    return [*policy_cells(policy.parameters / 1e9), cell]


def nested(values: Mapping[str, Any]) -> Values:
    """The values as YAML has them, sections in sections."""
    found: Values = {}
    for dotted, value in values.items():
        *parents, last = dotted.split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return found


def _recipe(values: Values) -> RunRecipe:
    model = recipe_class(values["recipe"])
    try:
        return model.model_validate(nested(values), strict=True)
    except ValidationError as error:
        raise explained(error, "tsalign init", model, values["recipe"]) from None
