"""The kinds of instruction that prompts are made with, in our own words, and which go together.

The names and arguments are IFEval's, so that its checkers read them. Two of its 25 kinds are not
made: the language of the answer (the model that these prompts are made for knows English), and one
of three fixed sentences as the answer (which says nothing on a task).
"""

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple


class Drawn(NamedTuple):
    """An instruction: its arguments as its checker takes them, and how it is said."""

    kwargs: dict[str, Any]
    text: str


Words = frozenset[str]  # that the task, or another instruction, has already
Draw = Callable[[Random, Words, str], Drawn]  # the last: the task's text

NUMBERS = dict(enumerate("zero one two three four five six seven eight nine ten".split()))
WANTED = (
    "morning simple friend water plan together garden window music paper journey quiet story "
    "market winter kitchen travel bright letter river moment street idea answer family corner "
    "evening coffee teacher bridge season picture lesson smile promise bicycle blanket lantern "
    "mountain village pocket harbor whisper gentle honest patient fresh colorful familiar borrow "
    "share remember notice wander collect discover prepare celebrate"
).split()
UNWANTED = (
    "important great good make help also very really always need time people best new many enjoy "
    "first start day way well know want ensure provide different feel life world sure perfect"
).split()
# None of these has an unwanted word, which may be forbidden beside them.
ENDINGS = (
    "That is all I have to tell.",
    "Tell me how it goes.",
    "Now it is your turn.",
    "And that is the whole story.",
    "I hope this answers it.",
    "See you next week.",
    "Thanks for reading this far.",
    "There is no more to say about it.",
    "Take it one step after the other.",
    "Write back whenever you like.",
)
FIRST_WORDS = "however finally often maybe usually nobody meanwhile later once perhaps".split()
MARKS = ("Section", "Part", "Step", "Chapter", "SECTION")
RELATIONS = ("at least", "less than")


def _number(rng: Random, n: int) -> str:
    return NUMBERS[n] if n in NUMBERS and rng.random() < 0.5 else str(n)


def _quoted(words: list[str]) -> str:
    shown = [f'"{word}"' for word in words]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _free(pool: list[str], taken: Words) -> list[str]:
    """Words of which none is part of a taken one, or the other way round."""
    return [word for word in pool if not any(word in one or one in word for one in taken)]


def no_comma(rng: Random, taken: Words, task: str) -> Drawn:
    return Drawn(
        {},
        rng.choice(
            (
                "Do not use a single comma.",
                "Leave out commas altogether.",
                "No commas anywhere in the answer.",
                "Write it without commas.",
                "Keep your text free of commas.",
                "The comma is off limits here.",
            )
        ),
    )


def lowercase(rng: Random, taken: Words, task: str) -> Drawn:
    return Drawn(
        {},
        rng.choice(
            (
                "Use small letters only.",
                "Write everything in lowercase English.",
                "Not one capital letter may appear.",
                "Stick to lower case from the first word to the last.",
                "Type it as if the shift key were broken, all in lowercase.",
            )
        ),
    )


def capital(rng: Random, taken: Words, task: str) -> Drawn:
    return Drawn(
        {},
        rng.choice(
            (
                "WRITE ALL OF IT IN CAPITALS, in English.",
                "Use capital letters throughout.",
                "Every letter of the answer has to be a capital.",
                "Put the whole text in upper case.",
                "Not one small letter may appear, capitals only.",
            )
        ),
    )


def capital_words(rng: Random, taken: Words, task: str) -> Drawn:
    relation = rng.choice(RELATIONS)
    n = rng.randint(1, 4) if relation == "at least" else rng.randint(4, 8)
    shown = _number(rng, n)
    if relation == "at least":
        words = "word" if n == 1 else "words"
        text = rng.choice(
            (
                f"Set at least {shown} {words} in ALL CAPS for emphasis.",
                f"Shout a little: {shown} {words} or more fully in capitals.",
                f"Put {shown} {words} or more entirely in capital letters.",
            )
        )
    else:
        text = rng.choice(
            (
                f"Fewer than {shown} words may be in ALL CAPS.",
                f"Use words in full capitals sparingly, less than {shown} of them.",
            )
        )
    return Drawn({"capital_relation": relation, "capital_frequency": n}, text)


def bullets(rng: Random, taken: Words, task: str) -> Drawn:
    n = rng.randint(2, 5)
    shown = _number(rng, n)
    return Drawn(
        {"num_bullets": n},
        rng.choice(
            (
                f"Give exactly {shown} bullet points, each on a line that starts with *.",
                f"Include a markdown list with {shown} bullets, no more and no fewer.",
                f'Use {shown} bullets in all, written like "* one thing".',
                f"There must be precisely {shown} lines that start with a bullet (- or *).",
            )
        ),
    )


