"""What a careful reader would ask about a run: one rule each, with its threshold and its reason.

Pure functions of the summary; docs/report.md lists the same rules under the same names.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from data.measures import Warned
from data.recipes.judges import TEACHER
from data.statistics import wilson
from data.summary import Round
from flows.judge_words import called
from flows.judges_told import everyone
from flows.loop.watch_told import found as alarm
from flows.loop.wording import NO_REWARD, TS_ALIGN, Words

LONGER, SHORTER, LESS_VARIED = 1.25, 0.75, 2 / 3  # of the base policy's
FAR = 1.0  # nats per token: the answers' tokens are e times likelier under the policy
NEAR = 0.1  # nats per answer
SAME_ANSWERS = 0.5  # of the greedy answers that are compared after a training
FURTHER = 1.25  # of the KL of the round it started from
LOW_PRECISION = 0.75
CHANCE = 0.5
AGREEMENT_FELL = 0.05
FEW_PAIRS = 0.2  # of the prompts asked
LOST_GAIN = 0.1  # of what the judge's score had gained over the base; less is noise
CUT, OVER_LONG = 0.05, 0.05  # of the answers, of the pairs


class Seen(NamedTuple):
    """A round, what is known of the base policy, and the rounds it is compared with."""

    words: Words

    base: Mapping[str, float]  # fields of `Drift`, as far as they are known
    entry: Round
    before: Round | None  # whose policy it started from; None for the first
    previous: Round | None  # the one before, adopted or not


class Rule(NamedTuple):
    name: str
    section: str  # of the report: "monitor", "ledger", "labels" or "drift"
    find: Callable[[Seen], str]  # what is the case, without a full stop; empty if it is not
    reason: str


def warnings(
    base: Mapping[str, float], rounds: Sequence[Round], words: Words = TS_ALIGN
) -> list[Warned]:
    """What the rules find in these rounds, in plain sentences, one for each rule.

    Args:
        base: Fields of `Drift` for the base policy, as far as they are known.
        rounds: Finished rounds in order.
        words: Of the method, so that no student is blamed where there is none.
    """
    seen = _with_the_rounds_before(base, rounds, words)
    found = []
    for rule in RULES:
        said = {one.entry.round: f"{_name(one.entry)}: {text}."
                for one in seen if (text := rule.find(one))}  # fmt: skip
        if said:
            found.append(
                Warned(
                    section=rule.section,
                    rule=rule.name,
                    found=" ".join(said.values()),
                    reason=rule.reason,
                    rounds=list(said),
                )
            )
    return found


def _with_the_rounds_before(
    base: Mapping[str, float], rounds: Sequence[Round], words: Words
) -> list[Seen]:
    seen: list[Seen] = []
    before: Round | None = None
    for place, entry in enumerate(rounds):
        seen.append(Seen(words, base, entry, before, rounds[place - 1] if place else None))
        if entry.adopted and entry.drift:
            before = entry
    return seen


def _name(entry: Round) -> str:
    return f"Round {entry.round}{'' if entry.adopted else ' (not adopted)'}"


def _ratio(seen: Seen, name: str) -> float | None:
    """A drift value over that of the base, where both are known."""
    known = seen.base.get(name)
    return getattr(seen.entry.drift, name) / known if known and seen.entry.drift else None


def _longer(seen: Seen) -> str:
    ratio = _ratio(seen, "mean_tokens")
    if ratio is None or ratio <= LONGER:
        return ""
    return f"answers are {ratio - 1:.0%} longer than the base policy's"


def _shorter(seen: Seen) -> str:
    ratio = _ratio(seen, "mean_tokens")
    if ratio is None or ratio >= SHORTER:
        return ""
    return f"answers are {1 - ratio:.0%} shorter than the base policy's"


def _less_varied(seen: Seen) -> str:
    ratio = _ratio(seen, "distinct_2")
    if ratio is None or ratio >= LESS_VARIED:
        return ""
    return (
        f"answers are less varied: the share of word pairs that are different fell by "
        f"{1 - ratio:.0%} from the base policy's"
    )


def _far(seen: Seen) -> str:
    drift = seen.entry.drift
    if drift is None or not drift.kl_to_base > FAR * drift.mean_tokens > 0:
        return ""
    return (
        f"the policy is far from the base: a KL of {drift.kl_to_base:.1f} nats per answer, more "
        "than one per token"
    )


def hardly_moved(entry: Round) -> str:
    """A policy that answers as the base does: by its log-probabilities, its wins, its answers."""
    drift, policy = entry.drift, entry.policy
    if drift is None or policy is None or drift.kl_to_base >= NEAR:
        return ""
    low, high = policy.ci95
    answers, changed = _greedy_answers(entry)
    if not low <= CHANCE <= high or changed > SAME_ANSWERS * answers:
        return ""
    same = f", {changed} of {answers} greedy answers changed" if answers else ""
    return (
        f"the policy hardly moved: a KL of {drift.kl_to_base:.2g} nats per answer to the base"
        f"{same}, and the interval of its win rate includes 50%"
    )


def _greedy_answers(entry: Round) -> tuple[int, int]:
    """How many were compared after the training, and how many had changed."""
    names = ("canary_answers", "canary_answers_changed")
    known = [record.counts for record in entry.stages if names[0] in record.counts]
    return (known[-1][names[0]], known[-1][names[1]]) if known else (0, 0)


def _hardly_moved(seen: Seen) -> str:
    return hardly_moved(seen.entry)


def _stalled(before: Round, entry: Round) -> bool:
    """It wins no more over the base, or the teacher prefers the policy it started from."""
    wins_no_more = (
        before.policy and entry.policy and entry.policy.win_rate <= before.policy.win_rate
    )
    return bool(wins_no_more or (entry.gate and entry.gate.win_rate < CHANCE))


def _further_for_nothing(seen: Seen) -> str:
    if not (seen.before and seen.before.drift and seen.entry.drift):
        return ""
    old, new = seen.before.drift.kl_to_base, seen.entry.drift.kl_to_base
    if not (new > FURTHER * old > 0 and _stalled(seen.before, seen.entry)):
        return ""
    return (
        f"the policy moved further from the base (KL {old:.1f} to {new:.1f} nats) without winning "
        "more often"
    )


def _teacher_exploited(seen: Seen) -> str:
    """Teacher's reward up, the score of a judge that is not the teacher down."""
    entry, before = seen.entry, seen.before
    if not (before and before.drift and entry.drift and entry.policy):
        return ""
    old, new = before.drift, entry.drift
    if old.teacher_reward is None or new.teacher_reward is None:  # it only compares
        return ""
    if new.teacher_reward <= old.teacher_reward:
        return ""
    judge, scores = entry.policy.judge, (old.judge_score, new.judge_score)
    if judge != TEACHER and scores[0] is not None and scores[1] is not None:
        gained = scores[0] - seen.base.get("judge_score", scores[0])
        if scores[0] - scores[1] > LOST_GAIN * max(0.0, gained):
            return (
                f"the teacher's reward rose while {called(judge)}'s score fell (over-optimisation)"
            )
    known = {one.judge: one.win_rate for one in everyone(before.policy)} if before.policy else {}
    for one in everyone(entry.policy):
        if one.judge != TEACHER and one.win_rate <= known.get(one.judge, 0.0):
            by = "" if one.judge == judge else f"by {called(one.judge)} "
            return (
                f"the teacher's reward rose ({old.teacher_reward:.2f} to {new.teacher_reward:.2f}),"
                f" but {by}the policy wins no more often"
            )
    return ""


