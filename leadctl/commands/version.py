"""`leadctl version`."""

import platform

import click

from leadctl import __version__
from leadctl.options import Command, Invocation, pass_invocation, target_options


@click.command(
    cls=Command,
    short_help="Show leadctl's version and a stack's.",
    examples="""
    leadctl version --stage prod
    """,
)
@target_options
@pass_invocation
def version(invocation: Invocation) -> None:
    """Show leadctl's version and, for a stack that is named, what is deployed there."""
    found = {"leadctl": __version__, "python": platform.python_version()}
    if invocation.choice.is_made():
        target = invocation.target
        function = target.client("lambda").get_function_configuration(
            FunctionName=target.output("FunctionName")
        )
        found |= {
            "stack": target.stack_name,
            "stackVersion": target.outputs.get("Version", "unknown"),
            "stackCommit": target.outputs.get("Commit", "unknown"),
            "functionDeployed": function["LastModified"],
            "functionRuntime": function["Runtime"],
            "functionCodeSha256": function["CodeSha256"],
        }
    for name, value in found.items():
        invocation.out.text(f"{name:20} {value}")
    invocation.out.record(found)
