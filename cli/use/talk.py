"""`tsalign chat` on a terminal, or over pipes: what is typed, and both answers as they grow."""

import json
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.use.chat import Answer, Chat, as_json, open_chat
from cli.use.policies_of import Policy, held_out, names_of, notes_on
from data.errors import InputError
from data.readers.messages import Messages, as_messages
from data.recipes.recipe import DecodingConfig
from data.store.store import Store
from tasks.running.waiting import to_stderr, waiting

HELP = """\
Whatever you type is said to both; each goes on from its own answers.
  /next      a held-out prompt of the run, in a new conversation
  /reset     a new conversation
  /seed N    sample with another seed; the same for both
  /help      this
  /quit      end; so do Ctrl-D and Ctrl-C. Within an answer, Ctrl-C stops it"""

# All control characters but tab and line break: a model may have learnt to write a terminal's.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class _EndedError(KeyboardInterrupt):
    """SIGTERM: ends the command, where Ctrl-C stops an answer."""


def talk(
    store: Store,
    policies: Sequence[Policy],
    decoding: DecodingConfig,
    seed: int,
    *,
    prompt: str | None = None,
    as_one_json: bool = False,
) -> int:
    """Load the policies and answer: `prompt` once, or what is typed until it ends."""
    notes = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for note in notes_on(policies):
        notes.print(f"tsalign: note: {note}")
    names = " and ".join(names_of(policies))
    with waiting(f"loading {names}", to_stderr()):
        chat = open_chat(policies, decoding, seed)
    try:
        if prompt is None:
            return _Terminal(chat, held_out(store, policies[-1].summary)).run()
        answers = chat.ask(as_messages(prompt, "--prompt", "text"))
        if as_one_json:
            sys.stdout.write(json.dumps(as_json(chat, prompt, answers), ensure_ascii=True) + "\n")
        else:
            _print_answers(chat, [answer.text for answer in answers], answers)
        return 0
    finally:
        chat.close()


class _Terminal:
    """Reads lines and shows answers; without a terminal, as plain lines."""

    def __init__(self, chat: Chat, prompts: list[dict[str, Any]]) -> None:
        self._chat, self._prompts = chat, prompts
        self._next = 0
        self._console = Console(highlight=False, markup=False)
        self._typed = sys.stdin.isatty()
        if self._typed:
            with suppress(ImportError):
                import readline  # noqa: F401 - `input` edits lines and knows earlier ones

    def run(self) -> int:
        names = " and ".join(speaker.name for speaker in self._chat.speakers)
        decoding = self._chat.decoding
        self._say(
            f"{self._chat.speakers[-1].policy.run}: {names}, temperature "
            f"{decoding.temperature:g}, seed {self._chat.seed}. /help says what you can type."
        )
        with _terms():
            while (line := self._read()) is not None:
                if line in ("/quit", "/exit"):
                    break
                self._obey(line)
        return 0

    def _read(self) -> str | None:
        """What is typed next; None at the end."""
        try:
            return input("\n> " if self._typed else "").strip()
        except EOFError:
            self._say("" if self._typed else None)
            return None
        except _EndedError:
            raise
        except KeyboardInterrupt:
            self._say("")
            return None

    def _obey(self, line: str) -> None:
        command, _, rest = line.partition(" ")
        match command:
            case "":
                pass
            case "/help":
                self._say(HELP)
            case "/reset":
                self._chat.reset()
                self._say("A new conversation.")
            case "/seed":
                self._seed(rest.strip())
            case "/next":
                self._next_prompt()
            case _ if command.startswith("/"):
                self._say(f"No command {command}. /help lists them.")
            case _:
                self._ask(line)

    def _seed(self, text: str) -> None:
        if not text.isdecimal() or len(text) > 18:
            self._say("/seed takes a whole number, as in /seed 7.")
            return
        self._chat.seed = int(text)
        self._say(f"Seed {self._chat.seed}.")

    def _next_prompt(self) -> None:
        if not self._prompts:
            self._say("The held-out prompts of this run are not in the store.")
            return
        row = self._prompts[self._next % len(self._prompts)]
        self._next += 1
        self._chat.reset()
        self._say(f"Held-out prompt {row['prompt_id']} ({row['dataset']}):")
        for message in row["messages"]:
            who = f"{message['role']}: " if len(row["messages"]) > 1 else ""
            self._say(f"{who}{printable(message['content'])}")
        self._ask(row["messages"])

    def _ask(self, said: str | Messages) -> None:
        try:
            messages = as_messages(said, "what you typed", "text")
            if not self._console.is_terminal:
                answers = self._chat.ask(messages)
                _print_answers(self._chat, [answer.text for answer in answers], answers)
                return
            _live(self._console, self._chat, messages)
        except InputError as error:
            self._say(f"{error} (/reset starts a new conversation)")
        except _EndedError:
            raise
        except KeyboardInterrupt:
            self._say("Stopped; the conversation is as it was before.")

    def _say(self, text: str | None) -> None:
        if text is not None:
            self._console.print(text, soft_wrap=not self._console.is_terminal)


def _live(console: Console, chat: Chat, messages: Messages) -> None:
    """Both answers side by side while they grow; what is left on the terminal is whole."""
    texts = ["", ""]
    with Live(console=console, transient=True, refresh_per_second=8) as live:

        def show(place: int, text: str) -> None:
            texts[place] = text
            live.update(_columns(chat, texts))

        answers = chat.ask(messages, show)
    console.print(_columns(chat, [answer.text for answer in answers], answers))


def _columns(chat: Chat, texts: Sequence[str], answers: Sequence[Answer] = ()) -> Table:
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), show_edge=False)
    for speaker in chat.speakers:
        table.add_column(Text(speaker.name, style="bold"), ratio=1, overflow="fold")
    table.add_row(*(Text(printable(text)) for text in texts))
    if answers:
        table.add_row(*(Text(_measure(answer), style="dim") for answer in answers))
    return table


def _print_answers(chat: Chat, texts: Sequence[str], answers: Sequence[Answer]) -> None:
    """On a terminal side by side, else one below the other."""
    console = Console(highlight=False, markup=False)
    if console.is_terminal and shutil.get_terminal_size().columns >= 60:
        console.print(_columns(chat, texts, answers))
        return
    for speaker, answer in zip(chat.speakers, answers, strict=True):
        console.print(f"{speaker.name}: {printable(answer.text)}", soft_wrap=True)


def _measure(answer: Answer) -> str:
    cut = ", cut off" if answer.finish_reason == "length" else ""
    return f"{answer.tokens} tokens{cut}"


def printable(text: str) -> str:
    """Text without what a terminal would obey."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


@contextmanager
def _terms() -> Iterator[None]:
    """A plain `kill` ends the command at once, in the middle of an answer too."""

    def end(*_: object) -> NoReturn:
        raise _EndedError

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
