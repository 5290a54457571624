"""Words that several studies read, and hand on to a server of their own."""

import argparse

import pytest

from clavilux.benchmarks.command_line import model_words
from clavilux.runtime.commands.options import add_model_options


@pytest.mark.parametrize(
    ("words", "handed_on"),
    [
        ([], ["--device", "cpu", "--threads", "0"]),
        (
            ["--set", "seed=3", "--bundle", "mine", "--set", "hop=0.05", "--threads", "1", "--device", "cuda"],
            ["--device", "cuda", "--threads", "1", "--bundle", "mine", "--set", "seed=3", "--set", "hop=0.05"],
        ),
    ],
)
def test_all_that_is_asked_of_the_models_is_handed_on(words: list[str], handed_on: list[str]) -> None:
    parser = argparse.ArgumentParser()
    add_model_options(parser)
    assert model_words(parser.parse_args(words)) == handed_on
    assert parser.parse_args(handed_on) == parser.parse_args(words)
