"""A batch of SQS records: one lane for each lead, lanes side by side, and the partial batch response."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from .api.http_client import TimeLeft
from .attempt import Attempt
from .aws_error import error_code
from .batch_metrics import BatchMetrics
from .contract import Outcome
from .delivery import Delivery
from .event.envelope import IgnoredError, LeadEvent, Mapper, Reading, UnreadableError, read_event
from .event.lead import Operation
from .event.mappings import EventMapper
from .event.message import Message
from .joint_writes import LARGEST_JOINT_WRITE
from .ledger import EarlyClaim
from .outcome_events import OutcomeEvents
from .settings import Settings

LARGEST_SQS_BATCH = 10

_Value = TypeVar("_Value")
_Result = TypeVar("_Result")

Lane = list[tuple[Message, Reading]]


def read(message: Message, settings: Settings, mapper: Mapper) -> Reading:
    """The event, or the error that says why not. Never raises, so that one record can't fail the batch."""
    try:
        return read_event(
            message, settings.lead_defaults, settings.event_sources, mapper, settings.only_recipients
        )
    except UnreadableError as error:
        return error
    except Exception as error:
        return UnreadableError([f"body: can't be read ({type(error).__name__})"], message.message_id)


def sort_into_lanes(readings: Iterable[tuple[Message, Reading]]) -> list[Lane]:
    """One lane for each lead (same e-mail address or id), in the order in which its events were sent.

    A standard queue keeps no order, so the order of the records is used only among events that were sent in
    the same millisecond.
    """
    lanes: list[tuple[set[str], Lane]] = []
    for message, reading in readings:
        names, lane = _lane_names(reading), [(message, reading)]
        for other in [each for each in lanes if each[0] & names]:
            lanes.remove(other)
            names, lane = other[0] | names, other[1] + lane
        lanes.append((names, lane))
    return [sorted(lane, key=lambda each: each[0].order_ms) for _, lane in lanes]


def _results(futures: Sequence[Future[list[_Result]]]) -> list[_Result]:
    wait(futures)  # all of them, before any result may raise
    return [result for future in futures for result in future.result()]


def _lane_names(reading: Reading) -> set[str]:
    names = {f"lead {reading.lead_hash}"} if reading.lead_hash else set()
    if isinstance(reading, LeadEvent) and reading.lead_id is not None:
        names.add(f"id {reading.lead_id}")
    return names


