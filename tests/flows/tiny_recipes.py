"""Of every flow, a recipe that runs in seconds on tiny models.

A flow that is added to `flows.table` needs one here.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.fixtures.compounds import CHEM, TINY_AUROBIND
from tests.fixtures.encoders import INSTALLED, save_encoder_teacher, save_texts, sections_over
from tests.fixtures.images import PILLOW, SMALL, images_of, save_clip, save_shapes
from tests.fixtures.letters import save_letters
from tests.fixtures.models import chatml_tokenizer, save_policy
from tests.flows.test_methods import OPTUNE

Values = dict[str, Any]


class Tiny(NamedTuple):
    """A recipe that runs in seconds, and a stage of its first round that is made again."""

    recipe: Callable[[Values, Path], Values]  # of the tiny recipe, and a folder for files
    again: str


def changed(changes: Values) -> Callable[[Values, Path], Values]:
    """The tiny recipe in one round, with other values in its sections; None removes one."""

    def recipe(tiny: Values, folder: Path) -> Values:
        values = tiny | {"rounds": 1}
        for name, value in changes.items():
            old = values.get(name)
            values[name] = old | value if isinstance(old, dict) and value else value
        return {name: value for name, value in values.items() if value is not None}

    return recipe


def best_of_n(tiny: Values, folder: Path) -> Values:
    wanted = {name: tiny[name] for name in ("prompts", "teacher", "generate", "gate")}
    policy = {k: v for k, v in tiny["policy"].items() if k not in ("sft_weight", "replay")}
    own = {"policy": policy, "pick": {"drop_truncated": False}, "rounds": 2}
    return wanted | {"recipe": "best-of-n"} | own


def opd(tiny: Values, folder: Path) -> Values:
    """A teacher of the policy's vocabulary, with other weights."""
    teacher = save_policy(chatml_tokenizer(), folder / "teacher", seed=1)
    policy = {k: v for k, v in tiny["policy"].items() if k not in ("sft_weight", "replay")}
    generate = tiny["generate"] | {"k": 1}
    own = {"policy": policy, "teacher": {"model": str(teacher)}, "generate": generate, "rounds": 2}
    return {"recipe": "opd", "prompts": tiny["prompts"]} | own | {"targets": {"k": 10}}


