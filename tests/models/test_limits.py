"""A chat template that takes all time or all memory is refused in one line."""

import threading
import time

import pytest

from data.errors import InputError
from models import chat, chat_template
from models.chat import check_chat_template
from models.limits import LimitError, cpu_seconds

ASKED = [{"role": "user", "content": "What is 1 plus 1?"}]
LOOP = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
TEMPLATES = {
    "loops": LOOP,
    "calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "power": "{{ messages|length * 9 ** (9 ** 9) }}",
    "grows": "{% set n = namespace(x='a' * 999999) %}"
    "{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "nested": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
}


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_template_that_never_ends_is_refused_in_one_line(tokenizer, monkeypatch, template):
    monkeypatch.setattr(chat_template, "_MOST_SECONDS", 0.3)
    monkeypatch.setattr(chat, "_MOST_MEMORY", 2**28)
    monkeypatch.setattr(tokenizer, "chat_template", template)
    started = time.process_time()
    with pytest.raises(InputError, match=r"^policy\.model: the chat template ") as error:
        check_chat_template(tokenizer, "policy.model", ASKED)
    assert "\n" not in str(error.value) and "use another template" in str(error.value)
    assert time.process_time() - started < 10


def test_time_is_counted_while_the_process_computes_and_only_there():
    with cpu_seconds(0.2):
        time.sleep(0.4)
    with pytest.raises(LimitError), cpu_seconds(0.2):
        while True:
            pass


def test_another_thread_has_no_limit_and_is_not_disturbed():
    done = []

    def work():
        with cpu_seconds(0.01):
            done.append(sum(range(10**6)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done
