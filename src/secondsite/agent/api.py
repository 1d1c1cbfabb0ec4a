"""What the agent answers: everything to root on this host's unix socket, a little to the peer that knows the token."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse as _JSONResponse
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from secondsite.agent.procedures import Procedures, Run
from secondsite.errors import SecondsiteError

FOR_PEER = ("switchover", "preview-switchover", "verify")  # a primary may ask its standby to relieve it, to compare
MAX_REQUEST = 1024 * 1024
Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
Handover = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class JSONResponse(_JSONResponse):
    """In plain ASCII: a file's name may be no UTF-8, and comes back as the same bytes."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class Knowledge(Protocol):
    """What the API tells."""

    def state_json(self, *, samples: bool) -> bytes:
        """This site's SiteState, with ``now``, this host's clock."""

    def guard(self) -> Mapping[str, Any]:
        """{site, role, writable, generation, active}."""

    def health(self) -> Mapping[str, Any]:
        """{site, version, troubles}: that the agent lives, and which of its duties fail."""

    def views(self) -> Mapping[str, Any]:
        """Both sites as this one sees them, with the age of each."""

    def status(self) -> Mapping[str, Any]:
        """The document of ``status --json``."""

    def samples(self, seconds: float, span: int) -> list[Mapping[str, Any]]:
        """Lag samples of the last ``seconds``."""


@dataclass(frozen=True, slots=True)
class Api:
    """Handlers over what the agent knows. fence: makes this site accept no more writes; unfence takes it back.
    handover: this site's part of a switchover, act by act. verify: a look for the other site's verification."""

    knowledge: Knowledge
    procedures: Procedures
    fence: Handler
    unfence: Handler
    handover: Handover
    verify: Handover
    shut_out: Callable[[], bool] = bool  # the peer is quarantined: it may look, and ask for nothing

    def local(self) -> ASGIApp:
        """For the unix socket: its mode 0600 is the access control."""
        routes = [
            *self._shared(),
            Route("/v1/views", self._views),
            Route("/v1/status", self._status),
            Route("/v1/samples", self._samples),
            Route("/v1/procedures/current", self._current),
            Route("/v1/procedures/{kind}", self._procedure, methods=["POST"]),
        ]
        return Starlette(routes=routes, exception_handlers={SecondsiteError: _explained})

    def tunnel(self, token: Callable[[], str | None]) -> ASGIApp:
        """For the peer, on the tunnel's address only, and only with the token."""
        routes = [
            *self._shared(),
            *(
                Route(f"/v1/procedures/{kind}", self._procedure_for_peer, methods=["POST"], name=kind)
                for kind in FOR_PEER
            ),
        ]
        app = Starlette(routes=routes, exception_handlers={SecondsiteError: _explained})
        return OnlyWith(token, OnlyLooks(self.shut_out, app))

    def _shared(self) -> list[Route]:
        return [
            Route("/v1/state", self._state),
            Route("/v1/guard", self._guard),
            Route("/v1/health", self._health),
            Route("/v1/fence", self._fence, methods=["POST"]),
            Route("/v1/unfence", self._unfence, methods=["POST"]),
            Route("/v1/handover/{act}", self._handover, methods=["POST"]),
            Route("/v1/verify/{act}", self._verify, methods=["POST"]),
        ]

    async def _state(self, request: Request) -> Response:
        samples = request.query_params.get("samples", "1") != "0"
        return Response(self.knowledge.state_json(samples=samples), media_type="application/json")

    async def _guard(self, _: Request) -> Response:
        return JSONResponse(self.knowledge.guard())

    async def _health(self, _: Request) -> Response:
        return JSONResponse(self.knowledge.health())

    async def _views(self, _: Request) -> Response:
        return JSONResponse(self.knowledge.views())

    async def _status(self, _: Request) -> Response:
        return JSONResponse(self.knowledge.status())

    async def _samples(self, request: Request) -> Response:
        try:
            seconds = float(request.query_params.get("seconds", "300"))
            span = int(request.query_params.get("span", "1"))
        except ValueError:
            return JSONResponse({"error": "usage", "message": "seconds and span are numbers"}, status_code=400)
        return JSONResponse(self.knowledge.samples(seconds, span))

    async def _fence(self, request: Request) -> Response:
        return JSONResponse(await self.fence(await _document(request)))

    async def _unfence(self, request: Request) -> Response:
        return JSONResponse(await self.unfence(await _document(request)))

    async def _handover(self, request: Request) -> Response:
        return JSONResponse(await self.handover(request.path_params["act"], await _document(request)))

    async def _verify(self, request: Request) -> Response:
        return JSONResponse(await self.verify(request.path_params["act"], await _document(request)))

    async def _procedure(self, request: Request) -> Response:
        arguments = await _document(request)
        return _stream(self.procedures.start(request.path_params["kind"], arguments))

    async def _procedure_for_peer(self, request: Request) -> Response:
        return _stream(self.procedures.start(request.url.path.rpartition("/")[2], await _document(request)))

    async def _current(self, _: Request) -> Response:
        run = self.procedures.current
        if run is None:
            missing = {"error": "no-procedure", "message": "no procedure has run since the agent started"}
            return JSONResponse(missing, status_code=404)
        return _stream(run)


class OnlyWith:
    """Lets a request through that carries the shared token, compared in constant time; tells the rest nothing."""

    def __init__(self, token: Callable[[], str | None], inner: ASGIApp) -> None:
        self._token = token
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._may(scope):
            refusal = JSONResponse({"error": "unauthorized", "message": "the sites do not share a token"}, 401)
            await refusal(scope, receive, send)
            return
        await self._inner(scope, receive, send)

    def _may(self, scope: Scope) -> bool:
        token = self._token()
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return bool(token) and hmac.compare_digest(given, f"Bearer {token}".encode())


class OnlyLooks:
    """Lets nothing but GET through while the peer is shut out: a former primary may ask what this site is."""

    def __init__(self, shut_out: Callable[[], bool], inner: ASGIApp) -> None:
        self._shut_out = shut_out
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] != "GET" and self._shut_out():
            refusal = JSONResponse({"error": "quarantined", "message": "this site has shut its peer out"}, 403)
            await refusal(scope, receive, send)
            return
        await self._inner(scope, receive, send)


def _stream(run: Run) -> Response:
    async def lines() -> AsyncIterator[str]:
        try:
            async for line in run.follow():
                yield line + "\n"
        finally:
            if run.ends_with_caller:
                run.abandon()

    return StreamingResponse(lines(), media_type="application/x-ndjson", headers={"X-Procedure": run.kind})


async def _document(request: Request) -> Mapping[str, Any]:
    """The request's JSON object. Raises SecondsiteError on anything else."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST:
            raise SecondsiteError("the request is too long", slug="bad-request")
    try:
        document = json.loads(body or b"{}")
    except ValueError as strange:
        raise SecondsiteError("the request is no JSON", slug="bad-request") from strange
    if not isinstance(document, dict):
        raise SecondsiteError("the request is no JSON object", slug="bad-request")
    return document


async def _explained(_: Request, error: Exception) -> Response:
    assert isinstance(error, SecondsiteError)
    code = {"procedure-running": 409, "bad-request": 400, "fence-refused": 409}.get(error.slug, 500)
    return JSONResponse(error.as_json(), status_code=code)
