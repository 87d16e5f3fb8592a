"""What the shell offers after a Tab."""

from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from deliver_leads.contract import LEAD_FIELDS
from leadctl.target import PREFIX, stack_names

_Items = list[CompletionItem[str]]


class _Bash(BashComplete):
    """Leaves the cursor after the equals sign of FIELD=VALUE."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", "COMPREPLY+=($value)\n            [[ $value == *= ]] && compopt -o nospace"
    )


add_completion_class(_Bash)


class FileOrStdin(click.ParamType[str]):
    """The path of a file, or - for stdin or stdout."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:  # noqa: ARG002
        """The shell itself knows the files."""
        return [CompletionItem(incomplete, type="file")]


def stages(ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:
    """Those that are deployed in the account and region; none if AWS can't be asked at once."""
    choice: Any = ctx.find_root().obj
    try:
        names = stack_names(choice.choice)
    except Exception:
        # A Tab must never end in an error.
        return []
    found = (name if param.name == "stack" else name.removeprefix(PREFIX) for name in names)
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def fields(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> _Items:
    """Of FIELD=VALUE, as long as no equals sign is typed."""
    names = (f"{name}=" for name in LEAD_FIELDS)
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
