import numpy as np

from clavilux.runtime.hearing.pulse.filters import BANK, CENTRES_HZ, COUNT, MIDDLES


def test_every_bin_between_the_middles_is_shared_out_wholly():
    inside = BANK[:, MIDDLES[1] : MIDDLES[-2] + 1]
    assert np.allclose(inside.sum(axis=0), 1)


def test_each_filter_is_highest_in_its_middle():
    assert np.array_equal(BANK.argmax(axis=1), MIDDLES[1:-1])
    assert COUNT == len(CENTRES_HZ) == 32