def highlights(rng: Random, taken: Words, task: str) -> Drawn:
    n = rng.randint(1, 3)
    shown = _number(rng, n)
    parts = "part" if n == 1 else "parts"
    return Drawn(
        {"num_highlights": n},
        rng.choice(
            (
                f"Highlight {shown} {parts} or more between asterisks, *like this*.",
                f"Put at least {shown} {parts} of the text in *markdown emphasis*.",
                f"Mark {shown} {parts} or more as important with markdown, *as here*.",
            )
        ),
    )


def paragraphs(rng: Random, taken: Words, task: str) -> Drawn:
    n = rng.randint(2, 3)
    shown = _number(rng, n)
    return Drawn(
        {"num_paragraphs": n},
        rng.choice(
            (
                f"Write {shown} paragraphs and put the divider *** between them.",
                f"Split it into exactly {shown} paragraphs, each divided from the next by ***",
                f"I want {shown} paragraphs with a line of *** after each but the last.",
            )
        ),
    )


def first_word(rng: Random, taken: Words, task: str) -> Drawn:
    n = rng.randint(2, 3)
    nth, word = rng.randint(1, n), rng.choice(FIRST_WORDS)
    place = {1: "first", 2: "second", 3: "third"}[nth]
    shown = _number(rng, n)
    return Drawn(
        {"num_paragraphs": n, "nth_paragraph": nth, "first_word": word},
        rng.choice(
            (
                f"Make it {shown} paragraphs with a blank line between them; the {place} one "
                f'begins with "{word}".',
                f"Exactly {shown} paragraphs, please, set apart by empty lines. Let the {place} "
                f"paragraph open with the word {word}.",
                f'Start the {place} of {shown} paragraphs with "{word}", and leave an empty line '
                "between paragraphs and nowhere else.",
            )
        ),
    )


def sections(rng: Random, taken: Words, task: str) -> Drawn:
    n, mark = rng.randint(2, 3), rng.choice(MARKS)
    shown = _number(rng, n)
    return Drawn(
        {"section_spliter": mark, "num_sections": n},
        rng.choice(
            (
                f'Divide it into {shown} sections headed "{mark} 1", "{mark} 2" and so on.',
                f"Use {shown} sections, and head each with {mark} and its number ({mark} 1 ...).",
                f"The answer has {shown} sections; each begins with {mark} X, X being its number.",
            )
        ),
    )


def title(rng: Random, taken: Words, task: str) -> Drawn:
    return Drawn(
        {},
        rng.choice(
            (
                "Give it a title in double angle brackets, <<like this>>.",
                "Put a title on top, written as <<your title>>.",
                "It needs a heading between << and >>.",
                "Start off with a title set in <<double angular brackets>>.",
            )
        ),
    )


def json_format(rng: Random, taken: Words, task: str) -> Drawn:
    return Drawn(
        {},
        rng.choice(
            (
                "Answer with valid JSON and nothing else.",
                "Return the whole answer as one JSON object.",
                "The output must parse as JSON; a markdown code fence around it is fine.",
                "Format everything as JSON.",
            )
        ),
    )


def placeholders(rng: Random, taken: Words, task: str) -> Drawn:
    n = rng.randint(1, 3)
    shown = _number(rng, n)
    s = "" if n == 1 else "s"
    return Drawn(
        {"num_placeholders": n},
        rng.choice(
            (
                f"Leave {shown} blank{s} or more to fill in, in square brackets such as [name].",
                f"Use at least {shown} placeholder{s} like [date] or [place].",
                f"Have {shown} or more spot{s} for details in brackets, for example [time].",
            )
        ),
    )


def postscript(rng: Random, taken: Words, task: str) -> Drawn:
    mark = rng.choice(("P.S.", "P.P.S"))
    return Drawn(
        {"postscript_marker": mark},
        rng.choice(
            (
                f"Close with a postscript that starts with {mark}",
                f"Add a last line after everything else, beginning with {mark}",
                f"Below your text put a postscript marked {mark}",
            )
        ),
    )


def end_phrase(rng: Random, taken: Words, task: str) -> Drawn:
    phrase = rng.choice(ENDINGS)
    return Drawn(
        {"end_phrase": phrase},
        rng.choice(
            (
                f'The very last words must be "{phrase}"',
                f'Finish with "{phrase}" and write nothing after it.',
                f'End on exactly this sentence: "{phrase}"',
                f'Your closing line is "{phrase}" and nothing follows it.',
            )
        ),
    )


