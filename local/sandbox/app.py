"""The sandbox's HTTP interface: the leads calls, the token endpoint and the control calls under /_sandbox."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import jwt
from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from local.sandbox.faults import FaultRuleError
from local.sandbox.leads import Refusal, SandboxLeads
from local.sandbox.sending import hang_up, send_dripping, send_huge, send_whole
from local.sandbox.store import ReceivedRequest, summary
from local.sandbox.tokens import IssuerSilentError, TokenRequest, token_id

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from local.sandbox.faults import Fault, FaultRules
    from local.sandbox.store import Lead, SandboxStore
    from local.sandbox.tokens import TokenEndpoint


@dataclass(frozen=True)
class _Answer:
    """An answer to send: `body` goes out as it is when it is text or bytes, else as JSON."""

    status: int
    body: object
    headers: dict[str, str] = field(default_factory=dict)
    effect: str | None = None
    jti: str | None = None

    def response(self) -> Response:
        if isinstance(self.body, str | bytes):
            headers = {"Content-Type": "text/plain; charset=utf-8"} | self.headers
            return Response(self.body, self.status, headers)
        response = jsonify(self.body)
        response.status_code = self.status
        response.headers.update(self.headers)
        return response


class SandboxApp:
    """The Flask app is `flask`; setting `stopping` ends delays early."""

    def __init__(
        self,
        store: SandboxStore,
        faults: FaultRules,
        tokens: TokenEndpoint,
        user_identifier: str,
        stopping: threading.Event,
    ) -> None:
        self._store, self._faults, self._tokens = store, faults, tokens
        self.user_identifier, self._stopping = user_identifier, stopping
        self._held: dict[int, str] = {}
        self._leads = SandboxLeads(store)
        self.flask = Flask(__name__, static_folder=None)
        self._add_api()
        self._add_control()

    def _add_api(self) -> None:
        leads, add = self._leads, self.flask.add_url_rule
        for operation, method, path, act in (
            ("create", "POST", "/leads", partial(_changed, 201, leads.create)),
            ("update", "PUT", "/leads", partial(_changed, 200, leads.update)),
            ("stop_followup", "PUT", "/leads/stop/followup", partial(_changed, 200, leads.stop_followup)),
            ("list_assistants", "GET", "/leads/assistant", self._list_assistants),
        ):
            view = partial(self._exchange, operation, self._authorise, act)
            add(path, operation, view, methods=[method])
        add("/oauth2/token", "token", partial(self._exchange, "token", self._grant, None), methods=["POST"])
        self.flask.register_error_handler(NotFound, self._refuse_unknown)
        self.flask.register_error_handler(MethodNotAllowed, self._refuse_unknown)

    def _add_control(self) -> None:
        store, add = self._store, self.flask.add_url_rule
        add("/_sandbox/requests", "requests", lambda: store.requests(request.args.get("since", 0, int)))
        add("/_sandbox/leads", "leads", store.leads)
        add("/_sandbox/leads", "add_leads", self._add_leads, methods=["POST"])
        add("/_sandbox/assistants", "add_assistants", self._add_assistants, methods=["POST"])
        add("/_sandbox/summary", "summary", partial(summary, store))
        add("/_sandbox/held", "held", lambda: {str(port): name for port, name in self._held.copy().items()})
        add("/_sandbox/faults", "faults", self._replace_faults, methods=["PUT"])
        add("/_sandbox/revoke", "revoke", lambda: {"revoked": store.revoke_tokens()}, methods=["POST"])
        add("/_sandbox/reset", "reset", self._reset, methods=["POST"])

    def _exchange(
        self,
        operation: str,
        check: Callable[[], _Answer | None],
        act: Callable[[object], _Answer] | None,
    ) -> Response:
        """One request, from fault to record: `check` answers it, or lets it through to `act`.

        Effect and record are committed together, before the answer leaves (but for a late effect): a killed
        sandbox forgets neither.
        """
        at = time.time()
        body = None if operation == "token" else _json_body()
        email = body.get("email") if isinstance(body, dict) else None
        email = email if isinstance(email, str) else None
        fault = self._faults.draw(operation, email)
        if fault and fault.kind == "delay":
            self._hold(operation, fault.seconds)
        reaches_api = fault is None or fault.takes_effect
        checked, kind = _attempt(check) if reaches_api else None, fault.kind if fault else None
        if fault and fault.kind == "late":
            self._answer_and_wait(fault)

        def take_effect() -> _Answer | None:
            answer = _attempt(partial(act, body)) if reaches_api and checked is None and act else checked
            sent = _with_fault(fault, answer)
            status = sent.status if sent else None
            effect, issued = (answer.effect, answer.jti) if answer else (None, None)
            effect_at = time.time() if effect else None
            jti = issued or token_id(_bearer_token())
            self._store.record(
                ReceivedRequest(at, operation, email, body, jti, status, kind, effect, effect_at)
            )
            return sent

        return self._send(fault, self._store.apply(take_effect))

    def _answer_and_wait(self, fault: Fault) -> None:
        """What a late effect's client sees, and the time until the effect."""
        early = _with_fault(fault, None)
        if early:
            send_whole(early.response())
        hang_up()
        self._stopping.wait(fault.seconds)

    def _send(self, fault: Fault | None, answer: _Answer | None) -> Response:
        """Sends what the fault wants sent in its own way; the server sends the rest."""
        if answer is None:
            hang_up()
            return Response()
        response = answer.response()
        if fault and fault.kind == "drip":
            send_dripping(response, fault.part, fault.seconds, self._stopping)
        elif fault and fault.kind == "huge":
            send_huge(response, fault.megabytes, compressed=fault.gzip)
        return response

    def _hold(self, operation: str, seconds: float) -> None:
        port = int(request.environ.get("REMOTE_PORT", 0))  # a function has no connection
        self._held[port] = operation
        self._stopping.wait(seconds)
        self._held.pop(port, None)

    def _authorise(self) -> None:
        try:
            claims = self._tokens.claims(_bearer_token())
        except jwt.PyJWTError:
            raise Refusal(401, "Unauthorized") from None
        except IssuerSilentError:
            raise Refusal(503, "the token issuer's keys can't be read") from None
        if self._store.is_revoked(claims["jti"]):
            raise Refusal(401, "Unauthorized")
        # Not documented: what a missing or foreign user identifier answers.
        if request.headers.get("7ts-user-identifier") != self.user_identifier:
            raise Refusal(403, "7ts-user-identifier is missing or unknown")

    def _grant(self) -> _Answer:
        headers = request.headers
        asked = TokenRequest(headers.get("Authorization"), headers.get("Content-Type"), request.get_data())
        try:
            answer = self._tokens.answer(asked)
        except IssuerSilentError:
            raise Refusal(503, "the token endpoint behind the sandbox doesn't answer") from None
        return _Answer(answer.status, answer.body, {"Content-Type": answer.content_type}, jti=answer.jti)

    def _list_assistants(self, _: object) -> _Answer:
        return _Answer(200, self._leads.list_assistants(request.args))

    def _refuse_unknown(self, error: HTTPException) -> Response:
        """Answers a call the API doesn't have and records it as the operation `unknown`."""
        bare = error.get_response(request.environ)
        if not request.path.startswith("/_sandbox"):
            received = ReceivedRequest(time.time(), "unknown", status=bare.status_code)
            self._store.apply(partial(self._store.record, received))
        body = json.dumps({"message": error.name})
        return Response(body, bare.status_code, bare.headers, content_type="application/json")

    def _add_leads(self) -> tuple[dict[str, Any], int]:
        """All of the leads, or none of them if one isn't as a create's body must be."""
        leads = request.get_json(force=True, silent=True)

        def add() -> None:
            for lead in leads if isinstance(leads, list) else [None]:
                self._leads.add_existing(lead)

        try:
            self._store.apply(add)
        except Refusal as refusal:
            return {"message": str(refusal)}, 400
        return {}, 200

    def _add_assistants(self) -> tuple[dict[str, Any], int]:
        emails = request.get_json(force=True, silent=True)
        if not isinstance(emails, list) or not all(isinstance(email, str) for email in emails):
            return {"message": "the body must be a JSON list of e-mail addresses"}, 400
        for email in emails:
            self._store.apply(partial(self._store.id_of, "assistant", email))
        return {}, 200

    def _replace_faults(self) -> tuple[dict[str, Any], int]:
        try:
            self._faults.replace(request.get_json(force=True, silent=True))
        except FaultRuleError as error:
            return {"message": str(error)}, 400
        return {}, 200

    def _reset(self) -> dict[str, Any]:
        self._store.reset()
        self._faults.clear()
        return {}


