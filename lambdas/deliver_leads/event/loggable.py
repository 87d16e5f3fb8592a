"""What producers choose (ids, field names) in a form that is safe to log and to store.

A producer may put a person's name or address where an id or a field's name should be. So both are shown only
if they look like what they should be.
"""

import hashlib
import re

# An id has letters, digits and the signs of AWS ids, UUIDs and EventBridge sources (partners' have a "/").
_ID = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
LONGEST_NAME = 64
_NAMELESS = "(a name with other characters)"


def loggable_id(text: str) -> str:
    """The id itself, or its hash if it has other characters or more than 128. Stable under repetition."""
    return text if _ID.fullmatch(text) else f"sha256:{sha256(text)}"


def loggable_name(name: str) -> str:
    """The first 64 characters of the name of a field, or words for a name that no field would have."""
    return name[:LONGEST_NAME] if _NAME.fullmatch(name) else _NAMELESS


def sha256(text: str) -> str:
    """The SHA-256 in hexadecimal digits. A program's argument may hold half a surrogate pair."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
