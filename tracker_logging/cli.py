"""The command line: `tracker-logging COMMAND …`. Each command is one file of `tracker_logging/commands`.

A command module has `add_arguments(parser)` and `run(args)`; its docstring is the help text of the command. `run`
returns the exit status: 0 success, 1 the command found a problem, 2 the command failed. On failure the first line on
stderr is the command's name and the error message, for a `CommandError` as well as for wrong arguments.

    tracker-logging compare runs/a runs/b -o compare.html
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from tracker_logging import commands
from tracker_logging.commands.base import CommandError
from tracker_logging.data.sample import printable
from tracker_logging.version import __version__

DESCRIPTION = "Check and convert data; list, read, compare and open runs; check the installation."


class Parser(argparse.ArgumentParser):
    """Prints the error in one line, without the usage text before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message)}. See {self.prog} --help\n")


def build_parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The parser of all commands. With `chosen`, the name of a command as it is typed, the others have no arguments and
    are not imported: some need torch."""
    parser = Parser(
        prog="tracker-logging",
        description=DESCRIPTION,
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    names = command_names()
    is_known = chosen in {name.replace("_", "-") for name in names}
    for name in names:
        shown = name.replace("_", "-")
        if is_known and shown != chosen:
            subparsers.add_parser(shown)
            continue
        module = importlib.import_module(f"tracker_logging.commands.{name}")
        text = module.__doc__ or ""
        command = subparsers.add_parser(
            shown,
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where a test or a notebook has replaced it
            stream.reconfigure(errors="backslashreplace")  # a console without UTF-8 shows escapes
    words = sys.argv[1:] if argv is None else argv
    args = build_parser(words[0] if words else None).parse_args(words)
    try:
        status: int = args.execute(args)
        sys.stdout.flush()
    except CommandError as error:
        lines = f"tracker-logging {args.command}: {error}".split("\n")
        print("\n".join(map(printable, lines)), file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output has all that it wants, as in `| head`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  the flush at exit must not fail again
        return 0
    except Exception as error:  # a fault of ours; Python's own status would be 1, which has another meaning
        print(f"tracker-logging {args.command}: {type(error).__name__}: {printable(str(error))}", file=sys.stderr)
        traceback.print_exc()
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
