"""Where checkpoints lie: a folder, a file, or a name on the hub whose files are fetched into its cache.

A hub name is `owner/repository`, or `owner/repository/subfolder`; `owner/repository@revision` names a branch, a tag or
a commit of it. Files are fetched here, one by one: the libraries
then see folders only, ask no network, and do not make the hub convert pickles behind one's back. Foreign errors become
ExportError here, so that the rest of the export sees one kind.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from logging import CRITICAL, getLogger
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.parse import quote, unquote

from huggingface_hub import _CACHED_NO_EXIST, HfApi, constants, get_session, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    StrictDataclassError,
)
from safetensors import SafetensorError

from clavilux.runtime.errors import ExportError

Where = str | Path
Config = dict[str, Any]

MARKS = ("config.json", "model_index.json", "unet", "vae", "scheduler")
"""Marks of a folder that is a checkpoint or a pipeline: a part that is missing there is no name on the hub."""

HUB_NAME_PARTS = 2  # owner/repository
REVISION = "@"  # in front of a branch, tag or commit, behind the repository
COMMIT = re.compile(r"[0-9a-f]{40}")
PATIENCE_S = 10  # with a hub that is slow to answer
FILE_SUFFIXES = (".safetensors", ".ckpt", ".bin", ".pt", ".pth")
LOG_IN = "run `hf auth login` with an account that may read it"
_FOREIGN = (
    *(OSError, ValueError, RuntimeError, TypeError, LookupError, ArithmeticError, AssertionError, AttributeError),
    *(SafetensorError, HFValidationError, StrictDataclassError),
)


class UnreachableError(ExportError):
    """A file is not in the hub's cache, and the hub cannot be reached."""


def join(where: Where, part: str) -> Where:
    """Return the place of `part` inside `where`."""
    return where / part if isinstance(where, Path) else f"{where.rstrip('/')}/{part}"


def origin(where: Where) -> str:
    """Return a name for the manifest: the hub name without its revision, or the last part of a folder's path."""
    if isinstance(where, Path) or Path(where).exists():
        return Path(where).resolve().name
    return re.sub(r"@[^/]*", "", where, count=1)


def at_revision(where: str, revision: str) -> str:
    """Return the hub name `where` at a branch, tag or commit, whose slashes are quoted (`refs%2Fpr%2F3`).

    Raises ExportError for what is no hub name.
    """
    parts = where.split("/")
    if Path(where).exists() or len(parts) < HUB_NAME_PARTS:
        raise ExportError(f"--revision {revision} is of a repository on the hub; {where} is none")
    if not revision.strip():
        raise ExportError(f"the revision of {where} is empty; expected a branch, a tag or a commit")
    if REVISION in where:
        raise ExportError(f"{where} names a revision, and --revision {revision} another; give one of them")
    return "/".join((parts[0], f"{parts[1]}{REVISION}{quote(revision, safe='')}", *parts[HUB_NAME_PARTS:]))


def place(where: Where, role: str) -> tuple[str, str]:
    """Split `where` into a folder or repository, and a subfolder.

    Raises ExportError for a file, a missing folder, or what cannot be a hub name.
    """
    path = Path(where)
    if path.is_dir():
        return str(path), ""
    if path.exists():
        raise ExportError(f"{role} {where} is a file; expected a folder in Hugging Face format, or a hub name")
    parts = str(where).split("/")
    if path.parent != Path() and any((path.parent / mark).exists() for mark in MARKS):
        raise ExportError(f"{role} {where} does not exist; {path.parent} has no folder {path.name}")
    is_path = parts[0] in ("", ".", "..") or parts[0].startswith("~") or parts[0].endswith(":")
    if isinstance(where, Path) or path.is_absolute() or len(parts) < HUB_NAME_PARTS or is_path:
        raise ExportError(f"{role} {where} does not exist; expected a folder in Hugging Face format, or a hub name")
    if parts[1].endswith(REVISION):
        raise ExportError(
            f"the revision of {role} {where} is empty; expected a branch, a tag or a commit behind {REVISION}"
        )
    return "/".join(parts[:HUB_NAME_PARTS]), "/".join(parts[HUB_NAME_PARTS:])


def names_file(where: Where) -> bool:
    """Return whether `where` is a file of weights, here or on the hub (`owner/repository/file.safetensors`)."""
    path = Path(where)
    return path.is_file() or (path.suffix in FILE_SUFFIXES and not path.is_dir())


def find(where: Where, role: str, file: str, *, cached_only: bool = False) -> Path | None:
    """Return the local path of a checkpoint's `file`, downloaded if need be; None when the checkpoint has no such file.

    `cached_only` asks no network. Raises UnreachableError when the file is not in the cache and the hub cannot be
    reached, and ExportError when the hub refuses.
    """
    name, subfolder = place(where, role)
    if Path(name).is_dir():
        path = Path(name) / file
        return path if path.is_file() else None
    repository, _, branch = name.partition(REVISION)
    inside, at = f"{subfolder}/{file}" if subfolder else file, unquote(branch) or None
    with converting(role, where):
        try:
            cached_only = cached_only or constants.HF_HUB_OFFLINE or not _answers(constants.ENDPOINT)
            return Path(hf_hub_download(repository, inside, revision=at, local_files_only=cached_only))
        except LocalEntryNotFoundError:
            if try_to_load_from_cache(repository, inside, revision=at) is _CACHED_NO_EXIST:
                return None  # the hub was asked before, and had none
            raise
        except EntryNotFoundError:
            return None


