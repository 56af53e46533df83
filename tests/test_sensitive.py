"""What is found, and what is left alone: made-up secrets of real forms, and their look-alikes."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj.sensitive import FORMS, Looks

# In halves, so that no scanner of repositories takes them for real ones.
ALNUM = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6"
HEX = "0123456789abcdef" * 5
UPPER = "A2B3C4D5E6F7G2H3J4K5"

SECRETS = {
    "anthropic-key": [
        "sk-ant-" + "api03-" + ALNUM + "_-" + ALNUM[:40] + "AA",
        "sk-ant-" + "admin01-" + ALNUM,
    ],
    "openai-key": [
        "sk-" + "proj-" + ALNUM + "T3Blbk" + "FJ" + ALNUM + "_-x",
        "sk-" + "svcacct-" + ALNUM,
        "sk-" + ALNUM[:20] + "T3Blbk" + "FJ" + ALNUM[:20],
        "sk-" + HEX[:32],
    ],
    "google-key": [
        "AIza" + "Sy" + ALNUM[:33],
        "GOCSPX-" + ALNUM[:28],
        "ya29." + "a0Af" + ALNUM + "-_" + ALNUM,
        "AQ." + "Ab8" + ALNUM,
    ],
    "aws-key": ["AKIA" + UPPER[:16], "ASIA" + UPPER[:16], "AKIA" + "IOSFODNN7EXAMPLE"],
    "github-token": [
        *(f"gh{kind}_" + ALNUM[:36] for kind in "pousr"),
        "github_" + "pat_" + ALNUM[:22] + "_" + ALNUM * 2,
    ],
    "gitlab-token": ["glpat-" + ALNUM[:20], "gldt-" + ALNUM[:20]],
    "slack-token": [
        "xoxb-" + "123456789012-1234567890123-" + ALNUM[:24],
        "xoxp-" + "1234567890-" + ALNUM[:24],
        "xapp-" + "1-A012345678-1234567890-" + HEX[:64],
        "xoxe." + "xoxp-1-" + ALNUM,
    ],
    "slack-webhook": ["hooks." + "slack.com/services/T00000000/B00000000/" + ALNUM[:24]],
    "stripe-key": [
        "sk_" + "live_" + ALNUM[:24],
        "rk_" + "test_" + ALNUM,
        "whsec_" + ALNUM[:32],
    ],
    "huggingface-token": ["hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH", "hf_" + ALNUM[:34]],
    "jwt": [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJ" + ALNUM + ".-_" + ALNUM,
        "eyJhbGciOiJkaXIifQ..48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzO.XFBoMYUZodetZdvTiFvSkQ",
    ],
    "private-key": [
        "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIE\n" + ALNUM + "\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE " + "KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN PRIVATE " + "KEY-----\\nMIIE\\n-----END PRIVATE KEY-----",
        "-----BEGIN PGP PRIVATE KEY " + "BLOCK-----\nlQdG\n-----END PGP PRIVATE KEY BLOCK-----",
        "-----BEGIN EC PRIVATE " + "KEY-----\nMHcCAQEE and then it was cut",
    ],
    "service-key": [
        "sk-or-" + "v1-" + HEX[:64],
        "gsk_" + ALNUM,
        "xai-" + ALNUM,
        "pplx-" + ALNUM,
        "tvly-" + "dev-" + ALNUM[:32],
        "r8_" + ALNUM[:37],
        "pcsk_" + ALNUM[:10] + "_" + ALNUM,
        "lsv2_" + "pt_" + HEX[:32] + "_" + HEX[:10],
        "npm_" + ALNUM[:36],
        "pypi-" + "AgEIcHlwaS5vcmc" + ALNUM,
        "dckr_" + "pat_" + ALNUM[:27],
        "SG." + ALNUM[:22] + "." + ALNUM[:43],
        "key-" + HEX[:32],
        "dapi" + HEX[:32],
        "dop_" + "v1_" + HEX[:64],
        "shpat_" + HEX[:32],
        "ntn_" + ALNUM[:46],
        "lin_" + "api_" + ALNUM[:40],
        "figd_" + ALNUM,
        "hvs." + ALNUM,
        "ATATT3" + "xFfGF0" + ALNUM * 2,
        "NRAK-" + "A2B3C4D5E6F7G2H3J4K5A2B3C4D"[:27],
        "glsa_" + ALNUM[:32] + "_" + HEX[:8],
        "sntrys_" + ALNUM,
        "sbp_" + HEX[:40],
        "e2b_" + HEX[:40],
        "AGE-SECRET-KEY-" + "1" + ("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L" * 2)[:58],
    ],
}
"""Form -> secrets that stand for themselves."""

IN_PLACE = {
    "url-password": [
        ("postgres://app:{}@db.internal:5432/orders", "hunter2"),
        ("redis://:{}@cache:6379/0", "s3cr3t"),
        ("amqp://gäst:{}@mq", "hésló"),
        ("git clone https://bot:{}@git.example.com/x.git", "p%40ss"),
    ],
    "url-signature": [
        ("https://b.blob.core.windows.net/c/f?sv=2024&sig={}&se=1", "abc%2Bdef12345%3D"),
        ("https://s3.amazonaws.com/b/k?X-Amz-Date=1&X-Amz-Signature={}", HEX[:64]),
    ],
    "authorization": [
        ("Authorization: Bearer {}", ALNUM[:20]),
        ("curl -H 'authorization: Token {}' https://x", HEX[:40]),
        ("Authorization: Basic {}", "dXNlcjpwYXNz"),
        ("Bearer \n\t{}", ALNUM[:30]),
        (r'agent {{"k": "Authorization:\n\tBearer \n\t{}"}}', ALNUM[:30]),
        (r'agent {{"k": "{{\"k\": \"Bearer\\n{}\"}}"}}', ALNUM[:30]),
        (r'header "Basic\t{}"', "YWRtaW46aHVudGVyMg"),
        ("it sent Bearer {} along", "mF_9.B5f-4.1JqM" + "x1"),
        ("header Basic {}", base64.b64encode(b"admin:hunter2").decode()),
    ],
    "cookie": [
        ("Cookie: {}", "session=" + HEX[:32]),
        ("Set-Cookie: {}", "sid=" + ALNUM[:24] + "; Path=/; HttpOnly"),
    ],
    "credential": [
        ("password={}", "hunter2"),
        ("export DB_PASSWORD={}", "correcthorsebattery"),
        ("OPENAI_API_KEY={}", "0a1b2c3d4e5f67890a1b2c3d4e5f6789"),
        ("api_key: {}", HEX[:32]),
        ("apiKey = '{}'", "Xy12-Zw34-Qq56"),
        (r'says {{"k": "api_key:\n  {}\n"}}', "Xy12-Zw34-Qq56"),
        ("aws_secret_access_key = {}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ('client_secret="{}"', "8Q~abc.def-GHI_123"),
        ('{{"password": "{}", "user": "bob"}}', "correcthorse"),
        ('{{\\"password\\": \\"{}\\"}} and cut', "hunter2"),
        ("{{'access_token': '{}'}}", "tok_" + ALNUM[:10]),
        ("refresh_token={}&grant_type=refresh_token", ALNUM[:30]),
        ("Password:\u00a0\u2003{}", "pässwört1"),
        ("mysql --password={} -u root", "t0ps3cret"),
        ("AccountKey={};EndpointSuffix=core.windows.net", ALNUM + "=="),
        ('passphrase: "{}"', "correct horse battery staple"),
        ("x-api-key: {}", ALNUM[:24]),
        ("token: {}", ALNUM[:24]),
    ],
}
"""Form -> texts and what in them must go."""

INNOCENT = [
    # what ids and digests look like
    hashlib.sha256(b"x").hexdigest(),
    hashlib.md5(b"x", usedforsecurity=False).hexdigest(),
    f"commit {hashlib.sha1(b'x', usedforsecurity=False).hexdigest()}",
    str(uuid.UUID(int=2**127 + 12345)),
    "chatcmpl-BxY3kq7tVhP2mWnZ4rLs8dQeF1aC",
    "call_h7Ty2LkQ9ZbVnM4xAbCdEfGh",
    "toolu_01A09q90qw90lq917835lq9",
    "msg_013Zva2CMHLNnjNjLKLrTqkz resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
    "req_011CMkHVjfjvNMcGbrrCcvQ1 run_abc123def456ghi789jkl012 asst_abc123abc123abc123abc123",
    "order 4012-888-1881 of 2026-11-21, invoice 2026000000012345",
    "gpt-4o-2024-08-06, claude-3-5-sonnet-20241022, text-embedding-3-large",
    "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 40).decode(),
    "eyJ" + base64.b64encode(b'"just": "json"').decode(),
    "sha512-" + base64.b64encode(bytes(range(64))).decode(),
    "ssh-rsa " + base64.b64encode(bytes(range(200))).decode() + " me@host",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    "pk_live_publishable keys are public",
    # words
    "risk-management-and-task-oriented-dialogue-systems for sk-learn-like-estimators",
    "task_id_of_the_run desk-organizer-with-many-long-words hf_home hf_hub_download_of_the_model",
    "the bearer of this letter, the token bearer authentication scheme and basic information",
    "Basic understanding of Bearer tokens: see Authorization: required",
    "Cookie: chocolate; cookies are sweet. A secret: nobody knows. The secret is out",
    "password: required, password reset, passwords must have 8 characters, password length: 12",
    "Enter your password: ",
    "key: value, keyboard: qwerty, primary_key: id, foreign key = users.id, api key",
    "ASIA and AFRICA, AKIA, ghp_short, xoxb-, AIza, glpat-, sk-ant-, npm_config_registry, SG.1.2",
    # code, schemas, settings
    "def login(user: str, password: str, token: Optional[str] = None) -> None:",
    "password = getpass.getpass(); api_key=os.environ['OPENAI_API_KEY']; token=get_token(user)",
    "client = OpenAI(api_key=api_key, secret=config.secret, password=settings.DB_PASSWORD)",
    'os.environ["OPENAI_API_KEY"] = "<your key>"; TOKEN=$GITHUB_TOKEN; PASSWORD=${PASSWORD}',
    '{"password": {"type": "string"}, "api_key": "string", "token": "your-token-here"}',
    '{"required": ["password", "token"], "token": "Hello", "logprob": -0.1, "secret": null}',
    '{"max_tokens": 4096, "token_count": 17, "next_page_token": "CAUQAAx1y2z3w4v5u6"}',
    '{"password": "********", "secret": "xxxxxxxx", "api_key": "", "apiKey": "$API_KEY"}',
    '{"eos_token": "<|endoftext|>", "pad_token": "[PAD]", "bos_token": "<s>"}',
    "pwd: /home/user/project PWD=/root SECRET_PATH=/run/secrets/db key=/etc/ssl/server.key",
    "https://example.com:8080/a@b and mailto:someone, http://host/path?key=1&sort=token:asc",
    "https://docs.example.com/x?signature=v2 and user@host:path and git@github.com:owner/repo.git",
    "`password=` and `api_key:` are assignments; ssh -i key.pem",
    "[redacted:openai-key] password=[redacted:credential] Bearer [redacted:authorization]",
]
"""Texts in which nothing is a secret."""


def looks(*rules: str) -> Looks:
    return Looks(form for rule in rules for form in FORMS[rule])


SECRET_LOOKS = looks("secrets")


def marker(name: str) -> str:
    return f"[redacted:{name}]"


def in_place() -> list[Any]:
    return [
        pytest.param(name, text.format(secret), secret, id=f"{name}: {text[:30]}")
        for name, cases in IN_PLACE.items()
        for text, secret in cases
    ]


ROUND = [
    *("{}", "use {}, please", '"{}"', "'{}'", "({})", "a={}", "a:{};", "`{}`", "<b>{}</b>"),
    *("\n{}\n", "x\\n{}\\n", "\x1b[31m{}\x1b[0m", "https://h/{}", "é{}é", "%3D{}%26"),
]


@pytest.mark.parametrize("around", ROUND)
def test_a_secret_that_stands_for_itself_is_found_whatever_is_round_it(around: str) -> None:
    for name, secrets in SECRETS.items():
        for secret in secrets:
            if name == "private-key" and "cut" in secret:
                continue  # takes the rest of the text along
            text = around.replace("{}", secret)

            assert SECRET_LOOKS.may_hold(text), text
            assert SECRET_LOOKS.replace(text, marker) == around.replace("{}", marker(name)), text


@pytest.mark.parametrize(("name", "text", "secret"), in_place())
def test_a_secret_is_known_by_its_place(name: str, text: str, secret: str) -> None:
    assert SECRET_LOOKS.may_hold(text)
    assert SECRET_LOOKS.replace(text, marker) == text.replace(secret, marker(name))


@pytest.mark.parametrize("text", INNOCENT, ids=range(len(INNOCENT)))
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert SECRET_LOOKS.replace(text, marker) == text


def all_secrets() -> list[str]:
    alone = [secret for secrets in SECRETS.values() for secret in secrets]
    return alone + [text.format(secret) for cases in IN_PLACE.values() for text, secret in cases]


@given(
    st.sampled_from(all_secrets()),
    st.text(max_size=40),
    st.text(max_size=40),
    st.integers(0, 4),
    st.booleans(),
)
def test_a_quick_look_never_overlooks_what_a_close_one_finds(
    secret: str, before: str, after: str, depth: int, is_ascii: bool
) -> None:
    text = before + secret + after
    if SECRET_LOOKS.replace(text, marker) == text:
        return

    for _ in range(depth):
        text = json.dumps({"a": text}, ensure_ascii=is_ascii)

    assert SECRET_LOOKS.may_hold(text)
