"""Cirq: a ``cirq.Sampler`` on a backend, with exact expectation values."""

try:
    import cirq  # noqa: F401  # said here, in words, rather than by the first module that needs it
except ModuleNotFoundError as error:
    raise ImportError(f'the Cirq sampler needs {error.name}: pip install "qonverge[cirq]"') from None

from qonverge.client.cirq.sampler import Sampler

__all__ = ["Sampler"]
