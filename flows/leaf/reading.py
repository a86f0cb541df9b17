"""What the files of a LEAF recipe hold, looked at before a run."""

from pathlib import Path

from data.errors import InputError
from data.files import check_regular
from data.paths import named_path
from data.readers.known_data import where_from
from data.readers.retrieval import (
    ASKED,
    CORPUS,
    JUDGED,
    read_corpus,
    read_pairs,
    read_queries,
    read_texts,
)
from data.readers.seen import Counted
from data.recipes.encoders import (
    EncoderEvaluation,
    EncoderStudent,
    EncoderTeacher,
    LayersBackbone,
    OwnBackbone,
    Side,
    TextsConfig,
)
from data.recipes.names import namings
from flows.preflight.encoders import (
    check_dimensions,
    check_encoder,
    check_installed,
    check_layers,
)


def check(
    teacher: EncoderTeacher,
    texts: TextsConfig,
    student: EncoderStudent,
    evaluate: EncoderEvaluation,
    trusted: bool,
) -> None:
    """Raises InputError where the library is missing, or an encoder, a file or a folder will not
    do."""
    check_installed()
    folder = check_encoder("teacher.model", teacher.model, trusted)
    backbone = student.backbone
    if isinstance(backbone, LayersBackbone):
        check_layers("teacher.model", folder, backbone.layers)
    elif isinstance(backbone, OwnBackbone):
        check_encoder("student.backbone.model", backbone.model, trusted)
    check_dimensions("teacher.model", folder, evaluate.dimensions)
    counted(texts, student, evaluate)


def counted(texts: TextsConfig, student: EncoderStudent, evaluate: EncoderEvaluation) -> Counted:
    """How many texts there are. Raises InputError for files that cannot be read."""
    parts = {f"{side} to learn": _learned(texts, side) for side in student.sides}
    names = dict[str, str]()
    for one in namings(evaluate, "evaluate."):
        path = named_path(one.value, one.field)
        name = path.name.split(".")[0]
        if name in names:
            raise InputError(
                f"{one.field}: is called {name!r} as {names[name]} is, and figures go by name; "
                "rename one of them"
            )
        names[name] = one.field
        if one.kind == "retrieval":
            queries, documents = _collection(one.field, path)
            parts |= {f"queries of {name}": queries, f"documents of {name}": documents}
        else:
            check_regular(path, one.field)
            parts[f"pairs of {name}"] = len(read_pairs(path)[0])
    return Counted(parts=parts)


def _learned(texts: TextsConfig, side: Side) -> int:
    """How many different texts there are to learn of a side."""
    files = []
    for number, source in enumerate(texts.sources(side)):
        field = f"texts.{side}.{number}"
        path = named_path(source.path, field)
        check_regular(path, field)
        files.append((path, source.column, path.name))
    table, _ = read_texts(files)
    if not len(table):
        raise InputError(f"texts.{side}: the files hold no text; name files that do")
    return len(table)


def _collection(field: str, folder: Path) -> tuple[int, int]:
    """How many queries and documents it has."""
    for name in (CORPUS, ASKED, JUDGED):
        if not (folder / name).is_file():
            raise InputError(
                f"{field}: '{folder}' has no {name}; name a folder with {CORPUS}, {ASKED} and "
                f"{JUDGED}, as BEIR has them{where_from(folder)}"
            )
    return len(read_queries(folder, "")), len(read_corpus(folder, ""))
