"""``python -m qonverge_dev_cloud``: the same as ``qonverge dev-cloud``, where Qonverge is not installed."""

from __future__ import annotations

from qonverge_dev_cloud.command import dev_cloud

if __name__ == "__main__":
    dev_cloud()
