"""What must not reach a disk or leave the process, replaced on the way.

    instrument("traces", redact=Redaction(("secrets", "emails"), attributes={"user.id": "hash"}))

A `Redaction` goes through every text of a record: attributes however nested, names, messages,
events with their stack traces, links, bodies, annotations, also JSON within JSON. It gives back the
same object where nothing was found, and where something was, a copy that says so: `traj.redacted`
lists the attributes that were changed, so that nobody takes them for what was said
(`assembly` never grades such a step A).

JSON stays JSON: only the texts in it are looked at, and all round them stays as it is, byte for
byte. Ids of spans and traces, numbers, times and hashes are never touched.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from fnmatch import translate
from functools import partial
from itertools import count
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar, cast, get_args

from otel_traj import semconv
from otel_traj.errors import ConfigurationError, UnknownNameError
from otel_traj.model import Annotation, Close, LogRecord, Record, SpanEvent, SpanLink, SpanRecord
from otel_traj.sensitive import FORMS, Looks, is_secret_name, is_secret_value

Action: TypeAlias = Literal["drop", "hash", "mask"]
Function: TypeAlias = Callable[[str, str], str]
Choice: TypeAlias = "Redaction | bool | str | None"
"""What a user may say of redaction, see `choose`."""

BUILTIN: Final = tuple(FORMS)
"""Names of the built-in rules."""

ENVIRONMENT: Final = "OTEL_TRAJ_REDACT"

FAILED: Final = "failed"
"""In the place of a rule's name, where a function of the user raised."""

NAME: Final = "name"
STATUS_MESSAGE: Final = "status.message"
EVENT: Final = "event.name"
BODY: Final = "body"
SCOPE_NAME: Final = "scope.name"
TRACE_STATE: Final = "trace_state"

_IDENTITIES: Final = frozenset({semconv.TRAJECTORY_ID, semconv.PARENT_TRAJECTORY_ID})
"""Attributes that say which run it is."""

_MAX_PATHS: Final = 4096
_SHORT: Final = 256
"""Characters of a text that is remembered when nothing was found in it."""
_MAX_SEEN: Final = 4096
_SMALLEST_CARD: Final = 10**13

_log: Final = logging.getLogger("otel_traj")

_R = TypeVar("_R", bound=Record)
_P = TypeVar("_P", SpanEvent, SpanLink)
_D = TypeVar("_D", SpanRecord, LogRecord, Annotation, Close, SpanEvent, SpanLink)


