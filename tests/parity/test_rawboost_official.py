"""RawBoost draws and computes what the authors' code does, checked against output of their unmodified code.

Tolerance: 1e-7 of the largest sample. What differs is that powers and norms of float32 waves are float64 here.
"""

import numpy as np
import pytest
from backend_cases import reference
from scipy import fft

from spooftrace.audio.rawboost import RawBoostSettings, notch_filters, rawboost


@pytest.fixture(scope="module")
def official():
    return reference("rawboost_algos")


@pytest.mark.parametrize("algorithm", range(10))
def test_algorithm_equals_official(official, algorithm):
    rng = np.random.RandomState(0)
    ours = rawboost(official["inputs"]["wave"].numpy(), algorithm, rng)
    theirs = official["outputs"][f"seed0_algo{algorithm}"].numpy()
    assert ours.dtype == theirs.dtype
    assert np.abs(ours - theirs).max() <= 1e-7 * np.abs(theirs).max()
    # The generator stands where it stood after their code.
    np.testing.assert_array_equal(
        rng.uniform(size=4), official["outputs"][f"seed0_algo{algorithm}_next_uniform4"].numpy()
    )


@pytest.mark.parametrize("gain", [(0, 0), (-5, -20)])
def test_filter_equals_official(official, gain):
    theirs = official["outputs"][f"notch_seed7_minG{gain[0]}_maxG{gain[1]}"].numpy()
    (response,), reach = notch_filters(np.random.RandomState(7), RawBoostSettings(), [gain])
    taps = fft.fftshift(fft.irfft(response))  # middle tap first -> in the middle
    middle = len(taps) // 2
    assert len(theirs) == 2 * reach + 1
    np.testing.assert_allclose(taps[middle - reach : middle + reach + 1], theirs, rtol=0, atol=1e-14)
    assert np.abs(taps[: middle - reach]).max() < 1e-14
    assert np.abs(taps[middle + reach + 1 :]).max() < 1e-14
