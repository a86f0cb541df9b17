"""What a model's chat template writes of a conversation, within limits: it is a program."""

from collections.abc import Iterator, Sequence

from jinja2 import TemplateError

from data.errors import InputError
from models import today
from models.limits import LimitError, cpu_seconds
from models.special_text import Messages, Pieces, Tokenizer, marked

_MOST_SECONDS = 20  # of computing for a conversation, or many at once; templates take milliseconds
# What a template's code may raise: it runs on Python's values.
_OF_TEMPLATES = (
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
)


def render(tokenizer: Tokenizer, messages: Messages, generation_prompt: bool = False) -> Pieces:
    """The conversation in the words of the template. Raises InputError."""
    if not tokenizer.chat_template:
        raise InputError("the tokenizer has no chat template; set one and save it")
    defused, mark = marked(tokenizer, messages)
    try:
        (text,) = by_template(tokenizer, [defused], generation_prompt)
    except (LimitError, MemoryError, RecursionError) as error:
        raise InputError(
            f"the chat template does not end within {_MOST_SECONDS} seconds, or takes all memory "
            f"({type(error).__name__}); use another template"
        ) from error
    except (TemplateError, *_OF_TEMPLATES) as error:
        roles = ", ".join(message["role"] for message in messages)
        raise InputError(
            f"the chat template refuses a conversation of roles {roles}: {one_line(error)}; "
            "use another template or remove the role from the prompts"
        ) from error
    return text.split(mark) if mark else [text]


def render_all(
    tokenizer: Tokenizer, conversations: Sequence[Messages], generation_prompt: bool = False
) -> Iterator[Pieces]:
    """`render` of many, with less of transformers' work around each.

    Where that fails they are rendered one by one, and the first that is refused is so in its turn.
    """
    defused = [marked(tokenizer, messages) for messages in conversations]
    try:
        texts = by_template(tokenizer, [messages for messages, _ in defused], generation_prompt)
    except (LimitError, MemoryError, RecursionError, TemplateError, *_OF_TEMPLATES):
        yield from (render(tokenizer, one, generation_prompt) for one in conversations)
        return
    for text, (_, mark) in zip(texts, defused, strict=True):
        yield text.split(mark) if mark else [text]


def by_template(
    tokenizer: Tokenizer, conversations: list[list[dict[str, str]]], generation_prompt: bool
) -> list[str]:
    """What the chat template writes of each conversation. Raises what its code may raise."""
    with cpu_seconds(_MOST_SECONDS):
        texts = tokenizer.apply_chat_template(
            conversations,
            tokenize=False,
            add_generation_prompt=generation_prompt,
            strftime_now=today.strftime_now,
        )
    return list(map(str, texts))


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
