"""`python -m cli`, the same as `tsalign`."""

from cli.main import process

process()
