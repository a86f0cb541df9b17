"""Every field of a recipe, changed alone: whose keys change with it.

A recipe is planned without running it: the flows call their stages, which say their keys and hand
on what is named by the place of the call alone. So a key that changes does so by the field itself
and not by what came before. `python -m tests.flows.flips` writes the table of docs/determinism.md.
"""

import copy
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args
from unittest import mock

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from data.ledger import Ledger
from data.recipes.loading import sections
from data.recipes.names import Names
from data.recipes.prompts import HeldOutSource
from data.recipes.recipe import RunRecipe
from data.store.artifacts import Artifact
from data.store.digests import digest_of
from data.store.store import Store
from flows.fingerprint import engine_of
from flows.outside import outside_of
from flows.table import flow_of, recipe_classes, recipe_from
from tasks.running.books import Books
from tasks.running.call import Asked
from tasks.running.loaded import LoadedModels
from tasks.running.progress import Progress
from tasks.stage import Context, Run
from tests.fixtures.environments import holding
from tests.flows.flip_bases import BASES, BY_FLOW, BY_SECTION
from tests.flows.flip_tables import (
    FLIPS,
    NOTES,
    REASONS,
    TODAY,
    VARIABLES,
    Flip,
)
from tests.repository import ROOT

DOCS = ROOT / "docs" / "determinism.md"


class Place(NamedTuple):
    """A field of a flow's recipes; what all recipes have is the first flow's."""

    dotted: str
    flow: str  # "" for the first

    def __str__(self) -> str:
        return f"{self.dotted} ({self.flow})" if self.flow else self.dotted

    @property
    def flip(self) -> Flip:
        known = FLIPS.get(str(self)) or FLIPS.get(self.dotted) or Flip()
        return known._replace(given=known.given or needed(self.dotted))


def needed(dotted: str) -> dict[str, Any]:
    """What must be set for the setting of a loss or of a judge that is asked to be there."""
    if dotted.startswith("teacher.asking."):
        return {"teacher.model": "{speaker}"}
    if dotted.startswith("evaluate.asking."):
        return {"evaluate.judge": ["teacher", "{speaker}"]}
    if not dotted.startswith("policy.losses."):
        return {}
    name = dotted.split(".")[2]
    smoothed = {"label_smoothing": 0.1} if name == "exo_pair" else {}
    return {"policy.losses": {name: {"weight": 1.0} | smoothed}}


