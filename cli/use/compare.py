"""Two policies on a user's prompts: the answers of both, in the store, and the teacher's verdict.

The stages are those of a run, so what has been answered is found again and a crash costs a shard.
They are called without Prefect, which has nothing to show of them.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from cli.use.policies_of import Policy, names_of, runtime_here
from data.errors import InputError, UnservableError
from data.readers.prompts import read_prompt_file
from data.recipes.asking import JudgingSection
from data.recipes.names import references
from data.recipes.prompts import PromptSource
from data.recipes.recipe import WORLD, DecodingConfig, RunRecipe
from data.schemas import MESSAGES, PROMPTS
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import PolicySummary, Summary
from data.tables import mapping, write_table
from flows.evaluations import by_verdicts
from flows.judging import Judge, Speaker, judge_of, rewards_of
from flows.outside import READERS
from flows.outside import model as outside_model
from flows.outside import prompts as outside_prompts
from flows.preflight.judges import check_endpoint
from flows.recipe_files import recorded_recipe
from flows.win_rates import policy_summary
from models.checkpoints import count_parameters
from models.engine_choice import choose
from tasks.evaluate import evaluate
from tasks.generate import generate
from tasks.prompts import import_prompts
from tasks.running import machine
from tasks.running.books import Books
from tasks.running.loaded import LoadedModels
from tasks.running.outside import External
from tasks.running.progress import Progress
from tasks.stage import Context, Model, Run

# One row per prompt. `a` is the first policy, `b` the second; scores are null without a judge, or
# where the teacher could not read the conversation.
COMPARISON = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("dataset", pa.string()),
        ("messages", MESSAGES),
        ("a", pa.string()),  # name of the policy
        ("b", pa.string()),
        ("a_answer", pa.string()),
        ("b_answer", pa.string()),
        ("a_tokens", pa.int32()),
        ("b_tokens", pa.int32()),
        ("a_finish_reason", pa.string()),  # "stop" or "length"
        ("b_finish_reason", pa.string()),
        ("a_score", pa.float64()),  # null of a language model, which compares
        ("b_score", pa.float64()),
        ("outcome", pa.float64()),  # 1: b is better, 0.5: neither, 0: a is; null: nobody judged
    ]
)

_FEW = 64  # prompts that transformers has answered before vLLM is ready on a CPU
_OTHERS = 4  # times the tokens of the policies, a teacher's may be; it reads what it can


@dataclass(frozen=True)
class Comparison:
    """Answers of two policies to the same prompts."""

    names: tuple[str, str]
    table: pa.Table  # COMPARISON
    judged: PolicySummary | None  # of the second over the first


def prompts_to_compare(path: str, limit: int | None) -> tuple[pa.Table, list[str]]:
    """The first prompts of a file, as PROMPTS, and where each stands. Raises InputError."""
    found = read_prompt_file(path)
    count = min(limit or len(found.table), len(found.table))
    return found.table.slice(0, count), found.places[:count]


def compare(
    store: Store,
    policies: Sequence[Policy],
    prompts: pa.Table,
    places: Sequence[str],
    file: str,
    *,
    decoding: DecodingConfig,
    seed: int,
    judge: bool = False,
    quiet: bool = False,
) -> Comparison:
    """Have two policies answer the prompts; with `judge`, have the run's teacher judge them.

    Args:
        prompts: PROMPTS, and in `places` where each stands.
        file: That they are from, with the columns that reward functions read.

    Raises:
        InputError: a prompt leaves no room for an answer, or the teacher cannot be found.
    """
    summary = policies[-1].summary
    recipe = recorded_recipe(summary)
    longest = _longest(policies, prompts, places, recipe, decoding.max_tokens)
    known = _outside(recipe, file) if judge else {}
    models = [_model(store, policy, recipe) for policy in policies]
    names = names_of(policies)
    largest = max(count_parameters(policy.path) for policy in policies)
    engines = _engines(recipe, len(prompts), largest)
    with store.used(), Progress(quiet=quiet) as progress:
        for engine in engines:
            run = _open_run(store, summary, recipe, engine, longest, seed, progress)
            try:
                run.outside |= known
                with run.active():
                    teacher = _teacher(run, summary, recipe) if judge else None
                    answers, evaluation = _answers(
                        run, models, names, prompts, decoding, seed, teacher, longest
                    )
                break
            except UnservableError as error:
                if engine == engines[-1]:
                    raise
                progress.note(f"vLLM cannot serve them ({error.reason}); using transformers")
            finally:
                run.context.loaded.close()
    table = _table(store, prompts, names, answers, evaluation)
    judged = None
    if evaluation:
        samples = recipe.yardstick()["evaluate.bootstrap_samples"]
        judged = policy_summary(store, [evaluation], samples=samples, seed=seed, judges=["teacher"])
    return Comparison((names[0], names[1]), table, judged)


def _open_run(
    store: Store,
    summary: Summary,
    recipe: RunRecipe,
    engine: str,
    longest: int,
    seed: int,
    progress: Progress,
) -> Run:
    runtime = runtime_here(recipe)
    loaded = LoadedModels(engine, runtime, longest, seed)
    context = Context(store, runtime, loaded, date=summary.date)
    identity = machine.engine_identity(engine, context.numerics, runtime)
    return Run(context, progress, f"{identity} {longest} tokens", books=Books(kept=False))


def _answers(
    run: Run,
    models: Sequence[Model],
    names: Sequence[str],
    prompts: pa.Table,
    decoding: DecodingConfig,
    seed: int,
    teacher: Judge | None,
    longest: int,
) -> tuple[list[Artifact], Artifact | None]:
    """COMPLETIONS of both, and the EVALUATION where a teacher judges."""
    asked = _imported(prompts)
    answers = [
        generate.as_(name, title=f"{name} answers")(
            policy=model,
            prompts=asked,
            k=1,
            decoding=decoding,
            engine=run.engine,
            stream="compare",
            seed=seed,
        )
        for name, model in zip(names, models, strict=True)
    ]
    if teacher is None:
        return answers, None
    if isinstance(teacher, Speaker):
        return answers, by_verdicts(teacher, asked, *answers, title="compare")
    rewards = [
        rewards_of(
            teacher,
            prompts=asked,
            completions=completions,
            max_length=_OTHERS * longest,
            role=name,
            title=f"teacher scores {name}",
        )
        for name, completions in zip(names, answers, strict=True)
    ]
    evaluation = evaluate.as_("", title="compare")(
        prompts=asked,
        base=answers[0],
        policy=answers[1],
        base_rewards=rewards[0],
        policy_rewards=rewards[1],
        judge="teacher",
    )
    return answers, evaluation


def _imported(prompts: pa.Table) -> Artifact:
    """The prompts as an artifact: equal prompts are one, whatever file they came from."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompts.parquet"
        write_table(path, prompts, PROMPTS)
        return import_prompts.as_("--prompts", title="read prompts")(
            source=outside_prompts("--prompts", PromptSource(path=str(path)))
        )


