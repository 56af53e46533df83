"""`otel-traj annotate`: a judgement after the fact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from otel_traj import words
from otel_traj.cli.frame import examples, store_option
from otel_traj.cli.output import emit
from otel_traj.safety import visible

if TYPE_CHECKING:
    from otel_traj.model import AnnotationKind
    from otel_traj.store import TrajectoryStore

_INFRASTRUCTURE: Final = """\
select case when is_confirmed then 'confirmed' else 'proposed' end as state,
    n_calls, n_runs, n_tasks, tool_name, signature
from error_classes where is_confirmed or is_proposed
union all
select 'confirmed', 0, 0, 0, tool_name, signature
from infrastructure anti join error_classes using (tool_name, signature)
order by state desc, n_calls desc, tool_name, signature"""


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
        "otel-traj annotate --infrastructure",
        "otel-traj annotate --infrastructure 'submit: connection refused by #'",
    )
)
@click.argument("trajectory_id", metavar="[ID]", required=False)
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
@click.option(
    "--infrastructure",
    is_flag=False,
    flag_value="",
    metavar="[SIGNATURE]",
    help="Confirm that errors of this signature are the harness's; without one, list them.",
)
@click.option("--remove", is_flag=True, help="Take the confirmation of --infrastructure back.")
@store_option
def command(
    trajectory_id: str | None,
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
    infrastructure: str | None,
    remove: bool,
    store: Path,
) -> None:
    """Add an outcome, reward, score, label or comment; or say what the harness broke.

    ID is a trajectory's id or the beginning of it. Annotations are added, never overwritten: table
    `annotations` keeps all of them. Of several with one name, source and annotator the last one
    counts, and of all explicit outcomes, and all rewards, the last one is that of the run.

    With --infrastructure it is about all runs: those in which a call failed with that signature
    count as broken by the harness, neither as successes nor as failures. SIGNATURE is `tool: text`
    as the list, or `otel-traj analyze tool_errors`, shows it, or its beginning. It is kept in the
    store's rules.toml.
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
    if infrastructure is not None:
        if trajectory_id is not None or given or retract or step is not None:
            raise click.UsageError("--infrastructure is about all runs: give no ID and no other.")
        _infrastructure(open_store(store), infrastructure, remove)
        return
    if remove:
        raise click.UsageError("--remove goes with --infrastructure; there is --retract NAME.")
    if trajectory_id is None:
        raise click.UsageError("Missing argument 'ID'.")
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


def _infrastructure(store: TrajectoryStore, text: str, remove: bool) -> None:
    from otel_traj.store import infrastructure as errors

    if not text:
        if remove:
            raise click.UsageError("Say which confirmation is taken back.")
        emit(store.sql(_INFRASTRUCTURE), "table")
        for proposed in (known for known in errors.classes(store) if known.is_proposed):
            command = errors.command(proposed.tool_name, proposed.signature)
            click.echo(visible(f"Confirm: {command}"), err=True)
    elif remove:
        found = errors.chosen(errors.confirmed(store), text)
        errors.withdraw(store.path, found.tool_name, found.signature)
        click.echo(visible(f"{found.name}: not the harness's any more"), err=True)
    else:
        found = errors.chosen(errors.classes(store), text)
        is_new = errors.confirm(store.path, found.tool_name, found.signature)
        click.echo(
            visible(
                f"{found.name}: the harness's{'' if is_new else ', as was confirmed before'};"
                f" {words.count(found.n_runs, 'run')} with it neither succeeded nor failed"
            ),
            err=True,
        )