def all_fields() -> Iterator[tuple[Place, FieldInfo]]:
    """Every field of every recipe that holds a value."""
    for number, model in enumerate(recipe_classes()):
        flow = get_args(model.model_fields["recipe"].annotation)[0] if number else ""
        for dotted, field in dict(fields(model)).items():
            if not flow or dotted.split(".")[0] not in RunRecipe.model_fields:
                yield Place(dotted, flow), field


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The fields of a class, those of sections, of unions and of what lists hold included."""
    for name, field in model.model_fields.items():
        inner = [one for one in sections(field.annotation) if one is not HeldOutSource]
        for section in inner:  # of held-out sources those of PromptSource are the same
            yield from fields(section, f"{prefix}{name}.")
        marks = [one for one in field.metadata if isinstance(one, Names)]
        named = str in get_args(field.annotation)  # a name, or a list of sections
        if not inner or named or any(one.kind == "prompts" for one in marks):
            yield prefix + name, field


Calls = dict[str, tuple[str, dict[str, Any]]]  # by place: stage and key
NOTHING = dict.fromkeys(Ledger.model_fields, 0)


class Meta(dict[str, Any]):
    """Counts of a stage that did not run: none, and every verdict is yes."""

    def __missing__(self, name: str) -> Any:
        return 1 if name in ("adopted", "agreement") else 0


def plan(recipe: RunRecipe, store: Path) -> Calls:
    """Stage name and key of every call that a run of the recipe makes, by its place."""
    calls: Calls = {}
    seen: Counter[str] = Counter()

    def answer(asked: Asked) -> Artifact:
        place = f"{run.round} {asked.title}"
        seen[place] += 1
        place = f"{place} {seen[place]}"
        calls[place] = asked.stage.name, asked.stage.key(run.context, asked.inputs)
        digest = digest_of(place)
        return Artifact.model_construct(
            kind=asked.stage.kind,
            key=digest,
            digest=digest,
            rows=10,
            meta=Meta(NOTHING),
            seconds=0.0,
        )

    loaded = LoadedModels("none", recipe.runtime)
    context = Context(Store(store), recipe.runtime, loaded, date=recipe.date or TODAY)
    books = Books(kept=False)  # no Prefect
    run = Run(context, Progress(quiet=True), engine_of(recipe), outside_of(recipe), books=books)
    run.ahead = answer
    with run.active():
        flow_of(recipe)(run, recipe)
    return calls


def recipe_of(base: str, changes: dict[str, Any], places: dict[str, str]) -> RunRecipe:
    """A base with changes by dotted field, {places} filled in."""
    values = copy.deepcopy(BASES[base])
    for dotted, value in changes.items():
        here: Any = values
        *sections, name = dotted.split(".")
        for section in sections:
            here = here.setdefault(section, {}) if isinstance(here, dict) else here
            here = here[1] if isinstance(here, list) else here
        here[name] = copy.deepcopy(value)
    text = json.dumps(values)
    for name, path in places.items():
        text = text.replace(f"{{{name}}}", path)
    return recipe_from(json.loads(text))


def another(field: FieldInfo, value: Any) -> Any:
    """A value of the field's type that is not this one."""
    choices = [
        choice
        for choice in (*get_args(field.annotation), *_literals(field.annotation))
        if isinstance(choice, str) and choice != value
    ]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 0.75 if value else 0.25
    return choices[0]


def _literals(annotation: Any) -> Iterator[Any]:
    for inner in get_args(annotation):
        yield from get_args(inner)


def value_of(recipe: RunRecipe, dotted: str) -> Any:
    here: Any = recipe
    for name in dotted.split("."):
        here = here[1] if isinstance(here, tuple) else here
        here = getattr(here, name)
    return here


def affected(
    place: Place,
    field: FieldInfo,
    places: dict[str, str],
    store: Path,
    planned: dict[str, tuple[RunRecipe, Calls]],
) -> set[str]:
    """Stages whose keys or calls change with a field; `planned` keeps recipes to be changed, with
    their plans, as most fields begin at the same one."""
    flip, dotted = place.flip, place.dotted
    section = next((s for s in BY_SECTION if dotted.startswith(f"{s}.")), "")
    base = flip.base or BY_FLOW.get(place.flow) or BY_SECTION.get(section, "own")
    name = json.dumps([base, flip.given])
    if name not in planned:
        unchanged = recipe_of(base, flip.given, places)
        planned[name] = unchanged, plan(unchanged, store)
    before, old = planned[name]
    value = flip.value if flip.value is not None else another(field, value_of(before, dotted))
    after = recipe_of(base, flip.given | flip.beside | {dotted: value}, places)
    assert value_of(after, dotted) != value_of(before, dotted), dotted
    new = plan(after, store)
    return {
        calls[place][0]
        for place in old.keys() | new.keys()
        for calls in (old, new)
        if old.get(place) != new.get(place) and place in calls
    }


