"""What the files of a VL2V recipe hold, looked at before a run."""

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from data.errors import InputError
from data.images import to_learn, to_measure
from data.nearest import did_you_mean
from data.paths import named_path
from data.readers.images import read_images
from data.readers.seen import Counted
from data.recipes.images import (
    ContrastiveTeacher,
    ImageSource,
    ImageStudent,
    ImageTeacher,
    ModelBackbone,
)
from flows.preflight.encoders import check_encoder, check_installed
from flows.preflight.vision import check_image_model, check_pillow, check_teacher


def check(teacher: ImageTeacher, student: ImageStudent, method: str, trusted: bool) -> None:
    """Raises InputError where a library is missing, or a model will not do."""
    check_pillow()
    if isinstance(teacher, ContrastiveTeacher):
        check_installed("teacher.kind: contrastive")
        check_encoder("teacher.text", teacher.text, trusted)
    else:
        check_teacher("teacher.model", teacher.model, method == "self")
    if isinstance(student.backbone, ModelBackbone):
        check_image_model("student.backbone.model", student.backbone.model)


def counted(
    images: ImageSource, targets: Sequence[str], teacher: ImageTeacher, held_out: float
) -> Counted:
    """How many images there are. Raises InputError for what cannot be read, as far as the heads of
    images tell, and for targets that cannot be left out."""
    table = _looked_at(images, "images")
    domains = Counter(table["dataset"].to_pylist())
    _check_targets(targets, domains)
    if len(set(table["label"].to_pylist())) < 2:
        raise InputError("images.path: all images are of one class; name a file that has several")
    for name in targets:
        _check_held_out(table, name, held_out)
    parts = {f"images of {name}": number for name, number in sorted(domains.items())}
    rows = {"images.path": len(table)}
    if isinstance(teacher, ContrastiveTeacher):
        own = _looked_at(teacher.images, "teacher.images")
        shared = set(own["prompt_id"].to_pylist()) & set(table["prompt_id"].to_pylist())
        if shared:
            raise InputError(
                f"teacher.images: {len(shared)} of its images are among those that students are "
                "measured on; name others, or another split"
            )
        parts["images of the teacher"] = rows["teacher.images.path"] = len(own)
    return Counted(parts=parts, rows=rows)


def _looked_at(source: ImageSource, field: str) -> pa.Table:
    path = named_path(source.path, f"{field}.path")
    if not path.exists():
        raise InputError(f"{field}.path: no such file or folder '{path}'; check the path")
    try:
        return read_images(path, source.split, source.broken, whole=False)[0]
    except InputError as error:
        raise InputError(f"{field}: {error}") from None


def _check_targets(targets: Sequence[str], domains: Counter[str]) -> None:
    for name in targets:
        if name not in domains:
            known = ", ".join(sorted(domains))
            raise InputError(
                f"targets: {name!r} is no domain of the images{did_you_mean(name, domains)}; they "
                f"have {known}"
            )
    if len(domains) < 2:
        raise InputError(
            f"targets: the images have one domain, {next(iter(domains))!r}, and none would be left "
            "to learn from"
        )


def _check_held_out(table: pa.Table, target: str, share: float) -> None:
    """InputError unless of the domains beside a target some images are learned and some are not."""
    without = f"of the {len(table):,} images none outside of {target!r}"
    if not to_learn(table, target, share):
        raise InputError(
            f"evaluate.held_out: {share:g} leaves {without} to learn from; lower it, or bring more"
        )
    if not any(part == "source" for _, part in to_measure(table, target, share)):
        raise InputError(
            f"evaluate.held_out: {share:g} holds out {without}; raise it, or bring more"
        )
