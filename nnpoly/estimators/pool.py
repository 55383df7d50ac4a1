"""The C core's threads among those that threadpoolctl knows, as joblib and scikit-learn ask it."""

from __future__ import annotations

import threadpoolctl

from ..backends.info import __version__


class Controller(threadpoolctl.LibController):  # type: ignore[misc]
    """How threadpoolctl finds the C core in a process, and limits its threads."""

    user_api = internal_api = "nnpoly"
    filename_prefixes = ("_core.",)
    check_symbols = ("nnpoly_set_num_threads", "nnpoly_num_threads")

    def get_num_threads(self) -> int:
        count: int = self.dynlib.nnpoly_num_threads()
        return count

    def set_num_threads(self, num_threads: int) -> None:
        self.dynlib.nnpoly_set_num_threads(num_threads)

    def get_version(self) -> str:
        return __version__


threadpoolctl.register(Controller)
