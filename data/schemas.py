"""Arrow schemas of every table that passes between two stages.

Rows are joined by id, never by position. `prompt_id` is unique within a prompt table;
`completion_id` is unique within a round.
"""

import pyarrow as pa

from data.activity_schemas import ACTIVITY_TABLES
from data.image_schemas import IMAGE_TABLES

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
# A completion of the run's own policy as it was sampled, in its tokenizer's ids, with the
# end-of-turn token where it was produced. Null where only text is known: recorded answers, those of
# people and of other models.
TOKEN_IDS = pa.list_(pa.int32())

PROMPTS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("messages", MESSAGES),
        ("dataset", pa.string()),
    ]
)

COMPLETIONS = pa.schema(
    [
        ("completion_id", pa.string()),
        ("prompt_id", pa.string()),
        ("sample", pa.int32()),  # 0 .. K-1
        ("completion", pa.string()),
        ("finish_reason", pa.string()),  # "stop" or "length"
        ("n_tokens", pa.int32()),
        ("token_ids", TOKEN_IDS),
    ]
)

SCORES = pa.schema(
    [
        ("completion_id", pa.string()),
        ("prompt_id", pa.string()),
        ("reward", pa.float64()),  # null: the conversation is longer than the model can read
    ]
)

# Other columns of a prompt file, for the reward functions that read them. A table of its own, so
# that a function that reads one more leaves prompts and answers what they are.
PROMPT_COLUMNS = pa.schema(
    [
        ("content", pa.string()),  # `data.readers.prompts.content_of` the messages
        ("columns", pa.string()),  # JSON of an object: values by column, those that are there
    ]
)

# Two completions of a prompt in a presumed order, before the labeller has seen them: the
# student's best and worst, or answers of two cells of the model matrix (then without rewards).
MINED = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("source", pa.string()),  # rule that made the pair: "best_worst", "matrix:version", ...
        ("best_model", pa.string()),
        ("worst_model", pa.string()),
        ("best_id", pa.string()),
        ("worst_id", pa.string()),
        ("best_completion", pa.string()),
        ("worst_completion", pa.string()),
        ("best_token_ids", TOKEN_IDS),
        ("worst_token_ids", TOKEN_IDS),
        ("best_reward", pa.float64()),
        ("worst_reward", pa.float64()),
    ]
)

# Two answers to a prompt that a judge is to compare.
ANSWER_PAIRS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("left_id", pa.string()),
        ("right_id", pa.string()),
        ("left", pa.string()),
        ("right", pa.string()),
    ]
)

# What a language model says of two answers, which it has seen in both orders.
VERDICTS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("left_id", pa.string()),
        ("right_id", pa.string()),
        ("outcome", pa.float64()),  # 1 the left is better, 0 the right, 0.5 a tie; null: unjudged
        # By how much, above 0 for the left, mean of both orders: nats of log-odds, or of words
        # -1 to 1. 0 where the orders contradict each other. Null: unjudged.
        ("margin", pa.float64()),
        ("turned", pa.bool_()),  # the judge preferred a place and not an answer; made a tie
        ("unjudged", pa.string()),  # "unparsable", "too_long", "refused"; null: judged
        ("left_first_margin", pa.float64()),  # for the left, where it was shown as A
        ("right_first_margin", pa.float64()),  # for the left, where it was shown as B
        ("left_first_text", pa.string()),  # what the judge wrote; null: its letters were read
        ("right_first_text", pa.string()),
        ("left_addresses", pa.list_(pa.string())),  # how the answer speaks to the judge, if it does
        ("right_addresses", pa.list_(pa.string())),
    ]
)

# Preferences carry what the trainers need, so that training reads one table.
PREFERENCES = pa.schema(
    [
        ("pair_id", pa.string()),  # unique; a prompt may have several pairs
        ("prompt_id", pa.string()),
        ("messages", MESSAGES),
        ("dataset", pa.string()),
        ("chosen", pa.string()),
        ("rejected", pa.string()),
        ("chosen_token_ids", TOKEN_IDS),
        ("rejected_token_ids", TOKEN_IDS),
        ("chosen_id", pa.string()),
        ("rejected_id", pa.string()),
        ("chosen_model", pa.string()),  # "policy", or a cell of the model matrix
        ("rejected_model", pa.string()),
        ("source", pa.string()),  # as in MINED; "given" for preferences a user brought
        ("margin", pa.float64()),  # labeller's reward of chosen minus rejected; null: none known
        ("chosen_reward", pa.float64()),  # the labeller's; null: it compares, or ordered by cells
        ("weight", pa.float64()),
        ("swapped", pa.bool_()),  # the teacher reversed the student's order
        ("round", pa.int32()),  # 0: preferences from before the first round
    ]
)

