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


def where_from(path: str | Path) -> str:
    """What a path that is not there would hold, and where the public gets it; empty if unknown."""
    known = next((_KNOWN[part] for part in Path(path).parts if part in _KNOWN), None)
    if known is None:
        return ""
    return f"; it holds {known.what}, which are not part of this project: {known.where}"
