"""What credentials, e-mail addresses and card numbers look like, and what only looks like them.

A `Form` is one look: a pattern, a check where a pattern cannot tell, and anchors, short texts one
of which stands in every match. `Looks` asks several forms at once, and first of all whether a text
is worth it (`may_hold`): nearly none is, so recording can afford to ask of everything. Anchors and
hints hold for the JSON of a text as well, however often it was encoded.

Every pattern takes time linear in the text: what repeats is bounded, or begins at an anchor.
`tests/test_sensitive.py` is the table of what is found and what is left alone.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

Check = Callable[["re.Match[str]"], bool]


class Form(NamedTuple):
    """A look of something that must not be told."""

    name: str
    """Shown in the place of what was found, and counted."""
    pattern: re.Pattern[str]
    """Its group `x` is what goes."""
    hint: re.Pattern[str]
    """Matches from an anchor on wherever `pattern` does, also in the JSON of a text."""
    anchors: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """As `anchors`, but in any case; written here in lower case, and so is the hint of words."""
    check: Check | None = None
    """Whether a match is one in earnest."""


# --- checks ------------------------------------------------------------------------------------


def _is_random(match: re.Match[str]) -> bool:
    """A digit, or letters in both cases: no word, and no words joined by hyphens."""
    text = match["x"]
    return any(c.isdigit() for c in text) or (text[4:].lower() != text[4:] != text[4:].upper())


def _has_digit(match: re.Match[str]) -> bool:
    return any(character.isdigit() for character in match["x"])


def _is_basic(match: re.Match[str]) -> bool:
    """Base64 of `user:password`."""
    text = match["x"].rstrip("=")
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    return ":" in decoded and decoded.isprintable()


# --- keys and tokens of services -----------------------------------------------------------------

# Ends of escapes, which are no part of a word: \n and \u00e9 in a text of JSON, \x1b[31m on a
# terminal, %3D in a URL.
_ESCAPE_ENDS: Final = r"(?<=\\[nrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=\dm)|(?<=%[0-9A-F]{2})"
_START: Final = rf"(?:(?<![A-Za-z0-9])|{_ESCAPE_ENDS})"
_END: Final = r"(?![A-Za-z0-9])"
_T: Final = "[A-Za-z0-9_-]"


def _service(name: str, shape: str, *anchors: str, check: Check | None = None) -> Form:
    """A key that stands for itself, by a prefix of its own."""
    whole = re.compile(f"{_START}(?P<x>{shape})", re.DOTALL)
    return Form(name, whole, re.compile(shape), anchors, check=check)


_SERVICES: Final = (
    _service("anthropic-key", rf"sk-ant-{_T}{{16,}}", "sk-ant-"),
    _service(
        "openai-key",
        rf"sk-(?:(?:proj|svcacct|admin|None)-{_T}{{20,}}|[A-Za-z0-9]{{20,}})",
        "sk-",
        check=_is_random,
    ),
    _service(
        "google-key",
        rf"AIza{_T}{{35}}|GOCSPX-{_T}{{20,}}|ya29\.{_T}{{20,}}|AQ\.Ab{_T}{{30,}}",
        *("AIza", "GOCSPX-", "ya29.", "AQ."),
    ),
    _service(
        "aws-key",
        rf"A(?:KIA|SIA)[0-9A-Z]{{16}}{_END}|ABSK[A-Za-z0-9+/]{{60,}}={{0,2}}",
        *("AKIA", "ASIA", "ABSK"),
    ),
    _service(
        "github-token",
        rf"gh[pousr]_[A-Za-z0-9]{{36,}}|github_pat_{_T}{{22,}}",
        *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    ),
    _service(
        "gitlab-token",
        rf"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct|oas)-{_T}{{20,}}",
        *("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-"),
        *("glsoat-", "glffct-", "gloas-"),
    ),
    _service(
        "slack-token",
        rf"xox[abeoprs](?:\.xox[bp])?-{_T}{{10,}}|xapp-[0-9]-{_T}{{10,}}",
        *("xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"),
        check=_is_random,
    ),
    _service(
        "slack-webhook",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/]{20,}",
        "hooks.",
    ),
    _service(
        "stripe-key",
        r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{20,}={0,2}",
        *("sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"),
    ),
    _service("huggingface-token", rf"(?:hf|api_org)_[A-Za-z0-9]{{30,}}{_END}", "hf_", "api_org_"),
    Form(
        "jwt",
        re.compile(
            rf"{_START}(?P<x>eyJ{_T}{{10,}}\.eyJ{_T}{{4,}}\.{_T}*"
            rf"|eyJhbGciOi{_T}+(?:\.{_T}*){{1,4}})"
        ),
        re.compile(rf"\.eyJ{_T}{{4,}}\.|eyJhbGciOi{_T}+\."),
        (".eyJ", "eyJhbGciOi"),
    ),
    _service(
        "service-key",
        rf"(?:sk-or-|sk-lf-|gsk_|xai-|pplx-|tvly-|r8_|fw_|pcsk_|e2b_|fc-){_T}{{24,}}"
        rf"|lsv2_(?:pt|sk)_[0-9a-f]{{32}}_[0-9a-f]{{10}}|sk_[0-9a-f]{{48}}{_END}"
        rf"|npm_[A-Za-z0-9]{{36}}|pypi-AgE{_T}{{50,}}|dckr_pat_{_T}{{20,}}"
        rf"|SG\.{_T}{{16,}}\.{_T}{{16,}}|key-[0-9a-f]{{32}}{_END}"
        r"|dapi[0-9a-f]{32}|do[opr]_v1_[0-9a-f]{64}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"
        rf"|ntn_[A-Za-z0-9]{{40,}}|lin_api_[A-Za-z0-9]{{40}}|figd_{_T}{{40,}}"
        rf"|hv[sb]\.{_T}{{24,}}|ATATT3{_T}{{50,}}|NRAK-[A-Z0-9]{{27}}|PMAK-{_T}{{50,}}"
        rf"|gl(?:sa|c)_{_T}{{32,}}|sntry[su]_[A-Za-z0-9_+/=-]{{40,}}|sbp_[0-9a-f]{{40}}"
        r"|AGE-SECRET-KEY-1[0-9A-Z]{58}",
        *("sk-or-", "sk-lf-", "gsk_", "xai-", "pplx-", "tvly-", "r8_", "fw_", "pcsk_", "e2b_"),
        *("fc-", "lsv2_", "sk_", "npm_", "pypi-", "dckr_pat_", "SG.", "key-", "dapi"),
        *("dop_v1_", "doo_v1_", "dor_v1_"),
        *("shpat_", "shpca_", "shppa_", "shpss_", "ntn_", "lin_api_", "figd_", "hvs.", "hvb."),
        *("ATATT3", "NRAK-", "PMAK-", "glsa_", "glc_", "sntrys_", "sntryu_", "sbp_"),
        "AGE-SECRET-KEY-",
        check=_is_random,
    ),
    Form(
        "private-key",
        re.compile(
            r"(?P<x>-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z))",
            re.DOTALL,
        ),
        re.compile("PRIVATE KEY"),
        ("PRIVATE KEY",),
    ),
)

# --- credentials in their places -----------------------------------------------------------------

_NOT_YET: Final = r"""(?!\[redacted:[^\[\]]{1,100}\](?![^\s"'`,;&@\\<]))"""
# As quoted in JSON that is a text in JSON, up to four times; so are quotes of what they quote.
_QUOTE: Final = r"""(?:\\{0,31}["'`])?"""
# White space, also as JSON writes it: a sentence may quote a part of a JSON text.
_SPACE: Final = r"(?:\s|\\{1,16}[nrt])"
_IS: Final = rf"{_QUOTE}{_SPACE}{{0,4}}(?::=|=>|[:=]){_SPACE}{{0,4}}"
# What quotes and white space become in lower-case JSON, encoded up to four times.
_ENCODED_GAP: Final = r"(?:[^a-z0-9]|\\[nrt]|\\u[0-9a-f]{4}){0,200}?"
_ENCODED_IS: Final = rf"{_ENCODED_GAP}[:=]"

_NAME: Final = (
    rf"(?:pass(?:word|wd|phrase|code)|(?:(?<![A-Za-z])|{_ESCAPE_ENDS})pwd|mnemonic"
    r"|secret(?:[_ -]?access)?(?:[_ -]?key)?|credentials?"
    r"|(?:api|access|private|account|subscription|signing|encryption|master|auth|storage|shared)"
    r"[_ -]?key"
    r"|(?<!page)(?<!page[_-])(?<!continuation)(?<!continuation[_-])token)"
)
"""What the name of a secret ends with. `max_tokens`, `token_count` and `next_page_token` do not."""

_SECRET_NAME: Final = re.compile(rf"(?i:.*{_NAME}|(?:.*[_-])?authorization|(?:set-)?cookie)")
_HEADER: Final = re.compile(r"(?i:.*authorization|.*cookie)")
_PASSWORD: Final = re.compile(r"(?i:.*(?:pass(?:word|wd|phrase|code)|pwd|mnemonic))")
_CREDENTIAL: Final = re.compile(
    r"(?i:.*(?:secret|credentials?|key"
    r"|(?:access|auth|refresh|bearer|session|id|api|oauth|bot|security|private)[_ -]?token))"
)
_PLACEHOLDER: Final = re.compile(
    r"(?i:"
    r"[x*.•_-]*|<.*>|\[.*\]|\{.*\}|[$%@].*"
    r"|none|null|nil|undefined|true|false|yes|no|empty|optional|required|default|unknown|n/?a"
    r"|str(?:ing)?|text|bytes|int(?:eger)?|number|bool(?:ean)?|any|object|secretstr|password"
    r"|(?:your|my|the|some|enter|insert|example|placeholder|changeme|redacted|hidden|masked)"
    r"(?:[\W_].*)?"
    r"|(?:environ|env|config|os|self|settings|process)[.\[(].*"
    r")"
)
_CODE: Final = re.compile(r"[A-Za-z_][A-Za-z_.]*")


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether what stands under a name may be a secret: the last part of a key, or a header."""
    return _SECRET_NAME.fullmatch(name) is not None


def is_secret_value(name: str, value: str) -> bool:
    """Whether a value is the secret that its name promises.

    Not where it describes one, stands for one, is a path, or may be a plain word: `{"token":
    "Hello"}` is what tokenisers write.

    Args:
        name: One of which `is_secret_name` holds.
        value: What stands there.
    """
    if _PLACEHOLDER.fullmatch(value):
        return False
    if _HEADER.fullmatch(name):
        return len(value) >= 6
    if value[0] in "/~." or "://" in value:
        return False
    if _PASSWORD.fullmatch(name):
        return len(value) >= 3 and (" " not in value or "phrase" in name.lower())
    if any(character.isspace() for character in value):
        return False
    if _CREDENTIAL.fullmatch(name):
        return len(value) >= 8 and value.lower() != name.lower()
    return len(value) >= 16 and any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def _is_assigned(match: re.Match[str]) -> bool:
    """Whether what follows a name in a text is a secret, and no code, type or prose."""
    text, value = match.string, match["x"]
    before = text[max(0, match.start("name") - 64) : match.start("name")]
    name = next(_NAME_START.finditer(before))["start"] + match["name"]
    if match["quote"]:
        return is_secret_value(name, value)
    if _CODE.fullmatch(value) or text[match.end("x") : match.end("x") + 1] in ("(", "["):
        # `password=read_password()`; but FOO_PASSWORD=correcthorse is what environments hold.
        return name.isupper() and match["is"] == "=" and len(value) >= 8 and value.islower()
    if value.isdigit() and not _PASSWORD.fullmatch(name):
        return False
    return is_secret_value(name, value)


_NAME_START: Final = re.compile(r"(?:\\(?:[nrt]|u[0-9A-Fa-f]{4}))?(?P<start>[A-Za-z0-9_.-]*)\Z")

_PLACES: Final = (
    Form(
        "url-password",
        re.compile(
            rf"""://[^\s/@:"'<>\\]{{0,64}}:(?P<x>{_NOT_YET}[^\s/@"'<>\\]{{1,128}})@""",
        ),
        re.compile(r"""://[^\s/@:"'<>]{0,384}:[^\s/@"'<>]{1,768}@"""),
        ("://",),
    ),
    Form(
        "url-signature",
        re.compile(r"[?&](?ai:(?:x-amz-|x-goog-)?sig(?:nature)?)=(?P<x>[A-Za-z0-9_%+/.~-]{8,}=*)"),
        re.compile(r"sig(?:nature)?=[a-z0-9_%+/.~-]{8}"),
        words=("sig",),
    ),
    Form(
        "authorization",
        re.compile(
            rf"(?ai:authorization){_IS}{_QUOTE}"
            rf"(?:(?ai:bearer|basic|token|digest|apikey|bot){_SPACE}{{1,4}})?"
            rf"""(?P<x>{_NOT_YET}[^\s"'`,;\\<>{{}}]{{8,}})"""
        ),
        re.compile(rf"authorization{_ENCODED_IS}"),
        words=("authorization",),
        check=_has_digit,
    ),
    Form(
        "authorization",
        re.compile(rf"(?ai:bearer){_SPACE}{{1,4}}(?P<x>[A-Za-z0-9_.~+/-]{{16,}}=*)"),
        re.compile(rf"bearer{_ENCODED_GAP}[a-z0-9_.~+/-]{{16}}"),
        words=("bearer",),
        check=_has_digit,
    ),
    Form(
        "authorization",
        re.compile(rf"(?ai:basic){_SPACE}{{1,4}}(?P<x>[A-Za-z0-9+/]{{8,}}={{0,2}})"),
        re.compile(rf"basic{_ENCODED_GAP}[a-z0-9+/]{{8}}"),
        words=("basic",),
        check=_is_basic,
    ),
    Form(
        "cookie",
        re.compile(
            rf"(?:(?<![A-Za-z])|{_ESCAPE_ENDS})(?ai:(?:set-)?cookie){_IS}{_QUOTE}"
            rf"""(?P<x>{_NOT_YET}[\w!#$%&*+.^|~-]{{1,64}}=[^\r\n"'`\\]{{8,}})"""
        ),
        re.compile(rf"cookie{_ENCODED_IS}"),
        words=("cookie",),
    ),
    Form(
        "credential",
        re.compile(
            rf"(?P<name>(?ai:{_NAME}))(?P<is>{_IS})(?P<quote>\\{{0,31}}[\"'`])?"
            rf"(?P<x>{_NOT_YET}(?(quote)(?:(?!(?P=quote))[^\r\n]){{1,2000}}(?=(?P=quote))"
            r"""|[^\s"'`,;&<>(){}\[\]|\\]{4,}))"""
        ),
        re.compile(
            r"(?:pass(?:word|wd|phrase|code)|pwd|mnemonic|secret(?:[_ -]?access)?(?:[_ -]?key)?"
            rf"|credentials?|key|token){_ENCODED_IS}"
        ),
        words=("pass", "pwd", "mnemonic", "secret", "credential", "key", "token"),
        check=_is_assigned,
    ),
)

