"""Made-up runs of the shape real ones have, for the tests of report and status."""

import pyarrow as pa

from data.schemas import EVALUATION, PROMPTS
from data.summary import StageRecord, Summary
from data.tables import write_table

FAMILIES = ("arithmetic", "counting", "listing", "politeness", "refusal", "reversing", "sorting")


def digest(number):
    return f"sha256:{number:064x}"


CALLS = {  # stage and role, where the title is another
    "answer dev prompts": ("generate", "dev"),
    "teacher scores dev": ("score", "dev"),
    "student scores dev (before)": ("score", "student before"),
    "agreement (before)": ("agreement", "before"),
}


def stage(title, kind, seconds, number, cached=False):
    name, role = CALLS.get(title, (title, ""))
    return {
        "stage": title,
        "name": name,
        "role": role,
        "measures": title in ("evaluate", "drift"),
        "cached": cached,
        "seconds": 0.0 if cached else seconds,
        "computed_seconds": seconds,
        "saved_seconds": seconds if cached else 0.0,
        "kind": kind,
        "key": digest(number),
        "artifact": digest(number + 7_000_000_000_000),
    }


LEDGERS = tuple(
    dict(zip(
        ("asked", "generated", "usable", "empty", "truncated", "duplicate", "no_candidates", "tied",
         "paired", "mined", "agreed", "swapped", "teacher_tied", "dropped_disagreement",
         "below_margin", "labelled", "too_long", "trained"), row, strict=True))
    for row in (
        (1000, 8000, 5924, 4, 61, 2011, 41, 0, 959, 959, 741, 214, 4, 0, 38, 917, 2, 915),
        (1000, 8000, 5130, 1, 40, 2829, 77, 0, 923, 923, 752, 165, 6, 0, 61, 856, 0, 856),
        (1000, 8000, 4418, 0, 22, 3560, 118, 0, 882, 882, 698, 180, 4, 0, 102, 776, 0, 776),
    )
)  # fmt: skip


def by_dataset(rate):
    shifts = (-0.07, 0.02, 0.05, 0.11, -0.02, -0.13, 0.04)
    return {
        name: {
            "win_rate": rate + shift,
            "ci95": [rate + shift - 0.062, rate + shift + 0.06],
            "n": 100,
            "base_score": 0.48 + shift,
            "policy_score": 0.71 + shift,
        }
        for name, shift in zip(FAMILIES, shifts, strict=True)
    }


def a_round(number, ledger, rate, precision, agreement, drift, adopted=True, cached=False):
    titles = (
        ("answer dev prompts", "completions", 4.1),
        ("teacher scores dev", "scores", 6.2),
        ("student scores dev (before)", "scores", 0.9),
        ("agreement (before)", "agreement", 0.1),
        ("select", "prompts", 0.02),
        ("generate", "completions", 31.0),
        ("score", "scores", 5.3),
        ("mine", "mined", 0.4),
        ("relabel", "preferences", 7.8),
        ("distill", "student", 14.2),
        ("reference", "reference_logps", 3.9),
        ("optimize", "policy", 48.5),
        ("gate", "gate", 0.03),
        ("evaluate", "evaluation", 0.5),
        ("drift", "drift", 3.6),
    )
    before, after = agreement
    kl, tokens, distinct, student, teacher, score = drift
    return {
        "round": number,
        "ledger": ledger,
        "teacher_calls": 2 * ledger["mined"],
        "swap_rate": ledger["swapped"] / ledger["mined"],
        "label_precision": precision,
        "label_precision_by_dataset": {
            name: min(0.995, precision + shift)
            for name, shift in zip(
                FAMILIES, (-0.02, 0.03, 0.05, 0.04, 0.06, -0.19, 0.02), strict=True
            )
        },
        "student": {
            "agreement_before": before,
            "agreement_after": after,
            "ci95_before": [before - 0.02, before + 0.019],
            "ci95_after": [after - 0.018, after + 0.018],
            "pairs": 1143,
        },
        "policy": {
            "win_rate": rate,
            "ci95": [rate - 0.024, rate + 0.023],
            "wins": round(700 * rate) - 110,
            "ties": 220,
            "losses": 700 - 220 - round(700 * rate) + 110,
            "judge": "oracle",
            "by_dataset": by_dataset(rate),
        },
        "drift": {
            "kl_to_base": kl,
            "mean_tokens": tokens,
            "distinct_2": distinct,
            "perplexity": 2.1 + kl / 10,
            "student_reward": student,
            "teacher_reward": teacher,
            "judge_score": score,
        },
        "gate": {"win_rate": 0.61 if adopted else 0.482, "n": 840, "adopted": adopted},
        "adopted": adopted,
        "tokens": 96_210,
        "stages": [
            stage(title, kind, seconds, 1000 * number + place, cached and place < 9)
            for place, (title, kind, seconds) in enumerate(titles)
        ],
    }


