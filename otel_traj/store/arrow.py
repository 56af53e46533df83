"""Arrow's functions on columns: made when Arrow is imported, hence unknown to checkers of types."""

from __future__ import annotations

from typing import Any, Final

import pyarrow.compute

functions: Final[Any] = pyarrow.compute