def list_files(where: Where, role: str) -> dict[str, int]:
    """Return the files of a checkpoint, and how many bytes they have, without fetching one.

    Of a hub name that cannot be asked for, those in the cache. Raises ExportError when the hub refuses.
    """
    name, subfolder = place(where, role)
    if Path(name).is_dir():
        return _sizes(Path(name))
    repository, _, branch = name.partition(REVISION)
    if constants.HF_HUB_OFFLINE or not _answers(constants.ENDPOINT):
        commit = revision(where)
        folder = f"models--{repository.replace('/', '--')}"
        return _sizes(Path(constants.HF_HUB_CACHE, folder, "snapshots", commit, subfolder)) if commit else {}
    with converting(role, where):
        sizes = _on_hub(constants.ENDPOINT, repository, unquote(branch))
    inside = f"{subfolder}/" if subfolder else ""
    found = {file.removeprefix(inside): size for file, size in sizes.items() if file.startswith(inside)}
    return {file: size for file, size in found.items() if "/" not in file}


@cache
def _on_hub(endpoint: str, repository: str, branch: str) -> dict[str, int]:
    """Return all files of a repository, and their bytes; one question, though every part of a pipeline asks it."""
    info = HfApi(endpoint=endpoint).model_info(repository, revision=branch or None, files_metadata=True)
    return {one.rfilename: one.size or 0 for one in info.siblings or ()}


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()} if folder.is_dir() else {}


@cache
def _answers(endpoint: str) -> bool:
    """Ask the hub for a sign of life, once: without a network its client would try for 23 s, at each file, in vain."""
    try:
        get_session().head(endpoint, timeout=PATIENCE_S)
    except Exception:  # of requests or of httpx, as the client's version has it
        return False
    return True


def search(where: Where, role: str, files: Iterable[str]) -> Iterator[Path]:
    """Yield those of `files` that the checkpoint has; after one failure to reach the hub, its cache alone is asked.

    Raises UnreachableError at the end when the hub was not reached and nothing was found.
    """
    unreachable: UnreachableError | None = None
    found = False
    for file in files:
        try:
            path = find(where, role, file, cached_only=unreachable is not None)
        except UnreachableError as error:
            unreachable = unreachable or error
            continue
        if path is not None:
            found = True
            yield path
    if unreachable is not None and not found:
        raise unreachable


def fetch_file(where: Where, role: str) -> Path:
    """Return the local path of the file that `where` names, for which `names_file` holds.

    Raises ExportError when there is none.
    """
    if Path(where).is_file():
        return Path(where)
    repository, _, file = str(where).rpartition("/")
    on_hub = not isinstance(where, Path) and not Path(where).is_absolute() and "/" in repository
    path = find(repository, role, file) if on_hub and not repository.startswith(".") else None
    if path is None:
        raise ExportError(f"{role} {where} does not exist; expected a file, or owner/repository/file on the hub")
    return path


def read_config(where: Where, role: str, file: str = "config.json") -> Config:
    """Return the configuration in `file` of the checkpoint at `where`, which plays `role`."""
    path = find(where, role, file)
    if path is None:
        raise ExportError(f"{role} {where} has no {file}; expected a folder in Hugging Face format")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{role} {where}: {file} is not JSON ({error}); expected a checkpoint's configuration"
        ) from error
    if not isinstance(config, dict):
        raise ExportError(f"{role} {where}: {file} is not a JSON object; expected a folder in Hugging Face format")
    return config


def revision(where: Where) -> str:
    """Return the commit of a hub name that lies in the cache; "" for folders, files, and what was never fetched."""
    parts = str(where).split("/")
    if Path(where).exists() or isinstance(where, Path) or len(parts) < HUB_NAME_PARTS:
        return ""
    repository, _, quoted = parts[1].partition(REVISION)
    branch = unquote(quoted)
    if COMMIT.fullmatch(branch):
        return branch
    ref = Path(constants.HF_HUB_CACHE, "--".join(("models", parts[0], repository)), "refs", branch or "main")
    return ref.read_text(encoding="utf-8").strip() if ref.is_file() else ""


@contextmanager
def converting(role: str, where: Where = "") -> Iterator[None]:
    """Turn what the libraries raise into one ExportError line about `role`; retries of the hub pass in silence."""
    what = f"{role} {where}".rstrip()
    hub = getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(CRITICAL)
    try:
        yield
    except GatedRepoError as error:
        raise ExportError(f"{what} is gated on the hub; accept its terms on its page there, and {LOG_IN}") from error
    except RevisionNotFoundError as error:
        raise ExportError(f"{what} has no such revision on the hub; expected a branch, a tag or a commit") from error
    except RepositoryNotFoundError as error:
        raise ExportError(
            f"{what} is no folder here, and no public repository on the hub; if it is private, {LOG_IN}"
        ) from error
    except LocalEntryNotFoundError as error:
        raise UnreachableError(
            f"{what} is not in the hub's cache, and the hub cannot be reached; expected a folder, or a network"
        ) from error
    except UnpicklingError as error:
        raise ExportError(f"{what} holds more than tensors, which is not unpickled; expected weights") from error
    except _FOREIGN as error:
        raise ExportError(f"{what} cannot be loaded: {first_line(error)}") from error
    finally:
        hub.setLevel(level)


def first_line(error: Exception) -> str:
    """Return what an error says first, without the advice that follows; a heading takes its first entry along."""
    if str(error).startswith("You set `ignore_mismatched_sizes`"):  # and see a report, which is a log we silence
        return "its weights do not have the shapes that its config.json tells"
    lines = [line for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(" ")] or [type(error).__name__]  # code is indented
    if told[0].endswith(":"):
        told = [" ".join([told[0], *(told[1:] or [line.strip() for line in lines[1:]])[:1]])]
    return told[0].strip().partition(" If you want to instead ")[0]