def make_places(folder: Path) -> dict[str, str]:
    """The files, models and environments that recipes name; of these only what planning reads."""
    found = {}
    for name in ("policy", "other_policy", "student", "teacher", "speaker", "dated", "coded"):
        found[name] = str(folder / name)
        (folder / name).mkdir()
        code: dict[str, Any] = {"architectures": ["LlamaForSequenceClassification"]}
        if name == "coded":
            code |= {"auto_map": {"AutoModel": "own.Model"}}
        if name == "speaker":
            code = {"architectures": ["LlamaForCausalLM"]}
        (folder / name / "config.json").write_text(json.dumps({"name": name} | code))
    for name, number in (("older", "0.31.0"), ("newer", "0.32.0")):
        versions = {"vllm": number, "torch": "2.13.0", "transformers": "5.19.0"}
        found[name] = str(holding(folder / name, **versions))
    (folder / "dated" / "chat_template.jinja").write_text("{{ strftime_now('%Y') }}")
    pair = {"chosen": "yes", "rejected": "no"}
    answer = {"instruction": "What?", "output": "That.", "generator": "g"}
    logs = [{"prompt": "a", "completion": str(i), "reward": i} for i in range(2)]
    rows: dict[str, list[dict[str, Any]]] = {
        "prompts": [{"prompt": f"What is {i}?", "answer": str(i)} for i in range(40)],
        "other_prompts": [{"prompt": f"Who is {i}?"} for i in range(40)],
        "held_out": [{"prompt": f"Where is {i}?"} for i in range(9)],
        "replay": [{"prompt": "Old?"} | pair],
        "other_replay": [{"prompt": "Older?"} | pair],
        "texts": [{"prompt": "What?", "completion": "That.", "dataset": name} for name in "ab"],
        "other_texts": [{"prompt": "Why?", "completion": "So.", "dataset": name} for name in "ab"],
        "questions": [{"task": "t", "question": f"{i}?", "answer": "x"} for i in range(400)],
        "other_questions": [{"task": "t", "question": f"{i}!", "answer": "x"} for i in range(400)],
        "logged": logs,
        "other_logged": logs[::-1],
        **{f"answers_{cell}": [answer | {"generator": cell}] for cell in "abc"},
    }
    for name, text in (("question.jinja", "Which?"), ("code.py", "def mine(**kwargs): ...\n")):
        found[name.split(".")[0]] = str(folder / name)
        (folder / name).write_text(text)
    for name, lines in rows.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in lines))
        found[name] = str(path)
    return found


def table(found: dict[str, set[str]]) -> str:
    """The section of docs/determinism.md."""
    lines = [
        "| field | changes the key of | can change a result | why not, or when |",
        "|---|---|---|---|",
    ]
    for name, stages in found.items():
        dotted, _, flow = name.partition(" ")
        result, why = ("yes", NOTES.get(name, "")) if stages else REASONS[dotted]
        shown = f"`{dotted}` {flow}".strip()
        lines.append(f"| {shown} | {', '.join(sorted(stages)) or 'none'} | {result} | {why} |")
    lines += [
        "",
        "| variable | changes the key of | can change a result | how |",
        "|---|---|---|---|",
    ]
    for name, one in VARIABLES.items():
        lines.append(f"| `{name}` | {one.key} | {one.result} | {one.why} |")
    return "\n".join(lines) + "\n"


def in_docs(text: str) -> str:
    """docs/determinism.md with this table in it."""
    place = re.compile(r"(<!-- flips -->\n).*(<!-- end -->)", re.DOTALL)
    return place.sub(lambda found: found[1] + text + found[2], DOCS.read_text())


def all_affected(folder: Path) -> dict[str, set[str]]:
    """Stages affected, by field. There is a GPU to choose, and a server that says what it is."""
    places = make_places(folder)
    with (
        mock.patch("models.devices.has_cuda", lambda: True),
        mock.patch(
            "models.engines.openai_server.identity",
            lambda named=None, *_: f"0.11.0 {named or 'served'} http://there/v1",
        ),
        mock.patch(
            "models.engines.openai_server.said_by",
            lambda url, named, field: ("0.11.0", named or "served"),
        ),
    ):
        planned: dict[str, tuple[RunRecipe, Calls]] = {}
        return {
            str(place): affected(place, field, places, folder / "store", planned)
            for place, field in all_fields()
        }


def main() -> None:
    """Write the table into the docs."""
    with tempfile.TemporaryDirectory() as folder:
        DOCS.write_text(in_docs(table(all_affected(Path(folder)))))


if __name__ == "__main__":
    main()
