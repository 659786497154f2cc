"""`python -m keras_stt`: the command line."""

import sys

from keras_stt.cli import main

if __name__ == "__main__":
    sys.exit(main())
