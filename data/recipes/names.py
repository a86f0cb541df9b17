"""What a recipe names outside of itself: models, files and code. One list, read by all who ask.

A field says by `Names` what kind of thing it names, and which words are no names there. Preflight,
the digests of a run, its inputs and the docs walk these annotations; none of them lists fields.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from data.recipes.config import NONE, SMALL, WORLD, Config
from data.recipes.judges import Endpoint, RewardFunctions, Word, spelt
from data.reward_functions import SHIPPED

Kind = Literal[
    "policy",  # a language model that answers
    "served",  # a policy behind a server: `flows.preflight.models.brought` tells it apart
    "judge",  # a language model that names the better of two answers
    "reward model",  # a sequence classifier with one label
    "student",  # a reward model that a run may give a head, and train
    "any judge",  # by the grammar of `data.recipes.judges`; its namings are of the next five kinds
    "scorer",  # a reward model, or a language model that judges: its config.json tells which
    "reward function",  # FILE.py:FUNCTION
    "shipped",  # a reward function of this project
    "endpoint",  # a language model behind OPENAI_BASE_URL
    "prompts",  # a file, or a data set of `datasets`
    "preferences",  # a file of pairs
    "answers",  # a file of recorded answers
    "template",  # a Jinja file
    "code",  # FILE.py:FUNCTION
    "logs",  # files of recorded completions and judgments: a section
    "encoder",  # a text encoder, as sentence-transformers reads it
    "texts",  # a file of texts, or of pairs of texts
    "retrieval",  # a folder of documents, queries and judgments
    "activities",  # tables of compounds and how strongly they bind: a file, a folder, a package
    "images",  # a file or folder of images with their classes and domains
    "image model",  # of Hugging Face, that sees images
    "image teacher",  # a vision-language model, of transformers or open_clip
]
CODE: tuple[Kind, ...] = ("code", "reward function")  # a user's, which a run executes
MODELS: tuple[Kind, ...] = ("policy", "judge", "reward model", "student", "scorer")
WRITERS: tuple[Kind, ...] = (
    "policy",
    "served",
    "judge",
)  # write answers or words; the others only read


@dataclass(frozen=True)
class Names:
    """Of a field, in its annotation: what it names, and the words that mean something there.

    A word wins over a folder of that name (./world names the folder). Elsewhere it is a name like
    any other.
    """

    kind: Kind
    words: tuple[str, ...] = ()


class Naming(NamedTuple):
    """A field of a recipe that names something, and the section it stands in."""

    field: str  # as messages have it: policy.model, "matrix cell NAME"
    value: Any  # a name; of "logs" the section itself
    kind: Kind
    words: tuple[str, ...]
    section: Config

    @property
    def is_word(self) -> bool:
        return isinstance(self.value, str) and self.value in self.words

    @property
    def writes(self) -> bool:
        """Whether it is a model that writes answers or words."""
        return self.kind in WRITERS


def namings(recipe: Config, place: str = "") -> list[Naming]:
    """Every field that names something, words too, in the order of the recipe.

    Args:
        place: Of a section: what its fields are called by, as "prompts.".
    """
    return list(_walk(recipe, place))


def references(recipe: Config) -> list[Naming]:
    """What a recipe names outside of itself."""
    return [one for one in namings(recipe) if not one.is_word]


def from_world(recipe: Config) -> dict[str, str]:
    """What the embedded world is to make, by field: "world" or "world-small"."""
    named = (one for one in namings(recipe) if one.is_word)
    return {one.field: one.value for one in named if one.value in (WORLD, SMALL)}


def models(recipe: Config) -> list[Naming]:
    """The models of a recipe, words such as "world" too; not where there is none."""
    named = (one for one in namings(recipe) if one.kind in MODELS)
    return [one for one in named if not (one.is_word and one.value == NONE)]


def naming(recipe: Config, field: str) -> Naming:
    """The one of that field. Raises KeyError."""
    return {one.field: one for one in namings(recipe)}[field]


def _walk(section: Config, place: str) -> Iterator[Naming]:
    for name, field in type(section).model_fields.items():
        value, where = getattr(section, name), f"{place}{name}"
        mark = next((one for one in field.metadata if isinstance(one, Names)), None)
        if mark and mark.kind == "any judge":
            yield from _judges(where, value, mark, section)
        elif mark and isinstance(value, tuple):  # sources, each of which names one thing
            for number, item in enumerate(value):
                yield from (one._replace(field=f"{where}.{number}") for one in _walk(item, ""))
        elif mark:
            if value is not None:
                called = getattr(section, "called", where)
                yield Naming(called, value, mark.kind, mark.words, section)
        elif isinstance(value, Config):
            yield from _walk(value, f"{where}.")
        elif isinstance(value, tuple | list):
            for item in value:
                if isinstance(item, Config):
                    yield from _walk(item, f"{where}.")


def _judges(where: str, value: Any, mark: Names, section: Config) -> Iterator[Naming]:
    """Everything that a judge, or each judge of a list, names; of a list by its place in it."""
    parts = value if isinstance(value, tuple) else (value,)
    for number, part in enumerate(parts):
        name = part if isinstance(part, str) else part.function
        field = f"{where}.{number}" if isinstance(value, tuple) else where
        yield Naming(field, name, _kind_of_judge(name, mark.words), mark.words, section)


def _kind_of_judge(name: str, words: tuple[str, ...]) -> Kind:
    match spelt(name, words):
        case Word():
            return "scorer" if name == WORLD else "any judge"
        case RewardFunctions():
            return "shipped" if name in SHIPPED else "reward function"
        case Endpoint():
            return "endpoint"
    return "scorer"
