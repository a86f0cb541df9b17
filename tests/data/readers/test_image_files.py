"""Images of files and folders: read, named by content, counted, refused in one line."""

import hashlib
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import InputError
from data.image_schemas import IMAGE_PROMPTS
from data.images import is_held_out, pixels, problem, to_learn, to_measure
from data.readers.images import read_images
from data.readers.prompts import read_prompts
from tests.fixtures.images import PILLOW, needs_pillow, shapes
from tests.repository import SHARED

pytestmark = needs_pillow
ROWS = list(shapes(2, seed=0)) if PILLOW else []


def saved(path, rows, **columns):
    pq.write_table(pa.Table.from_pylist([row | columns for row in rows]), path)
    return path


def png(colour, size=(20, 10)):
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def test_a_parquet_file_a_folder_and_messages_hold_the_same_images(tmp_path):
    table, counts = read_images(saved(tmp_path / "shapes.parquet", ROWS))
    assert table.schema == IMAGE_PROMPTS and len(table) == 18
    assert counts == {"rows": 18, "kept": 18, "repeated": 0, "broken": 0, "other_split": 0}
    for number, row in enumerate(ROWS):
        file = tmp_path / "tree" / row["domain"] / row["label"] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(row["image"])
    (tmp_path / "tree" / "night" / "circle" / "notes.txt").write_text("no image")
    assert read_images(tmp_path / "tree")[0].equals(table)
    folder = tmp_path / "asked"
    folder.mkdir()
    with (folder / "prompts.jsonl").open("w") as file:
        for number, row in enumerate(ROWS):
            (folder / f"{number}.png").write_bytes(row["image"])
            part = {"type": "image", "path": f"{number}.png"}
            said = {"messages": [{"role": "user", "content": [part]}]}
            file.write(json.dumps(said | {k: row[k] for k in ("domain", "label")}) + "\n")
    assert read_images(folder)[0].equals(table)


def test_a_prompt_holds_text_and_the_digest_of_its_image(tmp_path):
    (tmp_path / "a.png").write_bytes(png("red"))
    content = [{"type": "image", "path": "a.png"}, {"type": "text", "text": "What is it?"}]
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    row = {"messages": talk, "domain": "d", "label": "red"}
    (tmp_path / "prompts.jsonl").write_text(json.dumps(row) + "\n")
    (found,) = read_images(tmp_path)[0].to_pylist()
    image = {"type": "image", "text": None, "image": hashlib.sha256(png("red")).hexdigest()}
    assert [one["content"] for one in found["messages"]] == [
        [{"type": "text", "text": "Be brief.", "image": None}],
        [image, {"type": "text", "text": "What is it?", "image": None}],
    ]
    assert (found["image"], len(found["prompt_id"])) == (png("red"), 16)
    again = {"messages": [{"role": "user", "content": content[:1]}], "domain": "e", "label": "x"}
    lines = [json.dumps(row), json.dumps(again)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    table, counts = read_images(tmp_path)  # one image, whatever is said of it
    assert table["prompt_id"].to_pylist() == [found["prompt_id"]] and counts["repeated"] == 1


def test_other_recipes_refuse_a_prompt_with_an_image_in_one_line(tmp_path):
    content = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "x"}}]
    row = {"messages": [{"role": "user", "content": content}]}
    (tmp_path / "prompts.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match="line 1: messages holds an image, which") as error:
        read_prompts(tmp_path / "prompts.jsonl")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ("What?", "must be a list of messages"),
        ([{"role": "user", "content": "What?"}], "hold 0 images, must hold one"),
        ([{"role": "user", "content": [{"type": "image", "path": "b.png"}]}], "no such file"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "{type: image, path: FILE}"),
        ([{"role": "user", "content": [{"type": "audio"}]}], "has the type 'audio'"),
        ([{"role": "user", "content": [{"type": "image", "path": "../a.png"}]}], "lies outside"),
        ([{"role": "narrator", "content": "x"}], "the role 'narrator'"),
        (
            [
                {"role": "user", "content": [{"type": "image", "path": "a.png"}]},
                {"role": "assistant", "content": "A dog."},
            ],
            "must end with the user's",
        ),
    ],
)
def test_messages_that_do_not_do_are_named_by_their_line(tmp_path, messages, said):
    folder = tmp_path / "here"
    folder.mkdir()
    for place in (folder, tmp_path):
        (place / "a.png").write_bytes(png("red"))
    row = {"messages": messages, "domain": "d", "label": "l"}
    (folder / "prompts.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError) as error:
        read_images(folder)
    assert said in str(error.value) and "prompts.jsonl line 1" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_image_that_is_there_twice_counts_once(tmp_path):
    twice = [*ROWS, ROWS[0] | {"domain": "outline"}]
    table, counts = read_images(saved(tmp_path / "a.parquet", twice))
    assert (counts["rows"], counts["kept"], counts["repeated"]) == (19, 18, 1)
    assert set(table["dataset"].to_pylist()) == {"filled", "night", "outline"}
    assert table["dataset"].to_pylist().count(ROWS[0]["domain"]) == 6


@pytest.mark.parametrize(
    "image", [b"", b"no image at all", ROWS[0]["image"][:-60] if ROWS else b"", b"GIF89a"]
)
def test_a_broken_image_is_refused_by_its_row_or_counted(tmp_path, image):
    file = saved(tmp_path / "a.parquet", [*ROWS, ROWS[0] | {"image": image}])
    with pytest.raises(InputError, match="a.parquet row 19: no image that can be read") as error:
        read_images(file)
    assert "\n" not in str(error.value) and "object at 0x" not in str(error.value)
    table, counts = read_images(file, broken="drop")
    assert (len(table), counts["broken"], counts["rows"]) == (18, 1, 19)


def test_an_image_of_too_many_pixels_is_no_image(monkeypatch):
    from PIL import Image

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 90)
    assert problem(png("red", (10, 10))) == problem(png("red", (40, 40)))
    assert problem(png("red", (10, 10))) == "an image of too many pixels"
    assert problem(png("red", (9, 9))) is None


