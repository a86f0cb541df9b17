"""Follow: which instructions of each held-out prompt the answers of base and policy follow."""

from data.instructed.checkers import checkers, followed
from data.readers.prompts import content_of
from data.schemas import FOLLOWED
from data.store.artifacts import Artifact
from data.tables import mapping
from tasks.reward import all_columns
from tasks.stage import Context, Rows, stage

COLUMNS = ["instruction_id_list", "kwargs"]  # of the prompt file


@stage(FOLLOWED, version="1", shards="prompts")
def follow(
    ctx: Context,
    *,
    prompts: Artifact,
    base: Artifact,
    policy: Artifact,
    columns: list[Artifact],
) -> Rows:
    """In: PROMPTS, COMPLETIONS of base and policy, PROMPT_COLUMNS. Out: FOLLOWED, strict checks.

    Prompts without instructions have no row. Counts: prompts with and without instructions,
    instructions, and of these the ones without a checker and the ones whose checker failed.
    """
    checkers()  # they are installed, or this is no failure of a row
    asked = ctx.table(prompts)
    answers = {
        side: mapping(ctx.table(artifact), "prompt_id", "completion")
        for side, artifact in (("base", base), ("policy", policy))
    }
    messages = mapping(asked, "prompt_id", "messages")
    content = {prompt: content_of(said) for prompt, said in messages.items()}
    known = all_columns(ctx, columns).of(set(content.values()))
    rows, counts = [], dict.fromkeys(("with", "without", "unknown", "failed"), 0)
    for prompt_id, dataset in zip(
        asked["prompt_id"].to_pylist(), asked["dataset"].to_pylist(), strict=True
    ):
        given = known.get(content[prompt_id], {})
        names = given.get("instruction_id_list") or []
        counts["with" if names else "without"] += 1
        arguments = given.get("kwargs") or [{}] * len(names)
        text = messages[prompt_id][-1]["content"]
        for name, argument in zip(names, arguments, strict=True):
            row = {"prompt_id": prompt_id, "dataset": dataset, "kind": name}
            try:
                row |= {
                    side: followed(text, texts[prompt_id], [name], [argument])[0]
                    for side, texts in answers.items()
                }
                counts["unknown"] += row["base"] is None
            except Exception:  # whatever a checker raises on what a file gives it
                counts["failed"] += 1
                row |= {"base": None, "policy": None}
            rows.append(row)
    return Rows(rows, {"instructions": len(rows)} | counts)
