"""Clips for measuring only: words that people recorded, and real sounds that training never had.

    python -m clavilux.training.lumia.data.measuring_sets DIR      (seconds once the packages are there)

They are never trained on and never shipped: most are copyleft. DIR is the data folder; the packages are the installed
ones, or are fetched into DIR/measuring (250 MB). What a clip holds was not verified by ear: words go by file names
(KTuberling) and by the English text beside a recording (Tux Paint), sounds by file names. Nobody who speaks is named in
the packages. A recogniser (pocketsphinx, choosing among 448 words) heard the concept's word in 50 of the 65 recordings,
and in most of Tux Paint's the bare word: "hen" where the text says "A brown hen."

Left out are silent and repeated files, speech over MAX_SECONDS seconds, and names that leave doubt: a chimpanzee is a
monkey, but an organ may be no church, and a sea lion is no seal.
"""

import argparse
import io
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from clavilux.runtime.errors import ClaviluxError, SoundError
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.command_line import command
from clavilux.training.lumia.data.clips import LabelledClip, Origin, tidy
from clavilux.training.lumia.data.concepts import CONCEPTS, SOUNDS
from clavilux.training.lumia.data.debian_packages import Package, debian_package
from clavilux.training.lumia.data.qt_resources import read_resources
from clavilux.training.lumia.data.synthesis.kinds import KINDS

MAX_SECONDS = 2.5  # seconds: speech beyond is left out, of sounds the loudest piece is taken
WHOLE = 3600.0  # seconds, longer than any file
HEARD = {*SOUNDS, *KINDS}  # concepts that training hears as sounds
AUDIO = (".ogg", ".wav")

KTUBERLING = ("ktuberling-data", "ktuberling/sounds/en")
TUXPAINT = ("tuxpaint-stamps-default", "tuxpaint/stamps/animals")
STAMPS = "tuxpaint/stamps"
GCOMPRIS = ("gcompris-qt-data", "gcompris-qt/rcc")

# File, what is said, concept. Not here, among others: sunglasses, earring, falling star, monster, UFO.
SPOKEN = """
bow/bow/ribbon
coat/coat/coat
ear/ear/ear
egypt_birds/birds/bird
egypt_bridge/bridge/bridge
egypt_camel/camel/camel
egypt_donkey/donkey/donkey
egypt_palmtree/palm tree/palm tree
eye/eye/eye
flower/flower/flower
hat/hat/hat
moon_alien/alien/alien
moon_earth/earth/earth
moon_planet/planet/planet
moon_rocket/rocket/rocket
moon_satellite/satellite/satellite
moon_star/star/star
nose/nose/nose
pizzeria_broccolli/broccoli/broccoli
pizzeria_cheese/cheese/cheese
pizzeria_cucumber/cucumber/cucumber
pizzeria_mushroom/mushroom/mushroom
pizzeria_onion/onion/onion
pizzeria_pepper/pepper/pepper
pizzeria_pineapple/pineapple/pineapple
pizzeria_tomato/tomato/tomato
shoe/shoe/shoe
spectacles/spectacles/glasses
tv_bicycle/bicycle/bicycle
tv_car/car/car
tv_train/train/train
tv_tree/tree/tree
umbrella/umbrella/umbrella
"""

# Concept: Tux Paint's sound effects, by file name.
EFFECTS = """
frog: frog
bird: blackbird cuckoo lark seagull
crow: crow
duck: duck drake
goose: gander
chicken: hen
rooster: rooster
turkey: turkey
owl: owl
penguin: penguin
bee: bee
cricket: grasshopper
mosquito: mosquito
monkey: chimp
dolphin: dolphin
whale: whale
bear: bear
cow: cow cow_white bull
goat: goat
sheep: sheep sheep_lamb
camel: camel
lion: lion
tiger: tiger
deer: deer doe
dog: dog
fox: fox
elephant: elephant
donkey: donkey
horse: horse
zebra: zebra
hippopotamus: hippopotamus
pig: pig pig_golden pig_golden2
mouse: mouse
rabbit: rabbit
squirrel: squirrel
koala: koala
bat: bat_left
cat: blackcat
camera: camera_35mm
drum: drum_tomtom_floor drumkit
violin: violin
scissors: scissors_small_closed scissors_small_open
hammer: hammer
saw: saw
thunder: lightningbolt
fireworks: fireworks
ghost: ghost
fire engine: firetruck
"""

