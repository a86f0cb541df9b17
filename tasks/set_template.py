"""Set template: a base policy of the user's that comes without a chat template is given one."""

from pathlib import Path
from typing import Any

from tasks.running.outside import External
from tasks.stage import Context, Model, stage


@stage("policy", version="1", model=True)
def set_template(ctx: Context, *, policy: Model, template: str | External) -> dict[str, Any]:
    """Out: the policy with the template of this name, or of this file; its weights as they are."""
    from models.templates import save_with_template

    if isinstance(template, External):
        template = Path(template.path).read_text(encoding="utf-8")
    return save_with_template(
        ctx.out,
        policy=ctx.path(policy),
        template=template,
        trust_remote_code=ctx.runtime.trust_remote_code,
    )