def test_splits_are_told_apart_and_a_missing_one_is_named(tmp_path):
    rows = [row | {"split": "a" if n < 7 else "b"} for n, row in enumerate(ROWS)]
    file = saved(tmp_path / "a.parquet", rows)
    (first, counts), (second, _) = (read_images(file, one) for one in "ab")
    assert (len(first), len(second), counts["other_split"]) == (7, 11, 11)
    with pytest.raises(InputError, match="holds no image of the split 'c'"):
        read_images(file, "c")
    with pytest.raises(InputError, match="row 1: has no column split"):
        read_images(saved(tmp_path / "b.parquet", ROWS), "a")


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("a.jsonl", [{"a": 1}], "must be a Parquet file or a folder"),
        ("a.parquet", [{"label": "x", "domain": "y"}], "no column of images"),
        ("a.parquet", [{"image": "text", "label": "x", "domain": "y"}], "holds no bytes"),
        ("a.parquet", [{"image": b"", "domain": "y"}], "label must be text"),
        ("a.parquet", [{"image": b"", "label": 3, "domain": "y"}], "label must be text"),
        ("a.parquet", [{"image": b"", "label": "x"}], "domain must be text"),
    ],
)
def test_files_that_do_not_do_are_refused(tmp_path, name, rows, said):
    file = tmp_path / name
    if name.endswith("parquet"):
        saved(file, rows)
    else:
        file.write_text(json.dumps(rows[0]))
    with pytest.raises(InputError, match=said):
        read_images(file)


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_text("nothing")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        read_images(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="holds no image"):
        read_images(tmp_path)


def test_pixels_are_those_of_the_image_squeezed_into_a_square():
    assert pixels(png((10, 20, 30)), 8).shape == (8, 8, 3)
    assert (pixels(png((10, 20, 30)), 8) == (10, 20, 30)).all()


PACS = SHARED / "realdata" / "pacs64" / "images.parquet"


@pytest.mark.skipif(not PACS.is_file(), reason="needs ../shared/realdata/pacs64")
def test_pacs_has_four_domains_and_seven_classes_and_two_splits():
    tables = [read_images(PACS, split, whole=False)[0] for split in ("benchmark", "pretrain")]
    assert [len(table) for table in tables] == [6729, 3262]
    ids = [set(table["prompt_id"].to_pylist()) for table in tables]
    assert not ids[0] & ids[1] and sum(map(len, ids)) == 9991
    for table in tables:
        domains = {"art_painting", "cartoon", "photo", "sketch"}
        assert set(table["dataset"].to_pylist()) == domains
        assert len(set(table["label"].to_pylist())) == 7


def test_held_out_images_depend_on_their_ids_alone(tmp_path):
    table, _ = read_images(saved(tmp_path / "a.parquet", list(shapes(20, seed=3))))
    ids, names = table["prompt_id"].to_pylist(), table["dataset"].to_pylist()
    learned, measured = to_learn(table, "night", 0.25), to_measure(table, "night", 0.25)
    assert not set(learned) & {row for row, _ in measured}
    assert len(learned) + len(measured) == len(table) == 180
    assert {names[row] for row in learned} == {"filled", "outline"}
    assert {names[row] for row, part in measured if part == "target"} == {"night"}
    share = sum(is_held_out(one, 0.25) for one in ids) / len(ids)
    assert 0.15 < share < 0.35
    wider = {one for one in ids if is_held_out(one, 0.5)}
    assert {one for one in ids if is_held_out(one, 0.25)} < wider
