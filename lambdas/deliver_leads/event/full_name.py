"""A first and a last name of one text."""

_TITLES = {
    "dr",
    "prof",
    "professor",
    "mr",
    "mrs",
    "ms",
    "miss",
    "mx",
    "herr",
    "frau",
    "dipl",
    "ing",
    "mag",
    "m",
}
_TITLES |= {"mme", "mlle", "sr", "sra", "srta", "dott", "dottssa", "dhr", "mevr", "mevrouw"}


def split_name(whole: str) -> tuple[str, str]:
    """Of "Ada Nord", "Nord, Ada" and "Dr. Ada von Nord"; the last name is empty if there is one word only.

    A guess, as any rule for names is: the first word is the first name.
    """
    whole = whole.strip(", ")
    last, _, first = whole.partition(",")
    if not (first.strip() and last.strip()):
        first, last = whole, ""
    words = first.split()
    while len(words) > 1 and words[0].rstrip(".").casefold() in _TITLES:
        words = words[1:]
    if last:
        return " ".join(words), last.strip()
    return (words[0] if words else ""), " ".join(words[1:])
