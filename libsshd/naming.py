"""From the documented spelling of a name to the spelling of Python."""

import functools
import re

_SEAM = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z]{2})(?=[A-Z][a-z])")
"""Between two words. The second alternative asks for two capitals before it, so that the A of ATime is no word."""


@functools.cache
def pythonic(name: str) -> str:
    """The PEP 8 form of a documented CamelCase name; a run of capitals is one word: SSHCertStore, ssh_cert_store."""
    return _SEAM.sub("_", name).lower()
