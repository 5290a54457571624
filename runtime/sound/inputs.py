"""Inputs as people name them: host API and name, and the channels that are heard.

Pure. `NAME`, a part of it, or an index from the list; with `API/` before it and `:3` or `:1+2` after it where that is
wanted. An index holds for the moment of the list alone, for plugging changes it: an input is known by what it is.
"""

import os
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from clavilux.runtime.errors import DeviceError
from clavilux.runtime.sound.samples import MAX_CHANNELS, RATES

API_ORDER = ("ASIO", "Core Audio", "WASAPI", "PulseAudio", "JACK", "ALSA", "OSS", "WDM-KS", "DirectSound", "MME")
"""Host APIs as they are preferred where one device stands in several: short ways with whole names first."""

CHOSEN = re.compile(r"(.*[^\s]) *: *(\d{1,9}(?:\+\d{1,9})*)")
NAMELESS = re.compile(r"(:[\d+ ]*)?")  # channels of nothing
USUAL_CHANNELS = 2  # of a converter, which could make any number of them


@dataclass(frozen=True)
class Input:
    """One input that the system offers."""

    name: str  # the same whenever it is plugged in
    channels: int  # that it has, or, of a converter, could make
    rate: int  # Hz, its own default
    is_default: bool
    api: str  # host API, in its short name
    device: int | str = 0  # what its library opens, good until the next list
    label: str = ""  # what else it is called
    converts: bool = False  # makes channels out of others, as ALSA's plug-ins do
    is_loopback: bool = False  # what the system plays; silent where nothing does, and some libraries send nothing then
    index: int = 0  # place in the list
    number: int = 1  # among those with its name in its host API, counted from 1
    twins: int = 1  # how many of them there are

    @property
    def title(self) -> str:
        """Name that no other input of its host API has."""
        return f"{self.name} #{self.number}" if self.twins > 1 else self.name

    @property
    def words(self) -> str:
        """Name that no other input has, as `find_input` takes it."""
        return f"{self.api}/{self.title}"


@dataclass(frozen=True)
class Chosen:
    """One input, and which of its channels are heard."""

    source: Input
    use: tuple[int, ...] = ()  # counted from 1, each once; empty: all, or as many as go

    @property
    def channels(self) -> int:
        """How many channels must be opened."""
        usual = USUAL_CHANNELS if self.source.converts else MAX_CHANNELS
        return max(self.use, default=min(usual, self.source.channels))

    @property
    def heard(self) -> int:
        """How many channels are heard."""
        return len(self.use) or self.channels

    @property
    def columns(self) -> list[int] | slice:
        """Columns of samples [n, channels] that are heard."""
        return [number - 1 for number in self.use] or slice(self.channels)


def listed(found: Iterable[Input]) -> list[Input]:
    """Return inputs in the order of their host APIs, with indices, with numbers for equal names, and one default."""
    ordered = sorted(found, key=_rank)
    default = next((source for source in ordered if source.is_default), None)
    twins = Counter((source.api, source.name) for source in ordered)
    seen: Counter[tuple[str, str]] = Counter()
    result = []
    for index, source in enumerate(ordered):
        key = source.api, source.name
        seen[key] += 1
        is_default = source is default
        result.append(replace(source, index=index, number=seen[key], twins=twins[key], is_default=is_default))
    return result


def find_input(inputs: Sequence[Input], wanted: str) -> Chosen:
    """Return what `wanted` says: an input by name, a part of it, or index, and the channels after it.

    Where a name stands in several host APIs, the first of `API_ORDER` is taken, and an input before a loopback. Raises
    DeviceError that lists what there is.
    """
    if not inputs:
        line = "there are no inputs; plug in a microphone or an interface"
        raise DeviceError(f"{line}, or leave --input out and take the page's microphone")
    wanted = one_line(wanted)
    if NAMELESS.fullmatch(wanted):
        raise DeviceError(f"--input {wanted!r} names no input; expected NAME, or NAME:1+2, of {_all(inputs)}")
    for fits in FITS:
        for text, use in _readings(wanted):
            matches = [source for source in inputs if fits(source, text)]
            if matches:
                return checked(Chosen(_preferred(matches, text), use))
    name, colon, rest = (part.strip() for part in wanted.rpartition(":"))
    if name and colon and any(fits(source, name) for source in inputs for fits in FITS):
        line = f"channels {rest!r} of input {name!r} cannot be"
        raise DeviceError(f"{line}; expected their numbers, as in {quoted(f'{name}:1')} or {quoted(f'{name}:1+2')}")
    raise DeviceError(f"no input is called {wanted!r}; there are {_all(inputs)}")


