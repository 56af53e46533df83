"""What a model call cost, where the run did not record it.

Prices come from the package `genai-prices` when it is installed (extra `cost`), else from
`prices.toml` in the store, in USD per million tokens:

    ["gpt-4o-mini"]
    input = 0.15
    output = 0.60
    cache_read = 0.075      # of the input tokens, those read from a cache; else they cost `input`

A model that neither knows costs NULL, never 0. Applied when rows are sealed, never in assembly.
"""

from __future__ import annotations

import importlib
import logging
import operator
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from otel_traj.errors import ConfigurationError
from otel_traj.model import Assembly, Step

_log = logging.getLogger("otel_traj.store")

Price = Callable[[Step], tuple[float, str] | None]
"""Cost in USD of a model call and where the price is from, or None when unknown."""

_PER_TOKEN: Final = 1e-6
_RATES: Final = frozenset({"input", "output", "cache_read", "cache_write"})


def load(store: Path) -> Price:
    """The prices to use for a store.

    Raises:
        ConfigurationError: `prices.toml` is there but wrong.
    """
    own = _read_file(store / "prices.toml")

    def from_file(step: Step) -> tuple[float, str] | None:
        return _from_table(step, own)

    sources = [_genai_prices(), from_file]

    def price(step: Step) -> tuple[float, str] | None:
        if step.input_tokens is None and step.output_tokens is None:
            return None
        return next((found for source in sources if (found := source(step))), None)

    return price


@dataclass(slots=True)
class OfStore:
    """The store's prices, loaded when first asked for; a wrong file costs prices, never a seal.

    Sent to another process they are loaded there.
    """

    _store: Path
    _loaded: Price | None = field(default=None, init=False, compare=False)

    def __call__(self, step: Step) -> tuple[float, str] | None:
        """Cost in USD of a model call, and where the price is from."""
        if self._loaded is None:
            try:
                self._loaded = load(self._store)
            except ConfigurationError as error:
                _log.warning("%s", error)
                self._loaded = _unknown
        return self._loaded(step)

    def __reduce__(self) -> tuple[type[OfStore], tuple[Path]]:
        return OfStore, (self._store,)


def _unknown(_: Step) -> None:
    """The price of any model."""


def apply(assembly: Assembly, price: Price) -> Assembly:
    """The same rows with the costs of model calls filled in, and their sum in the header."""
    told = assembly.trajectory
    steps = tuple(_priced(step, price) for step in told.steps)
    costs = [step.cost_usd for step in steps if step.cost_usd is not None]
    total = sum(costs) if costs else told.cost_usd
    if total == told.cost_usd and all(map(operator.is_, steps, told.steps)):
        return assembly
    return replace(assembly, trajectory=replace(told, steps=steps, cost_usd=total))


def _priced(step: Step, price: Price) -> Step:
    if step.kind != "llm" or step.cost_usd is not None:
        return step
    found = price(step)
    return step if found is None else replace(step, cost_usd=found[0], cost_source=found[1])


def _genai_prices() -> Price:
    try:
        genai_prices: Any = importlib.import_module("genai_prices")  # optional, hence untyped
    except ImportError:
        return _unknown
    strangers: set[tuple[str | None, str]] = set()  # whenever, and however many tokens

    def price(step: Step) -> tuple[float, str] | None:
        model = step.response_model or step.model or ""
        if (step.provider, model) in strangers:
            return None
        usage = genai_prices.Usage(
            input_tokens=step.input_tokens,
            output_tokens=step.output_tokens,
            cache_read_tokens=step.cache_read_tokens,
            cache_write_tokens=step.cache_write_tokens,
        )
        try:
            found = genai_prices.calc_price(
                usage,
                model_ref=model,
                provider_id=step.provider,
                genai_request_timestamp=step.start_time,
            )
        except LookupError as error:
            if type(error) is LookupError:  # others tell of something else than provider and model
                strangers.add((step.provider, model))
            return None
        except ValueError:
            return None
        return float(found.total_price), "genai-prices"

    return price


def _read_file(path: Path) -> Mapping[str, Mapping[str, float]]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"Cannot read {str(path)!r}: {error}") from error
    for model, rates in table.items():
        if not _are_rates(rates):
            raise ConfigurationError(
                f"{str(path)!r}, [{model!r}]: needs input and output, USD per million tokens;"
                f" may have cache_read and cache_write; has {rates!r}"
            )
    return table


def _are_rates(rates: Any) -> bool:
    return (
        isinstance(rates, dict)
        and {"input", "output"} <= rates.keys() <= _RATES
        and all(isinstance(rate, int | float) for rate in rates.values())
    )


def _from_table(step: Step, table: Mapping[str, Mapping[str, float]]) -> tuple[float, str] | None:
    names = (step.response_model or "", step.model or "")
    rates = next((table[name] for name in names if name in table), None)
    if rates is None:
        return None
    read, written = step.cache_read_tokens or 0, step.cache_write_tokens or 0
    cost = (
        ((step.input_tokens or 0) - read - written) * rates["input"]
        + read * rates.get("cache_read", rates["input"])
        + written * rates.get("cache_write", rates["input"])
        + (step.output_tokens or 0) * rates["output"]
    )
    return cost * _PER_TOKEN, "prices.toml"