# Concept: GCompris' sounds, as resource file and file name.
ACTIVITIES = """
owl: explore_farm_animals/owl
pig: explore_farm_animals/pig
chicken: explore_farm_animals/chickens
cat: explore_farm_animals/cat
horse: explore_farm_animals/horse
cow: explore_farm_animals/cow
dog: explore_farm_animals/dog memory-sound/LRBark_1_LA_cut memory-sound/LRBark_3_LA_cut
duck: explore_farm_animals/duck
sheep: explore_farm_animals/sheep
violin: instruments/violin
accordion: instruments/accordion
banjo: instruments/banjo
trumpet: instruments/trumpet
horn: instruments/horn
piano: instruments/piano
saxophone: instruments/saxophone
maracas: instruments/maracas
flute: instruments/flute_traversiere
guitar: instruments/guitar instruments/electric_guitar memory-sound/guitar_melody
guitar: memory-sound/guitar_son1 memory-sound/guitar_son2 memory-sound/guitar_son3 memory-sound/guitar_son4
drum: instruments/drum_kit instruments/snare_drum instruments/bongo instruments/timpani
music: explore_world_music/australia explore_world_music/japan explore_world_music/middleeast
music: explore_world_music/italy explore_world_music/ireland explore_world_music/beethoven
music: explore_world_music/america explore_world_music/africa explore_world_music/mexico
car: memory-sound/LRStartAndStopCarEngine1LACut traffic/car
train: memory-sound/LRTrain_slowing_down_01_LA_cut railroad/train
helicopter: guessnumber/helicopter
door: memory-sound/LRDoor_Open_2_LA
applause: memory-sound/LRApplauses_1_LA_cut
heart: memory-sound/LRHeart_beat_01_LA
rain: memory-sound/LRRain_in_garden_01_LA_cut
water: canal_lock/water_fill core/water
bubbles: clickgame/bubble
money: money/money1 money/money2
footprints: reversecount/icy_walk
bow and arrow: target/arrow
"""


@dataclass(frozen=True)
class Gathered:
    """The clips of one package, and how many files it had to choose from."""

    voice: str  # what the voices of its clips begin with
    clips: tuple[LabelledClip, ...]
    files: int


def human_words(folder: Path) -> list[LabelledClip]:
    """Return words and short sentences that people recorded, each with its text and the concept that it names.

    Raises ClaviluxError when a package is missing and cannot be fetched into the data folder.
    """
    return [clip for one in (ktuberling_words(folder), tuxpaint_words(folder)) for clip in one.clips]


def real_sounds(folder: Path) -> list[LabelledClip]:
    """Return recorded sounds, at most MAX_SECONDS seconds each, with the concept that their file names tell.

    `trained` tells which concepts have sounds in training. Raises ClaviluxError as `human_words` does.
    """
    return [clip for one in (tuxpaint_sounds(folder), gcompris_sounds(folder)) for clip in one.clips]


def trained(clips: Iterable[LabelledClip]) -> list[LabelledClip]:
    """Return the clips whose concepts have sounds in training, recorded, rendered or synthesised."""
    return [clip for clip in clips if clip.label in HEARD]


def never_trained(clips: Iterable[LabelledClip]) -> list[LabelledClip]:
    """Return the clips whose concepts are known to training as words only."""
    return [clip for clip in clips if clip.label not in HEARD]


def ktuberling_words(folder: Path) -> Gathered:
    """Return the English words of KTuberling that name a concept."""
    package = debian_package(*KTUBERLING, folder)
    files = {path.stem: path for path in sorted((package.share / KTUBERLING[1]).glob("*.ogg"))}
    origin = Origin("human/ktuberling", package.source, package.licence("sounds/en"))
    rows = (row.split("/") for row in _rows(SPOKEN))
    clips = (LabelledClip(_read(files[name]), concept, origin, word) for name, word, concept in rows if name in files)
    return _gathered(origin.voice, filter(_is_short, clips), len(files))


def tuxpaint_words(folder: Path) -> Gathered:
    """Return Tux Paint's English descriptions whose text names exactly one concept."""
    package = debian_package(*TUXPAINT, folder)
    files = sorted((package.share / STAMPS).rglob("*_desc.ogg"))
    origin = Origin("human/tuxpaint", package.source, package.licence("stamps"))
    said = ((path, text, concept_in(text)) for path, text in zip(files, map(_description, files), strict=True))
    clips = (LabelledClip(_read(path), concept, origin, text) for path, text, concept in said if concept)
    return _gathered(origin.voice, filter(_is_short, clips), len(files))


def concept_in(text: str) -> str:
    """Return the one concept that has its name or a synonym in the text, as a whole word or with an s; or else ""."""
    found = [one.name for one in CONCEPTS if any(re.search(rf"\b{word}s?\b", text.lower()) for word in one.words)]
    return found[0] if len(found) == 1 else ""


def _description(recording: Path) -> str:
    text = recording.with_name(recording.name.replace("_desc.ogg", ".txt"))
    return text.read_text(encoding="utf-8").split("\n")[0].strip() if text.exists() else ""


def tuxpaint_sounds(folder: Path) -> Gathered:
    """Return Tux Paint's sound effects that are a concept's sound."""
    package = debian_package(*TUXPAINT, folder)
    root = package.share / STAMPS
    files = [path for path in sorted(root.rglob("*")) if path.suffix in AUDIO and _is_effect(path.relative_to(root))]
    concepts = _concepts(EFFECTS)
    origins = {path: _origin("tuxpaint", path.relative_to(root), package, "stamps") for path in files}
    clips = (LabelledClip(_read(path), concepts[path.stem], origins[path]) for path in files if path.stem in concepts)
    return _gathered("sound/tuxpaint", map(_loudest, clips), len(files))


