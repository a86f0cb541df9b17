"""The embedded world: seven instruction families whose answers an oracle can score exactly."""