def _student_exploited(seen: Seen) -> str:
    if not (seen.before and seen.before.drift and seen.entry.drift):
        return ""
    old, new = seen.before.drift, seen.entry.drift
    if old.student_reward is None or new.student_reward is None:
        return ""
    if old.teacher_reward is None or new.teacher_reward is None:  # it only compares
        return ""
    if new.student_reward <= old.student_reward or new.teacher_reward > old.teacher_reward:
        return ""
    return (
        f"the student's reward rose ({old.student_reward:.2f} to {new.student_reward:.2f}) while "
        f"the teacher's did not ({old.teacher_reward:.2f} to {new.teacher_reward:.2f})"
    )


def _wrong_labels(seen: Seen) -> str:
    share = seen.entry.label_precision
    if share is None or share >= LOW_PRECISION:
        return ""
    return f"the oracle does not confirm {1 - share:.0%} of the labels"


def _many_swaps(seen: Seen) -> str:
    ledger = seen.entry.ledger
    if not ledger.mined or wilson(ledger.swapped, ledger.mined)[0] <= CHANCE:
        return ""
    return (
        f"{seen.words.who} reversed {seen.entry.swap_rate:.0%} of the pairs; {seen.words.order} is "
        "worse than chance"
    )


def _student_refused(seen: Seen) -> str:
    student = seen.entry.student
    if student.adopted or student.agreement_after is None:  # none was distilled or measured
        return ""
    return f"distillation lowered the student's agreement with {seen.words.against}"


