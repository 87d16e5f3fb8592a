"""`leadctl mapping`: what a mapping makes of an event, before anything is deployed."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from deliver_leads.event.envelope import Envelope, IgnoredError, UnreadableError, read_event
from deliver_leads.event.mappings import EventMapper
from deliver_leads.event.message import Message
from leadctl.options import Group, Invocation, pass_invocation, target_options
from leadctl.output import pretty, without_mark
from leadctl.problems import ToBeFixedError


@dataclass(frozen=True)
class Reader:
    """What the function has of a stage's settings to read an event with."""

    mappings: list[dict[str, Any]]
    lead_defaults: dict[str, str]
    event_sources: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> "Reader":
        """Of a mapping's JSON file, or a stage's settings in TOML. Raises `ToBeFixedError`."""
        if path.suffix != ".toml":
            found = _json(path)
            return cls(found if isinstance(found, list) else [found], {}, ())
        try:
            settings = tomllib.loads(path.read_text("utf-8-sig"))
        except tomllib.TOMLDecodeError as error:
            raise ToBeFixedError(f"{path} isn't TOML: {error}.") from None
        mappings = [
            _json(path.parent / each) if isinstance(each, str) else each
            for each in settings.get("mappings", [])
        ]
        return cls(mappings, settings.get("leadDefaults", {}), tuple(settings.get("eventSources", ())))

    def mapper(self) -> EventMapper:
        """Raises `ToBeFixedError` for what can be no mapping; `cdk synth` finds more."""
        try:
            return EventMapper(self.mappings)
        except KeyError as error:
            raise ToBeFixedError(f"A mapping has no {error}.") from None
        except (AttributeError, TypeError, ValueError) as error:
            raise ToBeFixedError(f"A mapping can't be used: {error}") from None


@click.group(
    cls=Group,
    short_help="Try how others' events become leads.",
    examples="""
    leadctl mapping try mapping.json event.json
    """,
)
@target_options
def mapping() -> None:
    """Try how other people's events become leads."""


@mapping.command(
    "try",
    short_help="Show the lead of an event, or why none comes.",
    examples="""
    leadctl mapping try mapping.json event.json
    leadctl mapping try settings/prod.toml webhook.json
    """,
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.argument("event", type=click.Path(path_type=Path), metavar="EVENT")
@target_options
@pass_invocation
def try_(invocation: Invocation, file: Path, event: Path) -> None:
    """Show the lead that comes of an event, or why none does; nothing is sent.

    FILE is a mapping in JSON, or a stage's settings/STAGE.toml with all its mappings and defaults. EVENT is
    the event in JSON as EventBridge has it, or only its detail, as a webhook posts it. Needs no AWS.
    """
    reader = Reader.of(file)
    mapper, body = reader.mapper(), _json(event)
    if isinstance(body, dict) and "detail-type" not in body:
        body = _as_event(body, reader.mappings)
        invocation.out.note(
            f'EVENT has no "detail-type", so it is taken as the detail of one from {body["source"]}.'
        )
    mapped = mapper(body) if isinstance(body, dict) else ()
    message = Message("try", "", json.dumps(body), 1, 0)
    try:
        read = read_event(message, reader.lead_defaults, reader.event_sources, mapper)
    except IgnoredError as error:
        invocation.out.text(f"No lead, and nothing is parked: {error.summary}.")
        invocation.out.record({"ignored": error.summary})
        return
    except UnreadableError as error:
        problems = "".join(f"\n  {each}" for each in error.summary.split(" | "))
        raise ToBeFixedError(f"No lead. The event would be parked:{problems}") from None
    by = (
        mapped.path.rstrip(": ") if isinstance(mapped, Envelope) else "no mapping, because it is a lead event"
    )
    invocation.out.note(f"Read by {by}.")
    found = {"operation": read.operation, "lead": read.lead, "idempotencyKey": read.producer_key}
    invocation.out.body(pretty(json.dumps(found)))
    invocation.out.record(found)


def _as_event(detail: dict[str, Any], mappings: list[dict[str, Any]]) -> dict[str, Any]:
    pattern = mappings[0]["pattern"] if mappings else {}
    source, kind = pattern.get("source", ["a-webhook"])[0], pattern.get("detail-type", ["Webhook"])[0]
    return {"id": "try", "source": source, "detail-type": kind, "detail": detail}


def _json(path: Path) -> Any:  # noqa: ANN401 - any JSON
    text = path.read_text("utf-8")
    try:
        return json.loads(without_mark(text))
    except json.JSONDecodeError as error:
        raise ToBeFixedError(
            f"{path} isn't JSON: reading it fails in line {error.lineno}, column {error.colno}."
        ) from None
    except (ValueError, RecursionError):
        raise ToBeFixedError(f"{path} isn't JSON.") from None
