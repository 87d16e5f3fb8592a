"""The event source mapping, between lead queue and function; its tags say who closed it and why."""

import re
import time
from dataclasses import dataclass

from leadctl.moments import iso
from leadctl.problems import ProblemError
from leadctl.target import Target

LONGEST_CHANGE_S = 90
_BY, _AT, _REASON = "leadctl:paused-by", "leadctl:paused-at", "leadctl:paused-reason"
# What AWS takes in a tag's value, up to 256 characters.
# https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
_NOT_IN_A_TAG = re.compile(r"[^\w\s.:/=+@-]")
LONGEST_REASON = 256


@dataclass(frozen=True)
class Tap:
    """The mapping's state, what Lambda can't do with it, and the pause that leadctl noted on it."""

    state: str
    arn: str
    problem: str | None = None
    paused_by: str | None = None
    paused_at: str | None = None
    reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the function gets leads, or is about to."""
        return self.state in {"Enabled", "Enabling", "Creating", "Updating"}

    def sentence(self) -> str:
        """Why it is closed."""
        if self.reason is None:
            return f"the event source mapping is {self.state.lower()}, and nobody noted why"
        return f"{self.paused_by} paused it at {self.paused_at}: {self.reason}"


class EventSourceMapping:
    """Reads and changes the mapping of a target."""

    def __init__(self, target: Target) -> None:
        self._lambda = target.client("lambda")
        self._id = target.output("EventSourceMappingId")
        self._target = target

    def read(self) -> Tap:
        """Without the pause's tags if they can't be read."""
        mapping = self._lambda.get_event_source_mapping(UUID=self._id)
        arn = mapping.get("EventSourceMappingArn", "")
        tags = self._tags(arn)
        last: str = mapping.get("LastProcessingResult", "")
        problem = last if last.startswith("PROBLEM") else None
        return Tap(mapping["State"], arn, problem, tags.get(_BY), tags.get(_AT), tags.get(_REASON))

    def _tags(self, arn: str) -> dict[str, str]:
        from botocore.exceptions import ClientError

        try:
            return dict(self._lambda.list_tags(Resource=arn).get("Tags", {})) if arn else {}
        except ClientError:
            return {}

    def open(self) -> Tap:
        """Lets leads flow, waits until they do, and removes the pause's tags. Raises `ProblemError`."""
        tap = self._switch(on=True)
        if tap.reason is not None:
            self._lambda.untag_resource(Resource=tap.arn, TagKeys=[_BY, _AT, _REASON])
        return tap

    def close(self) -> Tap:
        """Stops the flow and waits until it has stopped. Raises `ProblemError`."""
        return self._switch(on=False)

    def note(self, tap: Tap, reason: str) -> None:
        """Keeps who paused and why."""
        tags = {_BY: self._caller(), _AT: iso(time.time()) or "", _REASON: reason}
        allowed = {name: _NOT_IN_A_TAG.sub(" ", value)[:LONGEST_REASON] for name, value in tags.items()}
        self._lambda.tag_resource(Resource=tap.arn, Tags=allowed)

    def _caller(self) -> str:
        """The user's or the role session's name: the end of its ARN."""
        arn: str = self._target.client("sts").get_caller_identity()["Arn"]
        return arn.rpartition(":")[2].rpartition("/")[2]

    def _switch(self, *, on: bool) -> Tap:
        self._lambda.update_event_source_mapping(UUID=self._id, Enabled=on)
        wanted, deadline = ("Enabled" if on else "Disabled"), time.monotonic() + LONGEST_CHANGE_S
        while (tap := self.read()).state != wanted:
            if time.monotonic() > deadline:
                raise ProblemError(f"The event source mapping is still {tap.state}: look again, by status.")
            time.sleep(1)
        return tap
