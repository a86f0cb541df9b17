"""Older spellings of a recipe, in files and in summaries of earlier runs, in today's.

What was guessed from what is missing is named now (`recipe: logged`, `recipe: matrix`), and a
setting stands with the loss that uses it. This is the one place that knows how it was.
"""

from collections.abc import Mapping
from typing import Any

from data.recipes.config import NONE, WORLD

Values = dict[str, Any]

# Settings of losses that stood in `policy`: who uses them, and what an unused one was.
_MOVED: dict[str, tuple[tuple[str, ...], Any]] = {
    "label_smoothing": (("robust", "exo_pair", "aot", "aot_unpaired"), 0.0),
    "margin_offset": (("sigmoid",), 0.0),
    "dual_clip": (("dual_clip",), {"variant": "one_sided", "chosen": 2.0, "rejected": 4.0}),
}
_ADAPTER = {"r": 16, "alpha": 32, "dropout": 0.0, "target_modules": "all-linear"}
_OF_WEIGHTS = {"beta_2": 1.0, "normalize": False}
_MARGIN = 1.0  # of a student's margin ranking

# What a recipe could be named before it named its flow.
_OF_OLD = (None, "ts-align", "optune", "tso")

# Sections that a recipe without a policy could have, and that nothing ever read there.
_OF_THE_LOOP = ("rounds", "prompts", "policy", "labels", "matrix", "generate", "gate", "evaluate")


def current(values: Any) -> Any:
    """A recipe as it is spelt today; what is no mapping, or spelt so already, stays as it is.

    Raises:
        ValueError: a line that names the field and today's spelling.
    """
    if not isinstance(values, dict):
        return values
    values = dict(values)
    policy = _section(values, "policy")
    if values.get("recipe") in _OF_OLD:
        if values.get("logged") is not None:
            values = _logged(values)
        elif policy.get("model") == NONE:
            values = _recorded(values, policy)
        else:
            values.pop("logged", None)
    if isinstance(values.get("policy"), dict):
        values["policy"] = _policy(_section(values, "policy"))
    if isinstance(values.get("student"), dict):
        values["student"] = _student(_section(values, "student"))
    values.setdefault("recipe", "ts-align")
    return values


def _section(values: Mapping[str, Any], name: str) -> Values:
    found = values.get(name)
    return dict(found) if isinstance(found, dict) else {}


def _without(values: Values, *names: str) -> Values:
    return {name: value for name, value in values.items() if name not in names}


def _one_round(values: Values, what: str) -> None:
    if values.get("rounds", 1) != 1 or isinstance(values.get("rounds"), bool):
        raise ValueError(f"rounds: {what} in one round; leave it out")


def _no_template(values: Values) -> None:
    if _section(values, "policy").get("template") is not None:
        raise ValueError("policy.template: there is no policy here; leave it out")


def _logged(values: Values) -> Values:
    """A recipe that had a section `logged`, and whatever else."""
    _one_round(values, "logged completions are learnt from")
    _no_template(values)
    found = _without(values, *_OF_THE_LOOP)
    if isinstance(values.get("student"), dict):
        found["student"] = _without(values["student"], "update", "replay", "replay_path")
    if isinstance(values.get("teacher"), dict):
        found["teacher"] = _without(values["teacher"], "model")
    return found | {"recipe": "logged"}


def _recorded(values: Values, policy: Values) -> Values:
    """A recipe of a matrix of recorded answers, which named no policy."""
    matrix, teacher = _section(values, "matrix"), _section(values, "teacher")
    cells = matrix.get("cells")
    if not isinstance(cells, list | tuple) or not all(
        isinstance(cell, dict) and cell.get("path") and not cell.get("model") for cell in cells
    ):
        raise ValueError(
            f"policy.model: '{NONE}' makes pairs of recorded answers and trains nothing (today "
            "'recipe: matrix'); give every cell of matrix a path, or name a policy"
        )
    _one_round(values, "recorded answers are paired")
    _no_template(values)
    matrix["cells"] = [_without(cell, "model") for cell in cells]
    found = _without(values, *_OF_THE_LOOP, "student", "teacher", "mine", "logged")
    found |= {"recipe": "matrix", "matrix": matrix}
    lengths = [_section(values, name).get("max_tokens") for name in ("prompts", "generate")]
    if any(lengths):
        matrix["max_length"] = sum(512 if length is None else length for length in lengths)
    if "drop_truncated" in _section(values, "mine"):
        matrix["drop_truncated"] = values["mine"]["drop_truncated"]
    teacher = _without(teacher, "on_disagreement")
    if teacher.get("model") == WORLD:
        del teacher["model"]
    return found | ({"teacher": teacher} if teacher else {})


def _policy(policy: Values) -> Values:
    if policy.get("method") == "full" and policy.get("adapter") == _ADAPTER:
        del policy["adapter"]
    weight = policy.get("pair_weight")
    if isinstance(weight, dict) and weight.get("form", NONE) == NONE:
        policy["pair_weight"] = _no_weight(weight)
    losses = policy.get("losses", {"sigmoid": 1.0})
    if not isinstance(losses, dict):
        return policy
    losses = dict(losses)
    for field, (users, unused) in _MOVED.items():
        if field not in policy:
            continue
        value = policy.pop(field)
        settings = value if isinstance(value, dict) else {field: value}
        named = [name for name in users if name in losses]
        if not named and value != unused:
            shown = ", ".join(f"{name}: {one}" for name, one in settings.items())
            raise ValueError(
                f"policy.{field}: is a setting of the loss now, as policy.losses: "
                f"{{{users[0]}: {{{shown}}}}}; the recipe names none that uses it"
            )
        for name in named:
            loss = losses[name]
            losses[name] = settings | (loss if isinstance(loss, dict) else {"weight": loss})
        policy["losses"] = losses
    return policy


def _no_weight(weight: Values) -> Values:
    """Pair weights of no form, which could have settings nonetheless."""
    settings = _without(weight, "form")
    if any(name in settings and settings[name] != one for name, one in _OF_WEIGHTS.items()):
        shown = ", ".join(f"{name}: {one}" for name, one in settings.items())
        raise ValueError(
            "policy.pair_weight: has settings and no form that uses them; give one, as "
            f"policy.pair_weight: {{form: sigmoid, {shown}}}"
        )
    return {"form": NONE} | _without(settings, *_OF_WEIGHTS)


def _student(student: Values) -> Values:
    if "margin" not in student:
        return student
    margin, loss = student.pop("margin"), student.get("loss", "bradley_terry")
    if loss == "margin_ranking":
        student["loss"] = {"name": loss, "margin": margin}
    elif margin != _MARGIN:
        raise ValueError(
            f"student.margin: is a setting of the loss now, as student.loss: {{name: "
            f"margin_ranking, margin: {margin}}}"
        )
    return student
