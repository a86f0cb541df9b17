"""The columns that a function reads, from its syntax alone."""

import pytest

from data.errors import InputError
from data.function_parameters import columns_of


@pytest.fixture
def of(tmp_path):
    def read(source, name="f"):
        path = tmp_path / "mine.py"
        path.write_text(source)
        return columns_of(path, name, "teacher.model")

    return read


@pytest.mark.parametrize(
    ("source", "needs", "uses"),
    [
        ("def f(prompts, completions): ...", (), ()),
        ("def f(completions, **kwargs): ...", (), ()),
        ("def f(completions, answer, **kwargs): ...", ("answer",), ()),
        ("def f(prompts, completions, *, answer, style=None): ...", ("answer",), ("style",)),
        ("def f(completions, trainer_state=None, log_extra=None, **_): ...", (), ()),
        ("def f(**kw):\n    return kw['answer'], kw.get('style', 1)", ("answer",), ("style",)),
        ("def f(style=1, **kw):\n    return kw['style']", ("style",), ()),
        ("async def f(completions, answer, **kwargs): ...", ("answer",), ()),
        ("if True:\n    def f(a, **k): ...\nelse:\n    def f(b, **k): ...", ("b",), ()),
        ("try:\n    import x\nexcept ImportError:\n    def f(a, **k): ...", ("a",), ()),
        ("raise SystemExit('must not run')\ndef f(a, **k): ...", ("a",), ()),
    ],
)
def test_columns(of, source, needs, uses):
    assert of(source) == (needs, uses)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("from other import f", "has no `def f`"),
        ("class A:\n    def f(self, prompts, completions): ...", "has no `def f`"),
        ("def f(prompts, completions, /): ...", "takes arguments by place"),
        ("def f(*texts): ...", "takes arguments by place"),
        ("def f(texts): ...", "takes no 'prompts'"),
        ("def f(prompts): ...", "takes no 'completions'"),
        ("def f(completion_ids, **kwargs): ...", "'completion_ids', which only a trainer has"),
        ("def f(:", "is no Python"),
    ],
)
def test_what_cannot_be_called(of, source, says):
    with pytest.raises(InputError, match="teacher.model: ") as refused:
        of(source)
    assert says in str(refused.value) and "\n" not in str(refused.value)
