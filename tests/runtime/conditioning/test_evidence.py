"""Evidence: near enough for long enough, short things once they are over, hysteresis, and the confidence."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.bundle.manifest import EvidenceSpec
from clavilux.runtime.conditioning.evidence import OVER, SHORT, STAY, Evidence, Moment
from clavilux.runtime.frame import Heard

SPEC = EvidenceSpec(similarity=0.5, persistence=0.05, held_similarity=0.8, held_persistence=1.0)
HOP = 0.04  # s

DOG, CAT = Heard("dog", 0.85), Heard("cat", 0.85)
FAR_DOG, FARTHER_DOG, FARTHEST_DOG = Heard("dog", 0.7), Heard("dog", 0.45), Heard("dog", 0.3)


def names(
    evidence: Evidence,
    hops: Iterable[Heard | None],
    *,
    over_for: float = 1.0,
    lasted: float = 0.6,
    seconds: float = HOP,
) -> list[str | None]:
    """Return the name that counts after each hop."""
    told = []
    for nearest in hops:
        evidence.advance(Moment(nearest, seconds, seconds, lasted, over_for))
        told.append(evidence.heard.name if evidence.heard else None)
    return told


def known() -> Evidence:
    """Return evidence that a dog was heard."""
    evidence = Evidence(SPEC)
    assert names(evidence, [DOG] * 4)[-1] == "dog"
    return evidence


def test_something_short_counts_once_it_is_over() -> None:
    evidence = Evidence(SPEC)
    assert names(evidence, [DOG] * 10, over_for=0.0) == [None] * 10
    assert names(evidence, [DOG] * 3, over_for=OVER[0]) == [None, "dog", "dog"]


def test_something_short_that_is_very_near_counts_before_it_is_over() -> None:
    told = names(Evidence(SPEC), [Heard("dog", 0.96)] * 6, over_for=0.0)
    assert told == [None, None, None, "dog", "dog", "dog"]
    assert set(names(Evidence(SPEC), [Heard("dog", 0.96)] * 10, over_for=0.0, lasted=SHORT + 0.1)) == {None}


def test_what_is_less_near_needs_longer() -> None:
    assert names(Evidence(SPEC), [DOG] * 9).index("dog") < names(Evidence(SPEC), [FAR_DOG] * 9).index("dog")


def test_running_speech_is_not_something_short() -> None:
    assert set(names(Evidence(SPEC), [FAR_DOG] * 100, lasted=SHORT + 0.1)) == {None}


def test_a_sound_that_goes_on_counts_when_it_is_nearer_and_for_longer() -> None:
    told = names(Evidence(SPEC), [DOG] * 100, over_for=0.0, lasted=4.0)
    assert told.index("dog") == pytest.approx(SPEC.held_persistence / HOP, abs=1)
    assert set(names(Evidence(SPEC), [FAR_DOG] * 100, over_for=0.0, lasted=4.0)) == {None}


@pytest.mark.parametrize("seconds", [0.01, 0.02, 0.05])
def test_the_same_time_counts_whatever_the_hop_is(seconds: float) -> None:
    told = names(Evidence(SPEC), [DOG] * 20, seconds=seconds)
    assert (told.index("dog") + 1) * seconds == pytest.approx(0.08, abs=0.021)


def test_time_in_which_no_sound_comes_is_no_evidence_for_a_sound_that_goes_on() -> None:
    evidence = Evidence(SPEC)
    assert names(evidence, [DOG] * 10, over_for=0.0, lasted=4.0)[-1] is None
    for _ in range(100):
        evidence.advance(Moment(DOG, HOP, 0.0, lasted=4.0, over_for=1.0))
    assert evidence.heard is None


def test_names_that_change_all_the_time_never_count() -> None:
    evidence = Evidence(SPEC)
    assert set(names(evidence, [DOG, CAT] * 40)) == {None}
    assert evidence.known == 0.0


def test_what_is_not_near_enough_never_counts() -> None:
    assert set(names(Evidence(SPEC), [FARTHER_DOG] * 100)) == {None}


def test_a_name_that_counts_stays_while_it_is_hardly_less_near() -> None:
    assert names(known(), [FARTHER_DOG] * 100)[-1] == "dog"


def test_a_name_that_counts_stays_for_a_moment_and_no_longer() -> None:
    for other in (FARTHEST_DOG, None):
        assert names(known(), [other] * 20).index(None) == int(STAY / HOP)


def test_another_name_takes_over_as_soon_as_there_is_evidence_for_it() -> None:
    assert names(known(), [CAT] * 3) == ["dog", "cat", "cat"]


def test_silence_forgets_the_name_and_the_evidence_for_it() -> None:
    evidence = known()
    evidence.forget(HOP)
    assert evidence.heard is None
    assert names(evidence, [DOG]) == [None]


def test_only_a_hop_whose_own_name_counts_is_one_to_set_out_for() -> None:
    evidence = known()
    hops = (DOG, CAT, None, FARTHEST_DOG, FARTHER_DOG)
    assert [evidence.advance(Moment(hop, HOP, HOP, 0.6, 1.0)) for hop in hops] == [True, False, False, False, True]


def test_a_name_that_begins_to_count_tells_how_long_it_has_been_near() -> None:
    evidence = Evidence(SPEC)
    late = []
    for nearest, over_for in [(CAT, 0.0)] + [(DOG, 0.0)] * 4 + [(DOG, 0.1)] * 4 + [(CAT, 0.1)] * 2:
        evidence.advance(Moment(nearest, HOP, HOP, 0.6, over_for))
        late.append(evidence.late)
    assert [at for at, seconds in enumerate(late) if seconds is not None] == [6, 10]
    assert [late[6], late[10]] == pytest.approx([5 * HOP, HOP])  # the hop in which it came is on time


def test_confidence_grows_while_a_name_counts_and_falls_when_none_does() -> None:
    evidence = known()
    names(evidence, [DOG] * 50)
    assert evidence.known > 0.99
    names(evidence, [None] * 100)
    assert evidence.known < 0.01


HOPS = st.tuples(
    st.sampled_from([None, DOG, CAT, FAR_DOG, FARTHER_DOG]),
    st.sampled_from([0.0, OVER[0], 1.0, OVER[1] + 1]),
    st.floats(0.0, 3.0),
)


@given(st.lists(HOPS, max_size=200))
def test_a_name_never_counts_before_its_time(hops: list[tuple[Heard | None, float, float]]) -> None:
    evidence, run, last = Evidence(SPEC), 0, None
    for nearest, over_for, lasted in hops:
        near = nearest if nearest is not None and nearest.similarity >= SPEC.similarity else None
        run = run + 1 if near is not None and near.name == last else 1
        last = near.name if near is not None else None
        before = evidence.heard.name if evidence.heard else None
        evidence.advance(Moment(nearest, HOP, HOP, lasted, over_for))
        now = evidence.heard.name if evidence.heard else None
        assert now in (None, before) or run * HOP >= SPEC.persistence
        assert 0.0 <= evidence.known <= 1.0
