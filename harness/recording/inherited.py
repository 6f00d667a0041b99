"""A variable that the processes which are started in a block inherit: what they are asked for."""

import contextlib
import json
import os
from collections.abc import Iterator


@contextlib.contextmanager
def inherited(variable: str, asked: object) -> Iterator[None]:
    """Set a variable of the environment for a block; afterwards it is as it was, whatever happened to it meanwhile.

    Args:
        variable: its name.
        asked: what it says, as far as JSON can.
    """
    before = os.environ.get(variable)
    os.environ[variable] = json.dumps(asked)
    try:
        yield
    finally:
        os.environ.pop(variable, None)
        if before is not None:
            os.environ[variable] = before
