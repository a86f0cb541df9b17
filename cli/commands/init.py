from pathlib import Path
from typing import Annotated

from typer import Option

from cli.app import START, command


@command(
    "init",
    START,
    "tsalign init --policy ./sft --teacher ./reward --student ./encoder --prompts prompts.jsonl",
)
def init(
    *,
    policy: Annotated[
        str | None, Option(metavar="MODEL", help="The model to align: a folder or hub id.")
    ] = None,
    teacher: Annotated[
        str | None,
        Option(
            metavar="JUDGE",
            help="Who judges: a reward model or language model (folder or hub id), openai, or a "
            "reward function: FILE.py:FUNCTION, instructions, exact-answer, length-band. For opd "
            "a language model with the policy's vocabulary.",
        ),
    ] = None,
    student: Annotated[
        str | None, Option(metavar="MODEL", help="The small reward model that screens answers.")
    ] = None,
    smaller: Annotated[
        str | None, Option(metavar="MODEL", help="For tso: a weaker model that answers too.")
    ] = None,
    prompts: Annotated[
        str | None, Option(metavar="FILE", help="JSONL, Parquet or CSV, or a datasets id.")
    ] = None,
    test_prompts: Annotated[
        str | None, Option(metavar="FILE", help="Held-out prompts; else some are held out.")
    ] = None,
    judge: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="Who decides the win rate: teacher, with --world also oracle, or any that may "
            "be a teacher. For tso, who corrects the order of pairs: teacher, none or a language "
            "model's folder.",
        ),
    ] = None,
    method: Annotated[
        str | None, Option(metavar="NAME", help="ts-align (default), dpo, optune, tso or opd.")
    ] = None,
    world: Annotated[
        bool, Option("--world", help="For the embedded world, which needs no models.")
    ] = False,
    run: Annotated[
        str | None, Option(metavar="NAME", help="Name of the run; by default the file's.")
    ] = None,
    out: Annotated[
        Path | None, Option(metavar="FILE", help="The recipe to write; by default NAME.yaml.")
    ] = None,
    yes: Annotated[bool, Option("--yes", help="Ask nothing.")] = False,
) -> int:
    """Write a recipe that fits your models, prompts and machine."""
    from cli.init.methods import METHODS
    from cli.init.questions import on_terminal, write_recipe
    from cli.init.starter import Answers
    from data.errors import InputError

    if method is not None and method not in METHODS:
        raise InputError(f"--method: there is no {method!r}; choose {', '.join(METHODS)}")
    answers = Answers(
        method=method or "ts-align",
        run=run,
        policy=policy,
        teacher=teacher,
        student=student,
        smaller=smaller,
        prompts=prompts,
        test_prompts=test_prompts,
        judge=judge,
        world=world,
    )
    return write_recipe(answers, method, out, ask=on_terminal() and not yes)
