"""Amazon Braket: a ``braket.devices.Device`` on a backend."""

try:
    import braket.devices  # noqa: F401  # said here, in words, rather than by the first module that needs it
except ModuleNotFoundError as error:
    raise ImportError(f'the Braket device needs {error.name}: pip install "qonverge[braket]"') from None

from qonverge.client.braket.device import Device

__all__ = ["Device"]
