"""Refuse to run as a mixture with the original ``httptools``.

The distributions ``httptools-uv`` (this one) and ``httptools`` (the original)
install a package of the same name, and pip overwrites the files of one by
those of the other without a word. Whichever came last, the original's
compiled ``parser`` module then lies beside ``httptools/parser/parser/``,
which only we have and which Python prefers, as it is a package. So the check
is made there: it runs with our ``__init__`` and with theirs.
"""

import importlib
import pathlib
import sys

_REMEDY = (
    'Run: pip uninstall httptools httptools-uv && pip install httptools-uv'
)


def _find_original(folder: pathlib.Path) -> str | None:
    """What shows that the original is or was installed here, too."""
    for stem in ('parser', 'url_parser'):
        for suffix in ('so', 'pyd'):
            for path in folder.glob(f'parser/{stem}.*{suffix}'):
                return f'has its {path.name}'
    package = sys.modules['httptools']
    if package.__file__ is None:
        return 'has no __init__.py any more'
    if getattr(package, 'DISTRIBUTION', None) != 'httptools-uv':
        return 'has its __init__.py'
    return None


def _check_compiled(folder: pathlib.Path) -> None:
    from httptools._version import __version__

    try:
        compiled = importlib.import_module('httptools._http')
    except ModuleNotFoundError as exc:
        if exc.name != 'httptools._http':
            raise
        raise ImportError(
            f'{folder} has no compiled module for this Python '
            f'({sys.implementation.cache_tag}). In a checkout run: make '
            'build; else: pip install --force-reinstall httptools-uv'
        ) from None
    if compiled.__version__ != __version__:
        raise ImportError(
            f'{folder} is of httptools-uv {__version__}, but its compiled '
            f'module is of {compiled.__version__}. In a checkout run: make '
            f'build; else: {_REMEDY}'
        )


def check() -> None:
    """Raise ImportError unless all of this package is ours."""
    folder = pathlib.Path(__file__).parent
    found = _find_original(folder)
    if found is not None:
        raise ImportError(
            "'httptools-uv' and the original 'httptools' cannot be installed "
            f'together, each overwrites the other: {folder} {found}. '
            + _REMEDY
        )
    _check_compiled(folder)
