"""python -m ranvier.torch [--check] script.py [arguments of the script]"""

import sys

from .runner import main

if __name__ == "__main__":
    sys.exit(main())
