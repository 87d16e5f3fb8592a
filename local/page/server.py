"""The page's server, on the loopback interface only.

GET  /                   the page
GET  /events             the figures as server-sent events, each second
GET  /overview           the figures now
GET  /story?email=…      the story of one lead
GET  /parked             parked leads by reason
GET  /examples           publish examples
POST /parked/retry       {"ids": […]}: sends these parked messages again
POST /api                {"mode": …}: turns the switch of the API
POST /leads              {"count": n}: publishes made-up leads
"""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
from botocore.exceptions import BotoCoreError, ClientError
from flask import Flask, Response, abort, request
from werkzeug.serving import WSGIRequestHandler, make_server

from local.page.examples import examples
from local.page.made_up_leads import LARGEST_COUNT, publish_made_up_leads
from local.page.overview import Overview
from local.page.queues import group_by_reason, parked_messages, retry
from local.page.story import tell
from local.page.switch import DESCRIPTIONS, Switch, UnknownModeError
from local.stack.child_process import ChildFailedError
from local.stack.deployment import Deployment
from local.stack.waiting import NotInTimeError

_PAGE = Path(__file__).with_name("page.html")
# Nothing from elsewhere: the page works without a network, and what a lead's fields hold can't load anything.
_POLICY = "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
# Bodies of so many are shown of each reason; all of them are counted and sent again.
_SHOWN_OF_A_REASON = 50
_POLL_S = 0.05


class Page:
    """Serves from `start` to `stop`. Raises SystemExit, with the reason on stderr, for a port it can't have.

    It takes faults as they are; the switch is at "up" until somebody turns it.
    """

    def __init__(self, deployment: Deployment, port: int = 0) -> None:
        self._deployment = deployment
        self.switch = Switch(deployment)
        self.overview = Overview(deployment, self.switch)
        self._server = make_server(
            "127.0.0.1", port, self._flask(), threaded=True, request_handler=_QuietHandler
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="page server", daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        self.overview.start()
        self._thread.start()

    def stop(self) -> None:
        """Ends the streams too."""
        self.overview.stop()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _flask(self) -> Flask:
        app = Flask(__name__, static_folder=None)
        app.before_request(self._refuse_other_sites)
        views: dict[str, Callable[[], Any]] = {
            "/": lambda: Response(_PAGE.read_bytes(), content_type="text/html; charset=utf-8"),
            "/events": self._events,
            "/overview": lambda: self.overview.figures,
            "/story": self._story,
            "/parked": self._parked,
            "/examples": lambda: {
                "examples": list(examples(self._deployment).items()),
                "modes": list(DESCRIPTIONS.items()),
            },
        }
        changes: dict[str, Callable[[], Any]] = {
            "/parked/retry": self._retry,
            "/api": self._turn,
            "/leads": self._publish,
        }
        for path, view in views.items():
            app.add_url_rule(path, path, view)
        for path, change in changes.items():
            app.add_url_rule(path, path, change, methods=["POST"])
        app.after_request(_secured)
        for error in (
            ClientError,
            BotoCoreError,
            requests.RequestException,
            ChildFailedError,
            NotInTimeError,
        ):
            app.register_error_handler(error, _run_failed)
        return app

    def _refuse_other_sites(self) -> None:
        """Another site that is open in the browser can't ask by a name of its own, or post without asking."""
        if request.host not in {
            f"127.0.0.1:{self._server.server_port}",
            f"localhost:{self._server.server_port}",
        }:
            abort(403)
        if request.method == "POST" and not request.is_json:
            abort(415)

    def _events(self) -> Response:
        def lines() -> Iterator[str]:
            for figures in self.overview.stream():
                yield f"data: {json.dumps(figures)}\n\n"

        return Response(lines(), content_type="text/event-stream")

    def _story(self) -> dict[str, Any]:
        with self.overview.lock:
            return tell(self._deployment, self.overview.history, request.args.get("email", ""))

    def _parked(self) -> dict[str, Any]:
        groups = group_by_reason(parked_messages(self._deployment))
        return {
            "reasons": [
                {
                    "reason": reason,
                    "count": len(messages),
                    "ids": [message.id for message in messages],
                    "messages": [
                        {
                            "id": message.id,
                            "email": message.email,
                            "firstSeen": message.first_seen,
                            "attributes": message.attributes,
                            "body": message.body,
                        }
                        for message in messages[:_SHOWN_OF_A_REASON]
                    ],
                }
                for reason, messages in groups.items()
            ]
        }

    def _retry(self) -> dict[str, Any]:
        ids = _asked("ids")
        if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
            abort(400)
        sent = retry(self._deployment, ids)
        self.overview.follow_retry(sent)
        return {"sent": len(sent)}

    def _turn(self) -> tuple[dict[str, Any], int]:
        try:
            self.switch.turn(str(_asked("mode")))
        except UnknownModeError as error:
            return {"message": str(error)}, 400
        self.overview.look_soon()
        return {"mode": self.switch.mode}, 200

    def _publish(self) -> dict[str, Any]:
        count = _asked("count")
        if type(count) is not int or not 1 <= count <= LARGEST_COUNT:
            abort(400)
        addresses = publish_made_up_leads(self._deployment, count)
        self.overview.look_soon()
        return {"emails": addresses}


class _QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name for it
        """Silent: the terminal belongs to the run."""


def _asked(name: str) -> object:
    body = request.get_json(silent=True)
    return body.get(name) if isinstance(body, dict) else None


def _run_failed(error: Exception) -> tuple[dict[str, str], int]:
    return {"message": f"The run doesn't answer: {error}"}, 502


def _secured(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-store"
    return response
