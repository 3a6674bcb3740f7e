"""The errors that users see: each names the thing, the value got, what is allowed, and the mend."""


class MimicError(Exception):
    """Work that cannot be done, told to a person. The command line prints it and exits with 1."""


class ContractError(MimicError, ValueError):
    """A value that breaks a data contract; the message names the field and the value."""


class UsageError(MimicError):
    """Arguments that make no sense together. The command line prints it and exits with 2."""


def require_package(module: str, *, extra: str, purpose: str) -> None:
    """Raise MimicError with the install command when `module` cannot be imported.

    Parameters: the module's import name, the extra of mimic_drive that brings it, what needs it.
    """
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise MimicError(f"{purpose} needs the Python package '{module}', which is not installed: pip install 'mimic_drive[{extra}]'")
