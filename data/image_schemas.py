"""Schemas of the tables that flows over images keep."""

import pyarrow as pa

# What a message says, part by part. `image` is the SHA-256 of an image's bytes, in hexadecimal.
CONTENT_PARTS = pa.list_(
    pa.struct([("type", pa.string()), ("text", pa.string()), ("image", pa.string())])
)

# Prompts with an image each, of which class and domain are known.
IMAGE_PROMPTS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", CONTENT_PARTS)]))),
        ("dataset", pa.string()),  # the domain
        ("label", pa.string()),  # the class
        ("image", pa.large_binary()),  # the file's bytes
    ]
)

# What an image encoder makes of them.
IMAGE_VECTORS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("vector", pa.list_(pa.float32())),
    ]
)

# The class that an image is taken for.
RECOGNISED = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("dataset", pa.string()),
        ("part", pa.string()),  # "target": of the domain that was left out; "source": held out
        ("label", pa.string()),
        ("predicted", pa.string()),
    ]
)

IMAGE_TABLES = {
    "image_prompts": IMAGE_PROMPTS,
    "image_vectors": IMAGE_VECTORS,
    "recognised": RECOGNISED,
}
