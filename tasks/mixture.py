"""The mixture of domains of an interval, the texts that it draws, and what is known of them.

DDK (Liu et al. 2024, arXiv 2407.16154); the arithmetic is in `data.domains`.
"""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data import domains
from data.errors import CardinalityError, InputError
from data.recipes.domains import MixtureConfig
from data.schemas import DEMONSTRATIONS, DRAWS, MIXTURES, TARGETS
from data.store.artifacts import Artifact
from data.tables import index_by, mapping, take_ids
from tasks.stage import Context, Rows, stage
from tasks.texts import by_domain


@stage(MIXTURES, version="1")
def mixture(
    ctx: Context,
    *,
    texts: Artifact,
    held_out: Artifact,
    teacher: Artifact,
    student: Artifact,
    before: Artifact | None,
    config: MixtureConfig,
    size: int,
) -> Rows:
    """In: DEMONSTRATIONS to learn and held out; TARGETS of teacher and student on the latter; the
    MIXTURES of the interval before, if any. Out: MIXTURES, a row for each domain.

    `size`: how many texts the interval draws. The cursors of the domains are in the table, so an
    interval depends on what was drawn before through it alone.
    """
    read = losses(*(ctx.table(one) for one in (held_out, teacher, student)))
    counts = {name: len(table) for name, table in by_domain(ctx.table(texts)).items()}
    names = list(counts)
    if missing := [name for name in names if not len(read[name].tokens)]:
        raise InputError(
            f"texts: no held-out text of the domain {missing[0]!r} can be read whole by teacher "
            "and policy; shorten its texts, or leave the domain out"
        )
    per_token = np.array([read[name].per_token for name in names])
    sizes = np.array([counts[name] for name in names])
    clip = getattr(config, "clip", None)
    ratios = domains.perplexity_ratios(per_token[:, 1], per_token[:, 0], clip)
    last = _mixture(ctx.table(before)) if before else None
    found = domains.mixed(config, ratios, sizes, size, last)
    columns: dict[str, Any] = {
        "dataset": names,
        "texts": sizes,
        "tokens": [int(read[name].tokens.sum()) for name in names],
        "unread": [read[name].unread for name in names],
        "teacher_nll": per_token[:, 0],
        "student_nll": per_token[:, 1],
        "ratio": ratios,
        **found._asdict(),
    }
    return Rows(pa.table([columns[name] for name in MIXTURES.names], schema=MIXTURES))


def _mixture(table: pa.Table) -> domains.Mixture:
    return domains.Mixture(*(table[name].to_numpy() for name in domains.Mixture._fields))


def _size(inputs: Any) -> int:
    return int(inputs["size"])


@stage(DRAWS, version="1", rows=_size)
def draw_texts(ctx: Context, *, texts: Artifact, mixture: Artifact, size: int, seed: int) -> Rows:
    """In: DEMONSTRATIONS to learn, MIXTURES of the interval. Out: DRAWS, its texts, `size` in all;
    counts those that are drawn once more."""
    own, parts = by_domain(ctx.table(texts)), []
    for row in ctx.table(mixture).to_pylist():
        table = own[row["dataset"]]
        numbers, passes = domains.in_sequence(
            row["dataset"], len(table), row["cursor"], row["drawn"], seed
        )
        drawn = table.select(["completion_id", "prompt_id", "dataset"]).take(pa.array(numbers))
        parts.append(drawn.append_column("pass", pa.array(passes)))
    drawn = pa.concat_tables(parts)
    if len(drawn) != size:
        raise CardinalityError(f"draw_texts: the mixture draws {len(drawn)} texts and not {size}")
    return Rows(drawn, {"drawn": size, "again": int(pc.sum(pc.greater(drawn["pass"], 0)).as_py())})