def aligned(last_adopted=True, judge="oracle"):
    """Three rounds; with `last_adopted` false, the third policy is refused by the gate."""
    one, two, three = LEDGERS
    rounds = [
        a_round(
            1, one, 0.621, 0.912, (0.742, 0.781), (2.9, 12.6, 0.171, 0.8, 1.4, 0.61), cached=True
        ),
        a_round(2, two, 0.668, 0.884, (0.781, 0.803), (5.4, 12.9, 0.160, 1.3, 2.2, 0.66)),
        a_round(3, three, 0.712, 0.853, (0.803, 0.811), (8.3, 13.1, 0.150, 1.7, 2.9, 0.71)),
    ]  # fmt: skip
    if not last_adopted:
        rounds[2] = a_round(
            3, three, 0.641, 0.731, (0.803, 0.79), (9.9, 17.8, 0.1, 2.4, 3.6, 0.63), adopted=False
        )
        rounds[2]["student"]["adopted"] = False
    for entry in rounds:
        entry["policy"]["judge"] = judge
    last = rounds[2 if last_adopted else 1]
    return Summary.model_validate(
        {
            "run": "embedded",
            "recipe": "ts-align",
            "seed": 0,
            "config_digest": digest(1),
            "run_digest": digest(2),
            "versions": {
                "python": "3.11.9",
                "tsalign": "0.1.0",
                "torch": "2.13.0+cpu",
                "transformers": "5.19.0",
                "trl": "1.16.0",
                "peft": "0.21.0",
                "prefect": "3.7.7",
                "pyarrow": "26.0.0",
            },
            "machine": {"engine": "vllm 0.32.0, x86_64/cpu/float32", "numerics": "x86_64/cpu"},
            "config": {"recipe": "ts-align", "run": "embedded", "rounds": 3, "generate": {"k": 8}},
            "seconds": 402.7,
            "computed_seconds": 611.2,
            "finished": "2026-11-21T05:10:12+00:00",
            "base": {"judge_score": 0.482, "mean_tokens": 12.1, "perplexity": 2.1},
            "bootstrap": [
                stage("world prompts", "prompts", 2.1, 1, cached=True),
                stage("world policy", "policy", 131.4, 2, cached=True),
                stage("world teacher", "teacher", 92.0, 3, cached=True),
                stage("world student", "student", 11.4, 4, cached=True),
            ],
            "rounds": rounds,
            "final": {
                "round": last["round"],
                "win_rate": last["policy"]["win_rate"],
                "ci95": last["policy"]["ci95"],
                "by_dataset": last["policy"]["by_dataset"],
                "judge": judge,
            },
        }
    )


def logged():
    """A run over logged completions: a student, no policy."""
    ledger = LEDGERS[0] | {
        "asked": 604, "generated": 6644, "usable": 6590, "empty": 0, "truncated": 0,
        "duplicate": 54, "no_candidates": 0, "tied": 1, "paired": 603, "mined": 603, "agreed": 331,
        "swapped": 268, "teacher_tied": 4, "below_margin": 52, "labelled": 547, "too_long": 31,
        "trained": 516,
    }  # fmt: skip
    summary = aligned().model_dump(mode="json")
    summary |= {"run": "logged", "base": {}, "final": None, "bootstrap": []}
    summary["config"] = {"recipe": "logged", "run": "logged", "logged": {"judge": "gpt-4"}}
    summary["rounds"] = [
        {
            "round": 1,
            "ledger": ledger,
            "teacher_calls": 2 * ledger["mined"],
            "swap_rate": ledger["swapped"] / ledger["mined"],
            "student": {
                "agreement_before": 0.498,
                "agreement_after": 0.611,
                "ci95_before": [0.472, 0.523],
                "ci95_after": [0.589, 0.634],
                "pairs": 9821,
                "longer_baseline": 0.578,
                "ci95_longer": [0.558, 0.599],
                "equal_length_before": 0.501,
                "equal_length_after": 0.549,
                "ci95_equal_length_after": [0.515, 0.582],
                "equal_length_pairs": 1842,
            },
            "stages": [stage("mine", "mined", 0.4, 1), stage("distill", "student", 61.0, 2)],
        }
    ]
    return Summary.model_validate(summary)


def samples(prompts=("What is 17 plus 5?", "Count red in: red blue red")):
    """Rows of EVALUATION with messages, a few per family: wins, ties and losses."""
    cases = (
        ("Sorted: fig kiwi pear.", "Sorted: fig kiwi pear.", 1.0, 1.0, 0.5),
        ("It is 17 + 5 = 21.", "It is 17 + 5 = 22.", 0.2, 1.0, 1.0),
        ("I see red 3 times. I see red", "I see red 2 times.", 0.0, 1.0, 1.0),
        ("Here you go: rose, tulip.", "Here you go: rose, tulip, oak.", 1.0, 0.4, 0.0),
        ("", "Could you please bring me the old lamp and the key?", 0.0, 0.9, 1.0),
    )
    rows = []
    for family in FAMILIES:
        for index, (base, policy, base_score, policy_score, outcome) in enumerate(cases):
            rows.append(
                {
                    "prompt_id": f"{family}-{index}",
                    "dataset": family,
                    "messages": [{"role": "user", "content": prompts[index % len(prompts)]}],
                    "base_completion": base,
                    "policy_completion": policy,
                    "base_score": base_score,
                    "policy_score": policy_score,
                    "outcome": outcome,
                }
            )
    return rows


def store_answers(store, summary, rows):
    """Put the answers and prompts of `rows` into the store, as the stages of a finished run."""

    def put(kind, name, columns, schema):
        def body(out):
            write_table(out / "data.parquet", pa.Table.from_pylist(columns, schema), schema)
            return {}

        made = store.put(kind, {"stage": name, "run": summary.run}, body)
        return StageRecord(
            stage=name,
            cached=False,
            seconds=0.0,
            computed_seconds=0.0,
            kind=made.kind,
            key=made.key,
            artifact=made.digest,
        )

    answers = [{name: row[name] for name in EVALUATION.names} for row in rows]
    asked = [{name: row[name] for name in PROMPTS.names} for row in rows]
    summary.bootstrap = [
        put("prompts", "pool", [], PROMPTS),
        put("prompts", "test", asked, PROMPTS),
    ]
    result = next(r for r in summary.rounds if summary.final and r.round == summary.final.round)
    result.stages = [put("evaluation", "evaluate", answers, EVALUATION)]
