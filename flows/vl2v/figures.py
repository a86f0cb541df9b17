"""What a run of VL2V has measured: which images were recognised, out of the store, and measures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import CardinalityError
from data.measures import Measure, Value
from data.statistics import dataset_mean
from data.store.artifacts import Artifact
from data.store.store import Store
from flows.vl2v.recipe import Vl2vRecipe
from flows.vl2v.state import Outcome, Parts

TARGET, SOURCE = "target", "source"  # parts of RECOGNISED
Right = npt.NDArray[np.float64]  # 1: the image was taken for what it is, 0: for another class


@dataclass(frozen=True)
class Found:
    """A domain that was left out: which images of each part student and teacher recognise."""

    target: str
    student: dict[str, Right]
    teacher: dict[str, Right]
    by_class: dict[str, Right]  # of the target, by the student
    most_frequent: float  # share of the target's most frequent class: what naming it always gives


def found_in(store: Store, done: Sequence[Outcome]) -> list[Found]:
    """The figures of every target, out of the store. Raises CardinalityError."""
    return [_found(store, one) for one in done]


def _found(store: Store, one: Outcome) -> Found:
    mine, its = (store.table(table) for table in (one.found, one.teacher))
    if mine["prompt_id"] != its["prompt_id"]:
        raise CardinalityError(f"{one.target}: student and teacher were shown other images")
    parts = np.array(mine["part"].to_pylist())
    labels = np.array(mine["label"].to_pylist())
    right, other = (
        (np.array(table["predicted"].to_pylist()) == labels).astype(np.float64)
        for table in (mine, its)
    )
    of_target, names = parts == TARGET, sorted(set(labels[parts == TARGET].tolist()))
    by_class = {name: right[of_target & (labels == name)] for name in names}
    return Found(
        target=one.target,
        student={part: right[parts == part] for part in (TARGET, SOURCE)},
        teacher={part: other[parts == part] for part in (TARGET, SOURCE)},
        by_class=by_class,
        most_frequent=max(len(values) for values in by_class.values()) / int(of_target.sum()),
    )


def measures(
    recipe: Vl2vRecipe, parts: Parts, done: Sequence[Outcome], found: Sequence[Found]
) -> dict[str, Measure]:
    """All of a run's, or of the targets so far."""
    samples = recipe.evaluate.bootstrap_samples
    whose = "the teacher" if recipe.method == "zero_shot" else "the student"
    made = {
        "ood_accuracy": _mean(
            found,
            samples,
            lambda one: one.student[TARGET],
            title=f"accuracy of {whose} in domains that were left out",
            short="out of domain",
            about="A mean over the targets; the interval is over their images.",
            unit="share",
            better="higher",
            group="student",
        ),
        "id_accuracy": _mean(
            found,
            samples,
            lambda one: one.student[SOURCE],
            title=f"accuracy of {whose} on held-out images of the other domains",
            short="in domain",
            unit="share",
            better="higher",
            group="student",
        ),
        "zero_shot": _mean(
            found,
            samples,
            lambda one: one.teacher[TARGET],
            title="accuracy of the teacher alone in the targets",
            short="teacher, zero-shot",
            unit="share",
            group="teacher",
        ),
        "zero_shot_id": _mean(
            found,
            samples,
            lambda one: one.teacher[SOURCE],
            title="accuracy of the teacher alone on the held-out images of the others",
            short="teacher, in domain",
            unit="share",
            group="teacher",
        ),
    }
    if recipe.method != "zero_shot":
        made["over_teacher"] = _mean(
            found,
            samples,
            lambda one: 100 * (one.student[TARGET] - one.teacher[TARGET]),
            title="accuracy of the student over the teacher's, in the targets",
            short="over the teacher",
            about="Points, image by image.",
            unit="points",
            better="higher",
            even=0.0,
            group="student",
        )
    return made | _by_target(found) | _counts(parts, done)


def _mean(
    found: Sequence[Found], samples: int, of: Callable[[Found], Right], **reads: object
) -> Measure:
    """Of a mean over targets with its interval, images resampled within each."""
    values = np.concatenate([of(one) for one in found]).tolist()
    names = [one.target for one in found for _ in of(one)]
    made = dataset_mean(values, names, samples)
    parts = {
        name: Value(value=x["mean"], ci95=x["ci95"], n=x["n"])
        for name, x in made["by_dataset"].items()
    }
    told = {"value": made["mean"], "ci95": made["ci95"], "n": made["n"], "parts": parts}
    return Measure.model_validate(told | reads)


def _by_target(found: Sequence[Found]) -> dict[str, Measure]:
    """Each target's own two, which `python -m benchmarks.vl2v` reads of a bench."""
    made = {}
    for one in found:
        for name, part, said in (
            ("ood", TARGET, f"accuracy in {one.target}, left out"),
            ("id", SOURCE, f"accuracy on the others' held-out images without {one.target}"),
        ):
            values = one.student[part]
            made[f"{name}_{one.target}"] = Measure(
                value=float(values.mean()), n=len(values), title=said, unit="share", group="targets"
            )
    return made


def _counts(parts: Parts, done: Sequence[Outcome]) -> dict[str, Measure]:
    """Images and parameters."""
    found = {"prompts": (parts.images.rows or 0, "images")}
    if parts.pretraining:
        found["teacher_images"] = parts.pretraining.rows or 0, "images that the teacher has learned"
    students: list[Artifact] = [one.student for one in done if one.student]
    if students:
        found["parameters"] = students[0].meta["parameters"], "parameters of the student"
    return {
        name: Measure(value=value, title=title, unit="count", group="cost")
        for name, (value, title) in found.items()
    }
