"""Instructions on the form of an answer: case and marks, layout, parts and length."""

from random import Random

from data.instructed.drawn import RELATIONS, Drawn, Words, number

FIRST_WORDS = "however finally often maybe usually nobody meanwhile later once perhaps".split()
MARKS = ("Section", "Part", "Step", "Chapter", "SECTION")


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
    shown = number(rng, n)
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
    shown = number(rng, n)
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
    shown = number(rng, n)
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


def sections(rng: Random, taken: Words, task: str) -> Drawn:
    n, mark = rng.randint(2, 3), rng.choice(MARKS)
    shown = number(rng, n)
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
    shown = number(rng, n)
    if relation == "at least":
        text = rng.choice(
            (f"Write {shown} sentences or more.", f"No less than {shown} sentences will do.")
        )
    else:
        text = rng.choice(
            (f"Use fewer than {shown} sentences.", f"Keep it below {shown} sentences.")
        )
    return Drawn({"relation": relation, "num_sentences": n}, text)


def paragraphs(rng: Random, taken: Words, task: str) -> Drawn:
    n = rng.randint(2, 3)
    shown = number(rng, n)
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
    shown = number(rng, n)
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
