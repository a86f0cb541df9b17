"""Targets: a teacher reads answers and says what it would have given at every position."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data.errors import CardinalityError
from data.recipes.distillation import TargetsConfig
from data.schemas import SCORES, TARGETS
from data.store.artifacts import Artifact
from data.tables import as_sampled, mapping
from tasks.running.outside import ServedModel
from tasks.stage import Context, Model, Rows, stage

if TYPE_CHECKING:
    from models.teacher import Targets


@stage(TARGETS, version="1", model="loaded", shards="completions", rows="completions")
def targets(
    ctx: Context,
    *,
    teacher: Model,
    prompts: Artifact,
    completions: Artifact,
    config: TargetsConfig,
    engine: str,
    at: Artifact | None = None,
    logprobs: Literal["raw"] = "raw",
) -> Rows:
    """In: PROMPTS, COMPLETIONS; with `at` also TARGETS of another teacher on these. Out: TARGETS,
    one row per completion; with `at` at the other's tokens and ids, whatever is most likely here.

    The prompt is rendered by the teacher's own chat template, which is part of its digest; a
    completion is read as the tokens it was sampled as. `engine` begins with "transformers" or
    "vllm", and has version and numerics as that of `generate`; or with "openai", and has what the
    teacher's server says of itself. `logprobs` says what is kept: the
    softmax of the logits over the temperature, before anything a sampler does to it.
    """
    messages = mapping(ctx.table(prompts), "prompt_id", "messages")
    table = ctx.table(completions)
    answers = as_sampled(table, "completion", "token_ids")
    ids = None
    if at is not None:
        answers, ids = read_before(ctx.table(at), table)
    owners = table["prompt_id"].to_pylist()
    items = [(messages[owner], text) for owner, text in zip(owners, answers, strict=True)]
    if not items:  # of texts that have all been read before: no model is loaded
        return Rows(TARGETS.empty_table(), {"read": 0, "unread": 0, "tokens": 0, "total_kept": 0.0})
    name = engine.partition(" ")[0]
    served = teacher.server if isinstance(teacher, ServedModel) else None
    reader = ctx.loaded.teacher(name, ctx.path(teacher), teacher.digest, config.k, served)
    try:
        found = reader.targets(
            items, config.k, config.temperature, ids, on_progress=ctx.on_progress
        )
    except Exception:
        ctx.loaded.release()  # it may have died: another try loads it anew
        raise
    made = pa.table([table["completion_id"], table["prompt_id"], *columns(found)], schema=TARGETS)
    read = [one for one in found if one is not None]
    counts = {
        "read": len(read),
        "unread": len(found) - len(read),
        "tokens": sum(len(one.token_ids) for one in read),
        "total_kept": float(sum((1 - one.rest.astype(np.float64)).sum() for one in read)),
    }
    return Rows(made, counts)


def read_before(
    table: pa.Table, completions: pa.Table
) -> tuple[list[list[int] | str], list[npt.NDArray[np.int32]]]:
    """Tokens of each completion as another teacher has read them, none where it could not, and the
    ids (T, k) that it kept. Raises CardinalityError for targets of other completions."""
    if table["completion_id"] != completions["completion_id"]:
        raise CardinalityError("targets: those of another teacher are of other completions")
    tokens: list[list[int] | str] = [row or [] for row in table["token_ids"].to_pylist()]
    flat = (row.values for row in table["top_ids"])  # Arrow's, of which numpy is a view
    ids = [np.zeros(0, np.int32) if row is None else row.to_numpy() for row in flat]
    return tokens, [x.reshape(max(len(t), 1), -1) for t, x in zip(tokens, ids, strict=True)]


@stage(SCORES, version="1", rows="targets")
def likelihood(ctx: Context, *, targets: list[Artifact]) -> Rows:
    """In: TARGETS. Out: SCORES, the mean log-probability of each completion's tokens under its
    teacher, nats; none where that could not read it."""
    tables = [ctx.table(one).select(["completion_id", "prompt_id", "logps"]) for one in targets]
    table = pa.concat_tables(tables)
    rows = [row.values.to_numpy() if row.is_valid else None for row in table["logps"]]
    means = [None if row is None else float(row.mean()) for row in rows]
    made = {name: table[name] for name in ("completion_id", "prompt_id")}
    made["reward"] = pa.array(means, pa.float64())
    known = [mean for mean in means if mean is not None]
    counts = {"scored": len(known), "unscored": len(means) - len(known)}
    return Rows(pa.table(made), counts | {"total_reward": sum(known)})


def columns(found: "Sequence[Targets | None]") -> list[pa.Array]:
    """The lists of TARGETS behind the ids, straight from numpy."""
    return [
        lists(
            [None if one is None else getattr(one, name).ravel() for one in found],
            TARGETS.field(name).type,
        )
        for name in ("token_ids", "logps", "rest", "top_ids", "top_logps")
    ]


def lists(rows: "Sequence[np.ndarray | None]", kind: pa.ListType) -> pa.Array:
    """An array of this list type, null where there is no row."""
    lengths = [0 if row is None else len(row) for row in rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    wanted = kind.value_type.to_pandas_dtype()
    values = np.concatenate([np.zeros(0, wanted), *(row for row in rows if row is not None)])
    missing = pa.array([row is None for row in rows], pa.bool_())
    flat = pa.array(values.astype(wanted), kind.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets), flat, kind, mask=missing)
