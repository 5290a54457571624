"""Field comments for the API reference: the comment behind a field or a constant becomes its description there.

The code says unit, shape and range of a field behind it on its own line (`rate: int  # Hz`). Griffe, which reads the
code for mkdocstrings, keeps docstrings alone; this extension, named in zensical.toml, gives it those comments too.
"""

import ast
import io
import tokenize
from typing import Any

from griffe import Class, Docstring, Extension, Module

DIRECTIVES = ("noqa", "type:", "pragma:")  # comments for tools


def comments(source: str) -> dict[int, str]:
    """Return the comments of a piece of source by line, counted from 1, without those for tools."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        text = token.string.lstrip("# ").strip()
        if token.type == tokenize.COMMENT and not text.startswith(DIRECTIVES):
            found[token.start[0]] = text
    return found


def drop_arguments(cls: Class) -> None:
    """Forget the attributes that only keep an argument of the constructor, which its signature shows already."""
    for name, attribute in list(cls.attributes.items()):
        if attribute.docstring is None and str(attribute.value) == name:
            cls.del_member(name)


def describe(owner: Class | Module, source: str, first: int) -> None:
    """Give each attribute of `owner` that has no docstring the comment behind it; `source` begins on line `first`."""
    behind = comments("\n".join(line.strip() for line in source.splitlines()) + "\n")
    for attribute in owner.attributes.values():
        text = None if attribute.is_alias else behind.get((attribute.endlineno or 0) - first + 1)
        if text and attribute.docstring is None:
            attribute.docstring = Docstring(text, parent=attribute)


class FieldComments(Extension):
    """Describes the attributes of classes and modules, as soon as griffe has gathered them from the source."""

    def on_class_members(self, *, node: Any, cls: Class, **kwargs: Any) -> None:
        """Describe the fields of a class, but for those that say nothing."""
        if isinstance(node, ast.ClassDef):
            describe(cls, cls.source, cls.lineno or 1)
            drop_arguments(cls)

    def on_module_members(self, *, node: Any, mod: Module, **kwargs: Any) -> None:
        """Describe the constants of a module."""
        if isinstance(node, ast.Module):
            describe(mod, mod.source, 1)
