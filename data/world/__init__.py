"""The embedded world: seven instruction families whose answers an oracle can score exactly."""

CONTEXT = 256  # tokens that its policies, teacher and student read
