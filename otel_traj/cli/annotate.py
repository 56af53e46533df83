"""`otel-traj annotate`: a judgement after the fact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from otel_traj.cli.frame import examples, store_option
from otel_traj.cli.safety import visible

if TYPE_CHECKING:
    from otel_traj.model import AnnotationKind


class _Pair(click.ParamType):  # type: ignore[type-arg]
    """`NAME=VALUE`, the value a number or a text."""

    def __init__(self, value: type[float] | type[str]) -> None:
        self._value = value
        self.name = f"NAME={'NUMBER' if value is float else 'TEXT'}"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, float | str]:
        name, equals, text = str(value).partition("=")
        try:
            if not (name and equals):
                raise ValueError
            return name, self._value(text)
        except ValueError:
            self.fail(f"{value!r} is not {self.name}.", param, ctx)


class _Given(NamedTuple):
    name: str
    value: float | str
    kind: AnnotationKind


@click.command(
    epilog=examples(
        'otel-traj annotate 4bf92f35 --outcome failure --comment "refunded the wrong order"',
        "otel-traj annotate 4bf92f35 --step 3 --score relevance=0.2 --annotator mona",
    )
)
@click.argument("trajectory_id", metavar="ID")
@click.option("--outcome", type=click.Choice(("success", "failure", "partial", "error", "unknown")))
@click.option("--reward", type=float, help="How good it was; higher is better.")
@click.option("--score", "scores", type=_Pair(float), multiple=True, help="A named number.")
@click.option("--label", "labels", type=_Pair(str), multiple=True, help="A named text.")
@click.option("--feedback", help="What a user said of it.")
@click.option("--comment", help="Free text.")
@click.option(
    "--retract", metavar="NAME", multiple=True, help="Take back what this source said under a name."
)
@click.option("--step", type=click.IntRange(min=0), help="Of this step, not of the whole run.")
@click.option("--source", default="explicit", show_default=True, help="Which rule or tool says so.")
@click.option("--annotator", metavar="NAME", help="Who says so.")
@store_option
def command(
    trajectory_id: str,
    outcome: str | None,
    reward: float | None,
    scores: tuple[tuple[str, float], ...],
    labels: tuple[tuple[str, str], ...],
    feedback: str | None,
    comment: str | None,
    retract: tuple[str, ...],
    step: int | None,
    source: str,
    annotator: str | None,
    store: Path,
) -> None:
    """Add an outcome, reward, score, label, feedback or comment.

    ID is a trajectory's id or the beginning of it. Annotations are added, never overwritten: table
    `annotations` keeps all of them. Of several with one name, source and annotator the last one
    counts, and of all explicit outcomes, and all rewards, the last one is that of the run.
    """
    from otel_traj import statements
    from otel_traj.store import open_store

    given = [
        *([_Given("outcome", outcome, "outcome")] if outcome is not None else []),
        *([_Given("reward", reward, "reward")] if reward is not None else []),
        *(_Given(name, value, "score") for name, value in scores),
        *(_Given(name, value, "label") for name, value in labels),
        *([_Given("feedback", feedback, "feedback")] if feedback is not None else []),
        *([_Given("comment", comment, "comment")] if comment is not None else []),
    ]
    if not (given or retract):
        raise click.UsageError(
            "Nothing to add: give --outcome, --reward, --score, --label, --feedback, --comment or"
            " --retract."
        )
    for name, value, kind in given:  # all of them, before the first is added
        statements.check(name, value, kind)
    opened = open_store(store)
    run = opened.trajectory(trajectory_id)
    about = run.trajectory_id if step is None else f"{run.trajectory_id} step {step}"
    for name in retract:
        opened.retract(run.trajectory_id, name, source=source, annotator=annotator, step=step)
        click.echo(visible(f"{about}: {name} taken back"), err=True)
    for name, value, kind in given:
        opened.annotate(
            run.trajectory_id, name, value, kind=kind, source=source, annotator=annotator, step=step
        )
        click.echo(visible(f"{about}: {name} = {value}"), err=True)
