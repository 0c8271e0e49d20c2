"""A real Kubernetes for tests: built from Go modules, started on this machine."""

from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.errors import ClusterError, CommandFailed, NotReady, RequirementsMissing

__all__ = ["ClusterError", "CommandFailed", "ControlPlane", "NotReady", "RequirementsMissing"]
