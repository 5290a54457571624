import pytest

from clavilux.runtime.hearing.pulse.automatic_range import AutomaticRange


def after(seconds: float, decibels: float, given: AutomaticRange | None = None) -> tuple[float, AutomaticRange]:
    followed = given or AutomaticRange(reference=-12, share=0.3)
    level = 0.0
    for _ in range(round(100 * seconds)):
        level = followed.push(decibels)
    return level, followed


def test_loud_sound_is_one_and_silence_nought():
    assert after(1, -10)[0] == 1
    assert after(1, -120)[0] == 0


@pytest.mark.parametrize("noise", [-80, -60, -50])
def test_the_noise_of_a_room_is_nought(noise: float):
    assert after(10, noise)[0] == 0


def test_a_long_tone_does_not_fall_asleep():
    assert after(60, -30)[0] > 0.3


def test_soft_sound_rises_slowly_towards_loud_but_stays_lower():
    early, _ = after(0.1, -34)
    late, _ = after(60, -34)
    assert early + 0.02 < late < after(60, -22)[0] - 0.15


def test_a_pause_changes_nothing():
    _, followed = after(20, -30)
    ceiling = followed.ceiling
    after(60, -100, followed)
    assert followed.ceiling == ceiling


def test_a_shout_lowers_what_follows_for_a_while_only():
    before, followed = after(30, -30)
    after(0.5, 0, followed)
    just_after, _ = after(0.1, -30, followed)
    later, _ = after(60, -30, followed)
    assert just_after < before - 0.05
    assert later > before - 0.01
