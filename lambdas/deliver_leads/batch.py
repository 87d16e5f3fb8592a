"""A batch of SQS records: one lane for each lead, lanes side by side, and the partial batch response."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import BotoCoreError, ClientError

from .api.http_client import Deadline
from .contract import Metric
from .delivery import Attempt, Delivery
from .event.envelope import Reading, UnreadableError, read_event
from .event.message import Message
from .outcome import Outcome

LARGEST_SQS_BATCH = 10

Lane = list[tuple[Message, Reading]]


def sort_into_lanes(messages: Iterable[Message], defaults: Mapping[str, str]) -> list[Lane]:
    """One lane for each lead (same e-mail address or id) or FIFO message group, in the order of arrival."""
    lanes: list[Lane] = []
    lane_of: dict[str, Lane] = {}
    for message in messages:
        try:
            reading: Reading = read_event(message, defaults)
        except UnreadableError as error:
            reading = error
        names = _lane_names(message, reading)
        lane = next((lane_of[name] for name in names if name in lane_of), None)
        if lane is None:
            lane = []
            lanes.append(lane)
        lane.append((message, reading))
        lane_of.update((name, lane) for name in names)
    return lanes


def _lane_names(message: Message, reading: Reading) -> list[str]:
    if message.group_id is not None:
        return [f"group {message.group_id}"]
    if isinstance(reading, UnreadableError):
        return []
    lead_id = reading.lead.get("id")
    return [f"lead {reading.lead_hash}"] + ([f"id {lead_id}"] if lead_id is not None else [])


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
        queue_url: str,
        defaults: Mapping[str, str],
        parallel_calls: int,
        logger: Logger,
        metrics: Metrics,
    ) -> None:
        self._delivery = delivery
        self._sqs = sqs
        self._queue_url = queue_url
        self._defaults = defaults
        self._pool = ThreadPoolExecutor(max_workers=parallel_calls, thread_name_prefix="lane")
        self._logger = logger
        self._metrics = metrics

    def run(self, records: Iterable[Mapping[str, Any]], deadline: Deadline) -> dict[str, Any]:
        """Returns the partial batch response: the messages that stay in the lead queue."""
        lanes = sort_into_lanes(map(Message.from_record, records), self._defaults)
        futures = [self._pool.submit(self._run_lane, lane, deadline) for lane in lanes]
        wait(futures)  # all of them, before any result may raise
        attempts = [attempt for future in futures for attempt in future.result()]
        returned = [attempt for attempt in attempts if attempt.delay_s is not None]
        self._set_visibility(returned)
        self._count(attempts)
        for attempt in attempts:
            self._log(attempt)
        return {"batchItemFailures": [{"itemIdentifier": each.message.message_id} for each in returned]}

    def _run_lane(self, lane: Lane, deadline: Deadline) -> list[Attempt]:
        attempts: list[Attempt] = []
        for message, reading in lane:
            ahead = attempts[-1] if attempts else None
            if ahead is not None and ahead.delay_s is not None:
                attempts.append(self._delivery.defer(message, reading, ahead))
            else:
                attempts.append(self._delivery.attempt(message, reading, deadline))
        return attempts

    def _set_visibility(self, returned: list[Attempt]) -> None:
        """The event source mapping keeps a visibility timeout that the function sets for a failed item.

        When SQS refuses one, the message comes back after the queue's own visibility timeout instead.
        """
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
                answer = self._sqs.change_message_visibility_batch(QueueUrl=self._queue_url, Entries=entries)
                refused = len(answer.get("Failed", []))
            except (ClientError, BotoCoreError):
                refused = len(entries)
            if refused:
                self._logger.warning(
                    "visibility timeout not set; the queue's own applies", extra={"messages": refused}
                )

    def _count(self, attempts: list[Attempt]) -> None:
        counts = Counter(Metric[attempt.outcome.name] for attempt in attempts)
        counts[Metric.PARKED] = sum(attempt.parked for attempt in attempts)
        for name, count in counts.items():
            self._metrics.add_metric(name, MetricUnit.Count, count)
        # SQS's own age metric leaves out messages that were received three times or more.
        ages_s = [time.time() - each.message.sent_at for each in attempts if each.delay_s is not None]
        if ages_s:
            self._metrics.add_metric(Metric.OLDEST_RETURNED, MetricUnit.Seconds, round(max(ages_s)))

    def _log(self, attempt: Attempt) -> None:
        event, message = attempt.event, attempt.message
        line = {
            "outcome": attempt.outcome,
            "parked": attempt.parked,
            "operation": event.operation if event else None,
            "message_id": message.message_id,
            "event_id": attempt.event_id,
            "lead": event.lead_hash[:16] if event else None,
            "lead_id": attempt.lead_id,
            "lead_state": attempt.lead_state,
            "status": attempt.status,
            "reason": attempt.reason,
            "receive_count": message.receive_count,
            "delay_s": attempt.delay_s,
            "duration_ms": attempt.duration_ms,
            "ledger_written": attempt.ledger_written,
            "unknown_fields": list(event.unknown_fields) if event else [],
        }
        quiet = {Outcome.DELIVERED, Outcome.DUPLICATE}
        log = self._logger.info if attempt.outcome in quiet else self._logger.warning
        log("attempt", extra={name: value for name, value in line.items() if value not in (None, [])})
