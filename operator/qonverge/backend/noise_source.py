"""Where a backend server has its noise from, and what it does when that changes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from qonverge.backend.tasks.engine import Engine
from qonverge.devices.noise import Noise, noise_from_data, noise_named

_LOOK_SECONDS = 2.0


class NoiseSource:
    """What ``--noise`` names: a snapshot, a calibration's JSON, or ``@FILE``, which may be compressed by gzip."""

    def __init__(self, text: str) -> None:
        """Nothing is read yet."""
        self._text = text
        self._file = Path(text[1:]) if text.startswith("@") else None
        self._seen: bytes | None = None

    def read(self) -> Noise:
        """Return the noise as it is now.

        Raises:
            InvalidCalibration: it is none; the message names the field.
            LookupError: there is no snapshot of this name.
            OSError: there is no such file.
        """
        if self._file is None:
            return noise_named(self._text)
        self._seen = self._file.read_bytes()
        return noise_from_data(self._seen)

    def changed(self) -> Noise | None:
        """Return the noise where its file has other content than when it was last read, else None.

        Raises:
            InvalidCalibration, OSError: as ``read``; the same content is not read again.
        """
        if self._file is None or self._file.read_bytes() == self._seen:
            return None
        return self.read()


async def follow(source: NoiseSource, engine: Engine) -> None:
    """Hand each new calibration to the engine, for ever; one that is wrong is said on standard error and passed over.

    The file is compared, not watched: a mounted ConfigMap changes by a link to another folder.
    """
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            noise = source.changed()
            if noise is None or (engine.config.noise is not None and noise.digest == engine.config.noise.digest):
                continue
            await engine.recalibrate(noise)
        except Exception as error:  # whatever one file trips, the next is to be looked at
            print(f"qonverge.backend: the former calibration is kept: {error}", file=sys.stderr, flush=True)
            continue
        print(f"qonverge.backend: calibrated as {noise.name}, {noise.digest[:12]}", file=sys.stderr, flush=True)
