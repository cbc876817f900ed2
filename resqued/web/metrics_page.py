"""/metrics: what Prometheus reads."""

from __future__ import annotations

from flask import Response

from resqued.web.metrics import CONTENT_TYPE, render_metrics
from resqued.web.site import site


def show() -> Response:
    """Answer with all metrics; the scrape succeeds while Redis is away, too."""
    return Response(render_metrics(site()), content_type=CONTENT_TYPE)
