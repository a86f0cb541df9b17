"""What a run that goes in rounds says of itself: its measures, its result in words, its report.

Pure functions of the rounds and of the recipe, so that a summary can be told again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from data.measures import Fact, Measure, Verdict, Warned
from data.recipes.judges import TEACHER
from data.sections import Column, Row, Section, Table, Text
from data.summary import Final, PromptSource, Round, StudentSummary
from flows import instructions_told, judges_told
from flows.judge_words import listed
from flows.judges_told import win_rates
from flows.loop import reward_figures, sections, verdict_figures, watch_told
from flows.loop.measures import judgements, of_rounds, result, result_round
from flows.loop.rules import warnings
from flows.loop.wording import Words, words
from flows.result import Result
from reports.text import interval, percent

FEW_PROMPTS = 100  # held out; fewer leave an interval of about 20 points
LOOKED_AT = (
    "The rules look at lost answers and pairs, the quality of the labels, length, variety and "
    "drift; they cannot say whether an answer is right."
)


def told(
    recipe: str,
    config: Mapping[str, Any],
    rounds: Sequence[Round],
    base: Mapping[str, float],
    final: Final | None = None,
    sources: Sequence[PromptSource] = (),
) -> Result:
    """The result of a run, or what there is so far.

    Args:
        recipe: Its name.
        config: The recipe as the summary has it.
        base: Fields of `Drift` for the base policy, as far as they are known.
        final: The result of a run that has finished.
        sources: Of its training prompts, if they are a user's.
    """
    method = words(dict(config))
    known = {"kl_to_base": 0.0} | dict(base)
    rates = win_rates(judgements(rounds), result(rounds, final))
    rate = rates.get("win_rate")
    measures = rates | of_rounds(rounds, known, method)
    measures |= instructions_told.measures(_instructions(rounds))
    if rounds:
        measures["teacher_calls"].about += " Scoring dev and test prompts comes on top."
    warned = warnings(known, rounds, method)
    shown = _sections(method, sources, rounds, final, measures, warned, "mean_tokens" in base)
    said = verdict(config, method, rounds, final, rate)
    said.meaning += watch_told.sentences(rounds)
    unless = "" if "mean_tokens" in base else sections.UNKNOWN_LENGTH
    return Result(
        headline="win_rate",
        measures=measures,
        sections=[*_box(config, method, rounds, final), *shown],
        method=recipe,
        verdict=said,
        facts=facts(config, method, rounds, rate) if rounds else [],
        warnings=[*(_placed(one, shown) for one in warned), *few_prompts(rate)],
        checked=f"No rule found anything{unless}. {LOOKED_AT}" if rounds else "",
        progress=progress(method, rounds) if rounds else None,
        stopped=rounds[-1].stopped if rounds else None,
        rounds=rounds,
        base=base,
        final=final,
        sources=sources,
    )


def _sections(
    method: Words,
    sources: Sequence[PromptSource],
    rounds: Sequence[Round],
    final: Final | None,
    measures: Mapping[str, Measure],
    warned: Sequence[Warned],
    length_known: bool,
) -> list[Section]:
    if not rounds:
        return []
    found, labels = result(rounds, final), method.student or "label_precision" in measures
    entry = result_round(rounds, final)
    made = [
        sections.rounds_table(method, rounds),
        judges_told.datasets(found) if found else None,
        *(judges_told.section(entry.policy) if entry and entry.policy else []),
        *instructions_told.section(_instructions(rounds)),
        verdict_figures.section(record for entry in rounds for record in entry.stages),
        sections.answers(rounds, final),
        sections.matrix(rounds) if any(entry.matrix for entry in rounds) else None,
        sections.ledger(method, rounds, sources),
        sections.labels(method, rounds, last_student(rounds)) if labels else None,
        reward_figures.section([(entry.round, entry.functions) for entry in rounds]),
        watch_told.section(rounds),
        sections.drift(measures, warned, length_known),
    ]
    return [section for section in made if section]


def _instructions(rounds: Sequence[Round]) -> list[instructions_told.InRound]:
    return [
        instructions_told.InRound(entry.round, entry.adopted, entry.instructions)
        for entry in rounds
        if entry.instructions
    ]


def last_student(rounds: Sequence[Round]) -> StudentSummary:
    """The student the run ends with: of the last round in which a new one was kept."""
    kept = [entry.student for entry in rounds if entry.student.adopted]
    return kept[-1] if kept else rounds[0].student


def _placed(one: Warned, shown: Sequence[Section]) -> Warned:
    """In the ledger, if the report does not have its section."""
    there = one.section in {section.name for section in shown}
    return one if there else one.model_copy(update={"section": "ledger"})


def few_prompts(rate: Measure | None) -> list[Warned]:
    if rate is None or not rate.kept or not rate.n or rate.n >= FEW_PROMPTS:
        return []
    found = f"Only {rate.n} prompts were held out to judge; the interval is wide."
    why = "Hold out more, or read the answers."
    return [Warned(section="datasets", rule="few_prompts", found=found, reason=why)]


def _box(
    config: Mapping[str, Any], method: Words, rounds: Sequence[Round], final: Final | None
) -> list[Section]:
    """What it means that the teacher alone has judged; nothing where another judge has."""
    found = result(rounds, final)
    if found is None or not judges_told.only_teacher(found, config):
        return []
    took_part = (
        "The teacher that labelled the training pairs has also judged the result."
        if method.who == "the teacher"
        else "The teacher has decided which policies were kept and has also judged the result."
    )
    said = (
        f"{took_part} So {percent(found.win_rate)} says how often the teacher, not a person, "
        "prefers the new answers. A policy can please its teacher with length, phrases or mistakes "
        "that the teacher does not see, and no number on this page tells that from better answers. "
        "Before you rely on it, read answers, and let people or a model that took no part compare "
        "them (evaluate.judge)."
    )
    title = "The only judge is the teacher"
    return [Section(name="judge", title=title, blocks=[Text(paragraphs=[said])], box=True)]


def verdict(
    config: Mapping[str, Any],
    method: Words,
    rounds: Sequence[Round],
    final: Final | None,
    rate: Measure | None,
) -> Verdict:
    entry = result_round(rounds, final)
    if rate is None:
        return Verdict(title="No result yet", label="no result", text=_nothing(config, rounds))
    part = "trained" if method.who == "the teacher" else "chose"
    by = judges_told.by_whom(rate.judge, config, part)
    line = (
        f"Win rate over the base: {percent(rate.value)} ({interval(rate.ci95)}), judged by "
        f"{by}, round {rate.round}"
    )
    judged = result(rounds, final) or next(x.policy for x in reversed(rounds) if x.policy)
    meaning = judges_told.meaning(rate, judged, config)
    if entry is None:
        return Verdict(
            title="No new policy was adopted",
            label=f"win rate over the base in round {rate.round}, not adopted",
            text=_nothing(config, rounds),
            line=f"{line}: not adopted, the base policy stays",
            short=f"{percent(rate.value)} ({interval(rate.ci95)}), not adopted",
            meaning=meaning,
        )
    titles = {
        "good": "Better than the base policy",
        "bad": "Worse than the base policy",
        "unclear": "Not told apart from the base policy",
    }
    return Verdict(
        kind=rate.means,
        title=titles[rate.means],
        label=f"win rate over the base policy, judged by {by}, ties counting half",
        text=" ".join([_won(rate, entry, by), *judges_told.sentences(judged)]),
        line=line,
        meaning=meaning,
    )


def _nothing(config: Mapping[str, Any], rounds: Sequence[Round]) -> str:
    if not rounds or rounds[-1].stopped or len(rounds) < config.get("rounds", 1):
        return ""
    return (
        "No round's policy was adopted: on the dev prompts the teacher never preferred the "
        "new policy. The base policy stays."
    )


def _won(rate: Measure, entry: Round, by: str) -> str:
    x = entry.policy
    assert x is not None
    said = {
        "good": "It is better than the base: the whole interval lies above that",
        "bad": "It is worse than the base: the whole interval lies below that",
        "unclear": "It cannot be told apart from the base: the interval spans that",
    }
    text = (
        f"On {x.wins + x.ties + x.losses:,} held-out prompts the aligned policy (round "
        f"{rate.round}) gave the better answer {x.wins:,} times, an equally good one {x.ties:,} "
        f"times and a worse one {x.losses:,} times, judged by {by}. No change would be "
        f"{percent(0.5)}. {said[rate.means]}."
    )
    if len(rate.parts) > 1:
        text += f" The number is the mean over {len(rate.parts)} data sets of equal weight."
    return text


def facts(
    config: Mapping[str, Any], method: Words, rounds: Sequence[Round], rate: Measure | None
) -> list[Fact]:
    """By whose judgement, and the cost: teacher calls, tokens."""
    judges = listed(config.get("evaluate", {}).get("judge", TEACHER))
    judge = rate.judge if rate and rate.kept else judges[0]
    ledgers = [entry.ledger for entry in rounds]
    trained, asked = sum(x.trained for x in ledgers), sum(x.asked for x in ledgers)
    tokens = sum(entry.tokens for entry in rounds)
    return [
        judges_told.fact(judge, judges[1:], config),
        _calls(method, rounds),
        Fact(
            title="Answer tokens",
            value=f"{tokens:,}",
            text=f"generated to train, for {trained:,} preference pairs trained on, from {asked:,} "
            "prompts",
        ),
    ]


def _calls(method: Words, rounds: Sequence[Round]) -> Fact:
    made = sum(entry.teacher_calls for entry in rounds)
    generated = sum(entry.ledger.generated for entry in rounds)
    said = "teacher calls to label pairs"
    if method.reader == "the teacher":
        said += ", one for every answer"
    elif 0 < made < generated:
        said += f"; labelling every answer would take {generated:,}"
    if checks := teacher_checks(rounds):
        said += f". {checks:,} more to judge the policies"
    else:
        said += ". Checks on dev and test prompts come on top"
    return Fact(title="Teacher calls", value=f"{made:,}", text=said)


def teacher_checks(rounds: Sequence[Round]) -> int:
    """Answers that the teacher scored to judge policies, not to label: on dev and test prompts.

    What several rounds found in the store was scored once.
    """
    scored = {
        record.artifact: record.counts.get("scored", 0)
        for entry in rounds
        for record in entry.stages
        if record.name == "score" and record.role in ("dev", "test")
    }
    return sum(scored.values())


def progress(method: Words, rounds: Sequence[Round]) -> Table:
    """A line per round, narrow enough for a terminal; without what the method does not have."""
    columns = ["round", "pairs", *["swapped"] * method.reverses]
    columns += ["student agrees"] * method.student
    precise = any(entry.label_precision is not None for entry in rounds)
    columns += ["labels right"] * precise + ["win rate", "adopted"]
    rows = []
    for entry in rounds:
        x = entry.student
        cells = [str(entry.round), f"{entry.ledger.trained:,}"]
        cells += [f"{entry.swap_rate:.0%}"] * method.reverses
        cells += [f"{share(x.agreement_before)} to {share(x.agreement_after)}"] * method.student
        cells += [share(entry.label_precision)] * precise
        cells += [_narrow(entry), "yes" if entry.adopted else "no"]
        rows.append(Row(cells=list(cells)))
    return Table(columns=[Column(title=title) for title in columns], rows=rows)


def _narrow(entry: Round) -> str:
    if entry.policy is None:
        return "–"
    low, high = entry.policy.ci95
    half = max(entry.policy.win_rate - low, high - entry.policy.win_rate)
    return f"{entry.policy.win_rate:.1%} ±{half * 100:.1f}"


def share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