# Answers to learn from, at most one per prompt: those that a scorer picked from several, or all.
DEMONSTRATIONS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("messages", MESSAGES),
        ("dataset", pa.string()),
        ("completion_id", pa.string()),
        ("completion", pa.string()),
        ("token_ids", TOKEN_IDS),
        ("reward", pa.float64()),  # the scorer's; null where nothing was picked
    ]
)

# What a teacher gives as the next token at every position of a completion, of T tokens with the
# end of turn: the K most likely ones. Lists are null where it cannot read the row whole.
TARGETS = pa.schema(
    [
        ("completion_id", pa.string()),
        ("prompt_id", pa.string()),
        ("token_ids", TOKEN_IDS),  # T, as the teacher has read them
        ("logps", pa.list_(pa.float32())),  # T, of these tokens, nats
        ("rest", pa.list_(pa.float32())),  # T, probability of all that is not kept; 0: nothing is
        ("top_ids", pa.list_(pa.int32())),  # T * K, position by position, the most likely first
        ("top_logps", pa.list_(pa.float16())),  # T * K, nats
    ]
)

# How the texts of an interval are mixed from domains, and by what; see `data.domains`.
MIXTURES = pa.schema(
    [
        ("dataset", pa.string()),  # the domain
        ("texts", pa.int64()),  # that it has to learn
        ("tokens", pa.int64()),  # of its held-out texts that both models read whole
        ("unread", pa.int64()),  # held-out texts that one of the two does not
        ("teacher_nll", pa.float64()),  # nats a token
        ("student_nll", pa.float64()),
        ("ratio", pa.float64()),  # of the perplexities, clipped
        ("factor", pa.float64()),  # r; they sum to one
        ("share", pa.float64()),  # of the interval's texts; in the first by `texts`
        ("drawn", pa.int64()),  # texts of the interval
        ("cursor", pa.int64()),  # where in the domain's endless sequence these begin
    ]
)

# The texts of an interval, by their names.
DRAWS = pa.schema(
    [
        ("completion_id", pa.string()),  # of DEMONSTRATIONS; may come again in a later pass
        ("prompt_id", pa.string()),
        ("dataset", pa.string()),
        ("pass", pa.int64()),  # how often all texts of its domain had been drawn before
    ]
)

REFERENCE_LOGPS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("chosen_logp", pa.float64()),  # summed over completion tokens, nats
        ("rejected_logp", pa.float64()),
    ]
)

# One row per held-out prompt: base and policy answer under the same decoding.
EVALUATION = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("dataset", pa.string()),
        ("base_completion", pa.string()),
        ("policy_completion", pa.string()),
        ("base_score", pa.float64()),
        ("policy_score", pa.float64()),
        ("outcome", pa.float64()),  # 1 win, 0.5 tie, 0 loss
    ]
)

# One row per instruction of each held-out prompt: whether both answers follow it.
FOLLOWED = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("dataset", pa.string()),
        ("kind", pa.string()),  # IFEval's name of it
        ("base", pa.bool_()),  # null: it has no checker, or that failed
        ("policy", pa.bool_()),
    ]
)

# A teacher's judgments recorded earlier, one per judged completion.
JUDGMENTS = pa.schema(
    [
        ("completion_id", pa.string()),
        ("prompt_id", pa.string()),
        ("reward", pa.float64()),
        ("judge", pa.string()),
    ]
)

# The completion of a prompt that a scorer held for the best, as its owner recorded it.
PICKS = pa.schema(
    [
        ("picker", pa.string()),
        ("prompt_id", pa.string()),
        ("completion_id", pa.string()),
    ]
)

# Two completions of a prompt that a recorded judge tells apart.
JUDGED_PAIRS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("better_id", pa.string()),
        ("worse_id", pa.string()),
        ("margin", pa.float64()),  # judge's reward of the better minus the worse, > 0
        ("length_ratio", pa.float64()),  # characters of the better over those of the worse
    ]
)

