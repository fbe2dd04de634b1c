"""Every error that Tidegate raises by itself.

* TidegateError
  . UsageError                       asked for something that makes no sense
    + InvalidOption                    (also TypeError)   a value that an option does not take
    + ConflictingOptions               (also ValueError)  options that contradict each other
    + InvalidName                      (also ValueError)  a name or a key that cannot be one
    + ReservedArgument                 (also TypeError)   a parameter called `return_state` or `wait_for`
    + ParameterBindError               (also TypeError)   arguments that do not fit the signature
    + ParameterTypeError               (also TypeError)   parameters of a flow that do not fit their annotations
    + SignatureMismatch                (also TypeError)   recorded parameters that are not those of the flow
    + MappingMissingIterable           (also ValueError)  `.map()` without anything to map over
    + MappingLengthMismatch            (also ValueError)  `.map()` over iterables of different lengths
    + OutsideFlow                      (also RuntimeError) `.submit()`, `.map()` or a pause where no flow runs
    + SettingsError                    (also ValueError)  a setting or a profile that cannot be, or is not there
    + FlowNotFound                     (also LookupError) no flow of that name, or none at all, where one was looked for
    + LimitNotFound                    (also LookupError) no concurrency limit of that tag
    + DeploymentNotFound               (also LookupError) no deployment of that name, or several
    + UnspecifiedFlow                  several flows to choose from, and none named
    + ScriptError                      the script or notebook raised while it was loaded
    + VisualizationError               (also TypeError)   a flow whose graph needs a result that nothing has run for
    + NondeterminismError              a strict resume met a call or code that is not as recorded
    + NotRecorded                      (also LookupError) a cassette that is replayed does not have a call
    + MissingContext                   (also RuntimeError) something of the present run was asked for where no run is
    + NotSendable                      (also TypeError)   what cannot go to a worker process, or come back from it
  . RunError                         how a run ended, raised by its result
    + FailedRun
    + CrashedRun
    + CancelledRun
    + PausedRun                        it is suspended, and goes on when somebody resumes it
    + WorkerDied                       the process that a task ran in has ended: the run is Crashed, and may be retried
    + Throttled                        raised by your task: a service asks to come later, and the run is tried again
    + MissingResult                    nothing to return, or it was saved and is gone or damaged
    + UntrustedResult                  a saved result whose signature is not yours: not loaded
    + UpstreamNotCompleted             a result asked of a task run that never began
  . ControlError                     pause, resume, suspend or cancel could not be done
    + NotRunning                       the run has ended, or is not in this process
    + NotPaused                        resume of a run that is not paused
    + NotStartable                     a run that was created ahead of time has begun or ended already
    + InvalidInput                     (also ValueError)  an answer that does not fit what the run asks; it stays paused
    + PauseTimeout                     (also TimeoutError) nobody resumed in time
  . StoreError                       the store cannot be used; says why and what to do

`RunSuspended` stands outside of the tree: it is no error, and ends the code of a run that is suspended.

Errors of the user's own code are never wrapped: what a task raised is what its caller sees.
"""

from __future__ import annotations

from collections.abc import Sequence


class TidegateError(Exception):
    """The root of the tree."""


class UsageError(TidegateError):
    """Something was asked that makes no sense; the text says what to do instead."""


class InvalidOption(UsageError, TypeError):
    """An option was given something that it does not take; the text says what it takes."""


class ConflictingOptions(UsageError, ValueError):
    """Options were given that contradict each other; the text says which."""


class InvalidName(UsageError, ValueError):
    """A name of a flow or task, or the key of an artifact, holds characters that cannot be used."""


class ReservedArgument(UsageError, TypeError):
    """A flow or task has a parameter whose name Tidegate needs for itself."""


class ParameterBindError(UsageError, TypeError):
    """The arguments of a call do not fit the signature; nothing was run or recorded."""


class ParameterTypeError(UsageError, TypeError):
    """Parameters of a flow do not fit their annotations; the flow run is Failed, and its body was not begun."""


class SignatureMismatch(UsageError, TypeError):
    """The parameters that a flow run was created with are not those that its flow has."""


class MappingMissingIterable(UsageError, ValueError):
    """`.map()` was given nothing to map over."""


