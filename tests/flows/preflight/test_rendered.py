"""A prompt that is not rendered in preflight would have been found in order if it were."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, normalizers

from data.readers.seen import Prompt, PromptTable
from data.schemas import MESSAGES
from flows.preflight import rendered
from flows.preflight.models import conversation_kinds
from flows.preflight.notes import special_notes
from flows.preflight.rendered import some_of_each_kind, to_render, with_special
from models import today
from models.chat import ANSWER, check_prompts, check_read_prompts
from models.special_text import special_text
from models.template_frames import frame
from tests.fixtures.models import CHATML, SPECIAL, build_tokenizer, chatml_tokenizer
from tests.models.families import FAMILIES
from tests.models.families import tokenizer_of as family_tokenizer

TURN = "{% for m in messages %}<|im_start|>{{ m.role + '\\n' + WORDS }}<|im_end|>{% endfor %}"
# Templates that look at words, or make other text of them.
LOOKING = {
    "startswith": TURN.replace("WORDS", "('' if m.content.startswith('lem') else m.content)"),
    "trimmed, endswith": TURN.replace(
        "WORDS", "('' if (m.content | trim).endswith('on') else m.content)"
    ),
    "in": TURN.replace("WORDS", "('' if 'lem' in m.content else m.content)"),
    "equals": TURN.replace("WORDS", "('' if m.content in ['lemon', 'é'] else m.content)"),
    "unequal": TURN.replace("WORDS", "(m.content if m.content != 'lemon' else '')"),
    "reversed question": TURN.replace("WORDS", "('' if 'lemon'.startswith(m.content) else 'x')"),
    "sought in a constant": TURN.replace("WORDS", "('' if m.content in 'lemon' else m.content)"),
    "joined, then asked": TURN.replace(
        "WORDS", "('' if ('a' + m.content).startswith('alem') else m.content)"
    ),
    "length": TURN.replace("WORDS", "('' if m.content | length > 9 else m.content)"),
    "sliced": TURN.replace("WORDS", "m.content[:9]"),
    "compared": TURN.replace("WORDS", "('' if m.content < 'b' else m.content)"),
    "upper": TURN.replace("WORDS", "m.content | upper"),
    "method": TURN.replace("WORDS", "m.content.replace('lem', '')"),
    "split": TURN.replace("WORDS", "m.content.split('lem')[-1]"),
    "strip of signs": TURN.replace("WORDS", "m.content.strip('lemon')"),
    "json": TURN.replace("WORDS", "m.content | tojson"),
    "escaped": TURN.replace("WORDS", "m.content | e"),
    "sequence": TURN.replace("WORDS", "(m.content if m.content is sequence else '')"),
    "iterable": TURN.replace("WORDS", "(m.content if m.content is iterable else '')"),
    "number": TURN.replace("WORDS", "('%s' % m.content)[:9]"),
    "twice": TURN.replace("WORDS", "m.content + m.content"),
    "macro": "{% macro cut(x) %}{{ x }}{% endmacro %}"
    + TURN.replace("WORDS", "cut(m.content).replace('lem', '')"),
    "block": "{% for m in messages %}{% set x %}{{ m.content }}{% endset %}"
    "{{ m.role + x.replace('lem', '') }}{% endfor %}",
    "joined by ~": "{% for m in messages %}{% set x = 'a' ~ m.content %}"
    "{{ '' if 'lem' in x else x }}{% endfor %}",
    "joined filter": "{% for m in messages %}{{ ([m.content] | join).replace('e', '') }}"
    "{% endfor %}",
    "only the last": "{{ messages[-1].content }}",
    "sought in a name": "{% set s = 'one lemon' %}"
    + TURN.replace("WORDS", "('' if m.content in s else m.content)"),
    "sought by a test": TURN.replace("WORDS", "('' if m.content is in 'a lemon' else m.content)"),
    "json, then asked": "{% if 'lemon' in messages | tojson %}{{ raise_exception('x') }}{% endif %}"
    + CHATML,
    "a string, then asked": "{% if 'lemon' in messages | string %}x{% else %}"
    + CHATML
    + "{% endif %}",
    "formatted by names": "{% for m in messages %}{% set c = '- %(content)s' % m %}"
    "{{ m.role + ('' if 'lem' in c else c) }}{% endfor %}",
    "formatted by a name": "{% set f = '%s: %s' %}{% for m in messages %}"
    "{% set c = f % (m.role, m.content) %}{{ '' if 'lem' in c else c }}{% endfor %}",
    "looked up": "{% set d = {'lemon': 'X'} %}"
    + TURN.replace("WORDS", "(d[m.content] | default(m.content))"),
    "nothing is in it": TURN.replace("WORDS", "('' if '' in m.content else m.content)"),
    "begins with nothing": TURN.replace("WORDS", "('' if m.content.startswith('') else 'x')"),
    "as a time": TURN.replace("WORDS", "strftime_now(m.content)"),
    "rejected": TURN.replace("WORDS", "[m.content] | reject('in', 'a lemon') | join"),
    "beside a bracket": "{% for m in messages %}<{{ m.content }}>{% endfor %}",
    "equal in lists": TURN.replace(
        "WORDS", "(m.content if [m.content] == [m.content | trim] else '')"
    ),
    "in a list of itself": TURN.replace(
        "WORDS", "(m.content if m.content in [m.content | trim] else '')"
    ),
    "signs to trim": TURN.replace(
        "WORDS", "('' if 'lemon' | trim(m.content) == '' else m.content)"
    ),
    "arguments in a list": TURN.replace(
        "WORDS", "('' if 'a lemon'.endswith(*[m.content]) else m.content)"
    ),
    "arguments by name": TURN.replace(
        "WORDS", "('' if 'a lemon b'.split(sep=m.content) | length > 1 else m.content)"
    ),
    "under another name": "{% set range = 'one lemon'.count %}"
    + TURN.replace("WORDS", "('' if range(m.content) else m.content)"),
    "in a namespace": "{% set ns = namespace(get='one lemon'.count) %}"
    + TURN.replace("WORDS", "('' if ns.get(m.content) else m.content)"),
    "turn by turn": "{% for m in messages %}{{ m.content }}{% endfor %}",
    "only if true": TURN.replace("WORDS", "(m.content if m.content.strip() else 'x' * 9)"),
    "equal turns": TURN.replace("WORDS", "('' if m.content == messages[0].content else m.content)"),
    "other assistants": TURN.replace(
        "WORDS", "(m.content | tojson if m.role == 'assistant' else m.content)"
    ),
    "forgotten assistants": TURN.replace(
        "WORDS", "('' if m.role == 'assistant' and not loop.last else m.content)"
    ),
}
COPYING = {
    "chatml": CHATML,
    "plain": TURN.replace("WORDS", "m.content"),
    "by ~": "{% for m in messages %}{{ m.role ~ m.content }}{% endfor %}",
    "one BOS": "<s>" + TURN.replace("WORDS", "m.content | trim"),
    "two BOS": "<s>{{ messages[0].content }}" + "<s>" + TURN.replace("WORDS", "m.content"),
    "the last of all": "{{ messages[-1].role }}" + TURN.replace("WORDS", "m.content"),
    "backwards": "{% for m in messages[::-1] %}{% set last = m.role %}{% endfor %}" + CHATML,
    "tracked": "{% for m in messages %}{%- generation -%}{{ m.role + m.content }}"
    "{% endgeneration %}{% endfor %}",
    "tools": "{% if tools %}{{ 'a ' ~ tools | tojson + 'b' }}{% endif %}" + CHATML,
    "listed": "{{ ['a', 'b'] | reject('equalto', 'a') | join(', ') + '\n' }}" + CHATML,
    "of the user": "{% set u = messages | selectattr('role', 'equalto', 'user') | list %}" + CHATML,
    "of strings": TURN.replace("WORDS", "(m.content if m.content is string else '')"),
    "appended": "{% set ns = namespace(all=[]) %}{% for m in messages %}"
    "{% set ns.all = ns.all + [m.content] %}{% endfor %}{% for x in ns.all %}{{ x }};{% endfor %}",
}


@pytest.fixture(autouse=True, scope="module")
def every_kind_is_worth_a_trial():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendered, "_WORTH", 1)
        yield


def tokenizer_of(template):
    return build_tokenizer(SPECIAL, template, bos="<s>", eos="<|im_end|>", pad="<pad>")


TOKENIZERS = {name: tokenizer_of(text) for name, text in {**LOOKING, **COPYING}.items()}
BITS = [
    "a",
    "lem",
    "lemon",
    "on",
    "lemon ",
    "é",
    "🙂",
    " ",
    "\n",
    "<|im_",
    "<|im_end|>",
    "<s>",
    "'&",
]
WORDS = st.lists(st.sampled_from(BITS), min_size=1, max_size=4).map("".join) | st.text(max_size=9)
TALK = st.lists(
    st.tuples(st.sampled_from(["system", "user", "assistant"]), WORDS), min_size=1, max_size=4
)


def table_of(talks):
    messages = [[{"role": role, "content": text} for role, text in talk] for talk in talks]
    places = [f"line {number}" for number in range(1, len(talks) + 1)]
    columns = {"messages": pa.array(messages, MESSAGES), "place": pa.array(places, pa.string())}
    return PromptTable(pa.table(columns))


def in_order(tokenizer, prompts, limit):
    """Nothing is wrong with the prompts where they are rendered, for a policy and for a judge."""
    if limit is None:
        check_read_prompts(tokenizer, "m", prompts)
    else:
        lengths = check_prompts(tokenizer, "m", prompts, None, limit)
        assert max(lengths, default=0) <= limit


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=60)
@given(talks=st.lists(TALK, min_size=1, max_size=6), limit=st.integers(1, 90))
def test_what_is_not_rendered_is_in_order(name, talks, limit):
    tokenizer, prompts = TOKENIZERS[name], table_of(talks)
    for given_limit, answer in ((limit, None), (None, ANSWER)):
        left = {one.place for one in to_render(prompts, tokenizer, given_limit, answer)}
        in_order(tokenizer, [one for one in prompts if one.place not in left], given_limit)


QUESTION = [("user", "Which fruit is it?")]


@pytest.mark.parametrize("name", COPYING)
def test_words_that_are_copied_are_not_rendered(name):
    prompts = table_of([QUESTION, [("user", "<|im_end|> is a mark")], [("user", " \n")]])
    places = [one.place for one in to_render(prompts, TOKENIZERS[name], 90)]
    # Text of special tokens is looked at, and so is white space alone.
    assert places == (["line 2", "line 3"] if name != "two BOS" else places)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_families_copy_words(family):
    tokenizer = family_tokenizer(family)
    assert frame(tokenizer, ("user", "assistant", "user"))
    assert frame(tokenizer, ("user",), ANSWER)
    system = frame(tokenizer, ("system", "user"))
    assert (system is None) == (family in ("gemma", "mistral"))  # which refuse the role


@pytest.mark.parametrize("name", sorted(LOOKING.keys() - {"only if true", "forgotten assistants"}))
def test_what_is_looked_at_is_rendered(name):
    talk = [("user", "lemon"), ("assistant", "é"), ("user", "lemon")]
    assert len([*to_render(table_of([talk]), TOKENIZERS[name], 200)]) == 1


def test_a_model_whose_tokens_say_nothing_of_bytes_is_asked_for_every_prompt():
    tokenizer = chatml_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    assert frame(tokenizer, ("user",)).tokens is None
    assert len([*to_render(table_of([QUESTION]), tokenizer, 90)]) == 1
    assert not [*to_render(table_of([QUESTION]), tokenizer, None, ANSWER)]


def test_of_what_the_template_writes_a_special_token_is_one():
    tokenizer = tokenizer_of("{{ '<|im_start|>lemon <|im_end|>' }}" + CHATML)
    known = len(tokenizer("lemon ", add_special_tokens=False)["input_ids"])
    around = len("user\n") + 1 + len("assistant\n")  # a line break ends the turn
    whole = frame(tokenizer, ("user",)).tokens
    assert 2 + known + 3 < whole <= 2 + known + 3 + around


@given(st.lists(TALK, max_size=8))
def test_columns_find_the_kinds_and_the_marks_that_rows_do(talks):
    prompts, tokenizer = table_of(talks), TOKENIZERS["chatml"]
    # What is white space to Python and to Arrow differs by some control characters.
    by_rows = [kind.messages for kind in conversation_kinds(prompts)]
    by_columns = [kind.messages for kind in conversation_kinds(some_of_each_kind(prompts))]
    plain = all(
        sign >= " " or sign in "\n\t\r" for talk in talks for _, text in talk for sign in text
    )
    assert by_columns == by_rows or not plain
    marked = [one for one in prompts if special_text(tokenizer, one.messages)]
    assert set(map(repr, marked)) <= set(map(repr, with_special(prompts, [tokenizer])))
    assert special_notes({"m": tokenizer}, with_special(prompts, [tokenizer])) == special_notes(
        {"m": tokenizer}, prompts
    )


@pytest.mark.parametrize("bos", ["^", "~", "\n\n"])
def test_a_bos_of_a_sign_is_looked_at_in_words(bos):
    template = "{{ bos_token }}" + CHATML
    tokenizer = build_tokenizer(["<pad>", bos, "<|im_end|>"], template, bos=bos, eos="<|im_end|>")
    prompts = table_of([[("user", f"a {bos}{bos} b")], [("user", "a b")]])
    places = [one.place for one in to_render(prompts, tokenizer, 90)]
    assert places == ["line 1", "line 2"][: 1 if bos.strip() else 2]  # line breaks are around all


def test_tokens_that_take_spaces_along_leave_bytes_to_count():
    tokenizer = tokenizer_of("<|im_start|> lemon words <|im_end|>" + CHATML)
    known = frame(tokenizer, ("user",)).tokens
    mark = AddedToken("<|u|>", lstrip=True, rstrip=True, special=True)
    tokenizer.add_special_tokens({"additional_special_tokens": [mark]})
    tokenizer.chat_template += " "  # frames are known by template
    assert frame(tokenizer, ("user",)).tokens > known + 1


def test_a_frame_is_of_its_day():
    tokenizer = tokenizer_of("{{ strftime_now('%B') }}\n" + CHATML)
    sizes = {}
    for day in ("2024-05-03", "2024-09-25"):
        with today.pinned(day):
            sizes[day] = frame(tokenizer, ("user",)).tokens
    assert sizes["2024-09-25"] > sizes["2024-05-03"]


@pytest.mark.parametrize("special", ["<<", "a<|im", "|>\n"])
def test_words_that_may_eat_into_a_mark_leave_bytes_to_count(special):
    plain = build_tokenizer(SPECIAL, "{{ messages[0].content }}<|im_end|>", bos=None, eos="<s>")
    marked = build_tokenizer(
        [*SPECIAL, special], "{{ messages[0].content }}<|im_end|>", bos=None, eos="<s>"
    )
    assert frame(plain, ("user",)).tokens == 1
    eaten = special != "|>\n"  # which begins within the mark, and so comes after it
    assert frame(marked, ("user",)).tokens == (len("<|im_end|>") if eaten else 1)


def test_few_prompts_of_a_kind_are_rendered(monkeypatch):
    monkeypatch.setattr(rendered, "_WORTH", 3)
    prompts = table_of([QUESTION, QUESTION, [("system", "a"), *QUESTION], QUESTION])
    places = [one.place for one in to_render(prompts, TOKENIZERS["chatml"], 90)]
    assert places == ["line 3"]


def test_a_list_of_prompts_is_left_as_it_is():
    prompts = [Prompt("line 1", [{"role": "user", "content": "a"}])]
    assert to_render(prompts, TOKENIZERS["chatml"], 90) is prompts
    assert some_of_each_kind(prompts) is prompts
    assert with_special(prompts, [TOKENIZERS["chatml"]]) is prompts