class BatchRunner:
    """Runs batches on a pool of threads that is kept between invocations.

    Threads return attempts; only the thread that calls `run` writes metrics, log lines, visibility timeouts
    and the response. `run` returns after all threads have, because one that outlived its invocation would go
    on in the next one and send its lead twice.
    """

    def __init__(
        self,
        delivery: Delivery,
        sqs: Any,  # noqa: ANN401 - a boto3 SQS client, whose type exists in the stubs only
        settings: Settings,
        logger: Logger,
        metrics: BatchMetrics,
        outcome_events: OutcomeEvents | None = None,
    ) -> None:
        self._delivery = delivery
        self._sqs = sqs
        self._settings = settings
        self._mapper = EventMapper(settings.mappings)
        self._pool = ThreadPoolExecutor(max_workers=settings.parallel_calls, thread_name_prefix="lane")
        self._logger = logger
        self._metrics = metrics
        self._outcome_events = outcome_events

    def run(self, records: Iterable[Mapping[str, Any]], time_left: TimeLeft) -> dict[str, Any]:
        """Returns the partial batch response: the messages that stay in the lead queue."""
        messages = map(Message.from_record, records)
        readings = [(message, read(message, self._settings, self._mapper)) for message in messages]
        ignored = [
            Attempt(message, reading, Outcome.IGNORED, reason=reading.summary)
            for message, reading in readings
            if isinstance(reading, IgnoredError)
        ]
        lanes = sort_into_lanes(each for each in readings if not isinstance(each[1], IgnoredError))
        early = self._claim_early(lanes, time_left)
        futures = [
            self._pool.submit(self._run_lane, lane, early.get(place), time_left)
            for place, lane in enumerate(lanes)
        ]
        completions = self._submit_parts(
            _results(futures), lambda part: self._delivery.complete(part, time_left)
        )
        attempts = ignored + self._try_alone(_results(completions), time_left)
        returned = [attempt for attempt in attempts if attempt.delay_s is not None]
        not_set = self._set_visibility(returned)
        self._metrics.write(attempts, not_set)
        for attempt in attempts:
            self._log(attempt)
        self._publish(attempts, time_left)
        return {"batchItemFailures": [{"itemIdentifier": each.message.message_id} for each in returned]}

    def _claim_early(self, lanes: Sequence[Lane], time_left: TimeLeft) -> dict[int, EarlyClaim | None]:
        """Claims, in one call for many, the leads whose lane begins with a create: most have no item yet.

        Meanwhile this thread fetches the environment's first token.
        """
        first = {
            place: (reading, message)
            for place, [(message, reading), *_] in enumerate(lanes)
            if isinstance(reading, LeadEvent) and reading.operation is Operation.CREATE
        }
        claims = self._submit_parts(
            list(first.values()), lambda part: self._delivery.claim_new(part, time_left)
        )
        if claims:
            self._delivery.prepare(time_left)
        return dict(zip(first, _results(claims), strict=True))

    def _submit_parts(
        self, values: Sequence[_Value], work: Callable[[Sequence[_Value]], list[_Result]]
    ) -> list[Future[list[_Result]]]:
        """As many values in each part as the ledger takes in one call; the parts run side by side."""
        parts = [
            values[start : start + LARGEST_JOINT_WRITE]
            for start in range(0, len(values), LARGEST_JOINT_WRITE)
        ]
        return [self._pool.submit(work, part) for part in parts]

    def _run_lane(self, lane: Lane, early: EarlyClaim | None, time_left: TimeLeft) -> list[Attempt]:
        """The completion of the lane's last event is left to `run`, because no later event waits for it."""
        return [
            self._delivery.attempt(
                message,
                reading,
                time_left,
                early=early if place == 1 else None,
                completes_later=place == len(lane),
            )
            for place, (message, reading) in enumerate(lane, start=1)
        ]

    def _try_alone(self, attempts: list[Attempt], time_left: TimeLeft) -> list[Attempt]:
        """Events that the function crashed over go last, one by one, those with the fewest crashes first.

        If one of them crashes the function again, no other event is affected, and the crash is counted for
        the right one.
        """
        to_try = sorted((each for each in attempts if each.crashes), key=lambda each: each.crashes)
        others = [each for each in attempts if not each.crashes]
        return others + [
            self._delivery.attempt(each.message, each.reading, time_left, alone=True) for each in to_try
        ]

    def _set_visibility(self, returned: list[Attempt]) -> int:
        """The event source mapping keeps a visibility timeout that the function sets for a failed item.

        When SQS refuses one, the message comes back after the queue's own visibility timeout instead. Returns
        how many were refused.
        """
        refused: list[str] = []
        for start in range(0, len(returned), LARGEST_SQS_BATCH):
            entries = [
                {
                    "Id": str(index),
                    "ReceiptHandle": attempt.message.receipt_handle,
                    "VisibilityTimeout": attempt.delay_s,
                }
                for index, attempt in enumerate(returned[start : start + LARGEST_SQS_BATCH])
            ]
            try:
                answer = self._sqs.change_message_visibility_batch(
                    QueueUrl=self._settings.lead_queue_url, Entries=entries
                )
                refused += [failed.get("Code", "") for failed in answer.get("Failed", [])]
            except (ClientError, BotoCoreError) as error:
                refused += [error_code(error)] * len(entries)
        if refused:
            self._logger.warning(
                "visibility timeout not set; the queue's own applies",
                extra={"messages": len(refused), "reason": ", ".join(sorted(set(refused)))},
            )
        return len(refused)

    def _publish(self, attempts: list[Attempt], time_left: TimeLeft) -> None:
        """Last, because nothing else may suffer from it."""
        if self._outcome_events is None:
            return
        lost = self._outcome_events.publish(attempts, time_left)
        self._metrics.write_lost_events(lost.events)
        if lost.events:
            self._logger.warning("outcome events lost", extra=lost._asdict())

    def _log(self, attempt: Attempt) -> None:
        reading, message = attempt.reading, attempt.message
        line = {
            "outcome": attempt.outcome,
            "parked": attempt.parked,
            "operation": reading.operation,
            "message_id": message.message_id,
            "event_id": reading.event_id,
            "source": reading.source,
            # Made of hashes: `leadctl find` finds the event by it.
            "key": reading.key.text if reading.key else None,
            "lead": reading.lead_hash,
            "lead_id": attempt.lead_id,
            "lead_state": attempt.lead_state,
            "status": attempt.status,
            "reason": attempt.reason,
            "receive_count": message.receive_count,
            "delay_s": attempt.delay_s,
            "duration_ms": attempt.duration_ms,
            "ledger_written": attempt.ledger_written,
            "unknown_fields": list(reading.unknown_fields) if isinstance(reading, LeadEvent) else [],
        }
        quiet = {Outcome.DELIVERED, Outcome.DUPLICATE, Outcome.IGNORED}
        log = self._logger.info if attempt.outcome in quiet else self._logger.warning
        log("attempt", extra={name: value for name, value in line.items() if value not in (None, [])})