def find_again(inputs: Iterable[Input], source: Input) -> Input:
    """Return the input that `source` was, wherever it stands now. Raises DeviceError while it is not there."""
    twins = [other for other in inputs if (other.api, other.name) == (source.api, source.name)]
    # With one of two equal ones gone, nobody can tell which: better none than the wrong one.
    if len(twins) != source.twins:
        others = f", or one of {source.twins} with its name" if source.twins > 1 else ""
        raise DeviceError(f"input {quoted(source.words)} is not there{others}")
    return twins[source.number - 1]


def one_line(name: str) -> str:
    """Return a name with single spaces: WDM-KS has line ends in names, and MME may cut them at a space."""
    return " ".join(name.split())


def quoted(words: str) -> str:
    """Return an argument as the system's shell takes it."""
    return subprocess.list2cmdline([words]) if os.name == "nt" else shlex.quote(words)


def _readings(wanted: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the ways to read a wish: all of it a name, for names hold colons, or a name with channels after it."""
    yield wanted, ()
    if (parts := CHOSEN.fullmatch(wanted)) is not None:
        yield parts[1], tuple(map(int, parts[2].split("+")))


def _is_called(source: Input, text: str) -> bool:
    return text.lower() in {each.lower() for each in (source.name, source.title, source.words, source.label)}


def _has_index(source: Input, text: str) -> bool:
    return text == str(source.index)


def _contains(source: Input, text: str) -> bool:
    api, _, rest = text.lower().partition("/")
    if rest and api == source.api.lower():
        text = rest
    return any(text.lower() in each.lower() for each in (source.title, source.label))


FITS = (_is_called, _has_index, _contains)  # ways to take a wish, the strictest first


def _preferred(matches: list[Input], text: str) -> Input:
    """Return the one to take. Raises DeviceError where two are equally good."""
    inputs_first = [(source.is_loopback, _rank(source)) for source in matches]
    left = [source for source, rank in zip(matches, inputs_first, strict=True) if rank == min(inputs_first)]
    if len(left) > 1:
        raise DeviceError(f"{len(left)} inputs are called {text!r}; take one of {_all(left)}")
    return left[0]


def _rank(source: Input) -> int:
    return API_ORDER.index(source.api) if source.api in API_ORDER else len(API_ORDER)


def checked(chosen: Chosen) -> Chosen:
    """Return the choice. Raises DeviceError for channels or a rate that cannot be heard."""
    source, use = chosen.source, chosen.use
    low, high = RATES
    if not low <= source.rate <= high:
        line = f"input {quoted(source.words)} runs at {source.rate} Hz; expected {low} to {high} Hz"
        raise DeviceError(f"{line}, which the system's settings may have for it")
    beyond = [number for number in use if not 1 <= number <= source.channels]
    if beyond:
        counted = f"{source.channels} channel{'s' if source.channels > 1 else ''}, counted from 1"
        raise DeviceError(f"input {quoted(source.words)} has {counted}; there is no channel {beyond[0]}")
    if len(set(use)) < len(use) or len(use) > MAX_CHANNELS:
        asked = "+".join(map(str, use))
        raise DeviceError(f"channels {asked} are asked for; expected each once, and {MAX_CHANNELS} at most")
    return chosen


def _all(inputs: Iterable[Input]) -> str:
    return ", ".join(quoted(source.words) for source in inputs)
