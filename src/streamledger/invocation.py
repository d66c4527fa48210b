"""How this program was started, so that what it prints can be typed where it is read."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "streamledger"


def own_command() -> str:
    """What starts the command line from any directory.

    The bare name only where a shell finds this very script by it; else the script's whole path, as in a
    checkout's `.venv`, or the interpreter with the module.
    """
    started = Path(os.path.abspath(sys.argv[0]))  # links stay links
    if started.stem != NAME:
        return shlex.join([sys.executable, "-m", "streamledger.cli"])
    found = shutil.which(NAME)
    if found is not None and os.path.abspath(found) == str(started):
        return NAME
    return shlex.quote(str(started))
