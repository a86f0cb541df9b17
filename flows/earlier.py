"""Summaries of earlier versions, which hold rounds and not what the flow says of them."""

from data.summary import Summary
from flows.logged.told import told as of_logs
from flows.loop.told import told
from flows.matrix_pairs.told import told as of_a_matrix
from flows.result import Result


def whole(summary: Summary) -> Summary:
    """A summary with measures and sections: its own, or, where it has none, made of its rounds."""
    if summary.verdict is not None:
        return summary
    copy = summary.model_copy()
    _result(summary).into(copy)
    return copy


def _result(summary: Summary) -> Result:
    recipe, config, rounds = summary.recipe, summary.config, summary.rounds
    of_one_round = {"logged": of_logs, "matrix": of_a_matrix}.get(config.get("recipe", ""))
    if of_one_round and rounds:
        return of_one_round(config, rounds[0])
    return told(recipe, config, rounds, summary.base, summary.final, summary.sources)
