"""What every command may raise."""


class CommandError(Exception):
    """Something the user can mend. The message says what is wrong and what to do; it is printed without a traceback."""
