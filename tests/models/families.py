"""Five kinds of chat template over tokenizers whose every id can be counted by hand.

The templates are written for these tests in the manner of Llama 3, Qwen 2.5, Gemma, Mistral (as it
was at first, and with control tokens) and plain ChatML. Ids: special tokens from 0 on in the order
given, words from `FIRST` on, in the order of `WORDS` or `SPACED`.
"""

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

FIRST = 10  # 40 for a reward model's tokenizer, so that no id means the same word
# 10        11      12        13      14           15       16    17       18        19
WORDS = [
    *("\n", "\n\n", "system", "user", "assistant", "model", "Be", " kind", " brief", "."),
    *("What", " is", " 2", "?", "It", " 4", "And", " 3"),
]  # 20     21     22    23   24    25    26     27
# 10          11      12     13     14      15          16     17     18      19
SPACED = [
    *("▁[INST]", "▁What", "▁is", "▁2?", "▁And", "▁3?", "▁[/INST]", "▁It", "▁4.", "▁Be"),
    *("▁brief.", "▁a", "It"),
]  # 20         21    22
BYTE_PAIRS = Regex(r"\n+| ?\w+| ?[^\w\s]+| ")

LLAMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' }}"
    "{{ m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
CHATML = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
QWEN = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}{% endif %}" + CHATML
)
ALTERNATE = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must go user, assistant, user, ...') }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('There is no system role') }}{% endif %}" + ALTERNATE + ""
    "{% for m in messages %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\\n' + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}" + ALTERNATE + "{% for m in messages %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
# With control tokens, and what the system says put before the last message, if it is the user's.
MISTRAL_3 = (
    "{% set system, talk = '', messages %}{% if messages[0]['role'] == 'system' %}"
    "{% set system, talk = messages[0]['content'] + '\\n\\n', messages[1:] %}{% endif %}"
    "{{ bos_token }}{% for m in talk %}{% if m['role'] == 'user' %}"
    "{{ '[INST] ' + (system if loop.last else '') + m['content'] + '[/INST]' }}"
    "{% else %}{{ ' ' + m['content'] | trim + eos_token }}{% endif %}{% endfor %}"
)

LLAMA_MARKS = [
    *("<|begin_of_text|>", "<|end_of_text|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
]
QWEN_MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
GEMMA_MARKS = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"]
MISTRAL_MARKS = ["<unk>", "<s>", "</s>"]

# template, special tokens, BOS, EOS, padding: in four of six it is the EOS token.
FAMILIES: dict[str, tuple[str, list[str], str | None, str, str]] = {
    "llama": (LLAMA, LLAMA_MARKS, "<|begin_of_text|>", "<|eot_id|>", "<|eot_id|>"),
    "chatml": (CHATML, QWEN_MARKS, None, "<|im_end|>", "<|im_end|>"),
    "qwen": (QWEN, QWEN_MARKS, None, "<|im_end|>", "<|endoftext|>"),
    "gemma": (GEMMA, GEMMA_MARKS, "<bos>", "<eos>", "<pad>"),
    "mistral": (MISTRAL, MISTRAL_MARKS, "<s>", "</s>", "</s>"),
    "mistral-3": (MISTRAL_3, [*MISTRAL_MARKS, "[INST]", "[/INST]"], "<s>", "</s>", "</s>"),
}


def tokenizer_of(family: str, first: int = FIRST) -> PreTrainedTokenizerFast:
    """The family's tokenizer, words from the id `first` on; it begins a text with its BOS."""
    template, special, bos, eos, pad = FAMILIES[family]
    spaced = family.startswith("mistral")
    words = SPACED if spaced else WORDS
    known = [*special, *(f"<{i}>" for i in range(len(special), first)), *words]
    unknown = special[0] if spaced else f"<{len(special)}>"
    vocabulary = {word: i for i, word in enumerate(known)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    if spaced:  # as SentencePiece cuts: a word takes its space along, the first one is given one
        scheme = "always" if family == "mistral" else "first"
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Metaspace(prepend_scheme=scheme),
                pre_tokenizers.Split(Regex(r"\n+"), "isolated"),
            ]
        )
        backend.decoder = decoders.Metaspace(prepend_scheme=scheme)
    else:
        backend.pre_tokenizer = pre_tokenizers.Split(BYTE_PAIRS, "isolated")
        backend.decoder = decoders.Fuse()
    backend.add_special_tokens(special)
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, special.index(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        unk_token=unknown if spaced else None,
        chat_template=template,
    )
