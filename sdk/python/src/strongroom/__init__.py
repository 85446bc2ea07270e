"""Write functions for a Strongroom station, and call them.

Inside a sandbox there is the guest's half: `args`, `read`, `write`, `log`,
`progress`, `step`, `secret`, `config`, `earlier`, `stage`, `run_id`,
`run_through` and the module `http`. Everywhere else there is the caller's half too: `Station`,
`AsyncStation`, `call`, what they return and what they raise.

Importing this costs next to nothing: each name is loaded when it is first
used, since a function pays for its imports in every run.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import http as http
    from ._async import AsyncStation as AsyncStation
    from ._connect import UNSET as UNSET
    from ._connect import call as call
    from ._connect import given as given
    from ._errors import (
        BadAnswer as BadAnswer,
    )
    from ._errors import (
        BuildFailed as BuildFailed,
    )
    from ._errors import (
        Cancelled as Cancelled,
    )
    from ._errors import (
        Conflict as Conflict,
    )
    from ._errors import (
        DiskFull as DiskFull,
    )
    from ._errors import (
        Failed as Failed,
    )
    from ._errors import (
        FileChanged as FileChanged,
    )
    from ._errors import (
        HostError as HostError,
    )
    from ._errors import (
        Invalid as Invalid,
    )
    from ._errors import (
        LogLimit as LogLimit,
    )
    from ._errors import (
        NotEnded as NotEnded,
    )
    from ._errors import (
        NotFound as NotFound,
    )
    from ._errors import (
        NotLoggedIn as NotLoggedIn,
    )
    from ._errors import (
        OutOfMemory as OutOfMemory,
    )
    from ._errors import (
        OutputRefused as OutputRefused,
    )
    from ._errors import (
        OutputTooLarge as OutputTooLarge,
    )
    from ._errors import (
        PendingApproval as PendingApproval,
    )
    from ._errors import (
        Problem as Problem,
    )
    from ._errors import (
        Refused as Refused,
    )
    from ._errors import (
        RunError as RunError,
    )
    from ._errors import (
        StationTrouble as StationTrouble,
    )
    from ._errors import (
        StillRunning as StillRunning,
    )
    from ._errors import (
        StrongroomError as StrongroomError,
    )
    from ._errors import (
        TimedOut as TimedOut,
    )
    from ._errors import (
        TooLarge as TooLarge,
    )
    from ._errors import (
        TooMany as TooMany,
    )
    from ._errors import (
        TooManyProcesses as TooManyProcesses,
    )
    from ._errors import (
        Unauthorized as Unauthorized,
    )
    from ._errors import (
        Unreachable as Unreachable,
    )
    from ._files import Files as Files
    from ._guest import (
        Context as Context,
    )
    from ._guest import (
        NotInside as NotInside,
    )
    from ._guest import (
        args as args,
    )
    from ._guest import (
        config as config,
    )
    from ._guest import (
        earlier as earlier,
    )
    from ._guest import (
        log as log,
    )
    from ._guest import (
        progress as progress,
    )
    from ._guest import (
        run_id as run_id,
    )
    from ._guest import (
        secret as secret,
    )
    from ._guest import (
        stage as stage,
    )
    from ._guest import (
        step as step,
    )
    from ._inputs import Data as Data
    from ._inputs import Source as Source
    from ._inputs import read as read
    from ._outputs import write as write
    from ._records import (
        Dataset as Dataset,
    )
    from ._records import (
        DatasetVersion as DatasetVersion,
    )
    from ._records import (
        Ended as Ended,
    )
    from ._records import (
        Event as Event,
    )
    from ._records import (
        Function as Function,
    )
    from ._records import (
        FunctionVersion as FunctionVersion,
    )
    from ._records import (
        LogLine as LogLine,
    )
    from ._records import (
        OutputFile as OutputFile,
    )
    from ._records import (
        Progress as Progress,
    )
    from ._records import (
        Reason as Reason,
    )
    from ._records import (
        Request as Request,
    )
    from ._records import (
        Run as Run,
    )
    from ._records import (
        StateChange as StateChange,
    )
    from ._records import (
        Usage as Usage,
    )
    from ._runs import Limits as Limits
    from ._runs import On as On
    from ._runs import tell_pending as tell_pending
    from ._station import Station as Station
    from ._through import Through as Through
    from ._through import run_through as run_through

__version__ = "0.1.0"

# Where each name is at home.
_HOMES = {
    "_async": "AsyncStation",
    "_connect": "UNSET call given",
    "_errors": "BadAnswer BuildFailed Cancelled Conflict DiskFull Failed FileChanged HostError "
    "Invalid LogLimit NotEnded NotFound NotLoggedIn OutOfMemory OutputRefused OutputTooLarge "
    "PendingApproval Problem Refused RunError StationTrouble StillRunning StrongroomError "
    "TimedOut TooLarge TooMany TooManyProcesses Unauthorized Unreachable",
    "_files": "Files",
    "_guest": "Context NotInside args config earlier log progress run_id secret stage step",
    "_inputs": "Data Source read",
    "_outputs": "write",
    "_records": "Dataset DatasetVersion Ended Event Function FunctionVersion LogLine OutputFile "
    "Progress Reason Request Run StateChange Usage",
    "_runs": "Limits On tell_pending",
    "_station": "Station",
    "_through": "Through run_through",
    "http": "http",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = sorted(_HOME_OF)

# A checker of types looks above: a name that is not there is an error to it.
if not TYPE_CHECKING:

    def __getattr__(name):
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module 'strongroom' has no attribute {name!r}")
        try:
            module = __import__(f"{__name__}.{home}", fromlist=[name])
        except ModuleNotFoundError as error:
            if error.name == f"{__name__}.{home}":
                raise AttributeError(
                    f"strongroom.{name} is for those who call functions; inside a sandbox there is no station"
                ) from None
            raise
        value = module if name == home else getattr(module, name)
        globals()[name] = value
        return value

    def __dir__():
        return __all__