# --- e-mail addresses and card numbers -----------------------------------------------------------

_FILES: Final = r"(?:png|jpe?g|gif|svg|webp|css|js|ts|json|html?|py|md|txt|sock|service|timer)"

_EMAILS: Final = (
    Form(
        "emails",
        re.compile(
            r"(?<![\w.%+-])(?P<x>[\w.%+-]{1,64}(?:@|%40)(?:[\w-]{1,63}\.){1,8}"
            rf"(?!{_FILES}(?![\w-]))[A-Za-z]{{2,24}})(?![\w-]|:[\w~])"
        ),
        re.compile(r"(?:@|%40)\S{1,300}"),
        ("@", "%40"),
    ),
)

_CARD: Final = re.compile(
    r"4\d{15}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}"
    r"|62\d{14,17}"
)
"""Visa, Mastercard, American Express, Discover, Diners Club, JCB, UnionPay."""


def _is_card(match: re.Match[str]) -> bool:
    digits = re.sub(r"[ -]", "", match["x"])
    return bool(_CARD.fullmatch(digits)) and _has_luhn_digit(digits)


def _has_luhn_digit(digits: str) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1)."""
    doubled = (int(digit) * (2 if n % 2 else 1) for n, digit in enumerate(reversed(digits)))
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


# Lines of a diff begin with + or -; lines of a text in JSON that is quoted, behind its \n.
_LINE_STARTS: Final = rf"{_ESCAPE_ENDS}|(?<=^[+-])|(?<=\\[nrt][+-])"

_CARDS: Final = (
    Form(
        "cards",
        re.compile(
            rf"(?:(?<![\w.,+/-])|{_LINE_STARTS})"
            r"(?P<x>\d{14,19}|\d{4}(?P<a>[ -])\d{4}(?P=a)\d{4}(?P=a)\d{4}"
            r"|\d{4}(?P<b>[ -])\d{6}(?P=b)\d{4,5})(?![\w/-]|[.,]\d)",
            re.ASCII | re.MULTILINE,
        ),
        re.compile(r"\d{4}[ -]?\d{4}[ -]?\d{2}"),
        check=_is_card,
    ),
)

FORMS: Final = {"secrets": (*_SERVICES, *_PLACES), "emails": _EMAILS, "cards": _CARDS}
"""Rule -> its forms, in the order in which they are looked for."""

# --- several forms at once -----------------------------------------------------------------------

_MESSAGE: Final = '{"role"'
_CHUNK: Final = 4096
_OVERLAP: Final = 1536
"""More than any hint needs to match."""

_MAX_CHUNKS: Final = 512
"""Chunks remembered: a request repeats instructions, tools and all that was said before it."""

_ESCAPED: Final = re.compile(r"\\u00[2-7]|\\/")
"""ASCII that some encoders of JSON escape: anything may be hidden so."""

_SEPARATORS: Final = "-_."
_ENDING: Final = 3
"""Characters, the separator among them, of which no prefix has fewer."""

Hinted = tuple[str, tuple[re.Pattern[str], ...]]


class Looks:
    """Several forms, looked for at once; safe to share between threads."""

    def __init__(self, forms: Iterable[Form]) -> None:
        """Sort the anchors of `forms`, so that `may_hold` is quick."""
        self._forms = tuple(forms)
        hints: dict[str, tuple[re.Pattern[str], ...]] = {}
        words: dict[str, tuple[re.Pattern[str], ...]] = {}
        for form in self._forms:
            for anchor in form.anchors:
                hints[anchor] = (*hints.get(anchor, ()), form.hint)
            for word in form.words:
                words[word] = (*words.get(word, ()), form.hint)
        # Keys are a prefix, a separator and chance: looking at what stands before each separator
        # takes a tenth of the time of looking for each prefix.
        self._prefixes = [
            (anchor, found) for anchor, found in hints.items() if anchor[-1] in _SEPARATORS
        ]
        self._ends = {
            separator: {a[-_ENDING:-1] for a, _ in self._prefixes if a[-1] == separator}
            for separator in _SEPARATORS
        }
        self._others = [(a, found) for a, found in hints.items() if a[-1] not in _SEPARATORS]
        self._words = [*words.items()]
        self._bare = [form.hint for form in self._forms if not (form.anchors or form.words)]
        self._clean: set[str] = set()

    def may_hold(self, text: str) -> bool:
        """Whether it is worth looking closer at a text, or at what it is the JSON of.

        Never wrongly False.
        """
        if not self._forms:
            return False
        return any(map(self._may_hold_anew, _chunks(text)))

    def _may_hold_anew(self, chunk: str) -> bool:
        """`_may_hold`, unless it is known that it does not."""
        if chunk in self._clean:
            return False
        if self._may_hold(chunk):
            return True
        if len(self._clean) >= _MAX_CHUNKS:
            self._clean.clear()
        self._clean.add(chunk)
        return False

    def _may_hold(self, text: str) -> bool:
        if any(self._has_key(text, separator) for separator in _SEPARATORS):
            return True
        if _is_hinted(text, self._others):
            return True
        if self._words and _is_hinted(text.lower(), self._words):
            return True
        if any(hint.search(text) for hint in self._bare):
            return True
        return "\\" in text and _ESCAPED.search(text) is not None

    def _has_key(self, text: str, separator: str) -> bool:
        """Whether somewhere a prefix ends with this separator, and behind it stands what should."""
        ends = self._ends[separator]
        parts = text.split(separator)
        if not ends or ends.isdisjoint([part[1 - _ENDING :] for part in parts]):
            return False
        at = 0
        for part in parts[:-1]:
            at += len(part) + 1
            if part[1 - _ENDING :] in ends and self._begins_key(text, at):
                return True
        return False

    def _begins_key(self, text: str, at: int) -> bool:
        return any(
            hint.match(text, at - len(prefix))
            for prefix, hints in self._prefixes
            if text.endswith(prefix, 0, at)
            for hint in hints
        )

    def replace(self, text: str, replacement: Callable[[str], str]) -> str:
        """The text, with `replacement(name of the form)` in place of all that has a form."""
        lowered = text.lower()
        for form in self._forms:
            if _may_match(form, text, lowered):
                text = _replaced(form, text, replacement)
        return text


def _chunks(text: str) -> Iterator[str]:
    """A text in pieces, of which requests repeat most: by message, and of bounded size.

    No hint goes across the begin of a message; where a message itself is cut, pieces overlap.
    """
    for message in text.split(_MESSAGE):
        for start in range(0, len(message), _CHUNK):
            yield message[start : start + _CHUNK + _OVERLAP]


def _may_match(form: Form, text: str, lowered: str) -> bool:
    return (
        any(anchor in text for anchor in form.anchors)
        or any(word in lowered for word in form.words)
        or not (form.anchors or form.words)
    )


def _replaced(form: Form, text: str, replacement: Callable[[str], str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        if form.check is not None and not form.check(match):
            return match[0]
        start, end = (place - match.start() for place in match.span("x"))
        return match[0][:start] + replacement(form.name) + match[0][end:]

    return form.pattern.sub(replaced, text)


def _is_hinted(text: str, hinted: Iterable[Hinted]) -> bool:
    for anchor, hints in hinted:
        at = text.find(anchor)
        while at >= 0:
            if any(hint.match(text, at) for hint in hints):
                return True
            at = text.find(anchor, at + 1)
    return False
