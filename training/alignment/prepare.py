"""The data of one two-stream training: read, checked, split, and their captions encoded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clavilux.export.options import Progress
from clavilux.runtime.errors import ClaviluxError
from clavilux.training.alignment.data.bad_data import Fault, check, count_faults, read_skipped
from clavilux.training.alignment.data.batches import (
    ClipStream,
    ExampleSettings,
    Order,
    SlidingWindows,
    StreamSettings,
    TrainingClips,
    WholeClips,
    split_examples,
    stream_test,
)
from clavilux.training.alignment.data.captioned import Example, filled, open_captioned
from clavilux.training.alignment.data.text_cache import TextCache
from clavilux.training.alignment.options import TrainOptions


@dataclass(frozen=True)
class Prepared:
    """The data, ready for Trainer."""

    train: Any  # TrainingClips or Stream
    order: Order | None
    tests: dict[str, Any]
    faults: Sequence[Fault]
    counts: dict[str, Any]


def prepare(options: TrainOptions, settings: ExampleSettings, cache: TextCache, tell: Progress) -> Prepared:
    """Read and check the data, and encode its captions."""
    if options.data.streaming:
        return _prepare_stream(options, settings, cache, tell)
    data = open_captioned(options.data)
    checked = check(data, options.cache or options.out, options.policy, tell)
    train, test = split_examples(checked.examples, options.test_share, options.schedule.seed)
    if not train:
        drawn = not any(one.split for one in test)
        remedy = "give more, or --test-share 0" if drawn else "expected some to train on"
        raise ClaviluxError(f"all {len(test)} clips are for the test; {remedy}")
    captions = dict.fromkeys(filled(settings.templates, (one.caption for one in checked.examples)))
    encoded = cache.add(captions)
    tell(f"{len(train)} clips to train on, {len(test)} to test with")
    tell(f"{encoded} captions encoded now, {len(captions) - encoded} taken from {cache.folder.parent}")
    if lesson := without_contrast(train, options):
        tell(lesson)
    counts = {"train": len(train), "test": len(test), "skipped": checked.summary(), "fingerprint": data.fingerprint}
    order = Order(len(train), settings.seed)
    return Prepared(TrainingClips(train, settings), order, _tests(test, options, settings), checked.faults, counts)


def _prepare_stream(options: TrainOptions, settings: ExampleSettings, cache: TextCache, tell: Progress) -> Prepared:
    share = 0.0 if options.data.test_split else options.test_share
    streaming = StreamSettings(options.data, options.policy, options.out, share, once(tell))
    wanted = options.test_most if options.data.test_split or share else 0
    test = stream_test(streaming, settings.seed, wanted)
    cache.add(filled(settings.templates[:1], (one.caption for one in test)))
    tell(f"a stream to train on, {len(test)} clips to test with")
    counts = {"test": len(test), "fingerprint": f"stream {options.data.dataset} {options.data.split}"}
    return Prepared(ClipStream(streaming, settings), None, _tests(test, options, settings), (), counts)


def without_contrast(train: Sequence[Example], options: TrainOptions) -> str:
    """Return why the contrast, the loss's first part, can teach nothing; "" when it can."""
    objective = options.objective
    if len({one.caption for one in train}) == 1:
        return f"all {len(train)} clips to train on have one caption: the contrast teaches nothing; give other captions"
    if options.schedule.batch == 1 and not objective.negatives and not objective.gather:
        return "a batch of 1 has no negatives: the contrast is 0 and teaches nothing; give --batch or --negatives"
    return ""


def once(tell: Progress) -> Progress:
    """Return `tell` without what it was told before: a stream's bad clips come by for the test and for the training."""
    told: set[str] = set()

    def new(line: str) -> None:
        if line not in told:
            told.add(line)
            tell(line)

    return new


def _tests(test: Sequence[Example], options: TrainOptions, settings: ExampleSettings) -> dict[str, Any]:
    if not test:
        return {}
    sliding = {"sliding": SlidingWindows(test, settings)} if options.sliding else {}
    return {"whole": WholeClips(test, settings), **sliding}


def skipped(options: TrainOptions, prepared: Prepared) -> str:
    """Return for people what was wrong with clips, of all processes together."""
    if options.data.streaming:  # nobody knows of how many
        return count_faults(read_skipped(options.out), 0).replace(" of 0 clips", " clips")
    total = prepared.counts["train"] + prepared.counts["test"] + len(prepared.faults)
    return count_faults(prepared.faults, total)
