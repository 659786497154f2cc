"""The command line, called as a function."""

import shlex

from keras_stt import cli
from keras_stt.cli.app import app

TINY = [
    *("--mixers", "none", "--train-images", "32", "--width", "8", "--depth", "1"),
    *("--epochs", "1", "--quiet"),
]
SMALL = ["--grid", "4x4", "--batch-size", "16"]


def run(*arguments):
    return cli.main(["compare", "classify", *map(str, arguments)])


def settings_of(line):
    """The settings that a command line gives, without running it."""
    _, bound, _ = app.parse_args(shlex.split(line, comments=True)[1:])
    bound.apply_defaults()
    return bound.arguments["settings"]
