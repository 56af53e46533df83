"""Every framework, recorded for real by one call: how much of what happened is seen, and right.

    python bench/frameworks.py [NAME...] [--upgrade] [--keep DIR] [--write] [-v]

Makes an environment for each framework of `tests/frameworks/agents` (below `.frameworks/`, once;
needs the package index then), runs its agent against a scripted model on loopback, and lets the
corpus's judge compare the store with the truth. `--write` puts the table into docs/frameworks.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT / "analysis", ROOT / "exporters", ROOT):
    sys.path.insert(0, str(folder))

from tests.environments import InstallError  # noqa: E402 - the checkout's
from tests.frameworks import catalogue, comparison, driver  # noqa: E402
from tests.frameworks.catalogue import Framework  # noqa: E402
from tests.frameworks.comparison import SEEN, Verdict  # noqa: E402
from tests.frameworks.driver import Run  # noqa: E402

PAGE = ROOT / "docs" / "frameworks.md"
BEGIN, END = "<!-- table: bench/frameworks.py -->", "<!-- end of table -->"


def table(rows: list[tuple[Run, Verdict]]) -> str:
    """The Markdown table, one framework a line."""
    heads = ("framework", "version", "instrumented by", "steps right", *SEEN, "not seen, and why")
    lines = [heads, tuple("---" for _ in heads), *(line(*row) for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def line(run: Run, verdict: Verdict) -> tuple[str, ...]:
    """The cells of one framework."""
    return (
        run.framework.title,
        f"{run.framework.package} {run.version}",
        ", ".join(f"`{name}`" for name in run.instrumented) or "nothing",
        share(verdict.right),
        *(share(verdict.seen[kind]) if kind in verdict.seen else "" for kind in SEEN),
        " ".join(run.framework.note.split()),
    )


def share(found: comparison.Share) -> str:
    """`5/6`."""
    return f"{found[0]}/{found[1]}"


def measure(framework: Framework, folder: Path, *, upgrade: bool) -> tuple[Run, Verdict] | None:
    """Run and judge one framework; None where it cannot be installed, which is said.

    Raises:
        RunError: Its agent failed.
    """
    folder.mkdir(parents=True)
    try:
        run = driver.run(framework, folder, upgrade=upgrade)
    except InstallError as error:
        print(f"{framework.name} skipped: {error}\n", file=sys.stderr, flush=True)
        return None
    return run, comparison.compare(run)


def report(run: Run, verdict: Verdict, *, is_verbose: bool) -> None:
    """One framework's figures for who watches."""
    seen = "  ".join(f"{kind} {share(of)}" for kind, of in verdict.seen.items())
    chosen = ", ".join(run.instrumented) or "nothing"
    print(f"{run.framework.name} {run.version} by {chosen}: right {share(verdict.right)}  {seen}")
    for flaw in verdict.flaws:
        print(f"    wrong: {flaw}")
    for gap in verdict.unseen if is_verbose else ():
        print(f"    unseen: {gap}")
    sys.stdout.flush()


def main() -> int:
    """Measure; 0 unless an agent failed. Steps that are wrong are a result, not a failure."""
    known = catalogue.frameworks()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--upgrade", action="store_true", help="newest versions, made anew")
    parser.add_argument("--keep", type=Path, help="an empty folder for what runs leave")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    parser.add_argument("-v", action="store_true", help="also what is not seen")
    args = parser.parse_args()
    if unknown := set(args.names) - set(known):
        parser.error(f"no framework {sorted(unknown)}; there are {', '.join(known)}")
    if not comparison.JUDGE.exists():
        print(f"skipped: no judge at {comparison.JUDGE}")
        return 0
    chosen = [known[name] for name in args.names or known]
    rows, failed = [], 0
    with tempfile.TemporaryDirectory() as scratch:
        for framework in chosen:
            folder = (args.keep or Path(scratch)) / framework.name
            try:
                row = measure(framework, folder, upgrade=args.upgrade)
            except driver.RunError as error:
                failed += 1
                print(f"{error}\n", file=sys.stderr, flush=True)
                continue
            if row is not None:
                report(*row, is_verbose=args.v)
                rows.append(row)
    print("\n" + table(rows))
    if args.write:
        head, rest = PAGE.read_text("utf-8").split(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n\n{table(rows)}\n\n{END}{rest.split(END)[1]}", "utf-8")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
