"""Whether Aer computes on a GPU."""

from __future__ import annotations

import pytest

from qonverge.backend.engines.aer import gpu_options


def test_the_cpu_needs_no_options() -> None:
    assert gpu_options("CPU", ["CPU"], False) == gpu_options("CPU", ["CPU", "GPU"], True) == {}


@pytest.mark.parametrize("custatevec", [False, True])
def test_a_gpu_that_aer_has_is_used(custatevec: bool) -> None:
    assert gpu_options("GPU", ["CPU", "GPU"], custatevec) == {"device": "GPU", "cuStateVec_enable": custatevec}


def test_what_is_missing_is_said() -> None:
    with pytest.raises(LookupError, match="Aer here has only CPU: use an image with Aer's GPU build"):
        gpu_options("GPU", ["CPU"], True)
    with pytest.raises(LookupError, match="there is no device TPU: give CPU or GPU"):
        gpu_options("TPU", ["CPU"], False)
