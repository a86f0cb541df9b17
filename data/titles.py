"""How the calls of a run's stages are named, for people and for commands.

A title is what is shown, and nobody reads it back. An address is the stage's name and the call's
role, the same in every round and run: `generate`, `generate:dev`.
"""


def address(name: str, role: str) -> str:
    """What tells a call from others of its round."""
    return f"{name}:{role}" if role else name


def means(wanted: str, name: str, role: str, title: str) -> bool:
    """Whether a stage's name, an address or a title that a user gives means this call."""
    return wanted in (name, address(name, role), title)
