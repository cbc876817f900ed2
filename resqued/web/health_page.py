"""Whether the process answers, and whether Redis does; for load balancers."""

from __future__ import annotations

from flask import Response, jsonify

from resqued.errors import StoreError
from resqued.web.render import snapshot


def healthz() -> Response:
    """Say that the process answers; Redis is not asked."""
    return Response("ok\n", mimetype="text/plain")


def readyz() -> Response:
    """Say whether Redis answers, and how old the snapshot is; 503 if it does not."""
    try:
        found = snapshot()
    except StoreError:
        answer = jsonify(ready=False, redis=False, snapshot_age=None)
        answer.status_code = 503
        return answer
    is_ready = not found.problem
    answer = jsonify(ready=is_ready, redis=is_ready, snapshot_age=round(found.age, 3))
    answer.status_code = 200 if is_ready else 503
    return answer