@dataclass(frozen=True)
class Redaction:
    """Rules by which texts are replaced; immutable but for its counts, safe between threads.

    It can be pickled, without its counts, if its functions can.

    Attributes:
        rules: Names of built-in rules: `secrets`, `emails`, `cards`. What they find becomes
            `[redacted:<form>]`, as in `[redacted:github-token]`.
        patterns: Name -> regular expression; all that it matches in one text becomes
            `[redacted:<name>]`, or only its group `x` if it has one.
        attributes: Key, or pattern of keys as in a shell (`user.*`) -> what becomes of the value:
            `drop`, `hash` (equal values stay equal; who guesses a value can check the guess) or
            `mask`. The keys within values count too: `gen_ai.tool.call.arguments.ssn`, `*.ssn`.
        functions: `function(key, text) -> text`, called with every text that is left after that,
            those within JSON one by one. Where one raises, the text is dropped.
    """

    rules: tuple[str, ...] = ("secrets",)
    patterns: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Action] = field(default_factory=dict)
    functions: tuple[Function, ...] = ()

    def __post_init__(self) -> None:
        """Check and compile.

        Raises:
            UnknownNameError: There is no such rule, or nothing of that name can become of a value.
            ConfigurationError: A pattern is no regular expression, or a function not callable.
        """
        for rule in self.rules:
            if rule not in FORMS:
                raise UnknownNameError("redaction rule", rule, BUILTIN)
        for action in self.attributes.values():
            if action not in get_args(Action):
                raise UnknownNameError("redaction of an attribute", action, get_args(Action))
        for function in self.functions:
            if not callable(function):
                raise ConfigurationError(f"Redaction functions are called; {function!r} cannot be")
        set_ = partial(object.__setattr__, self)
        set_("rules", tuple(self.rules))
        set_("patterns", dict(self.patterns))
        set_("attributes", dict(self.attributes))
        set_("functions", tuple(self.functions))
        set_("_looks", Looks(form for rule in self.rules for form in FORMS[rule]))
        set_("_patterns", [(name, _compiled(name, p)) for name, p in self.patterns.items()])
        set_("_globs", [(re.compile(translate(k)), a) for k, a in self.attributes.items()])
        set_("_actions", {})
        set_("_clean_keys", set())
        set_("_clean_names", set())
        set_("_clean_texts", set())
        set_("_tallies", {})

    _looks: Looks = field(init=False, repr=False, compare=False)
    _patterns: list[tuple[str, re.Pattern[str]]] = field(init=False, repr=False, compare=False)
    _globs: list[tuple[re.Pattern[str], Action]] = field(init=False, repr=False, compare=False)
    _actions: dict[str, Action | None] = field(init=False, repr=False, compare=False)
    _clean_keys: set[str] = field(init=False, repr=False, compare=False)
    _clean_names: set[str] = field(init=False, repr=False, compare=False)
    _clean_texts: set[str] = field(init=False, repr=False, compare=False)
    _tallies: dict[int, Counter[str]] = field(init=False, repr=False, compare=False)

    def __reduce__(self) -> Any:
        return Redaction, (self.rules, self.patterns, self.attributes, self.functions)

    def __bool__(self) -> bool:
        """Whether anything could ever be replaced."""
        return bool(self.rules or self.patterns or self.attributes or self.functions)

    # --- what it is asked ------------------------------------------------------------------------

    def record(self, record: _R) -> _R:
        """The record with every text in it redacted; the same object where nothing was found."""
        is_worth_it = bool(self) and self.may_change(_told_by(record))
        return cast(_R, self._redacted(record)) if is_worth_it else record

    def _redacted(self, record: Record) -> Record:
        if isinstance(record, SpanRecord):
            return self._span(record)
        if isinstance(record, LogRecord):
            return self._log(record)
        if isinstance(record, Annotation):
            return self._annotation(record)
        return self._close(record)

    def text(self, text: str) -> str:
        """One text, plain or JSON, redacted."""
        return self._text("", text)

    def value(self, key: str, value: Any) -> Any:
        """The value of an attribute, redacted; None if it is to be dropped.

        The same object where nothing was found. A body stands under `BODY`, names and messages
        under `NAME`, `EVENT` and `STATUS_MESSAGE`.
        """
        action = self._action(key, None)
        if key in _IDENTITIES:
            return self._identity(value, action)
        if action == "drop":
            self._count(action)
            return None
        try:
            return self._value(key, value, action)
        except RecursionError:  # a value that holds itself
            return self._marker(FAILED)

    def told(self, attributes: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
        """Attributes redacted, and the keys of those that were changed or dropped."""
        changed: list[str] = []
        redacted: dict[str, Any] = {}
        for key, value in attributes.items():
            new = self.value(key, value)
            name = self._key(key)
            if new is not value or name is not key:
                changed.append(name)
            if new is not None or value is None:
                redacted[_unused(name, redacted)] = new
        return (redacted, changed) if changed else (attributes, changed)

    def may_hold(self, text: str) -> bool:
        """Whether it is worth looking closer at a text, or at texts of which it is the JSON.

        Quick, and never wrongly False.
        """
        return self._is_always_asked or self._looks.may_hold(text)

    def may_change(self, told: Mapping[str, Any]) -> bool:
        """As `may_hold`, of attributes: most keys and many values have been seen before."""
        if self._is_always_asked:
            return True
        names: list[str] = []
        texts: list[str] = []
        try:
            self._add_unseen(told, names, texts)
        except (ValueError, TypeError, RecursionError):  # the program's own objects
            return True
        if any(len(text) > _SHORT and self._looks.may_hold(text) for text in texts):
            return True
        short = [text for text in texts if len(text) <= _SHORT]
        if not (names or short):
            return False
        if self._looks.may_hold("\n".join((*(f'{name}":' for name in names), *short))):
            return True
        for seen, new in ((self._clean_names, names), (self._clean_texts, short)):
            if len(seen) > _MAX_SEEN:
                seen.clear()
            seen.update(new)
        return False

    def _add_unseen(self, told: Mapping[str, Any], names: list[str], texts: list[str]) -> None:
        """Collect names, and texts or JSON of values, that nobody has looked at yet."""
        for name, value in told.items():
            if name not in self._clean_names:
                names.append(name)
            kind = type(value)
            if kind is str:
                if value not in self._clean_texts:
                    texts.append(value)
            elif kind is int:
                if value >= _SMALLEST_CARD:
                    texts.append(str(value))
            elif kind is list or kind is tuple:
                for item in value:
                    self._add_unseen({name: item}, names, texts)
            elif isinstance(value, Mapping):
                self._add_unseen(value, names, texts)
            elif value is not None and kind is not bool and kind is not float:
                texts.append(_encode(value))

    def counts(self) -> dict[str, int]:
        """Replacements so far, by what was found."""
        total: Counter[str] = Counter()
        for tally in [*self._tallies.values()]:
            total.update(tally.copy())
        return dict(total)

    @property
    def _is_always_asked(self) -> bool:
        return bool(self.patterns or self.attributes or self.functions)

    # --- records ---------------------------------------------------------------------------------

    def _span(self, span: SpanRecord) -> SpanRecord:
        attributes, changed = self.told(span.attributes)
        texts = self._fields(span, {"name": NAME, "status_message": STATUS_MESSAGE}, changed)
        events = self._parts(span.events, changed)
        links = self._parts(span.links, changed)
        return _replaced(
            span,
            **texts,
            **self._origin(span),
            attributes=marked(attributes, changed),
            events=events,
            links=links,
            trace_state=self._optional(TRACE_STATE, span.trace_state),
            scope_attributes=self.told(span.scope_attributes)[0],
        )

    def _log(self, log: LogRecord) -> LogRecord:
        attributes, changed = self.told(log.attributes)
        texts = self._fields(log, {"event_name": EVENT, "body": BODY}, changed)
        return _replaced(log, **texts, **self._origin(log), attributes=marked(attributes, changed))

    def _annotation(self, said: Annotation) -> Annotation:
        return _replaced(
            said,
            trajectory_id=self._run(said.trajectory_id),
            tool_call_id=self._optional(semconv.TOOL_CALL_ID, said.tool_call_id),
            name=self._plain("", said.name),
            value_text=self._optional(said.name, said.value_text),
            value_json=self._optional(said.name, said.value_json),
            source=self._plain("", said.source),
            annotator=self._optional(semconv.ANNOTATION_ANNOTATOR, said.annotator),
        )

    def _close(self, close: Close) -> Close:
        return _replaced(close, trajectory_id=self._run(close.trajectory_id))

    def _run(self, trajectory_id: str | None) -> Any:
        return self.value(semconv.TRAJECTORY_ID, trajectory_id)

    def _fields(
        self, record: SpanRecord | LogRecord, keys: Mapping[str, str], changed: list[str]
    ) -> dict[str, Any]:
        """Fields of a record that tell something; the keys of those that change go to `changed`."""
        fields: dict[str, Any] = {}
        for name, key in keys.items():
            value = getattr(record, name)
            new = self.value(key, value)
            if new is not value:
                changed.append(key)
            fields[name] = "" if new is None and name == NAME else new
        return fields

    def _parts(self, parts: tuple[_P, ...], changed: list[str]) -> tuple[_P, ...]:
        """Events or links."""
        redacted = []
        for part in parts:
            attributes, keys = self.told(part.attributes)
            fields: dict[str, Any] = {"attributes": attributes}
            if isinstance(part, SpanEvent):
                fields["name"] = self.value(EVENT, part.name) or ""
                keys += [EVENT] * (fields["name"] is not part.name)
            changed += keys
            redacted.append(_replaced(part, **fields))
        is_same = all(new is old for new, old in zip(redacted, parts, strict=True))
        return parts if is_same else tuple(redacted)

    def _origin(self, record: SpanRecord | LogRecord) -> dict[str, Any]:
        """Who told: the same for all that a process tells, so it is not said to be changed."""
        return {
            "resource": self.told(record.resource)[0],
            "scope_name": self._optional(SCOPE_NAME, record.scope_name),
        }

    def _optional(self, key: str, text: str | None) -> str | None:
        return None if text is None else self.value(key, text)

    def _identity(self, value: Any, action: Action | None) -> Any:
        """What says which run this is becomes a digest: two runs must not become one."""
        if not isinstance(value, str) or (action is None and self._plain("", value) is value):
            return value
        if action is not None:
            self._count(action)
        return _digest(value)

    # --- values ----------------------------------------------------------------------------------

    def _value(self, path: str, value: Any, action: Action | None) -> Any:
        """A value of any kind; `action` is what becomes of it, by its key or one round it."""
        if isinstance(value, str):
            return self._text(path, value, action)
        if isinstance(value, Mapping):
            return self._mapping(path, value, action)
        if isinstance(value, bytes | bytearray | memoryview):
            text = bytes(value).decode("utf-8", "surrogateescape")
            redacted = self._text(path, text, action)
            return value if redacted is text else redacted.encode("utf-8", "surrogateescape")
        if isinstance(value, Sequence | Set):
            items = [self._value(path, item, action) for item in value]
            if all(new is old for new, old in zip(items, value, strict=True)):
                return value
            return tuple(items) if type(value) is tuple else items
        if value is None or isinstance(value, bool | int | float):
            return self._number(value, action)
        text = _foreign(value)  # what the log would hold of it
        redacted = self._text(path, text, action)
        return value if redacted is text else redacted

    def _mapping(
        self, path: str, mapping: Mapping[Any, Any], inherited: Action | None
    ) -> Mapping[Any, Any]:
        redacted: dict[Any, Any] = {}
        is_same = True
        for key, value in mapping.items():
            below = f"{path}.{key}"
            action = self._action(below, inherited)
            new = None if action == "drop" else self._value(below, value, action)
            name = self._key(key) if isinstance(key, str) else key
            is_same = is_same and new is value and name is key
            if action == "drop":
                self._count(action)
                is_same = False
            else:
                redacted[_unused(name, redacted)] = new
        return mapping if is_same else redacted

    def _number(self, value: Any, action: Action | None) -> Any:
        """A value that is no text; one that is a card's number is taken for a text."""
        if value is None:
            return None
        if action is not None:
            return self._acted(action, str(value))
        if type(value) is int and "cards" in self.rules and value >= _SMALLEST_CARD:
            text = str(value)
            redacted = self._looks.replace(text, self._marker)
            return value if redacted == text else redacted
        return value

    def _text(self, path: str, text: str, action: Action | None = None) -> str:
        """A text; in one that is JSON, each text by itself. The same object if nothing is found."""
        if action is not None:
            return self._acted(action, text)
        if not (
            self._is_always_asked or self._may_be_secret(path, text) or self._looks.may_hold(text)
        ):
            return text
        redacted = self._json(path, text) if text.lstrip()[:1] in _JSON_BEGINS else None
        return self._plain(path, text) if redacted is None else redacted

    def _plain(self, path: str, text: str) -> str:
        """A text that is no JSON."""
        if not text:
            return text
        if self._may_be_secret(path, text) and is_secret_value(_last(path), text):
            return self._marker("credential")
        redacted = self._ruled(text)
        for function in self.functions:
            redacted = self._called(function, path, redacted)
        return text if redacted == text else redacted

    def _ruled(self, text: str) -> str:
        """A text after built-in rules and patterns."""
        redacted = text
        if self._looks.may_hold(text):
            redacted = self._looks.replace(text, self._marker)
        for name, pattern in self._patterns:
            redacted = self._replaced_all(name, pattern, redacted)
        return redacted

    def _key(self, key: str) -> str:
        """The key of a value: functions are not asked, and no name makes it secret."""
        if key in self._clean_keys:
            return key
        redacted = self._ruled(key)
        if redacted != key:
            return redacted
        if len(self._clean_keys) >= _MAX_PATHS:
            self._clean_keys.clear()
        self._clean_keys.add(key)
        return key

    def _may_be_secret(self, path: str, text: str) -> bool:
        """Whether a text stands under the name of a secret."""
        if "secrets" not in self.rules or not text:
            return False
        return is_secret_name(_last(path)) and not _MARKER.fullmatch(text)

    def _replaced_all(self, name: str, pattern: re.Pattern[str], text: str) -> str:
        """All that a pattern of the user finds replaced, but within what was replaced before."""
        before = [marker.span() for marker in _MARKER.finditer(text)] if _MARK in text else []
        group = "x" if "x" in pattern.groupindex else 0

        def replaced(match: re.Match[str]) -> str:
            start, end = match.span(group) if match[group] is not None else match.span()
            if start == end or any(first <= start and end <= last for first, last in before):
                return match[0]
            offset = match.start()
            return match[0][: start - offset] + self._marker(name) + match[0][end - offset :]

        return pattern.sub(replaced, text)

    def _called(self, function: Function, path: str, text: str) -> str:
        try:
            redacted = function(path, text)
            if isinstance(redacted, str):
                if redacted != text:
                    self._count("functions")
                return redacted
            problem = f"it returned {type(redacted).__name__}, not str"
        except Exception as error:  # the user's code
            problem = type(error).__name__  # not its message: that may hold the text
        if not any(tally[FAILED] for tally in [*self._tallies.values()]):
            _log.warning(
                "The redaction function %r failed (%s); texts for which it fails are left out, "
                "and only counted from now on (counts() of the redaction)",
                getattr(function, "__qualname__", type(function).__name__),
                problem,
            )
        return self._marker(FAILED)

    def _acted(self, action: Action, text: str) -> str:
        if _MARKER.fullmatch(text) or _HASHED.fullmatch(text):
            return text
        self._count(action)
        return f"[sha256:{_digest(text)[:16]}]" if action == "hash" else f"{_MARK}{action}]"

    # --- JSON ------------------------------------------------------------------------------------

    def _json(self, path: str, text: str) -> str | None:
        """A text that is JSON; None if it is none. All but what is redacted stays as it is."""
        if not _is_json(text):
            return None
        pieces: list[str] = []
        end = 0
        for token, new in self._changes(path, text):
            pieces += (text[end : token.start()], json.dumps(new, ensure_ascii=text.isascii()))
            end = token.end()
        return "".join((*pieces, text[end:])) if pieces else text

    def _changes(self, path: str, text: str) -> Iterator[tuple[re.Match[str], Any]]:
        """Keys and values in a text of JSON that are to be replaced, in order, and by what.

        A value that is dropped becomes null.
        """
        outer: list[_Place] = []
        names: list[set[str]] = []  # of the members so far, in each container round the place
        place = _Place(path, None)
        for token in _TOKEN.finditer(text):
            mark = token[0]
            if mark in "{[":
                outer.append(place)
                names.append(set())
                place = _Place(place.path, place.action, is_key=mark == "{")
            elif mark in "}]":
                place = outer.pop()
                names.pop()
            elif mark == ",":
                place = _Place(outer[-1].path, outer[-1].action, is_key=place.is_of_object)
            elif mark == ":":
                continue
            elif place.is_key:
                key = json.loads(mark)
                name = self._key(key)
                if name is not key:
                    name = _unused(name, names[-1])
                    yield token, name
                names[-1].add(name)
                below = f"{place.path}.{key}"
                place = _Place(below, self._action(below, place.action), is_of_object=True)
            else:
                value = json.loads(mark)
                new = self._member(place, value)
                if new is not value:
                    yield token, new

    def _member(self, place: _Place, value: Any) -> Any:
        if place.action == "drop":
            self._count("drop")
            return None
        return self._value(place.path, value, place.action)

    # --- bookkeeping -----------------------------------------------------------------------------

    def _action(self, path: str, inherited: Action | None) -> Action | None:
        """What becomes of the value under a key; the first pattern that fits decides."""
        if not self._globs:
            return inherited
        if path not in self._actions:
            if len(self._actions) >= _MAX_PATHS:
                self._actions.clear()
            self._actions[path] = next((a for g, a in self._globs if g.match(path)), None)
        return self._actions.get(path) or inherited

    def _marker(self, name: str) -> str:
        self._count(name)
        return f"{_MARK}{name}]"

    def _count(self, name: str) -> None:
        self._tally()[name] += 1

    def _tally(self) -> Counter[str]:
        """Of this thread: no lock, hence none that a fork could leave locked."""
        return self._tallies.setdefault(threading.get_ident(), Counter())


class _Place(NamedTuple):
    """Where in a text of JSON we are."""

    path: str
    action: Action | None
    """What becomes of the values here."""
    is_key: bool = False
    """The next text is the key of a member."""
    is_of_object: bool = False


# Of a text that is known to be JSON.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)

_JSON_BEGINS: Final = ("{", "[", '"')
_MARK: Final = "[redacted:"
_MARKER: Final = re.compile(r"\[redacted:[^\[\]]{1,100}\]")
_HASHED: Final = re.compile(r"\[sha256:[0-9a-f]{16}\]")


def _told_by(record: Record) -> dict[str, Any]:
    """All of a record in which something might be found, by any names."""
    told = {name: getattr(record, name) for name in _TELLING[type(record)]}
    if isinstance(record, SpanRecord):
        told["events"] = [(event.name, event.attributes) for event in record.events]
        told["links"] = [link.attributes for link in record.links]
    if isinstance(record, Annotation):
        told[record.name] = record.value_text, record.value_json
    return told


_TELLING: Final = {
    SpanRecord: (
        *("name", "status_message", "attributes", "resource", "scope_name", "scope_attributes"),
        "trace_state",
    ),
    LogRecord: ("event_name", "body", "attributes", "resource", "scope_name"),
    Annotation: ("trajectory_id", "tool_call_id", "name", "source", "annotator"),
    Close: ("trajectory_id",),
}


def _plain(value: Any) -> Any:
    """What JSON has no word for."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "surrogateescape")
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence | Set) else _foreign(value)


def _foreign(value: Any) -> str:
    """`repr` of an object of the program's own, as the log tells it (`wal.text_of`)."""
    try:
        return repr(value)
    except Exception as error:  # the user's code
        return f"<{type(value).__qualname__}: repr raised {type(error).__name__}>"


_encode: Final = json.JSONEncoder(default=_plain).encode


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _digest(text: str) -> str:
    """20 hex digits of SHA-256, as assembly makes ids."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def _unused(name: Any, taken: Container[Any]) -> Any:
    """The name, numbered if another member has become the same."""
    if name not in taken:
        return name
    return next(new for n in count(2) if (new := f"{name} {n}") not in taken)


def _replaced(record: _D, **fields: Any) -> _D:
    """A copy with other fields; the same object if they are the same ones."""
    changed = {name: new for name, new in fields.items() if new is not getattr(record, name)}
    return dataclasses.replace(record, **changed) if changed else record


def marked(attributes: Mapping[str, Any], changed: Iterable[str]) -> Mapping[str, Any]:
    """The attributes of a span or log record, telling which of what it tells was changed."""
    changed = set(changed)
    if not changed:
        return attributes
    before = attributes.get(semconv.REDACTED)
    known = before if isinstance(before, list | tuple) else ()
    return {**attributes, semconv.REDACTED: sorted({*map(str, known), *changed})}


def _compiled(name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(
            f"The redaction pattern {name!r} is no regular expression: {error}: {pattern!r}"
        ) from error


# --- what a user may say -------------------------------------------------------------------------


def choose(given: Choice = None) -> Redaction:
    """The redaction that a user asks for.

    Args:
        given: A redaction; True for all built-in rules, False for nothing; a text as the
            environment variable `OTEL_TRAJ_REDACT` and `--redact` have it: `on`, `off`, names of
            rules (`secrets,emails`), or `module:name` of a `Redaction`. None for what that variable
            says, else for the rule `secrets`.

    Raises:
        UnknownNameError: There is no such rule.
        ConfigurationError: It is none of these, or the module does not have it.
    """
    if given is None:
        given = os.environ.get(ENVIRONMENT) or "secrets"
    if isinstance(given, str):
        return _named(given.strip())
    if isinstance(given, bool):
        return Redaction(BUILTIN if given else ())
    if isinstance(given, Redaction):
        return given
    raise ConfigurationError(
        f"redact={given!r} is none of None, True, False and a Redaction. A function of your own: "
        "Redaction(functions=(function,))"
    )


def _named(text: str) -> Redaction:
    module, colon, name = text.partition(":")
    if colon:
        return _imported(module, name)
    if text.lower() in ("on", "true", "1", "all"):
        return Redaction(BUILTIN)
    if text.lower() in ("off", "false", "0", "none", "no"):
        return Redaction(())
    return Redaction(tuple(rule.strip() for rule in text.split(",")))


def _imported(module: str, name: str) -> Redaction:
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # the user's module may raise anything
        raise ConfigurationError(f"No redaction at {module}:{name}: {error!r}") from error
    if not isinstance(found, Redaction):
        raise ConfigurationError(f"{module}:{name} is no Redaction but {found!r:.80}")
    return found
