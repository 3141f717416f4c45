"""`shoal resume RUN`: go on with a run that was killed or stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from shoal.cli.fit import show
from shoal.cli.options import DEBUG, JSON, OWN_NETWORK, STORE, Argument, takes

if TYPE_CHECKING:
    from shoal.core.events import Event


@takes(Argument("run", "The folder of a run, such as runs/digits."), OWN_NETWORK, STORE, JSON, DEBUG)
def resume(run: str, **also: Any) -> int:
    """Go on with a run that was stopped or killed, from where it was."""
    from shoal.store.run_folder import RunFolder

    RunFolder.open(run)  # refused before anything is shown
    stop = threading.Event()

    def again() -> Iterator[Event]:
        from shoal import api

        return api.go_on(run, make_net=also["model"], stop=stop, store=also["store"])

    return show(again, stop, run, as_json=also["json"])
