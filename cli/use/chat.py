"""Two policies that answer the same words: one process, both in memory, the same seed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cli.use.policies_of import Policy, names_of, runtime_here
from data.errors import InputError
from data.readers.messages import Messages
from data.recipes.recipe import DecodingConfig, RunRecipe, RuntimeConfig
from flows.recipe_files import recorded_recipe
from models import today

OnText = Callable[[str], None]
_NO_LIMIT = 32_768  # tokens, for a model whose files set no limit


@dataclass(frozen=True)
class Answer:
    """What a policy said."""

    text: str
    tokens: int
    finish_reason: str  # "stop" or "length"


def decoding_of(
    recipe: RunRecipe, temperature: float | None = None, max_tokens: int | None = None
) -> DecodingConfig:
    """How the run's held-out prompts are answered, or as far as given otherwise."""
    given = {"temperature": temperature, "max_tokens": max_tokens}
    usual = recipe.answering
    if usual is None:
        raise InputError(f"{recipe.run}: has no policy that answers prompts")
    return usual.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )


class Speaker:
    """A policy that is loaded, with its own chat template and its side of the conversation."""

    def __init__(self, name: str, policy: Policy, runtime: RuntimeConfig) -> None:
        from models.chat import load_tokenizer
        from models.checkpoints import context_length
        from models.engines.transformers import TransformersEngine

        self.name, self.policy = name, policy
        self.messages: Messages = []
        self._limit = context_length(policy.path) or _NO_LIMIT
        self._tokenizer = load_tokenizer(policy.path, runtime.trust_remote_code)
        self._engine = TransformersEngine(policy.path, runtime, self._limit)

    def answer(self, decoding: DecodingConfig, seed: int, on_text: OnText | None = None) -> Answer:
        """The answer to the conversation so far.

        Args:
            on_text: Told of the text of the answer as it grows.

        Raises:
            InputError: the conversation leaves no room for an answer.
        """
        from models.chat import render_prompt
        from models.engines.base import Sampling

        prompt = render_prompt(self._tokenizer, self.messages)
        if len(prompt) >= self._limit:
            raise InputError(
                f"the conversation has {len(prompt):,} tokens and {self.name} reads "
                f"{self._limit:,}; start anew, or say it in fewer words"
            )
        sampling = Sampling(1, decoding.temperature, decoding.top_p, decoding.max_tokens)
        self._engine.on_token = self._listener(on_text) if on_text else None
        ((output,),) = self._engine.generate([prompt], [seed], sampling)
        return Answer(output.text, output.n_tokens, output.finish_reason)

    def _listener(self, on_text: OnText) -> Callable[[int, int], None]:
        from models.chat import decode_completion

        sampled: list[int] = []

        def listen(row: int, token: int) -> None:
            sampled.append(token)
            # A character of several tokens is a question mark until its last one is there.
            on_text(decode_completion(self._tokenizer, sampled).rstrip("\N{REPLACEMENT CHARACTER}"))

        return listen

    def close(self) -> None:
        self._engine.close()


@dataclass
class Chat:
    """A conversation with two policies, each of which goes on from its own answers."""

    speakers: Sequence[Speaker]
    decoding: DecodingConfig
    seed: int
    day: str | None = None  # what a chat template prints that asks for the date

    def reset(self) -> None:
        for speaker in self.speakers:
            speaker.messages = []

    def ask(
        self, messages: Messages, on_text: Callable[[int, str], None] | None = None
    ) -> list[Answer]:
        """Both answers to what is said, which then belong to the conversation.

        Args:
            messages: What is said next: a user's turn, or a whole prompt.
            on_text: Told which speaker's answer has grown, and to what.

        Raises:
            InputError: no room is left for an answer; the conversation stays as it was.
        """
        before = [list(speaker.messages) for speaker in self.speakers]
        try:
            answers = list(self._answers(messages, on_text))
        except BaseException:
            for speaker, known in zip(self.speakers, before, strict=True):
                speaker.messages = known
            raise
        return answers

    def _answers(
        self, messages: Messages, on_text: Callable[[int, str], None] | None
    ) -> Iterator[Answer]:
        for place, speaker in enumerate(self.speakers):
            speaker.messages = [*speaker.messages, *messages]
            tell = _of_speaker(on_text, place) if on_text else None
            with today.pinned(self.day):
                answer = speaker.answer(self.decoding, self.seed, tell)
            speaker.messages = [
                *speaker.messages,
                {"role": "assistant", "content": answer.text},
            ]
            yield answer

    def close(self) -> None:
        for speaker in self.speakers:
            speaker.close()


def _of_speaker(on_text: Callable[[int, str], None], place: int) -> OnText:
    return lambda text: on_text(place, text)


def open_chat(policies: Sequence[Policy], decoding: DecodingConfig, seed: int) -> Chat:
    """Load the policies. Raises InputError where one cannot be loaded."""
    runtime = runtime_here(recorded_recipe(policies[-1].summary))
    speakers: list[Speaker] = []
    try:
        for name, policy in zip(names_of(policies), policies, strict=True):
            speakers.append(Speaker(name, policy, runtime))
    except BaseException:
        for speaker in speakers:
            speaker.close()
        raise
    return Chat(speakers, decoding, seed, policies[-1].summary.date)


def as_json(chat: Chat, prompt: str, answers: Sequence[Answer]) -> dict[str, Any]:
    """One turn with all that decided it, as plain JSON."""
    return {
        "prompt": prompt,
        "seed": chat.seed,
        **chat.decoding.model_dump(),
        "answers": [
            {
                "run": speaker.policy.run,
                "round": speaker.policy.round,
                "name": speaker.name,
                "digest": speaker.policy.digest,
                "answer": answer.text,
                "tokens": answer.tokens,
                "finish_reason": answer.finish_reason,
            }
            for speaker, answer in zip(chat.speakers, answers, strict=True)
        ],
    }