def _longest(
    policies: Sequence[Policy],
    prompts: pa.Table,
    places: Sequence[str],
    recipe: RunRecipe,
    max_tokens: int,
) -> int:
    """Tokens of the longest prompt with its answer, by either policy's tokenizer.

    At least those of the run, so that other prompts of a user's are no other experiment.
    """
    from models.chat import check_prompts, load_tokenizer
    from models.checkpoints import context_length

    longest = 0
    asked = list(zip(places, prompts["messages"].to_pylist(), strict=True))
    for name, policy in zip(names_of(policies), policies, strict=True):
        tokenizer = load_tokenizer(policy.path, recipe.runtime.trust_remote_code)
        lengths = check_prompts(tokenizer, name, asked, None)
        limit = context_length(policy.path)
        for place, length in zip(places, lengths, strict=True):
            if limit and length + max_tokens > limit:
                raise InputError(
                    f"{place}: {length:,} tokens and {max_tokens:,} of an answer are more than the "
                    f"{limit:,} that {name} reads; shorten it, or lower --max-tokens"
                )
        longest = max(longest, *lengths)
    return max(recipe.max_length, longest + max_tokens)


def _engines(recipe: RunRecipe, prompts: int, parameters: int) -> list[str]:
    """What to generate with, in order of preference: on a CPU vLLM takes longer to start than
    a few prompts take to be answered. `parameters` are the policy's."""
    runtime = runtime_here(recipe)
    wanted = recipe.sampling.engine if recipe.sampling else "transformers"
    worth_it = prompts > _FEW or machine.device(runtime) == "cuda"
    if wanted == "vllm" or (wanted == "auto" and worth_it):
        chosen = choose(wanted, runtime, lambda: parameters).engine
        return [chosen] if wanted == "vllm" else list(dict.fromkeys([chosen, "transformers"]))
    return ["transformers"]  # a server's weights are not ours to change


