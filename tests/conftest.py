"""What every test shares: a known environment, hypothesis' profile, AWS's service models, no real AWS."""

import functools
import gc
import os
import pickle
import re
import signal
import time
from collections.abc import Iterator
from typing import Any, ClassVar, cast

import botocore.client
import botocore.hooks
import botocore.loaders
import botocore.session
import botocore.useragent
import moto.backend_index
import moto.core.responses
import moto.core.serialize
import moto.core.utils
import pytest
import werkzeug.routing
from hypothesis import HealthCheck, settings
from moto.dynamodb.parsing import ast_nodes, expressions, validators

from sim.partiql import run_together

# Variables of a person's shell, a terminal or a CI service that change what programs do or print: neither the
# tests nor the processes that they start get them. PATH, HOME, proxies and what installers need stay.
_NOT_FOR_TESTS = re.compile(
    r"(AWS|CDK|LC|LEADCTL|POWERTOOLS|TTY)_.*|(CLICOLOR|LANG|PYTHON).*|"
    r"BROWSER|COLORTERM|COLUMNS|EDITOR|FORCE_COLOR|LINES|NODE_OPTIONS|NO_COLOR|TERM|VISUAL"
)
for _name in filter(_NOT_FOR_TESTS.fullmatch, list(os.environ)):
    del os.environ[_name]
for _name in ("NO_PROXY", "no_proxy"):
    # Servers of the tests listen here, and no proxy reaches them.
    os.environ[_name] = ",".join(filter(None, [os.environ.get(_name), "127.0.0.1", "localhost"]))
os.environ["TZ"] = "UTC"
time.tzset()
os.umask(0o022)

# While tests are imported there is no garbage to speak of, and later a test makes little.
gc.disable()
gc.set_threshold(5_000)

# Machines are shared and noisy: no test may fail for the time it takes.
settings.register_profile(
    "shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# For `make check`; `make test` tries a hundred examples.
settings.register_profile("quick", settings.get_profile("shared-machine"), max_examples=10)
settings.load_profile("shared-machine")

# Each boto3 session looks for the service models and reads them anew: over half of the quick tests' time.
setattr(botocore.session, "create_loader", functools.cache(botocore.loaders.create_loader))  # noqa: B010


class _EventAliaser(botocore.hooks.EventAliaser):
    """Remembers the aliases for all sessions: each new one would work out the same thousands anew."""

    _known: ClassVar[dict[str, str]] = {}

    def __init__(self, event_emitter: Any, event_aliases: Any = None) -> None:
        super().__init__(event_emitter, event_aliases)
        if event_aliases is None:
            self._alias_name_cache = self._known


setattr(botocore.session, "EventAliaser", _EventAliaser)  # noqa: B010

# moto compares each request with the addresses of all its services, and registers these anew for each test.
_SERVICES = {
    *("awslambda", "cloudformation", "cloudwatch", "dynamodb", "events", "logs"),
    *("secretsmanager", "sns", "sqs", "sts"),
}
setattr(  # noqa: B010
    moto.backend_index,
    "backend_url_patterns",
    [each for each in moto.backend_index.backend_url_patterns if each[0] in _SERVICES],
)
# The sandbox's app is made for each test, and builds no address.
setattr(werkzeug.routing.Rule, "_compile_builder", lambda *_: lambda *_: None)  # noqa: B010
# What these work out depends on their arguments only, and each request asks for the same.
for _module, _name in (
    (botocore.useragent, "sanitize_user_agent_string_component"),
    (moto.core.utils, "camelcase_to_underscores"),
    (moto.core.responses, "method_names_from_class"),
):
    setattr(_module, _name, functools.cache(getattr(_module, _name)))
_pick = moto.core.serialize.AttributePicker.__call__


def _pick_from_dict(picker: Any, context: Any) -> Any:
    """What is there under its own name needs no search for aliases."""
    is_there = isinstance(context.obj, dict) and context.key in context.obj
    return (
        context.obj[context.key] if is_there and not picker.response_transformers else _pick(picker, context)
    )


setattr(moto.core.serialize.AttributePicker, "__call__", _pick_from_dict)  # noqa: B010

# Of each write of the ledger moto parses the expression twice, copies its tree node by node, and lets two
# checks begin anew at each node, though from the root they see all. The nodes' abstract classes make
# `isinstance` slow.
_parser = vars(expressions)["UpdateExpressionParser"]
_parser.make = functools.cache(_parser.make)
setattr(validators, "deepcopy", lambda tree: pickle.loads(pickle.dumps(tree)))  # noqa: B010, S301
for _class, _check in (
    (validators.ActionCountValidator, "verify_action_counts"),
    (validators.OverlappingPathsValidator, "check_for_overlapping_paths"),
):
    _class.traverse = getattr(_class, _check)
_is_subclass = functools.cache(issubclass)
setattr(ast_nodes, "isinstance", lambda node, kinds: _is_subclass(cast(Any, type(node)), kinds))  # noqa: B010

# moto doesn't understand all of the ledger's PartiQL statements. moto's manual replaces this method, too.
_call_api = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]


def _translate_statements(client: Any, operation: str, request: Any) -> Any:
    if operation == "BatchExecuteStatement" and "amazonaws.com" in client.meta.endpoint_url:
        return run_together(request["Statements"], client.update_item)
    return _call_api(client, operation, request)


setattr(botocore.client.BaseClient, "_make_api_call", _translate_statements)  # noqa: B010


# Coverage doubles the CPU time of a test, and the function's own tests reach each line of it: no others are
# measured, and of these no simulated months.
_MEASURED = ("tests/unit/", "tests/integration/")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps in one process the tests that share what is made once in a process and takes seconds.

    These are the tests of the templates, which start the CDK; those under the real runtime client; and the
    `shipped` tests of each other module. The longest groups begin first, if pytest-xdist keeps this order
    (--no-loadscope-reorder).
    """
    for item in items:
        if config.pluginmanager.hasplugin("_cov") and (
            not item.nodeid.startswith(_MEASURED) or item.get_closest_marker("simulation")
        ):
            item.add_marker(pytest.mark.no_cover)
        if "synthesise" in vars(getattr(item, "module", None) or item):
            item.add_marker(pytest.mark.xdist_group("templates"))
        elif "clean_python" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("runtime client"))
        elif item.get_closest_marker("shipped") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=_place_of_group)


# Those that wait most, because the others' work fills their waits.
_LONGEST_FIRST = (
    *("prove", "dev", "operator", "deployed stack", "fault suite", "running"),
    *("alarms", "templates", "test_update", "test_release"),
)


def _place_of_group(item: pytest.Item) -> int:
    group = item.get_closest_marker("xdist_group")
    places = {name: place for place, name in enumerate(_LONGEST_FIRST)}
    return places.get(group.args[0] if group else "", len(places))


def pytest_collection_finish() -> None:
    """Spares the garbage collector what stays until the end: modules and tests."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def signals_as_at_a_terminal() -> Iterator[None]:
    """Processes that a test starts end by Ctrl-C, also where this one doesn't.

    A shell's background job ignores SIGINT, a job of nohup SIGHUP, and children inherit that. They don't
    inherit a handler: with one that does nothing, this process still ignores the signal, and they don't.
    """
    ignored = [
        number
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
        if signal.getsignal(number) == signal.SIG_IGN
    ]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(autouse=True)
def aws_that_is_not_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that open nothing, in case a call slips past moto or the emulator."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # Files in HOME may name another Region.
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
