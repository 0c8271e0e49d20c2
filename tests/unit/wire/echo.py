"""A child that answers each request with itself."""

from __future__ import annotations

from qonverge.wire.child_side import serve_requests

if __name__ == "__main__":
    serve_requests(lambda request: request, lambda error: {"error": str(error)})
