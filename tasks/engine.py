"""Try the engine: does vLLM serve this model? Asked once for a model, before the first sampling."""

import json
from typing import Any

from data.errors import UnservableError
from tasks.stage import Context, Model, stage


@stage("engine", version="1", model="loaded")
def try_vllm(ctx: Context, *, policy: Model, engine: str, max_model_len: int) -> dict[str, Any]:
    """Out: engine.json, why vLLM cannot run the model; an empty reason where it can.

    Starting it is the trial: it has then answered a token, and stays for the stages that follow.
    Only a refusal of the model is an answer. Whatever else a start fails of is raised and not
    remembered. `engine` is the engine's name and version with the machine's numerics.
    """
    reason = ""
    try:
        ctx.loaded.engine(ctx.path(policy), policy.digest, ctx.adapted(policy))
    except UnservableError as error:
        reason = error.reason
    (ctx.out / "engine.json").write_text(json.dumps({"engine": engine, "reason": reason}))
    return {"reason": reason}
