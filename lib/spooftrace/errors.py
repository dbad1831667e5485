"""The one exception that users are meant to see."""


class InputError(ValueError):
    """Something given by the user is wrong.

    The message is one line that names the file (and line number) or the option, says what is wrong and what to do.
    The command line prints it without a traceback and exits with status 1.
    """
