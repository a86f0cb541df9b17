"""Compare: a language model says which of two answers is better, asked in both orders.

Nothing is guessed: a text without a verdict, a question too long for the judge and one that its
server keeps out leave the pair unjudged, each counted. A verdict that turns with the order is a
tie, counted too.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.recipes.asking import AskingConfig
from data.schemas import VERDICTS
from data.store.artifacts import Artifact
from data.tables import mapping
from models.judges.addressing import addresses_judge
from models.judges.question import Question
from models.judges.verdict import Both, Unjudged, of_odds, of_words, parse
from tasks.running import machine
from tasks.running.outside import External
from tasks.stage import Context, Model, Rows, stage

if TYPE_CHECKING:
    from models.judges.endpoint import Reply

HERE = ("vllm", "transformers")  # engines that serve a judge beside the policy
Pair = dict[str, Any]  # a row of ANSWER_PAIRS
Messages = list[dict[str, str]]
Orders = tuple[float | None, float | None]  # margins for the left answer, shown first and second
Texts = tuple[str | None, str | None]


@stage(VERDICTS, version="1", model="loaded", shards="pairs", rows="pairs")
def compare(
    ctx: Context,
    *,
    pairs: Artifact,
    prompts: Artifact,
    judge: Model,
    question: External,
    config: AskingConfig,
) -> Rows:
    """In: ANSWER_PAIRS, PROMPTS. Out: VERDICTS of a model here, in the order of the pairs.

    Its probabilities of the letters A and B are read, a margin in nats; with `config.verdict`
    "written" the run's kind of engine has it write.
    """
    asked, wording = _items(ctx, pairs, prompts), Question.read(Path(question.path))
    ctx.loaded.release()
    if config.verdict == "written":
        return _written(ctx, asked, wording, judge, config)
    from models.isolation import run_isolated
    from models.judges.letters import log_odds

    odds, tokens = run_isolated(
        log_odds,
        ctx.path(judge),
        [(messages, pair["left"], pair["right"]) for messages, pair in asked],
        question=wording,
        runtime=ctx.runtime,
        device=machine.device(ctx.runtime),
        on_progress=ctx.on_progress,
    )
    rows = [
        verdict_row(pair, Both(None, None, unjudged="too_long"), (None, None))
        if isnan(one)
        else verdict_row(pair, of_odds(one, other), (one, other))
        for (_, pair), (one, other) in zip(asked, odds.tolist(), strict=True)
    ]
    judged = sum(row["unjudged"] is None for row in rows)
    return Rows(rows, counts(rows) | cost(2 * judged, tokens, 0))


@stage(VERDICTS, version="1", shards="pairs", rows="pairs")
def ask(
    ctx: Context,
    *,
    pairs: Artifact,
    prompts: Artifact,
    judge: External,
    question: External,
    config: AskingConfig,
) -> Rows:
    """In: ANSWER_PAIRS, PROMPTS. Out: VERDICTS of a model behind OPENAI_BASE_URL.

    What it has said is kept from one try of a stage to the next: nothing is asked twice.
    """
    from models.judges.endpoint import ChatEndpoint, model_of

    asked, wording = _items(ctx, pairs, prompts), Question.read(Path(question.path))
    with ChatEndpoint(
        model_of(judge.path, judge.field),
        judge.field,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        attempts=config.attempts,
    ) as endpoint:
        replies = endpoint.replies(
            both_orders(wording, asked),
            kept=ctx.scratch / "replies.jsonl" if ctx.scratch else None,
            on_progress=ctx.on_progress,
        )
    rows = [written_row(pair, replies[2 * n : 2 * n + 2]) for n, (_, pair) in enumerate(asked)]
    return Rows(rows, counts(rows) | spent(replies))


def _written(
    ctx: Context,
    asked: Sequence[tuple[Messages, Pair]],
    wording: Question,
    judge: Model,
    config: AskingConfig,
) -> Rows:
    """Verdicts that a model here writes."""
    from models.judges.written import write

    replies = write(
        ctx.path(judge),
        both_orders(wording, asked),
        max_tokens=config.max_tokens,
        temperature=config.temperature or 0.0,
        runtime=ctx.runtime,
        engine=engine if (engine := ctx.loaded.engine_name) in HERE else "auto",
        on_progress=ctx.on_progress,
    )
    rows = [written_row(pair, replies[2 * n : 2 * n + 2]) for n, (_, pair) in enumerate(asked)]
    tokens = [
        sum(getattr(r, f"{kind}_tokens") for r in replies) for kind in ("prompt", "completion")
    ]
    return Rows(rows, counts(rows) | cost(sum(r.calls for r in replies), *tokens))


def _items(ctx: Context, pairs: Artifact, prompts: Artifact) -> list[tuple[Messages, Pair]]:
    messages = mapping(ctx.table(prompts), "prompt_id", "messages")
    return [(messages[pair["prompt_id"]], pair) for pair in ctx.table(pairs).to_pylist()]


def both_orders(wording: Question, asked: Iterable[tuple[Messages, Pair]]) -> list[Messages]:
    """Two questions for each pair: the left answer shown first, then the right."""
    return [
        wording.ask(messages, pair[first], pair[second])
        for messages, pair in asked
        for first, second in (("left", "right"), ("right", "left"))
    ]


def written_row(pair: Pair, replies: Sequence["Reply"]) -> dict[str, Any]:
    """A row of VERDICTS from the two replies on a pair."""
    words = [parse(reply.text) if reply.ended == "stop" else None for reply in replies]
    both = of_words(*words)
    ended = {reply.ended for reply in replies}
    for reason in ("too_long", "refused"):
        if reason in ended:
            both = Both(None, None, unjudged=reason)  # type: ignore[arg-type]
    says = {"A": 1.0, "tie": 0.0, "B": -1.0, None: None}
    one, other = (says[word] for word in words)
    orders = one, None if other is None else 0.0 - other
    return verdict_row(pair, both, orders, (replies[0].text, replies[1].text))


def verdict_row(
    pair: Pair, both: Both, orders: Orders, texts: Texts = (None, None)
) -> dict[str, Any]:
    return {
        **{name: pair[name] for name in ("prompt_id", "left_id", "right_id")},
        "outcome": both.outcome,
        "margin": both.margin,
        "turned": both.turned,
        "unjudged": both.unjudged,
        "left_first_margin": orders[0],
        "right_first_margin": orders[1],
        "left_first_text": texts[0],
        "right_first_text": texts[1],
        "left_addresses": addresses_judge(pair["left"]),
        "right_addresses": addresses_judge(pair["right"]),
    }


def counts(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """What became of the pairs, and how many answers of each side speak to the judge."""
    reasons = Counter(row["unjudged"] for row in rows)
    why: tuple[Unjudged, ...] = ("unparsable", "too_long", "refused")
    return {
        "pairs": len(rows),
        "judged": reasons[None],
        "turned": sum(row["turned"] for row in rows),
        "ties": sum(row["outcome"] == 0.5 and not row["turned"] for row in rows),
        **{name: reasons[name] for name in why},
        "left_addressing": sum(bool(row["left_addresses"]) for row in rows),
        "right_addressing": sum(bool(row["right_addresses"]) for row in rows),
    }


def spent(replies: Sequence["Reply"]) -> dict[str, int]:
    """The cost of written replies."""
    fields = ("calls", "prompt_tokens", "completion_tokens", "uncounted")
    return cost(*(sum(getattr(reply, name) for reply in replies) for name in fields))


def cost(calls: int, prompt: int, completion: int, uncounted: int = 0) -> dict[str, int]:
    """Calls of the judge, tokens it read and wrote; of `uncounted` calls these are not known."""
    return {
        "judge_calls": calls,
        "judge_prompt_tokens": prompt,
        "judge_completion_tokens": completion,
        "judge_uncounted_calls": uncounted,
    }
