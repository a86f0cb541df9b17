"""What a run's method is called in its report: who answers, who picks, who judges, who learns.

The loop is one; its parts differ. A report that told every run as TS-Align's would tell of a
student that picks pairs where there is none.
"""

from typing import Any, NamedTuple

from data.recipes.judges import is_function

Config = dict[str, Any]

MATRIX, TEACHER, STUDENT, BOTH = "matrix", "teacher", "student", "student+teacher"


TOO_LONG, NO_REWARD = "too long for", "without a reward from"


class Words(NamedTuple):
    """Names and sentences; empty where the method has no such part."""

    rounds: str  # what a round does
    ledger: str  # how answers become pairs
    answers: str  # of the ledger's first level, with {asked}
    reader: str  # reads every answer before pairs are made
    tied: str  # why a prompt with usable answers gave no pair
    who: str  # puts the two answers of a pair in order
    shown: str  # what the pairs are called that they order
    order: str  # what they may reverse; empty where nothing is reversed
    trained: str  # learns from the pairs
    calls: str  # what a call of the judge is
    section: str  # title of one round's ledger, with {round}
    student: bool  # whether there is one
    against: str = "the teacher"  # whom the student is measured against
    unread: str = TOO_LONG  # what answers are that the teacher did not judge

    def lost(self, who: str) -> str:
        """What answers are that `who` did not judge."""
        return f"{self.unread if who == self.against else TOO_LONG} {who}"

    @property
    def reverses(self) -> bool:
        return bool(self.order)


def words(config: Config) -> Words:
    """The words of a run, by what its recipe says of labels, student and prompts."""
    student = config.get("student", {}).get("model") != "none"
    labels = config.get("labels", BOTH)
    refresh = config.get("prompts", {}).get("refresh")
    made = {BOTH: _both, TEACHER: _teacher, STUDENT: _student, MATRIX: _matrix}
    found = made[labels](config, student) if labels in made else _own(config, student)
    found = found._replace(unread=unread(config.get("teacher", {}).get("model", "")))
    if refresh:
        found = found._replace(
            rounds=f"{_refreshed(refresh)} {found.rounds}",
            ledger=f"{found.ledger} Prompts that are not answered again keep their pairs, which "
            "are reused.",
        )
    return found


def unread(teacher: Any) -> str:
    """What befalls answers that a teacher of this spelling does not judge."""
    by_functions = isinstance(teacher, list | tuple) or is_function(teacher)
    return NO_REWARD if by_functions else TOO_LONG


def _refreshed(refresh: Config) -> str:
    share = f"{refresh.get('share', 0):.0%}"
    chosen = "with the lowest rewards" if refresh.get("by", "reward") == "reward" else "at random"
    return (
        f"The prompts are the same in every round; after the first, {share} of them are answered "
        f"again, chosen {chosen}."
    )


def adoption(config: Config) -> str:
    """What makes a new policy the next round's, and how often it is judged."""
    least = config.get("gate", {}).get("min_win_rate", 0.5)
    if not least:
        text = " Every new policy is adopted, better or not."
    elif least == 0.5:
        text = " A new policy is adopted only if the teacher prefers it on the dev prompts."
    else:
        text = (
            f" A new policy is adopted if the teacher prefers it on at least {least:.0%} of the "
            "dev answers, ties counting half."
        )
    every = config.get("evaluate", {}).get("every", 1)
    return text + (f" It is judged every {every} rounds." if every > 1 else "")


def _learn(student: bool) -> str:
    return "student and policy learn from the pairs" if student else "the policy learns from them"


def _both(config: Config, student: bool) -> Words:
    return Words(
        rounds="The policy answers new prompts, the student picks a best and a worst answer to "
        "each, the teacher confirms or reverses the order, and both student and policy learn from "
        "the pairs." + adoption(config),
        ledger="The policy answers every prompt several times; the student picks the best and the "
        "worst usable answer to a prompt; the teacher puts the two in order; the policy learns "
        "from the pairs that are left.",
        answers="answers to {asked} prompts",
        reader="the student",
        tied="all answers alike to the student",
        who="the teacher",
        shown="pairs shown to the teacher",
        order="the student's order",
        trained="the policy",
        calls="one answer scored by the teacher to label a pair",
        section="Round {round}",
        student=student,
    )


def _teacher(config: Config, student: bool) -> Words:
    return _both(config, student)._replace(
        rounds="The policy answers the prompts, the teacher scores every answer, the best and the "
        f"worst of each prompt make a pair, and {_learn(student)}." + adoption(config),
        ledger="The policy answers every prompt several times; the teacher scores all usable "
        "answers, and the best and the worst of a prompt make a pair in the order of their scores; "
        "the policy learns from the pairs that are left. No student picks, so nothing is reversed.",
        reader="the teacher",
        tied="all answers alike to the teacher",
        shown="pairs of the teacher's best and worst",
        order="",
        calls="one answer scored by the teacher",
    )


def _student(config: Config, student: bool) -> Words:
    return _both(config, student)._replace(
        rounds="The policy answers new prompts, the student alone picks a best and a worst answer "
        "to each, and the policy learns from the pairs; the teacher labels nothing."
        + adoption(config),
        ledger="The policy answers every prompt several times; the student picks the best and the "
        "worst usable answer to a prompt, and nobody checks it; the policy learns from the pairs "
        "that are left.",
        who="the student",
        shown="pairs of the student's best and worst",
        order="",
        calls="none: the student alone labels",
    )


def _matrix(config: Config, student: bool) -> Words:
    names = [cell.get("name", "") for cell in config["matrix"].get("cells", [])]
    corrected = corrector(config)
    return _both(config, student)._replace(
        rounds=f"The cells of the model matrix ({', '.join(names)}) each answer the prompts. Of "
        "two answers, the one of the newer or larger model, or of people, is presumed better"
        + (f"; {corrected} confirms or reverses that" if corrected else "")
        + f"; {_learn(student)}."
        + adoption(config),
        ledger="Every cell of the model matrix answers each prompt once; two answers of cells "
        "whose places the matrix compares make a pair, presumed in the order of the places"
        + (f"; {corrected} corrects the order" if corrected else ", which nobody checks")
        + "; the policy learns from the pairs that are left.",
        answers="answers of the matrix to {asked} prompts",
        reader="the judge",
        tied="no two answers that the matrix compares",
        who=corrected or "the matrix",
        shown=f"pairs shown to {corrected}" if corrected else "pairs of the matrix",
        order="the presumed order" if corrected else "",
        calls=f"one answer read by {corrected} to correct a pair"
        if corrected
        else "none: nobody corrects the matrix",
    )


def corrector(config: Config) -> str:
    judge = config["matrix"].get("correction", {}).get("judge", "teacher")
    return {"none": "", "teacher": "the teacher"}.get(judge, "the judge")


def _own(config: Config, student: bool) -> Words:
    name = config["labels"].rpartition(":")[2]
    return _both(config, student)._replace(
        rounds=f"The policy answers the prompts, the recipe's own function {name} makes pairs of "
        f"the answers, and {_learn(student)}." + adoption(config),
        ledger=f"The policy answers every prompt; the recipe's own function {name} makes pairs of "
        "the answers and puts them in order; the policy learns from the pairs that are left.",
        reader="the models that score",
        tied="all answers alike",
        who=name,
        shown="pairs made",
        order="the first order",
        calls="one answer scored to label a pair",
    )


TS_ALIGN = _both({}, student=True)
