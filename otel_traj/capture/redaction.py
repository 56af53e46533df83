"""What must not leave the process: every recorded value goes through one function before it does.

A redactor is any `callable(key, value) -> value`. It sees the values of span, event, link, log and
resource attributes under their own keys, a status message under `status.message`, a log's body
under `body`. One that raises leaks nothing: the value is replaced by `FAILED` and the failure
counted. Without one, `redact_secrets` looks for credentials of well-known forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from otel_traj.capture.guard import report

Redactor: TypeAlias = Callable[[str, Any], Any]

FAILED: Final = "[redaction failed]"
SECRET: Final = "[secret]"

STATUS_MESSAGE: Final = "status.message"
BODY: Final = "body"


class Redaction:
    """Applies a redactor and counts its failures; used by one thread at a time."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.failures = 0

    def value(self, key: str, value: Any) -> Any:
        """What to record in place of `value`."""
        if value is None:
            return None
        try:
            return self._redactor(key, value)
        except Exception as error:  # the user's code
            self.failures += 1
            report("redact a value (it was left out)", error)
            return FAILED

    def attributes(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """A copy with each value redacted."""
        return {key: self.value(key, value) for key, value in attributes.items()}


# --- the built-in rules ------------------------------------------------------------------------

_SECRETS: Final = {
    "T3BlbkFJ": r"sk-[\w-]*T3BlbkFJ[\w-]*",  # OpenAI; the infix stands in every key
    "sk-ant-": r"sk-ant-[\w-]{16,}",
    "sk_live_": r"sk_live_\w{16,}",
    "AKIA": r"\bAKIA[0-9A-Z]{16}\b",
    "github_pat_": r"github_pat_\w{22,}",
    "ghp_": r"\bghp_[0-9A-Za-z]{36}",
    "glpat-": r"\bglpat-[\w-]{20,}",
    "xoxb-": r"\bxoxb-[\w-]{20,}",
    "AIzaSy": r"\bAIzaSy[\w-]{33}",
    "eyJhbGciOi": r"\beyJhbGciOi[\w-]*\.[\w-]+\.[\w-]*",  # a signed JSON Web Token
    "PRIVATE KEY-----": (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    ),
    "earer ": r"(?<=earer )[\w.~+/-]{16,}=*",
}
"""A text that stands in every credential of a form -> the form. Looking for texts first is what
makes the rules affordable: most values hold none, and `in` reads gigabytes per second."""

_MARKS: Final = tuple(_SECRETS)
_PATTERN: Final = re.compile("|".join(_SECRETS.values()), re.DOTALL | re.ASCII)


def may_hold_secret(text: str) -> bool:
    """Whether it is worth looking closer; cheap, and never wrongly False, in JSON text as well."""
    for mark in _MARKS:  # noqa: SIM110 - `any` of a generator takes three times as long
        if mark in text:
            return True
    return False


def redact_secrets(key: str, value: Any) -> Any:
    """Replace credentials of well-known forms, wherever in a value, by `SECRET`.

    API keys of OpenAI, Anthropic, Stripe, AWS, GitHub, GitLab, Slack and Google, signed web tokens,
    private keys, bearer tokens. Not e-mail addresses, card numbers or names: give a redactor of
    your own for those, it may call this one.
    """
    if isinstance(value, str):
        return _PATTERN.sub(SECRET, value) if may_hold_secret(value) else value
    if isinstance(value, Mapping):
        return {name: redact_secrets(key, item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_secrets(key, item) for item in value]
    return value