def quotation(rng: Random, taken: Words, task: str) -> Drawn:
    return Drawn(
        {},
        rng.choice(
            (
                "Put the whole answer in double quotes.",
                'Begin and end with a double quotation mark (").',
                "Enclose everything you write in one pair of double quotation marks.",
                "The first and the last character of your text is a double quote.",
            )
        ),
    )


def keywords(rng: Random, taken: Words, task: str) -> Drawn:
    words = sorted(rng.sample(_free(WANTED, taken), rng.randint(1, 3)))
    shown = _quoted(words)
    s = "" if len(words) == 1 else "s"
    return Drawn(
        {"keywords": words},
        rng.choice(
            (
                f"Work in the word{s} {shown}.",
                f"Use {shown} somewhere.",
                f"The text has to mention {shown}.",
                f"Make sure that {shown} can be found in it.",
            )
        ),
    )


def frequency(rng: Random, taken: Words, task: str) -> Drawn:
    relation = rng.choice(RELATIONS)
    # A word that would hardly come up is easily used less than so often.
    word = rng.choice(_free(WANTED if relation == "at least" else UNWANTED, taken))
    n = rng.randint(2, 3)
    shown = _number(rng, n)
    if relation == "at least":
        text = rng.choice(
            (
                f'Let the word "{word}" come up {shown} times or more.',
                f'Say "{word}" at least {shown} times.',
                f'Repeat the word "{word}" so that it is there {shown} or more times.',
            )
        )
    else:
        text = rng.choice(
            (
                f'Use the word "{word}" fewer than {shown} times.',
                f'"{word}" has to come up less than {shown} times.',
            )
        )
    return Drawn({"relation": relation, "keyword": word, "frequency": n}, text)


def forbidden(rng: Random, taken: Words, task: str) -> Drawn:
    words = sorted(rng.sample(_free(UNWANTED, taken), rng.randint(1, 3)))
    shown = _quoted(words)
    s = "" if len(words) == 1 else "s"
    return Drawn(
        {"forbidden_words": words},
        rng.choice(
            (
                f"Avoid the word{s} {shown}.",
                f"Do without the word{s} {shown}.",
                f"Never say {shown}.",
                f"Find other ways to put it than with {shown}.",
            )
        ),
    )


def letters(rng: Random, taken: Words, task: str) -> Drawn:
    relation = rng.choice(RELATIONS)
    if relation == "at least":
        letter, n = rng.choice("aeiostnr"), rng.randint(8, 20)
        text = rng.choice(
            (
                f"The letter {letter} has to occur {n} or more times.",
                f'Use the letter "{letter}" at least {n} times.',
            )
        )
    else:
        letter = rng.choice([one for one in "bjkqvwxyz" if not any(one in w for w in taken)])
        n = rng.randint(2, 6)
        text = rng.choice(
            (
                f"Use the letter {letter} fewer than {n} times.",
                f'The letter "{letter}" may occur less than {n} times.',
            )
        )
    return Drawn({"let_relation": relation, "letter": letter, "let_frequency": n}, text)


def words(rng: Random, taken: Words, task: str) -> Drawn:
    relation = rng.choice(RELATIONS)
    n = 5 * (rng.randint(4, 13) if relation == "at least" else rng.randint(8, 16))
    if relation == "at least":
        text = rng.choice(
            (
                f"Write {n} words or more.",
                f"It should run to at least {n} words.",
                f"Do not stop before you have reached {n} words.",
            )
        )
    else:
        text = rng.choice(
            (
                f"Stay under {n} words.",
                f"Use fewer than {n} words.",
                f"Keep the length below {n} words.",
            )
        )
    return Drawn({"relation": relation, "num_words": n}, text)


def sentences(rng: Random, taken: Words, task: str) -> Drawn:
    relation = rng.choice(RELATIONS)
    n = rng.randint(3, 5) if relation == "at least" else rng.randint(3, 6)
    shown = _number(rng, n)
    if relation == "at least":
        text = rng.choice(
            (f"Write {shown} sentences or more.", f"No less than {shown} sentences will do.")
        )
    else:
        text = rng.choice(
            (f"Use fewer than {shown} sentences.", f"Keep it below {shown} sentences.")
        )
    return Drawn({"relation": relation, "num_sentences": n}, text)


def two_responses(rng: Random, taken: Words, task: str) -> Drawn:
    return Drawn(
        {},
        rng.choice(
            (
                "Offer two different versions and divide them by six asterisks: ******",
                "Write it twice in different ways, with ****** between the two.",
                "I would like two distinct answers, set apart by a line of ******",
            )
        ),
    )


