"""What every agent here does: it books a train, and has an invoice written.

The tools are the program's own. Booking fails at first and works when tried again, so that each
recording has a failed call. Nothing here knows of OpenTelemetry or of any framework.
"""

from __future__ import annotations

import os
from pathlib import Path

TASK = "Book Ada Moser on the morning train from Bern to Milan, and send the invoice."

DESK = "travel_desk"
DESK_INSTRUCTIONS = "You plan journeys by train. Use your tools, and try again what fails."
DESK_DESCRIPTION = "Plans and books journeys by train."

CLERK = "invoice_clerk"
CLERK_INSTRUCTIONS = "You write invoices with your tool, and say which number each one got."
CLERK_DESCRIPTION = "Writes invoices for booked journeys."

MODEL = "gpt-4o-mini"


class SeatMapError(Exception):
    """The railway cannot book at the moment."""


LOG = "TRAVEL_LOG"
"""Variable with the path of a file in which each tool notes that it runs."""

_locked = {"EC 35"}


def _note(tool: str) -> None:
    with Path(os.environ.get(LOG, os.devnull)).open("a", encoding="utf-8") as log:
        log.write(f"{tool}\n")


def find_train(origin: str, destination: str) -> dict[str, str | float]:
    """Find the next train between two stations.

    Args:
        origin: Where the journey begins.
        destination: Where it ends.
    """
    _note("find_train")
    return {"train": "EC 35", "route": f"{origin} to {destination}", "price_chf": 58.5}


def get_forecast(city: str) -> str:
    """Tell tomorrow's weather.

    Args:
        city: Where.
    """
    _note("get_forecast")
    return f"Tomorrow in {city}: fog until ten, then sun."


def book_seat(train: str, passenger: str) -> str:
    """Book a seat.

    Args:
        train: Number of the train.
        passenger: Who travels.
    """
    _note("book_seat")
    if train in _locked:
        _locked.remove(train)
        raise SeatMapError("the seat map is locked")
    return f"Seat 61 in coach 5 of {train} is booked for {passenger}."


def issue_invoice(train: str, amount_chf: float) -> str:
    """Write an invoice for a booked journey.

    Args:
        train: Number of the train.
        amount_chf: What it costs.
    """
    _note("issue_invoice")
    return f"Invoice I-204 over {amount_chf} CHF for {train} is sent."
