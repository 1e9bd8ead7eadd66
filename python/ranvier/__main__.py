"""`python -m ranvier`: the `ranvier` command."""

import sys

from .cli import main

sys.exit(main())