def _agreement_fell(seen: Seen) -> str:
    old = seen.previous.student.agreement_after if seen.previous else None
    new = seen.entry.student.agreement_after
    if old is None or new is None or old - new <= AGREEMENT_FELL:
        return ""
    whom = seen.words.against
    return f"the student's agreement with {whom} fell from {old:.1%} to {new:.1%}"


def _few_pairs(seen: Seen) -> str:
    ledger = seen.entry.ledger
    if not ledger.asked or seen.entry.stopped or ledger.trained >= FEW_PAIRS * ledger.asked:
        return ""
    return f"only {ledger.trained:,} of {ledger.asked:,} prompts gave a pair to train on"


def _cut_short(seen: Seen) -> str:
    ledger = seen.entry.ledger
    lost = ledger.truncated + ledger.unscored
    if not ledger.generated or lost <= CUT * ledger.generated:
        return ""
    share = lost / ledger.generated
    return f"{share:.1%} of the answers were cut off or {seen.words.lost(seen.words.reader)}"


def _over_long(seen: Seen) -> str:
    ledger = seen.entry.ledger
    lost = _unjudged(seen)[0] + ledger.too_long
    if not ledger.mined or lost <= OVER_LONG * ledger.mined:
        return ""
    share = lost / ledger.mined
    return f"{share:.1%} of the pairs were too long for {seen.words.who} or too long for training"


def _not_judged(seen: Seen) -> str:
    ledger, lost = seen.entry.ledger, _unjudged(seen)[1]
    if not ledger.mined or lost <= OVER_LONG * ledger.mined:
        return ""
    what = "reward" if _by_functions(seen.words) else "verdict"
    return f"{lost / ledger.mined:.1%} of the pairs got no {what} from {seen.words.who}"


def _unjudged(seen: Seen) -> tuple[int, int]:
    """Pairs that were too long for who orders them, and those that got no reward or verdict."""
    ledger, words = seen.entry.ledger, seen.words
    if ledger.unjudged == ledger.kept_unsure == ledger.mined:  # nobody orders them
        return 0, 0
    failed = ledger.unjudged if _by_functions(words) else ledger.unparsable
    return ledger.unjudged - failed, failed


def _by_functions(words: Words) -> bool:
    """Whether reward functions order the pairs."""
    return words.lost(words.who).startswith(NO_REWARD)


RULES = (
    Rule("alarm", "monitor", lambda seen: alarm(seen.entry),
         "The policy may have begun to exploit its teacher; read answers of this round and the "
         "one before."),
    Rule("cut_short", "ledger", _cut_short,
         "What is learned comes from short answers only; raise generate.max_tokens, or the "
         "max_length of the model that reads them all."),
    Rule("over_long", "ledger", _over_long,
         "Long answers go untaught; raise the max_length of policy or student, or shorten the "
         "prompts."),
    Rule("not_judged", "ledger", _not_judged,
         "They are not learned from; what the language model said, or why the reward function "
         "failed, stands in the report."),
    Rule("few_pairs", "ledger", _few_pairs,
         "The training repeats few examples; the ledger says where the prompts "
         "were lost."),
    Rule("wrong_labels", "labels", _wrong_labels,
         "The policy learns these mistakes; see which data sets they come from."),
    Rule("many_swaps", "labels", _many_swaps,
         "Pairs in an order drawn at random would serve as well: use a better student or distill "
         "longer; of a model matrix, see which axis is wrong."),
    Rule("student_refused", "labels", _student_refused,
         "The earlier student was kept."),
    Rule("agreement_fell", "labels", _agreement_fell,
         "The policy writes answers that the student cannot tell apart as the teacher does."),
    Rule("hardly_moved", "drift", _hardly_moved,
         "Raise policy.learning_rate or policy.epochs, or bring more pairs; docs/recipes.md has "
         "rates by method and size."),
    Rule("longer", "drift", _longer,
         "Judges tend to favour length; read some answers before trusting the win rate."),
    Rule("shorter", "drift", _shorter, "Check that they are still complete."),
    Rule("less_varied", "drift", _less_varied, "The policy may repeat itself."),
    Rule("far", "drift", _far,
         "Such policies tend to exploit their teacher; read some answers."),
    Rule("further_for_nothing", "drift", _further_for_nothing,
         "What it gave up of the base bought nothing; stop a round earlier or raise "
         "policy.beta."),
    Rule("teacher_exploited", "drift", _teacher_exploited,
         "It may be learning what the teacher likes rather than better answers."),
    Rule("student_exploited", "drift", _student_exploited,
         "The policy may have begun to exploit the student's mistakes (over-optimisation); "
         "the student too changes between rounds, so read some answers."),
)  # fmt: skip