def _is_effect(path: Path) -> bool:
    """Return whether a sound of the stamps is no description and no letter, number or face, which are spoken."""
    return "_desc" not in path.name and path.parts[0] != "symbols"


def gcompris_sounds(folder: Path) -> Gathered:
    """Return the sounds of GCompris that are a concept's sound; of its files, those are counted that are opened."""
    package = debian_package(*GCOMPRIS, folder)
    concepts = _concepts(ACTIVITIES)
    activities = sorted({name.split("/")[0] for name in concepts})
    paths = [package.share / GCOMPRIS[1] / f"{activity}.rcc" for activity in activities]
    sounds = {
        (path.stem, Path(one.name)): one
        for path in paths
        if path.exists()
        for one in read_resources(path).values()
        if one.name.endswith(AUDIO)
    }
    clips = (
        LabelledClip(
            _decoded(one.content(), inside), concepts[name], _origin("gcompris", Path(name), package, str(inside))
        )
        for (activity, inside), one in sounds.items()
        if (name := f"{activity}/{inside.stem}") in concepts
    )
    return _gathered("sound/gcompris", map(_loudest, clips), len(sounds))


def _origin(collection: str, place: Path, package: Package, source_path: str) -> Origin:
    licence = package.licence(source_path.removeprefix("gcompris/"))
    return Origin(f"sound/{collection}/{place.with_suffix('')}", package.source, licence)


def _rows(table: str) -> list[str]:
    return [row for row in table.split("\n") if row]


def _concepts(table: str) -> dict[str, str]:
    """Return the concept of each file named in a table of `concept: file file`."""
    rows = (row.split(": ") for row in _rows(table))
    return {file: concept for concept, files in rows for file in files.split()}


def _gathered(voice: str, clips: Iterable[LabelledClip], files: int) -> Gathered:
    """Return the clips that are neither silent nor repeat another; ClaviluxError when none is left."""
    unlike = {clip.sound.tobytes(): clip for clip in clips if len(clip.sound)}
    if not unlike:
        raise ClaviluxError(f"none of {files} files of {voice} is known; take Debian 12's package")
    return Gathered(voice, tuple(unlike.values()), files)


def _read(path: Path) -> NDArray[np.float32]:
    return _decoded(path.read_bytes(), path)


def _decoded(content: bytes, name: Path) -> NDArray[np.float32]:
    """Return a whole sound at SAMPLE_RATE without its silent ends and without the constant offset that some have."""
    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise SoundError(f"{name} cannot be read ({error}); fetch its package again") from None
    return tidy(samples - np.median(samples, axis=0), rate, WHOLE)


def _is_short(clip: LabelledClip) -> bool:
    return len(clip.sound) <= MAX_SECONDS * SAMPLE_RATE


def _loudest(clip: LabelledClip) -> LabelledClip:
    return replace(clip, sound=loudest_piece(clip.sound))


def loudest_piece(sound: NDArray[np.float32], seconds: float = MAX_SECONDS) -> NDArray[np.float32]:
    """Return the piece with the most energy, tidied: [n] mono at SAMPLE_RATE, at most `seconds` long."""
    length = int(seconds * SAMPLE_RATE)
    if len(sound) <= length:
        return sound
    energy = np.concatenate([[0.0], np.square(sound, dtype=np.float64).cumsum()])
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return tidy(sound[start : start + length], SAMPLE_RATE, seconds)


def summary(folder: Path) -> str:
    """Return the sets as a table, and a line for each collection that says how many files were left out."""
    collections = [make(folder) for make in (ktuberling_words, tuxpaint_words, tuxpaint_sounds, gcompris_sounds)]
    words, sounds = ([clip for one in pair for clip in one.clips] for pair in (collections[:2], collections[2:]))
    sets = {"human words": words, "sounds we train": trained(sounds), "sounds never trained": never_trained(sounds)}
    lines = [_line(name, clips) for name, clips in sets.items()]
    left = [f"{one.voice}: {len(one.clips)} of {one.files} files; the rest is left out" for one in collections]
    return "\n".join(["set                   clips  concepts  which", *lines, "", *left])


def _line(name: str, clips: list[LabelledClip]) -> str:
    counts = Counter(clip.label for clip in clips)
    which = ", ".join(f"{label} {count}" if count > 1 else label for label, count in sorted(counts.items()))
    return f"{name:20}  {len(clips):5}  {len(counts):8}  {which}"


def main() -> None:
    """Read the command line and print the sets."""
    parser = argparse.ArgumentParser(description="Gather the clips for measuring, and print what they are.")
    parser.add_argument("folder", type=Path, help="data folder, which packages are fetched into")
    print(summary(parser.parse_args().folder))


if __name__ == "__main__":
    sys.exit(command("measuring_sets", main))
