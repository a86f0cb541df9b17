"""What can be checked of judges before any work: those that speak, and what they cannot do.

A language model compares two answers and scores none. Where a recipe needs scores it is refused.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from data.errors import InputError
from data.paths import named_path
from data.recipes.asking import AskingConfig
from data.recipes.names import Naming, references
from data.recipes.recipe import RunRecipe
from flows.preflight.findings import Findings
from models.checkpoints import context_length
from models.judges.question import DEFAULT, Question

if TYPE_CHECKING:
    from models.special_text import Tokenizer

TEACHER = "teacher.model"


class Speaking(NamedTuple):
    """A language model of the recipe that judges, and how it is asked."""

    named: Naming
    asking: AskingConfig
    part: str  # the section of the recipe that says how

    @property
    def letter(self) -> bool:
        """Whether its letters' probabilities are read and not its words."""
        return self.named.kind != "endpoint" and self.asking.verdict == "letter"

    @property
    def question(self) -> Question:
        """What it is asked. Raises InputError if the template cannot be read."""
        field, name = f"{self.part}.asking.template", self.asking.template
        return Question.read(named_path(name, field) if name else DEFAULT, field)


def speaking(recipe: RunRecipe, folders: list[Naming]) -> Iterator[Speaking]:
    """The language models that judge: behind an endpoint, and of `folders` those of kind judge."""
    served = [one for one in references(recipe) if one.kind == "endpoint"]
    for named in (*served, *(one for one in folders if one.kind == "judge")):
        part = named.field.partition(".")[0]
        asking = getattr(named.section, "asking", None) or AskingConfig()
        yield Speaking(named, asking, part)


def check_judges(recipe: RunRecipe, folders: list[Naming], found: Findings) -> None:
    """Endpoints answer and have the model, templates ask what they must, and scores are to be had
    where they are needed."""
    for one in speaking(recipe, folders):
        if one.named.kind == "endpoint":
            found.attempt(check_endpoint, one.named)
        found.attempt(check_question, one)
        reason = recipe.refuse_comparing() if one.named.field == TEACHER else None
        if reason:
            found.attempt(refuse, one.named.field, reason)
        found.notes += question_notes(one)


def refuse(field: str, reason: str) -> None:
    raise InputError(
        f"{field}: a language model compares two answers and gives no rewards, and {reason}; name "
        "a reward model or a reward function, or use labels: student+teacher"
    )


def check_endpoint(named: Naming) -> None:
    """The server of a judge answers, takes the key and has the model. Raises InputError."""
    from models.engines import openai_server as server

    model = named.value.partition(":")[2] or server.model(named.field)
    server.check_listed(model, named.field)


def check_question(one: Speaking) -> None:
    """InputError unless the template shows the conversation and both answers."""
    one.question.check(f"{one.part}.asking.template", one.letter)


def question_notes(one: Speaking) -> list[str]:
    field = f"{one.part}.asking.template"
    try:
        fences = one.question.fences
    except InputError:  # found already
        return []
    if fences:
        return []
    return [
        f"{field}: writes no {{{{ fence }}}}, so an answer can forge its end and speak to the judge"
    ]


def room_notes(
    recipe: RunRecipe,
    folders: list[Naming],
    models: Mapping[str, Path],
    tokenizers: Mapping[str, "Tokenizer"],
    found: Findings,
) -> None:
    """Whether judges that are here can read the longest pair; what they cannot is not judged."""
    for one in speaking(recipe, folders):
        field = one.named.field
        if field in tokenizers and field in models:
            said = found.attempt(room, recipe, one, models[field], tokenizers[field])
            found.notes += [said] if said else []


def room(recipe: RunRecipe, one: Speaking, path: Path, tokenizer: "Tokenizer") -> str:
    """What a user should know of a judge's context, in a line; "" where it is long enough.

    Raises:
        InputError: not even the question fits.
    """
    from models.chat import render_prompt

    limit = context_length(path, one.named.field)
    if limit is None:
        return ""
    probe = one.question.ask([{"role": "user", "content": "a"}], "a", "a", one.letter)
    asked = len(render_prompt(tokenizer, probe)) + (1 if one.letter else one.asking.max_tokens)
    if asked >= limit:
        raise InputError(
            f"{one.named.field}: reads {limit:,} tokens, and its question alone takes {asked:,}; "
            "name a judge that reads more, or a shorter asking.template"
        )
    answer = recipe.answering.max_tokens if recipe.answering else 0
    longest = recipe.max_length + answer
    if asked + longest <= limit:
        return ""
    return (
        f"{one.named.field}: reads {limit:,} tokens; its question takes {asked:,}, a prompt with "
        f"two answers up to {longest:,} of the policy's: pairs that are longer are not judged"
    )
