"""`python -m hybridseg.app`: the command `hybridseg`."""

import sys

from .cli import main

sys.exit(main())
