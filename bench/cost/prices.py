"""The list prices, from the one file that has them."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

FILE = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True, kw_only=True)
class Prices:
    """USD for one of each; `prices.toml` says what one is, and where the figure is from."""

    event: float
    api_destination_call: float
    pipe_request: float
    sqs_request: float
    invocation: float
    gb_second: float
    write_unit: float
    table_gb_month: float
    backup_gb_month: float
    logged_gb: float
    log_gb_month: float
    metric_month: float
    alarm_metric_month: float
    composite_alarm_month: float
    dashboard_month: float
    trace: float
    key_month: float
    secret_month: float
    gb_out: float
    express_request: float
    express_gb_second: float
    state_transition: float

    @classmethod
    def read(cls) -> Self:
        """Raises `ValueError` when the file has other prices than these."""
        read = {name: price["usd"] for name, price in tomllib.loads(FILE.read_text("utf-8")).items()}
        known = {field.name for field in fields(cls)}
        if read.keys() != known:
            raise ValueError(f"{FILE.name} and Prices differ in {', '.join(sorted(read.keys() ^ known))}")
        return cls(**read)