# Preferences of the model matrix with the places of both models, for use outside of this project.
MATRIX_PAIRS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("prompt_id", pa.string()),
        ("instruction", pa.string()),  # the user's last message
        ("dataset", pa.string()),
        ("chosen", pa.string()),
        ("rejected", pa.string()),
        ("chosen_model", pa.string()),
        ("rejected_model", pa.string()),
        ("chosen_version", pa.float64()),
        ("chosen_scale", pa.float64()),
        ("rejected_version", pa.float64()),
        ("rejected_scale", pa.float64()),
        ("family", pa.string()),  # of a pair with people: the model's
        ("axis", pa.string()),  # what the presumed order rests on: "version", "scale", ...
        ("source", pa.string()),  # as in PREFERENCES
        ("margin", pa.float64()),
        ("swapped", pa.bool_()),
    ]
)

# Texts for encoders, documents or queries; `text_id` is unique within a table.
TEXTS = pa.schema(
    [
        ("text_id", pa.string()),
        ("text", pa.string()),
        ("dataset", pa.string()),
    ]
)

# What an encoder makes of them.
VECTORS = pa.schema(
    [
        ("text_id", pa.string()),
        ("vector", pa.list_(pa.float32())),
    ]
)

# Judgments of a retrieval collection; what is not judged is of no relevance.
RELEVANCE = pa.schema(
    [
        ("query_id", pa.string()),
        ("document_id", pa.string()),
        ("relevance", pa.int32()),  # the higher, the more relevant; 0: not
    ]
)

# One row per judged query and way to keep the documents' vectors.
RETRIEVED = pa.schema(
    [
        ("query_id", pa.string()),
        ("dimensions", pa.int32()),  # the first so many of both vectors
        ("precision", pa.string()),  # of the documents' vectors: "float32", "int8", "binary"
        ("ndcg", pa.float64()),
    ]
)

# Pairs of texts that people gave a score for how alike they are.
TEXT_PAIRS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("left_id", pa.string()),
        ("right_id", pa.string()),
        ("score", pa.float64()),
    ]
)

# Questions that a model is asked on behalf of something: so many examples, a draft that is the
# example, a style.
ASKED = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("messages", MESSAGES),
        ("dataset", pa.string()),  # the task
        ("subject", pa.string()),  # on whose behalf
        ("item_id", pa.string()),  # the question, of a table of these
    ]
)

# Whether the answers to them are right.
GRADED = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("dataset", pa.string()),
        ("subject", pa.string()),
        ("item_id", pa.string()),
        ("correct", pa.bool_()),
    ]
)

# Questions as an item response model has them; see `models.item_response`.
ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("dataset", pa.string()),
        ("right", pa.float64()),  # share of the persons who answer it
        ("discrimination", pa.float64()),
        ("difficulty", pa.float64()),
        ("chosen", pa.bool_()),  # whether it scores drafts
    ]
)

# Schema of an artifact's data.parquet by the artifact's kind; the store checks these.
TABLES = {
    "prompts": PROMPTS,
    "completions": COMPLETIONS,
    "scores": SCORES,
    "prompt_columns": PROMPT_COLUMNS,
    "mined": MINED,
    "answer_pairs": ANSWER_PAIRS,
    "verdicts": VERDICTS,
    "preferences": PREFERENCES,
    "demonstrations": DEMONSTRATIONS,
    "targets": TARGETS,
    "mixtures": MIXTURES,
    "draws": DRAWS,
    "reference_logps": REFERENCE_LOGPS,
    "evaluation": EVALUATION,
    "followed": FOLLOWED,
    "judgments": JUDGMENTS,
    "picks": PICKS,
    "judged_pairs": JUDGED_PAIRS,
    "matrix_pairs": MATRIX_PAIRS,
    "texts": TEXTS,
    "vectors": VECTORS,
    "relevance": RELEVANCE,
    "retrieved": RETRIEVED,
    "text_pairs": TEXT_PAIRS,
    "asked": ASKED,
    "graded": GRADED,
    "items": ITEMS,
    **ACTIVITY_TABLES,
    **IMAGE_TABLES,
}