def adpa(tiny: Values, folder: Path) -> Values:
    """Pairs of a file, and a teacher of the student's vocabulary with other weights."""
    pairs = [
        {"prompt": f"How many is {i}?", "chosen": f"{i} yes.", "rejected": "I cannot say."}
        for i in range(12)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    reference = str(save_policy(chatml_tokenizer(), folder / "reference", seed=2))
    policy = {k: v for k, v in tiny["policy"].items() if k not in ("sft_weight", "replay")}
    trained = {k: v for k, v in policy.items() if k != "model"}
    own = {"policy": policy, "teacher": {"model": reference} | trained, "targets": {"k": 10}}
    own |= {"preferences": str(folder / "pairs.jsonl"), "generate": tiny["generate"] | {"k": 1}}
    return {"recipe": "adpa", "prompts": tiny["prompts"]} | own


def ddk(tiny: Values, folder: Path) -> Values:
    """Texts of three domains of different sizes, so that the smallest is drawn more than once."""
    teacher = save_policy(chatml_tokenizer(), folder / "ahead", seed=1)
    rows = [
        {"prompt": f"What is {i} {name} {i % 7}?", "completion": f"{name} {i}", "dataset": name}
        for name, number in (("plus", 20), ("minus", 12), ("times", 8))
        for i in range(number)
    ]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    policy = {k: v for k, v in tiny["policy"].items() if k not in ("sft_weight", "replay")}
    texts = {"path": str(folder / "texts.jsonl"), "dev_size": 3, "test_size": 3, "noise": True}
    own = {"policy": policy, "teacher": {"model": str(teacher)}, "texts": texts, "rounds": 2}
    warm_up = {"datasets": ["plus"], "texts": 8}
    return {"recipe": "ddk", "steps": 2, "warm_up": warm_up, "targets": {"k": 10}} | own


def hacking(tiny: Values, folder: Path) -> Values:
    """Oracle, teacher and policy of one vocabulary; the teacher's answers, fixed."""
    shared = opd(tiny, folder)
    oracle = {"model": str(save_policy(chatml_tokenizer(), folder / "oracle", seed=2))}
    learns = {"method": "full", "learning_rate": 1e-3, "batch_size": 8}
    own = {
        "oracle": oracle | {"prompts": 12},
        "start": learns,
        "teacher": shared["teacher"] | learns,
    }
    return shared | {"recipe": "hacking"} | own


def arte(tiny: Values, folder: Path) -> Values:
    """Two tasks with letters for answers, and models that speak in letters."""
    folder = folder / "letters"  # others have a teacher in theirs
    folder.mkdir()
    rows = [
        {"task": task, "question": f"Which letter is {task} {i}?", "answer": "ABC"[i % 3]}
        for task in ("first", "second")
        for i in range(14)
    ]
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    student = save_letters(folder / "student", 0, "ABC")
    teacher = save_letters(folder / "teacher", 1, "DEFGHIJKLMNO", goes_on=True)
    learns = {"method": "full", "learning_rate": 1e-3, "batch_size": 8, "max_length": 200}
    styles = [{"name": "short", "instruction": "Say it."}, {"name": "long", "instruction": "Why?"}]
    return {
        "recipe": "arte",
        "tasks": {"path": str(path), "marker": "", "seeds": 2, "validation": 6, "test": 5},
        "drafts": {"questions": 4, "ask": "More of {task}:{examples}", "styles": styles},
        "items": {"k": 4, "shots": [0, 1]},
        "pairs": {"questions": 3, "share": 0.25},
        "generate": {"engine": "transformers", "k": 16, "max_tokens": 12},
        "evaluate": {"shots": [0, 1]},
        "min_one_shot": 0.0,
        "teacher": {"model": str(teacher)} | learns,
        "policy": {"model": str(student)} | learns,
    }


def tso(tiny: Values, folder: Path) -> Values:
    """Pairs of the policy's answers and of what people wrote."""
    people = [
        {"instruction": f"What is {i} plus {i % 7}?", "output": str(i + i % 7), "generator": "us"}
        for i in range(60)
    ]
    (folder / "people.json").write_text(json.dumps(people))
    cells = [
        {"name": "newest", "model": "policy"},
        {"name": "people", "path": str(folder / "people.json"), "human": True},
    ]
    method = {"recipe": "tso", "labels": "matrix", "matrix": {"cells": cells}, "mine": None}
    loss = {"losses": {"dual_clip": 1.0}, "replay": "none"}
    return changed(method | {"student": None, "policy": loss})(tiny, folder) | {
        "student": {"model": "none"},
        "mine": {"drop_truncated": False},
    }


def logged(tiny: Values, folder: Path) -> Values:
    """Every prompt's answers, judged by how many times they say yes."""
    rows = [
        {
            "prompt": f"Shall we try number {p}?",
            "completion": " ".join(["yes"] * s + ["no"] * (3 - s)) + ".",
            "sample": s,
            "reward": s / 3,
        }
        for p in range(16)
        for s in range(4)
    ]
    (folder / "logs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    logs = {"completions": str(folder / "logs.jsonl"), "held_out": 0.5}
    return {"recipe": "logged", "logged": logs, "student": tiny["student"]}


def matrix(tiny: Values, folder: Path) -> Values:
    """Recorded answers of an older and a newer model."""
    cells = []
    for version, name in enumerate(("old", "new")):
        rows = [
            {"instruction": f"Why {p}?", "output": f"{name} says {p}.", "generator": name}
            for p in range(6)
        ]
        (folder / f"{name}.json").write_text(json.dumps(rows))
        cells.append({"name": name, "version": version, "path": str(folder / f"{name}.json")})
    return {"recipe": "matrix", "matrix": {"cells": cells}, "teacher": tiny["teacher"]}


def leaf(tiny: Values, folder: Path) -> Values:
    """Two layers of a random teacher, over texts of made-up topics."""
    folder = folder / "texts"  # others have a teacher in theirs
    folder.mkdir()
    save_encoder_teacher(folder)
    save_texts(folder)
    backbone = {"kind": "layers", "layers": [0, 3]}
    student = {"backbone": backbone, "epochs": 1, "batch_size": 8, "max_length": 64}
    return {
        "recipe": "leaf",
        "teacher": {"model": str(folder / "teacher")},
        "student": student,
        "runtime": {"shard_prompts": 100},
    } | sections_over(folder)


def vl2v(tiny: Values, folder: Path) -> Values:
    """Two styles of drawn shapes that are left out in turn, and a random CLIP."""
    folder = folder / "shapes"
    (folder / "clip").mkdir(parents=True)
    save_shapes(folder, each=6, of_teacher=1)
    return {
        "recipe": "vl2v",
        "images": images_of(folder, "benchmark"),
        "targets": ["night", "outline"],
        "teacher": {"kind": "folder", "model": str(save_clip(folder / "clip"))},
        "student": SMALL,
        "runtime": {"shard_prompts": 30},
    }


TINY = {
    "ts-align": Tiny(changed({}), "optimize"),
    "optune": Tiny(changed(OPTUNE | {"rounds": 1}), "reference"),
    "tso": Tiny(tso, "gate"),
    "best-of-n": Tiny(best_of_n, "fine_tune"),
    "opd": Tiny(opd, "targets"),
    "adpa": Tiny(adpa, "targets:reference"),
    "arte": Tiny(arte, "one_shot_scores"),
    "ddk": Tiny(ddk, "mixture"),
    "hacking": Tiny(hacking, "targets"),
    "logged": Tiny(logged, "distill"),
    "matrix": Tiny(matrix, "correct"),
}
if PILLOW:
    TINY["vl2v"] = Tiny(vl2v, "learn_vectors:distil")
if INSTALLED:
    TINY["leaf"] = Tiny(leaf, "regress")
if CHEM:  # what follows from a model is timed anew, so the stage that nothing follows from
    TINY["aurobind"] = Tiny(lambda tiny, folder: TINY_AUROBIND, "screen")
