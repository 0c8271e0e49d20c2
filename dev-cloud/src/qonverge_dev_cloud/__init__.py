"""Quantum clouds on loopback: the vendors' own APIs, deterministic, without an account and without a network."""

from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.scenario import Scenario, ScenarioError, load

__all__ = ["DevCloud", "Scenario", "ScenarioError", "load"]