@stage(DEMONSTRATIONS, version="1", rows="draw")
def first_drawn(ctx: Context, *, texts: Artifact, draw: Artifact) -> Rows:
    """In: DEMONSTRATIONS to learn, DRAWS of an interval. Out: DEMONSTRATIONS, those of these texts
    that no interval has drawn before, each once: what a teacher has not read yet."""
    drawn = ctx.table(draw)
    new = drawn.filter(pc.equal(drawn["pass"], 0))["completion_id"].to_pylist()
    found = take_ids(ctx.table(texts), "completion_id", new)
    return Rows(found, {"texts": len(found)})


@stage(TARGETS, version="1", rows="draw")
def retold(ctx: Context, *, draw: Artifact, targets: list[Artifact]) -> Rows:
    """In: DRAWS of an interval, TARGETS of all texts drawn so far. Out: TARGETS of the draw, in its
    order; of a text that is drawn again, what was said of it the first time."""
    drawn = ctx.table(draw)
    wanted = drawn["completion_id"].combine_chunks()
    parts = [ctx.table(one) for one in targets]
    told = pa.concat_tables([one.filter(pc.is_in(one["completion_id"], wanted)) for one in parts])
    index = index_by(told, "completion_id")
    found = told.take(pa.array([index[name] for name in wanted.to_pylist()], pa.int64()))
    passes = zip(wanted.to_pylist(), drawn["pass"].to_pylist(), strict=True)
    names = [f"{name}+{number}" if number else name for name, number in passes]
    found = found.set_column(0, TARGETS.field(0), pa.array(names))
    return Rows(found, {"read": len(found) - found["token_ids"].null_count})


@stage("domain_gaps", version="1")
def domain_gaps(
    ctx: Context, *, held_out: Artifact, teacher: Artifact, student: Artifact, apart: list[str]
) -> dict[str, Any]:
    """In: DEMONSTRATIONS held out, TARGETS of teacher and student on them. Out: gaps.json: log
    perplexity of the student less the teacher's, nats a token, as a mean over domains but for those
    `apart`, and by domain, with intervals; also both perplexities."""
    read = losses(*(ctx.table(one) for one in (held_out, teacher, student)))
    read = {name: one for name, one in read.items() if len(one.tokens)}
    mean, found = domains.gaps(read, set(apart))
    result: dict[str, Any] = {"gap": _said(mean), "domains": {}}
    for name, one in found.items():
        nats = dict(zip(("teacher", "student"), np.exp(read[name].per_token).tolist(), strict=True))
        result["domains"][name] = _said(one) | nats | {"unread": read[name].unread}
    (ctx.out / "gaps.json").write_text(json.dumps(result, sort_keys=True))
    return result


def _said(gap: domains.Gap) -> dict[str, Any]:
    return {"mean": gap.value, "ci95": list(gap.ci95), "n": gap.texts}


def losses(texts: pa.Table, teacher: pa.Table, student: pa.Table) -> dict[str, domains.Losses]:
    """What both models lose on held-out DEMONSTRATIONS, by domain, from their TARGETS.

    Raises:
        InputError: a text is other tokens to the one than to the other.
    """
    datasets = mapping(texts, "completion_id", "dataset")
    sides = [_read(teacher), _read(student)]
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in datasets.values()}
    unread = dict.fromkeys(found, 0)
    for name, dataset in datasets.items():
        one, other = (side[name] for side in sides)
        if one["token_ids"] is None or other["token_ids"] is None:
            unread[dataset] += 1
        elif one["token_ids"] != other["token_ids"]:
            raise InputError(
                "texts: an answer is other tokens in the teacher's chat template than in the "
                "policy's, so their perplexities cannot be compared; give policy.model the "
                "teacher's (policy.template)"
            )
        else:
            found[dataset].append((-sum(one["logps"]), -sum(other["logps"]), len(one["logps"])))
    made = {}
    for name in sorted(found):
        teacher_nats, student_nats, tokens = np.array(found[name]).reshape(-1, 3).T
        made[name] = domains.Losses(teacher_nats, student_nats, tokens, unread[name])
    return made


def _read(table: pa.Table) -> dict[str, dict[str, Any]]:
    """Tokens and their log-probabilities by completion."""
    rows = table.select(["completion_id", "token_ids", "logps"]).to_pylist()
    return {row["completion_id"]: row for row in rows}