class MappingLengthMismatch(UsageError, ValueError):
    """`.map()` was given iterables of different lengths."""


class OutsideFlow(UsageError, RuntimeError):
    """`.submit()`, `.map()` and the pauses of a flow need a flow run to belong to."""


class SettingsError(UsageError, ValueError):
    """A setting or a profile cannot be, or is not there; the text says what would do."""


class FlowNotFound(UsageError, LookupError):
    """There is no such flow; the text lists those that there are."""


class LimitNotFound(UsageError, LookupError):
    """The tag has no concurrency limit; the text lists those that have one."""


class DeploymentNotFound(UsageError, LookupError):
    """There is no such deployment, or several; the text lists those that there are."""


class UnspecifiedFlow(UsageError):
    """There are several flows and none was named; the text lists them."""


class ScriptError(UsageError):
    """A script or notebook raised while it was loaded.

    `__cause__` is what it raised; the text holds the traceback, of the user's own frames only.
    """

    def _render_traceback_(self) -> list[str]:
        """In a notebook: the text alone, which has the frames that matter."""
        return [f"ScriptError: {self}"]


class NondeterminismError(UsageError):
    """A flow that is resumed strictly does something else than its record says."""


class NotRecorded(UsageError, LookupError):
    """A call that is to be replayed is not in the cassette, or its result is not; nothing was run in its place."""


class MissingContext(UsageError, RuntimeError):
    """Something of the present run was asked for, and no run is active here."""


class VisualizationError(UsageError, TypeError):
    """A flow whose graph is sketched needs a result that nothing has run for; the text says which."""


class NotSendable(UsageError, TypeError):
    """A function, an input, a result or an exception cannot be pickled, and so does not go from process to process."""


class RunError(TidegateError):
    """How a run ended, where it holds no exception of the user's code."""


class FailedRun(RunError):
    """The run failed."""


class CrashedRun(RunError):
    """The run was ended by something that is not an ordinary exception."""


class CancelledRun(RunError):
    """The run was cancelled."""


class PausedRun(RunError):
    """A flow run has no result yet: it is suspended until somebody resumes it."""


class WorkerDied(RunError):
    """The worker process that a task ran in has ended; the text says by which signal, or with which exit code."""


class Throttled(RunError):
    """Raise it in a task that a service asks to come later: with retries left it is Throttled, and tried again then.

    ``retry_after`` says when: in so many seconds, or what a ``Retry-After`` header holds, seconds or a date as text.
    Null, or what cannot be read, means after the task's own delay.  Errors of HTTP clients that hold a response with
    status 429 are understood without it.
    """

    def __init__(
        self, text: str = "The service asks to come later.", *, retry_after: float | str | None = None
    ) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class MissingResult(RunError):
    """There is no result to return."""


class UntrustedResult(RunError):
    """A saved result was not signed with your key, and loading it could run foreign code: it was not loaded."""


class UpstreamNotCompleted(RunError):
    """The task run never began, because something it needs did not complete."""


class ControlError(TidegateError):
    """A pause, a resume or a cancel could not be done; nothing changed."""


class NotRunning(ControlError):
    """The run has ended, or does not run in this process."""


class NotPaused(ControlError):
    """Only a paused run can be resumed."""


class NotStartable(ControlError):
    """Only a run that is pending or scheduled can be started."""


class InvalidInput(ControlError, ValueError):
    """An answer does not fit what a paused run asks; the run is still paused."""

    def __init__(self, text: str, problems: Sequence[tuple[tuple[str | int, ...], str]] = ()) -> None:
        super().__init__(text)
        self.problems = tuple(problems)
        """What is wrong, each with its place in the answer: ``(("rows",), "Input should be a valid integer")``."""


class PauseTimeout(ControlError, TimeoutError):
    """The run was paused and nobody resumed it in time."""


class RunSuspended(BaseException):
    """Ends the code of a run that is suspended.  No `Exception`, so that code which handles errors lets it through."""


class StoreError(TidegateError):
    """The store cannot be read or written; the text says why, and what to do next."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook: the line that says it all, without the frames that led to the file."""
        return [f"StoreError: {self}"]
