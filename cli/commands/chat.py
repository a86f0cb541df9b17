from typing import Annotated

from typer import Option

from cli.app import USE, RunsDir, Store, command
from cli.use.sides import Against, MaxTokens, Rounds, Run, Seed, Temperature, checking
from data.errors import InputError


@command("chat", USE, 'tsalign chat embedded --prompt "What is 12 plus 30?"')
def chat(
    run: Run,
    *,
    rounds: Rounds = None,
    against: Against = None,
    prompt: Annotated[
        str | None, Option(metavar="TEXT", help="Ask this once, print both answers and end.")
    ] = None,
    json: Annotated[bool, Option("--json", help="With --prompt: print one JSON object.")] = False,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    seed: Seed = 0,
    store: Store,
    runs_dir: RunsDir,
) -> int:
    """Talk to the base and the aligned policy side by side."""
    from cli.use.chat import decoding_of
    from cli.use.policies_of import pair_of
    from cli.use.talk import talk
    from data.readers.messages import check_text
    from data.store.store import Store as Artifacts
    from flows.recipe_files import recorded_recipe

    if json and prompt is None:
        raise InputError("--json: goes with --prompt TEXT")
    if prompt is not None and not prompt.strip():
        raise InputError("--prompt: is empty; ask something")
    if prompt is not None:
        check_text(prompt, "--prompt", "text")
    artifacts = Artifacts(store)
    with checking():
        policies = pair_of(artifacts, runs_dir, run, rounds, against)
    decoding = decoding_of(recorded_recipe(policies[-1].summary), temperature, max_tokens)
    return talk(artifacts, policies, decoding, seed, prompt=prompt, as_one_json=json)
