"""The `ranvier` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .version import __version__


def _info(_: argparse.Namespace) -> None:
    import ranvier

    ranvier.show_config()


def _demo(options: argparse.Namespace) -> None:
    from .demo import run

    run(epochs=options.epochs, seed=options.seed, folder=options.output)


def _torch(options: argparse.Namespace) -> None:
    from .torch.runner import main as run

    sys.exit(run([*(["--check"] if options.check else []), options.script, *options.arguments]))


def _profile(options: argparse.Namespace) -> None:
    from .profiling.command import run

    run(options)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} must be at least 1")
    return number


def parser(command: str = "") -> argparse.ArgumentParser:
    """The arguments; those of `profile`, whose modules take time to load, where `command` is that."""
    top = argparse.ArgumentParser(prog="ranvier", description="Ranvier: fast neural networks on CPUs.")
    top.add_argument("--version", action="version", version=f"ranvier {__version__}")
    commands = top.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="print version, instruction set, threads and backends")
    info.set_defaults(run=_info)
    demo = commands.add_parser(
        "demo",
        help="learn to read handwritten digits, beside the same network in plain NumPy (under a minute)",
    )
    demo.add_argument("--epochs", type=_positive, default=60, help="passes over the training data (60)")
    demo.add_argument("--seed", type=int, default=0, help="of initial weights and batches (0)")
    demo.add_argument("--output", default=".", metavar="FOLDER", help="where the model and the plot go (here)")
    demo.set_defaults(run=_demo)
    torch = commands.add_parser("torch", help="run a script that was written for PyTorch, as it is")
    torch.add_argument("--check", action="store_true", help="list the names that it uses, and which are missing")
    torch.add_argument("script")
    torch.add_argument("arguments", nargs=argparse.REMAINDER, help="of the script")
    torch.set_defaults(run=_torch)
    profile = commands.add_parser("profile", help="parameters, operations, bytes, memory, time and energy of a model")
    if command == "profile":
        from .profiling.command import add_arguments

        add_arguments(profile)
    profile.set_defaults(run=_profile)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser(*arguments[:1]).parse_args(arguments)
    try:
        options.run(options)
    except (ImportError, OSError, ValueError) as error:
        print(f"ranvier {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as the shell counts a command that Ctrl-C has ended
    return 0
