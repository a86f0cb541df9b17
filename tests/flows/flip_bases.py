"""For `tests.flows.flips`: the recipes whose fields are changed."""

from typing import Any

OWN = {
    "run": "flips",
    "rounds": 2,
    "policy": {"model": "{policy}", "replay": "share", "reference": "average"},
    "student": {"model": "{student}", "replay_path": "{replay}"},
    "teacher": {"model": "{teacher}"},
    "prompts": {"path": "{prompts}", "dev_size": 5, "test_size": 5, "per_round": 5},
    "generate": {"engine": "transformers"},
    "runtime": {"device": "cpu", "shard_prompts": 512},
}
NO_REPLAY = {"policy": {"model": "{policy}", "replay": "none"}}
RECORDED = [
    {"name": "a", "path": "{answers_a}", "version": 2, "family": "f"},
    {"name": "b", "path": "{answers_b}", "version": 1, "family": "f"},
]
BASES: dict[str, dict[str, Any]] = {
    "own": OWN,
    "world": {
        "run": "flips",
        "rounds": 1,
        "world": {},
        "evaluate": {"judge": "oracle"},
        "generate": {"engine": "transformers"},
        "runtime": {"device": "cpu"},
    },
    "refresh": OWN | NO_REPLAY | {
        "recipe": "optune", "prompts": OWN["prompts"] | {"refresh": {"share": 0.5}},
    },
    "matrix": OWN | NO_REPLAY | {
        "recipe": "tso", "labels": "matrix", "student": {"model": "none"}, "rounds": 1,
        "matrix": {"cells": [{"name": "new", "model": "policy", "version": 0},
                             {"name": "old", "model": "{teacher}", "version": -1}]},
    },
    "recorded": {
        "recipe": "matrix", "run": "flips", "teacher": {"model": "{teacher}"},
        "matrix": {"cells": RECORDED}, "runtime": {"device": "cpu"},
    },
    "best": {
        "recipe": "best-of-n", "run": "flips", "rounds": 2, "scorer": "student",
        "policy": {"model": "{policy}"},
        **{name: OWN[name] for name in ("teacher", "prompts", "generate", "runtime")},
        "student": {"model": "{student}"},
    },
    "best in the world": {
        "recipe": "best-of-n", "run": "flips", "world": {}, "evaluate": {"judge": "oracle"},
        "generate": {"engine": "transformers"}, "runtime": {"device": "cpu"},
    },
    "opd": {
        "recipe": "opd", "run": "flips", "rounds": 2, "policy": {"model": "{policy}"},
        **{name: OWN[name] for name in ("prompts", "generate", "runtime")},
        "teacher": {"model": "{speaker}"},
    },
    "opd in the world": {
        "recipe": "opd", "run": "flips", "world": {"teacher_lessons": 100},
        "evaluate": {"judge": "oracle"}, "generate": {"engine": "transformers"},
        "runtime": {"device": "cpu"},
    },
    "adpa": {
        "recipe": "adpa", "run": "flips", "policy": {"model": "{policy}"},
        **{name: OWN[name] for name in ("prompts", "generate", "runtime")},
        "teacher": {"model": "{speaker}"}, "preferences": "{replay}",
    },
    "adpa in the world": {
        "recipe": "adpa", "run": "flips", "world": {}, "evaluate": {"judge": "oracle"},
        "generate": {"engine": "transformers"}, "runtime": {"device": "cpu"},
    },
    "ddk": {
        "recipe": "ddk", "run": "flips", "rounds": 2, "policy": {"model": "{policy}"},
        "teacher": {"model": "{speaker}"}, "texts": {"path": "{texts}"},
        "warm_up": {"datasets": ["a"]}, "runtime": OWN["runtime"],
    },
    "arte": {
        "recipe": "arte", "run": "flips", "policy": {"model": "{policy}"},
        "teacher": {"model": "{speaker}"}, "tasks": {"path": "{questions}"},
        "items": {"zoo": [{"name": "a", "model": "{teacher}"},
                          {"name": "b", "model": "{student}"}]},
        "drafts": {"styles": [{"name": "a", "instruction": "A."}, {"name": "b",
                                                                  "instruction": "B."}]},
        **{name: OWN[name] for name in ("generate", "runtime")},
    },
    "ddk in the world": {
        "recipe": "ddk", "run": "flips", "world": {"teacher_lessons": 100},
        "policy": {"model": "world-small"}, "runtime": {"device": "cpu"},
    },
    "hacking": {
        "recipe": "hacking", "run": "flips", "rounds": 2, "policy": {"model": "{policy}"},
        **{name: OWN[name] for name in ("prompts", "generate", "runtime")},
        "teacher": {"model": "{speaker}"}, "oracle": {"model": "{teacher}", "prompts": 5},
    },
    "leaf": {
        "recipe": "leaf", "run": "flips", "teacher": {"model": "{teacher}"},
        "texts": {"documents": [{"path": "{prompts}"}, {"path": "{held_out}"}],
                  "queries": [{"path": "{answers_a}"}, {"path": "{answers_b}"}]},
        "evaluate": {"retrieval": [{"path": "{student}"}, {"path": "{speaker}"}],
                     "similarity": [{"path": "{replay}"}, {"path": "{other_replay}"}]},
        "runtime": {"device": "cpu"},
    },
    "aurobind": {
        "recipe": "aurobind", "run": "flips", "targets": {"kind": "kmers", "k": 2},
        "activities": {"path": "{prompts}", "sequences": "{replay}"},
        "lists": {"min_confidence": 0.5}, "runtime": {"device": "cpu"},
    },
    "made-up activities": {
        "recipe": "aurobind", "run": "flips", "activities": {"path": "synthetic"},
        "runtime": {"device": "cpu"},
    },
    "vl2v": {
        "recipe": "vl2v", "run": "flips", "images": {"path": "{prompts}"}, "targets": ["a"],
        "teacher": {
            "kind": "contrastive", "text": "{teacher}", "images": {"path": "{held_out}"},
        },
        "runtime": {"device": "cpu"},
    },
    "logged": {
        "recipe": "logged", "run": "flips", "student": {"model": "{student}"},
        "logged": {"completions": "{logged}"}, "runtime": {"device": "cpu"},
    },
}  # fmt: skip
# Of the loop's sections; of the other flows there is one base each.
BY_SECTION = {"world": "world", "matrix": "matrix", "prompts.refresh": "refresh"}
BY_FLOW = {"logged": "logged", "matrix": "recorded", "best-of-n": "best"}
BY_FLOW |= {
    name: name for name in ("opd", "adpa", "arte", "ddk", "hacking", "leaf", "aurobind", "vl2v")
}
