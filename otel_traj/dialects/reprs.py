"""Python reprs as values: what some instrumentors write where JSON was meant.

Nothing is evaluated: the text is parsed as one expression of literals and constructor calls.
`Item(a=1, b=[Other(c='x')])` becomes `{"a": 1, "b": [{"c": "x"}]}`; an enum's `<Role.USER: 'user'>`
becomes its value.
"""

from __future__ import annotations

import ast
import re
from typing import Any, Final

_ENUM: Final = re.compile(r"<[\w.]+: ('[^']*'|\d+)>")
_OPAQUE: Final = re.compile(r"<(?:class|function|object|bound|[\w.]+ object)[^<>]*>")
_LOOKS_LIKE_ONE: Final = re.compile(r"\s*(?:[A-Za-z_][\w.]*\(|\{'|\[\{'|\[[A-Za-z_]\w*\()")
_LONGEST: Final = 2_000_000
"""Characters; parsing a longer text costs more than it can tell."""


def from_repr(text: Any) -> Any:
    """The value that a repr shows; None when the text is none."""
    if not isinstance(text, str) or len(text) > _LONGEST or not _LOOKS_LIKE_ONE.match(text):
        return None
    plain = _OPAQUE.sub("None", _ENUM.sub(r"\1", text.strip()))
    try:
        return _value(ast.parse(plain, mode="eval").body)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Call(args=args, keywords=keywords):
            # A leading underscore says that a field is private, and nothing of what it holds.
            named = {word.arg.lstrip("_"): _value(word.value) for word in keywords if word.arg}
            if args and not named:
                values = [_value(arg) for arg in args]
                return values[0] if len(values) == 1 else values
            return named
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return {str(_value(key)): _value(value) for key, value in pairs if key is not None}
        case ast.List(elts) | ast.Tuple(elts) | ast.Set(elts):
            return [_value(item) for item in elts]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.Name() | ast.Attribute():
            return None
    raise ValueError(f"no literal: {ast.dump(node)[:40]}")
