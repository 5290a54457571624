"""Options that several commands share."""

import re

import pytest

from clavilux.runtime.commands.options import parameters_from, threads
from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.errors import ParameterError, ProviderError


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
        ("freeze=maybe", "freeze is 'maybe'; expected true, false, on, off"),
    ],
)
def test_a_wrong_word_is_named(word: str, complaint: str) -> None:
    with pytest.raises(ParameterError, match=complaint):
        Parameters().merge(parameters_from([word]))


@pytest.mark.parametrize("text", ["-1", "99999999999999", "two", "1.5", ""])
def test_a_number_of_threads_that_cannot_be_is_named(text: str) -> None:
    with pytest.raises(ProviderError, match=f"--threads {re.escape(text)}; expected 0 to "):
        threads(text)


def test_one_thread_can_always_be() -> None:
    assert (threads("0"), threads("1")) == (0, 1)
