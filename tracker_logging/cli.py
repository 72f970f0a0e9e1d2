"""The command line: `tracker-logging COMMAND …`. Every command is one file of `tracker_logging/commands`.

A command module has `add_arguments(parser)`, whose parser shows the module's docstring as help, and `run(args)`, which
returns the exit status: 0 all is well, 1 something was found, 2 it could not be done. What went wrong is the first line
on stderr, after the command's name; a `CommandError` is printed so, and a wrong argument too.

    tracker-logging compare runs/a runs/b -o compare.html
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from typing import NoReturn

from tracker_logging import commands
from tracker_logging.commands.base import CommandError
from tracker_logging.version import __version__


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in the first line, and not after the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="tracker-logging", description="What to do with data, runs and this installation.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for name in command_names():
        module = importlib.import_module(f"tracker_logging.commands.{name}")
        text = module.__doc__ or ""
        command = subparsers.add_parser(
            name.replace("_", "-"),
            help=text.partition("\n")[0].rstrip("."),
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(execute=module.run)
    return parser


def command_names() -> list[str]:
    """Every command file, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(commands.__path__) if module.name != "base")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    args = build_parser().parse_args(argv)
    try:
        status: int = args.execute(args)
    except CommandError as error:
        print(f"tracker-logging {args.command}: {error}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
