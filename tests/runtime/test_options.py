"""Options that several commands share."""

import pytest

from runtime.errors import ParameterError
from runtime.options import parameters_from
from runtime.parameters import Parameters


def test_words_become_values_of_the_parameters_kind() -> None:
    values = parameters_from(["glide=1.5", "steps=2", "freeze=true", "noise=fresh"])
    assert values == {"glide": 1.5, "steps": 2, "freeze": True, "noise": "fresh"}


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("glide", "--set glide; expected NAME=VALUE"),
        ("glide=fast", "glide is 'fast'; expected a number"),
        ("steps=1.5", "steps is '1.5'; expected a whole number"),
        ("colour=red", "no parameter 'colour'"),
        ("freeze=maybe", "freeze is 'maybe'; expected true or false"),
    ],
)
def test_a_wrong_word_is_named(word: str, complaint: str) -> None:
    with pytest.raises(ParameterError, match=complaint):
        Parameters().merge(parameters_from([word]))
