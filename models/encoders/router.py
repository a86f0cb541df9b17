"""Teacher and student as one encoder: documents by the teacher, queries by the student.

What LEAF calls asymmetric: an index that the teacher has made stays as it is, and a query costs
what the student costs. A folder of sentence-transformers' `Router`, which any of its users loads:

    model = SentenceTransformer(folder)
    model.encode_query("..."), model.encode_document("...")
"""

from pathlib import Path

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router

from data.recipes.recipe import RuntimeConfig
from models.encoders.loading import check_same, load_encoder, pipeline, probe
from models.silence import quiet


@quiet()
def save_router(
    out: Path, *, student: Path, teacher: Path, prompts: dict[str, str], runtime: RuntimeConfig
) -> None:
    """Write the folder; `prompts` by "query" and "document".

    Raises:
        TrainingError: what is read back does not give each side's vectors.
    """
    asked, kept = (load_encoder(one, runtime, on_cpu=True) for one in (student, teacher))
    before = probe(asked), probe(kept)
    router = Router.for_query_document(
        query_modules=pipeline(asked), document_modules=pipeline(kept), default_route="document"
    )
    whole = SentenceTransformer(
        modules=[router], device="cpu", prompts=prompts, similarity_fn_name="cosine"
    )
    whole.save_pretrained(str(out), create_model_card=False)
    saved = load_encoder(out, runtime, on_cpu=True)
    check_same(before[0], probe(saved, "query"))
    check_same(before[1], probe(saved, "document"))
