"""Public data sets that recipes of this project read and that it does not bring along."""

from pathlib import Path
from typing import NamedTuple


class _Known(NamedTuple):
    what: str
    where: str


# By the name of the folder that holds them.
_KNOWN = {
    "rewardbench_bon16": _Known(
        "16 answers of tulu-2-dpo-13b to AlpacaEval's prompts with GPT-4's judgments",
        "github.com/allenai/reward-bench, commit 4319b31, bon_eval/alpaca_eval_n=16/annotations "
        "(tulu-2-dpo-13b.N.json into samples/, N/weighted_alpaca_eval_gpt4_turbo/annotations.json "
        "as N.annotations.json into judged/)",
    ),
    "alpacaeval_outputs": _Known(
        "answers of many models to AlpacaEval's prompts",
        "github.com/tatsu-lab/alpaca_eval, results/MODEL/model_outputs.json as MODEL.json",
    ),
}


# Of what the recipes here name in .real, by the folder in it: the command that puts it there.
_MODELS = "python -m benchmarks.real_models"
_REAL = {
    "leaf": "python -m benchmarks.leaf_data",
    "davis": "python -m benchmarks.davis_data",
    "domains.jsonl": "python -m benchmarks.real_domains",
    **dict.fromkeys(("smollm2", "smollm2-cut", "reward"), _MODELS),
}


def where_from(path: str | Path) -> str:
    """What a path that is not there would hold, and where the public gets it, or the command that
    writes it; empty if unknown."""
    parts = Path(path).parts
    if ".real" in parts:
        part = parts[parts.index(".real") + 1 :][:1]
        return f"; `{_REAL.get(''.join(part), 'make real-models')}` puts it there"
    known = next((_KNOWN[part] for part in parts if part in _KNOWN), None)
    if known is None:
        return ""
    return f"; it holds {known.what}, which are not part of this project: {known.where}"
