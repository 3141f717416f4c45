"""What can go wrong, by who can mend it. A message is one plain sentence: what, where, what to do."""


class ShoalError(Exception):
    """Base of every error that Shoal raises on purpose.

    Text from elsewhere may stand in the message: what would break the line or steer a terminal becomes a space.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__("".join(each if each.isprintable() else " " for each in str(message)))

    exit_code = 1


class InputError(ShoalError, ValueError):
    """The caller's data or settings cannot be used; the command line exits with 2."""

    exit_code = 2


class DataWarning(UserWarning):
    """Something about the rows of a prediction that its reader should know; by `warnings.warn`, once a call."""


class RunError(ShoalError, RuntimeError):
    """The run itself could not go on; the command line exits with 1."""


def first_line(error: BaseException) -> str:
    """What somebody else's exception says, in one line; its kind where it says nothing."""
    said = str(error).strip().splitlines()
    return said[0] if said else type(error).__name__


class Interrupted(ShoalError):
    """The user asked the run to stop; what was trained so far is kept. The command line exits with 130."""

    exit_code = 130