def _changed(status: int, change: Callable[[object], tuple[Lead, str]], body: object) -> _Answer:
    if not request.is_json:
        raise Refusal(400, "the Content-Type must be application/json")
    lead, effect = change(body)
    return _Answer(status, lead, effect=effect)


def _attempt(call: Callable[[], _Answer | None]) -> _Answer | None:
    try:
        return call()
    except Refusal as refusal:
        return _Answer(refusal.status, {"message": str(refusal)})


def _with_fault(fault: Fault | None, answer: _Answer | None) -> _Answer | None:
    """What leaves the sandbox; None when the connection is cut."""
    if fault is None or fault.kind in {"delay", "drip", "huge"}:
        return answer
    if fault.kind == "revoked_token":
        return _Answer(401, {"message": "Unauthorized"})
    if fault.status:
        return _Answer(fault.status, fault.body, fault.headers)
    if fault.kind == "wrong_content_type" and answer:
        page = "<html><body><h1>Welcome</h1></body></html>"
        return _Answer(answer.status, page, {"Content-Type": "text/html; charset=utf-8"})
    return None


def _bearer_token() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _json_body() -> object:
    """The parsed body; None when there is none or it isn't JSON."""
    try:
        return json.loads(request.get_data())
    except (ValueError, RecursionError):
        return None