def repeat(rng: Random, taken: Words, task: str) -> Drawn:
    return Drawn(
        {"prompt_to_repeat": task},
        rng.choice(
            (
                "Before you answer, copy the first sentence of this message word for word.",
                "Open with my request exactly as the first sentence has it, then carry it out.",
                "First say the first sentence again without any change, and answer it after that.",
            )
        ),
    )


KINDS: dict[str, Draw] = {
    "punctuation:no_comma": no_comma,
    "change_case:english_lowercase": lowercase,
    "change_case:english_capital": capital,
    "change_case:capital_word_frequency": capital_words,
    "detectable_format:number_bullet_lists": bullets,
    "detectable_format:number_highlighted_sections": highlights,
    "detectable_format:multiple_sections": sections,
    "detectable_format:title": title,
    "detectable_format:json_format": json_format,
    "detectable_content:number_placeholders": placeholders,
    "detectable_content:postscript": postscript,
    "startend:end_checker": end_phrase,
    "startend:quotation": quotation,
    "keywords:existence": keywords,
    "keywords:frequency": frequency,
    "keywords:forbidden_words": forbidden,
    "keywords:letter_frequency": letters,
    "length_constraints:number_words": words,
    "length_constraints:number_sentences": sentences,
    "length_constraints:number_paragraphs": paragraphs,
    "length_constraints:nth_paragraph_first_word": first_word,
    "combination:two_responses": two_responses,
    "combination:repeat_prompt": repeat,
}

# Never trained on: chosen before any model was measured, some easy and some hard, some akin to a
# kind that is trained and some not. docs/instructions.md says why each.
HELD_OUT = (
    "keywords:letter_frequency",
    "length_constraints:number_sentences",
    "detectable_format:title",
    "change_case:english_capital",
    "detectable_format:multiple_sections",
    "combination:two_responses",
)
TRAINED = tuple(kind for kind in KINDS if kind not in HELD_OUT)

# Kinds by which others can still be followed: the rest of its row excludes each other. What is
# missing here goes with everything but what another row excludes.
_ONLY_WITH = {
    "detectable_format:json_format": (
        "keywords:existence",
        "keywords:forbidden_words",
        "keywords:letter_frequency",
        "change_case:english_lowercase",
    ),
    "combination:two_responses": (
        "keywords:existence",
        "keywords:forbidden_words",
        "detectable_format:title",
        "punctuation:no_comma",
    ),
    "combination:repeat_prompt": (
        "keywords:existence",
        "startend:end_checker",
        "detectable_content:number_placeholders",
        "detectable_content:postscript",
        "detectable_format:number_bullet_lists",
        "detectable_format:number_highlighted_sections",
        "punctuation:no_comma",
    ),
}
_NOT_WITH = {
    "change_case:english_lowercase": (
        "change_case:english_capital",
        "change_case:capital_word_frequency",
        "detectable_content:postscript",
        "startend:end_checker",
        "detectable_format:multiple_sections",
    ),
    "change_case:english_capital": (
        "change_case:capital_word_frequency",
        "startend:end_checker",
        "detectable_format:multiple_sections",
    ),
    "change_case:capital_word_frequency": (
        "detectable_content:postscript",
        "detectable_format:multiple_sections",
    ),
    "startend:end_checker": ("detectable_content:postscript", "startend:quotation"),
    "startend:quotation": ("detectable_format:title",),
    "detectable_format:number_bullet_lists": (
        "detectable_format:number_highlighted_sections",
        "length_constraints:number_paragraphs",
        "length_constraints:nth_paragraph_first_word",
        "length_constraints:number_sentences",
    ),
    "length_constraints:number_paragraphs": (
        "length_constraints:nth_paragraph_first_word",
        "detectable_format:number_highlighted_sections",
        "detectable_format:multiple_sections",
    ),
    "length_constraints:nth_paragraph_first_word": (
        "detectable_content:postscript",
        "detectable_format:multiple_sections",
        "detectable_format:title",
    ),
    "length_constraints:number_words": (
        "length_constraints:number_sentences",
        "keywords:letter_frequency",
    ),
    "length_constraints:number_sentences": (
        "length_constraints:number_paragraphs",
        "length_constraints:nth_paragraph_first_word",
        "detectable_format:multiple_sections",
        "detectable_content:postscript",
    ),
}


def go_together(one: str, other: str) -> bool:
    """Whether two kinds can be asked for in one prompt."""
    if one == other:
        return False
    for left, right in ((one, other), (other, one)):
        if left in _ONLY_WITH and right not in _ONLY_WITH[left]:
            return False
        if right in _NOT_WITH.get(left, ()):
            return False
    return True
