"""Messages whose content is given in parts, text and images, as chat formats have them:

    {"role": "user", "content": [{"type": "image", "path": "dog.jpg"},
                                 {"type": "text", "text": "What is it?"}]}

In a table an image is the SHA-256 of its bytes, and a prompt is named by it alone, so equal images
are equal prompts wherever the files lie and whatever is said of them. Only recipes that see images
read such messages (`recipe: vl2v`); all others refuse them.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError
from data.files import check_regular
from data.readers.messages import ROLES, check_text, role_of
from data.store.digests import canonical_json

IMAGE, TEXT = "image", "text"
_IMAGES = (IMAGE, "image_url", "input_image")  # the last two of others' formats, which have no path
Part = dict[str, str | None]
Message = dict[str, Any]


class Shown(NamedTuple):
    """A prompt with an image."""

    messages: list[Message]  # role, and content as CONTENT_PARTS
    image: bytes

    @property
    def prompt_id(self) -> str:
        """By the image: 16 hexadecimal digits."""
        alone = _alone(self.image)
        return hashlib.sha256(canonical_json(alone)).hexdigest()[:16]


def of_image(image: bytes) -> Shown:
    """The prompt that an image alone is."""
    return Shown(_alone(image), image)


def _alone(image: bytes) -> list[Message]:
    return [{"role": "user", "content": [_image_part(image)]}]


def of_messages(value: Any, place: str, folder: Path) -> Shown:
    """A prompt with exactly one image, whose path is relative to `folder`. Raises InputError."""
    images: list[bytes] = []

    def read(path: Any) -> bytes:
        if not isinstance(path, str) or not path:
            raise InputError(f"{place}: an image is written {{type: image, path: FILE}}")
        file = folder / path
        if not file.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{place}: '{path}' lies outside of {folder}; put the image into it")
        check_regular(file, place)
        images.append(file.read_bytes())
        return images[-1]

    if not isinstance(value, list) or not value:
        raise InputError(f"{place}: messages must be a list of messages")
    messages = [_message(item, place, read) for item in value]
    if messages[-1]["role"] != "user":
        raise InputError(f"{place}: messages must end with the user's; drop the answer")
    if len(images) != 1:
        raise InputError(f"{place}: messages hold {len(images)} images, must hold one")
    return Shown(messages, images[0])


def _message(item: Any, place: str, read: Callable[[Any], bytes]) -> Message:
    role = role_of(item)
    if role not in ROLES:
        raise InputError(f"{place}: messages have the role {role!r:.40}; use {', '.join(ROLES)}")
    content = item.get("content")
    parts = [{"type": TEXT, "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list) or not parts:
        raise InputError(f"{place}: content must be text or a list of parts")
    return {"role": role, "content": [_part(part, place, read) for part in parts]}


def _part(part: Any, place: str, read: Callable[[Any], bytes]) -> Part:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == TEXT:
        text = check_text(part.get("text"), place, "a part's text", blank=True)
        return {"type": TEXT, "text": text, "image": None}
    if kind not in _IMAGES:
        raise InputError(f"{place}: a part has the type {kind!r:.40}; use text and image")
    return _image_part(read(part.get("path")))


def _image_part(image: bytes) -> Part:
    return {"type": IMAGE, "text": None, "image": hashlib.sha256(image).hexdigest()}