def _model(store: Store, policy: Policy, recipe: RunRecipe) -> Model:
    """A policy as the stages take it, with what its chat template asks for."""
    if policy.artifact is None:
        return outside_model("policy.model", policy.path, recipe.runtime.trust_remote_code)
    return store.record(policy.artifact).artifact


def _outside(recipe: RunRecipe, file: str) -> dict[str, External]:
    """What the run's teacher is made of, by field; all prompts are those of the file.

    Raises:
        InputError: it cannot be read, or its server does not answer.
    """
    trusted = recipe.runtime.trust_remote_code
    teacher = [one for one in references(recipe) if one.field.startswith("teacher.")]
    for one in teacher:
        if one.kind == "endpoint":
            check_endpoint(one)
    prompts = [one.field for one in references(recipe) if one.kind == "prompts"]
    given = dict.fromkeys(prompts, outside_prompts("--prompts", PromptSource(path=file)))
    return given | {one.field: READERS[one.kind](one, trusted) for one in teacher}


def _teacher(run: Run, summary: Summary, recipe: RunRecipe) -> Judge:
    """The run's teacher. Raises InputError."""
    section, field = getattr(recipe, "teacher", None), "teacher.model"
    found: dict[str, Model] = dict(run.outside)
    for record in summary.bootstrap:
        if record.kind == "teacher":
            artifact = Artifact(kind=record.kind, key=record.key, digest=record.artifact)
            found.setdefault(field, run.context.store.record(artifact).artifact)
    if not isinstance(section, JudgingSection) or (section.model == WORLD and field not in found):
        raise InputError(f"{summary.run}: its teacher is not known; leave out --judge")
    return judge_of(run, recipe, field, section.model, section.asking, found)


def _table(
    store: Store,
    prompts: pa.Table,
    names: Sequence[str],
    answers: Sequence[Artifact],
    evaluation: Artifact | None,
) -> pa.Table:
    sides = [_by_prompt(store.table(artifact)) for artifact in answers]
    scored: dict[str, dict[str, Any]] = {}
    if evaluation:
        scored = {row["prompt_id"]: row for row in store.table(evaluation).to_pylist()}
    rows = []
    for prompt in prompts.to_pylist():
        key = prompt["prompt_id"]
        row = prompt | {"a": names[0], "b": names[1]}
        for letter, side in zip("ab", sides, strict=True):
            row |= {f"{letter}_{name}": values[key] for name, values in side.items()}
        judged = scored.get(key, {})
        row |= {
            "a_score": judged.get("base_score"),
            "b_score": judged.get("policy_score"),
            "outcome": judged.get("outcome"),
        }
        rows.append(row)
    return pa.Table.from_pylist(rows, COMPARISON)


def _by_prompt(completions: pa.Table) -> dict[str, dict[str, Any]]:
    columns = {"answer": "completion", "tokens": "n_tokens", "finish_reason": "finish_reason"}
    return {name: mapping(completions, "prompt_id", column) for name, column in columns.items()}
