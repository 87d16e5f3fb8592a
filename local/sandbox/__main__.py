"""The sandbox's command line.

    python -m local.sandbox --client-id ID --client-secret SECRET [--port N] [--state FILE]
    python -m local.sandbox --client-id ID --token-upstream URL --jwks URL …

The second form lets a Cognito user pool issue the tokens.
"""

from __future__ import annotations

import argparse
import signal
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from local.sandbox.cognito import CognitoUpstream
from local.sandbox.server import USER_IDENTIFIER, LeadsApiSandbox
from local.sandbox.tokens import OwnTokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.sandbox.tokens import TokenEndpoint

_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the sandbox until SIGTERM or SIGINT."""
    parser = _parser()
    options = parser.parse_args(arguments)
    # Blocked before any thread starts, so that only sigwait below gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        sandbox = LeadsApiSandbox(
            tokens=_token_endpoint(parser, options),
            state=options.state,
            port=options.port,
            user_identifier=options.user_identifier,
            seed=options.seed,
        )
    except sqlite3.Error as error:
        parser.error(f"can't use the state file {options.state}: {error}")
    with sandbox:
        print(f"listening on {sandbox.url}", flush=True)
        signal.sigwait(_STOP_SIGNALS)


def _token_endpoint(parser: argparse.ArgumentParser, options: argparse.Namespace) -> TokenEndpoint:
    if options.token_upstream and options.jwks:
        return CognitoUpstream(options.token_upstream, options.jwks, frozenset(options.client_id))
    if options.token_upstream or options.jwks:
        parser.error("--token-upstream and --jwks go together")
    if not options.client_secret or len(options.client_id) > 1:
        parser.error("without --token-upstream, one --client-id and a --client-secret are needed")
    return OwnTokenEndpoint(options.client_id[0], options.client_secret, options.expires_in)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.sandbox", description="A stand-in for the 7Targets leads API."
    )
    add = parser.add_argument
    add("--port", type=_port, default=0, help="port on 127.0.0.1; 0, the default, takes a free one")
    add("--state", type=Path, metavar="FILE", help="keeps leads and requests here; default: in memory")
    add("--user-identifier", default=USER_IDENTIFIER, metavar="TEXT", help="default: %(default)s")
    add("--seed", type=int, default=0, help="of the draws for faults with a rate; default: 0")
    add(
        "--client-id",
        action="append",
        required=True,
        metavar="ID",
        help="client whose tokens are accepted; may be given again, for a rotation",
    )
    add("--client-secret", metavar="SECRET", help="for tokens issued by the sandbox itself")
    add("--expires-in", type=int, default=3600, metavar="SECONDS", help="life of these tokens; default: 3600")
    add("--token-upstream", metavar="URL", help="token endpoint of the user pool that issues the tokens")
    add("--jwks", metavar="URL", help="that user pool's key set")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


if __name__ == "__main__":
    main()
