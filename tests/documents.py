"""What the documents' fenced shell blocks hold."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def section(document: str, heading: str) -> str:
    """The text under a heading of the third level, up to the next heading of that level or a higher one."""
    text = (PROJECT / document).read_text("utf-8")
    _, found, rest = text.partition(f"\n### {heading}\n")
    assert found, f"{document} has no heading {heading}"
    # In a shell block a comment of one # is at the line's start, too.
    return re.split(r"^##{1,2} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def shell_blocks(text: str) -> list[str]:
    """The fenced blocks of the shell, without their fences."""
    return re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)


def aws_commands(block: str) -> Iterator[list[str]]:
    """The words after `aws` of each command of a block, with `$…` for what the shell would put in."""
    joined = block.replace("\\\n", " ")
    for start in re.finditer(r"(?:^|[\s(;&|])aws (?=[a-z])", joined, re.MULTILINE):
        lexer = shlex.shlex(joined[start.end() :], posix=True, punctuation_chars="();<>|&\n")
        lexer.whitespace = " \t"
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if set(word) <= set("();<>|&\n"):
                break
            words.append(word)
        yield words
