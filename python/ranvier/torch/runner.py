"""Runs a script that was written for PyTorch over Ranvier: `python -m ranvier.torch script.py [arguments]`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from . import doors, rewriting


def run(script: str, arguments: Sequence[str] = ()) -> None:
    """Run a script as `python script.py arguments` would, with torch and torchvision taken from `ranvier.torch`.

    Modules below the script's own folder are rewritten like it; libraries see what is installed.
    """
    path = Path(script)
    code = rewriting.compiled(path.read_bytes(), script)
    main = ModuleType("__main__")
    main.__dict__.update(__file__=script, __builtins__=__builtins__)
    before = sys.modules["__main__"], sys.argv, sys.path[:]
    sys.modules["__main__"], sys.argv = main, [script, *arguments]
    sys.path[0] = str(path.resolve().parent)
    rewriting.rewrite_below(path.parent)
    try:
        exec(code, main.__dict__)
    except ImportError as error:
        name = _missing_import(error)
        if name is None:
            raise
        raise doors.MissingName(name) from error
    finally:
        sys.modules["__main__"], sys.argv, sys.path[:] = before


def _missing_import(error: ImportError) -> str | None:
    """What is to be said where `from torch import x` fails."""
    found = re.match(r"cannot import name '(\w+)'", str(error))
    for path in doors.DOORS:
        if found and error.name == doors.module_name(path):
            return doors.missing(path, found[1])
    return None


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    top = argparse.ArgumentParser(
        prog="python -m ranvier.torch", description="Run a script that was written for PyTorch over Ranvier."
    )
    top.add_argument("--check", action="store_true", help="list the names that the script uses, and which are missing")
    top.add_argument("script")
    top.add_argument("arguments", nargs=argparse.REMAINDER, help="of the script")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = parser().parse_args(arguments)
    if options.check:
        from .checking import report

        return report(options.script)
    run(options.script, options.arguments)
    return 0
