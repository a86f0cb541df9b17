"""Property tests touch the disk: on a busy machine a single example may take long."""

from hypothesis import settings

settings.register_profile("disk", deadline=None)
settings.load_profile("disk")
