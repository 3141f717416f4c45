"""A network of the user's own by its name: imported where the caller names it, and never because a file does."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from shoal.core import process
from shoal.core.errors import InputError
from shoal.core.names import did_you_mean

MakeNet = Callable[[], nn.Module]
Named = MakeNet | str  # a function, or `package.module:function`


def own_network(recorded: str, named: Named | None) -> MakeNet:
    """The function that builds the network which a record names, once the caller has named it too.

    A record may come from anybody, so what it names is compared and never imported.

    Args:
        recorded: `package.module:function`, or "" where the run was given a function without a name.
        named: what the caller of this very call gives.

    Raises:
        InputError: the caller gives nothing, or another name than the recorded one; or as `find_factory`.
    """
    if named is None:
        which = f"`{recorded}`, which is code that only you can vouch for" if recorded else "a function without a name"
        name = recorded or "package.module:make_net"
        raise InputError(
            f"The network was built by {which}: give it again, by --model {name} on the command line, or model= "
            "in Python"
        )
    if not isinstance(named, str):
        return named
    if recorded and named != recorded:
        raise InputError(f"The network was built by `{recorded}`, and `{named}` was given: name the same function")
    return find_factory(named)


def find_factory(name: str, folder: Path | None = None) -> MakeNet:
    """The user's function `package.module:function`.

    Args:
        name: from the caller, never from a file that may be somebody else's: the module's code is carried out.
        folder: where it is looked for too; by default in the working folder.

    Raises:
        InputError: there is no such module or function, or it cannot be called.
    """
    module_name, _, function = name.partition(":")
    try:
        with process.search_path(str(folder or Path.cwd())):
            module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(f"The model {name} cannot be found: {error}; run from the folder that holds it.") from None
    except Exception as error:  # whatever the user's own module does while it is loaded
        raise InputError(f"The model {name} cannot be loaded: {type(error).__name__}: {error}") from error
    found = getattr(module, function, None)
    if not callable(found):
        names: Sequence[str] = [each for each in vars(module) if callable(getattr(module, each)) and each[0] != "_"]
        raise InputError(f"{module_name} has no function `{function}`{did_you_mean(function, names)}")
    make_net: MakeNet = found
    return make_net
