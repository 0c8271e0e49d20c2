"""Qonverge: hybrid quantum-classical computing on Kubernetes."""

from importlib.metadata import version

__version__ = version("qonverge")
