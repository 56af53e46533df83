"""`otel-traj serve`: receives OTLP into a store, and shows it: viewer, API, Jaeger."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_traj.cli.frame import DONE, FOUND_PROBLEMS, examples, store_option
from otel_traj.cli.tokens import read_token, token_options
from otel_traj.errors import ConfigurationError, MissingExtraError
from otel_traj.redaction import ENVIRONMENT, choose

if TYPE_CHECKING:
    from otel_traj.server.jaeger.asked import ServiceFrom

_MIB = 1024 * 1024


@click.command(
    epilog=examples(
        "otel-traj serve --store /data/traces",
        "otel-traj serve --otlp-grpc 127.0.0.1:14317 --otlp-http 127.0.0.1:14318",
        "otel-traj serve --otlp-http 0.0.0.0:4318 --otlp-grpc off --token-file token"
        " --tls-cert cert.pem --tls-key key.pem",
        "otel-traj serve --jaeger-http 127.0.0.1:16686 --jaeger-storage 127.0.0.1:17271",
    )
)
@store_option
@click.option(
    "--otlp-grpc",
    metavar="HOST:PORT|off",
    default="127.0.0.1:4317",
    show_default=True,
    help="Where OTLP over gRPC comes in.",
)
@click.option(
    "--otlp-http",
    metavar="HOST:PORT|off",
    default="127.0.0.1:4318",
    show_default=True,
    help="Where OTLP over HTTP comes in: protobuf or JSON; plain, gzip, deflate or zstd.",
)
@click.option(
    "--http",
    metavar="HOST:PORT|off",
    default="127.0.0.1:7788",
    show_default=True,
    help="Where the viewer is with its API, /health, /metrics and Jaeger's query API.",
)
@click.option(
    "--jaeger-http",
    metavar="HOST:PORT|off",
    default="off",
    show_default=True,
    help="Where Jaeger's query API is as well, without the rest; Jaeger's own port is 16686.",
)
@click.option(
    "--jaeger-storage",
    metavar="HOST:PORT|off",
    default="off",
    show_default=True,
    help="Where a Jaeger server reads the store, as remote storage over gRPC.",
)
@click.option(
    "--service-from",
    type=click.Choice(("service", "agent")),
    default="service",
    show_default=True,
    help="What Jaeger's answers call a service: service.name, or the agent that acts.",
)
@token_options
@click.option(
    "--tls-cert",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Certificate chain in PEM; every port speaks TLS then.",
)
@click.option(
    "--tls-key",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Its private key in PEM.",
)
@click.option(
    "--redact",
    metavar="RULES",
    help="What is replaced before it reaches the disk: secrets, emails, cards (several with "
    "commas), on for all, off, or MODULE:NAME of a Redaction. Fewer requests are taken in a "
    "second, as each is decoded first.  [default: $OTEL_TRAJ_REDACT, else off]",
)
@click.option(
    "--seal-every",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often what has come is made queryable.",
)
@click.option(
    "--max-body",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    metavar="MIB",
    help="The largest request, as it comes and unpacked.",
)
@click.option(
    "--max-memory",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    metavar="MIB",
    help="What all requests under way may take together; others are told to come again.",
)
@click.option(
    "--max-backlog",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    show_default=True,
    metavar="GIB",
    help="How much may wait to become rows; beyond it, requests are told to come again.",
)
def command(
    store: Path,
    otlp_grpc: str,
    otlp_http: str,
    http: str,
    jaeger_http: str,
    jaeger_storage: str,
    service_from: ServiceFrom,
    token_file: Path | None,
    is_open: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    redact: str | None,
    seal_every: float,
    max_body: int,
    max_memory: int,
    max_backlog: float,
) -> int:
    """Receive OTLP into the store, and show it: viewer, API, Jaeger, Grafana.

    Traces and logs, from agents in any language or from a Collector. A request is answered when it
    is on disk; every second it becomes rows. Needs the extra 'server'. Ctrl-C or SIGTERM ends it:
    requests under way are answered, and all that has come is sealed.

    What is shown has its secrets replaced, if --redact does not say otherwise.

    Exit status 1 means that the last seal failed: nothing is lost, the next reader seals it.
    """
    try:
        import asyncio

        from otel_traj.server import service
        from otel_traj.server.listeners import Address, Tls
        from otel_traj.server.receiver import Limits
    except ImportError as error:
        raise MissingExtraError("otel-traj serve", str(error.name), "server") from error
    if (tls_cert is None) != (tls_key is None):
        raise ConfigurationError("TLS takes both --tls-cert and --tls-key")
    if max_memory < max_body:
        raise ConfigurationError("--max-memory must be at least --max-body")
    settings = service.Settings(
        store=store,
        otlp_grpc=Address.parse(otlp_grpc),
        otlp_http=Address.parse(otlp_http),
        http=Address.parse(http),
        jaeger_http=Address.parse(jaeger_http),
        jaeger_storage=Address.parse(jaeger_storage),
        service_from=service_from,
        tls=Tls.of(tls_cert, tls_key) if tls_cert and tls_key else None,
        token=read_token(token_file),
        is_open=is_open,
        redaction=choose(redact or os.environ.get(ENVIRONMENT) or "off"),
        shown=choose(redact),
        seal_every_s=seal_every,
        limits=Limits(
            body=max_body * _MIB, memory=max_memory * _MIB, backlog=int(max_backlog * 1024 * _MIB)
        ),
    )
    logging.basicConfig(format="otel-traj: %(message)s", level=logging.WARNING)
    if warning := service.check(settings):
        _say(f"warning: {warning}")
    _say(f"store     {store}")
    if asyncio.run(service.serve(settings, _say)):
        return DONE
    _say("warning: not all that came is sealed; whoever reads the store next does it")
    return FOUND_PROBLEMS


def _say(line: str) -> None:
    click.echo(line, err=True)
