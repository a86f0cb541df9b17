"""`python -m cli`, the same as `tsalign`."""

import sys

from cli.main import main

sys.exit(main())
