"""Brings vendor/src to exactly what vendor/pins.txt says.

setup.py calls `ensure()` from build_ext and sdist, never when it is imported:
asking for metadata must not need a network. By hand: `python vendor/fetch.py`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PINS = HERE / 'pins.txt'
SRC = HERE / 'src'

# What is kept of each tree: the sources, the headers, the licences that cover
# them. Everything else (tests, documents, other build systems) is dropped.
KEEP = {
    'llhttp': re.compile(r'LICENSE(-MIT)?|include/.+|src/.+'),
    'libuv': re.compile(r'LICENSE(-extra)?|include/.+|src/(unix/)?[^/]+'),
}

# These would make pip put the files elsewhere, run another interpreter, or
# refuse to run or to hash.
PIP_VARIABLES = (
    'PIP_TARGET',
    'PIP_PREFIX',
    'PIP_ROOT',
    'PIP_USER',
    'PIP_REQUIRE_VIRTUALENV',
    'PIP_CONSTRAINT',
    'PIP_REQUIREMENT',
    'PIP_PYTHON',
    'PIP_DRY_RUN',
)


class SourcesError(Exception):
    """One line that says what is wrong and what to do."""


@dataclass(frozen=True)
class Tree:
    """One third-party tree and the sdist that carries it."""

    name: str
    version: str
    folder: str  # inside the sdist
    sha256: str  # of the pruned tree
    requirement: str  # name==version
    archive_sha256: str

    @property
    def path(self) -> Path:
        return SRC / self.name

    @property
    def archive(self) -> str:
        return self.folder.split('/')[0] + '.tar.gz'


def read_pins() -> list[Tree]:
    trees = []
    requirement = archive_sha256 = ''
    for line in PINS.read_text().splitlines():
        if match := re.match(r'(\S+==\S+) --hash=sha256:([0-9a-f]{64})', line):
            requirement, archive_sha256 = match.groups()
        elif match := re.match(r'# tree (\S+) (\S+) (\S+) (\S+)$', line):
            name, version, folder, sha256 = match.groups()
            trees.append(
                Tree(
                    name, version, folder, sha256, requirement, archive_sha256
                )
            )
    if {tree.name for tree in trees} != set(KEEP):
        raise SourcesError(
            'vendor/pins.txt has no tree line for each of '
            + ', '.join(KEEP)
            + ': take that file from the repository again'
        )
    return trees


def tree_hash(root: Path) -> str:
    """The sha256 of "sha256  path" lines, sorted by path.

    The same as: find . -type f | sort | xargs sha256sum | sha256sum, with
    LC_ALL=C and without the "./". A symbolic link or a special file has no
    place in a tree, so it never equals a pin.
    """
    lines = []
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                lines.append((relative, 'not a regular file'))
            elif path.is_file():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                lines.append((relative, digest))
    text = ''.join(f'{digest}  {path}\n' for path, digest in sorted(lines))
    return hashlib.sha256(text.encode()).hexdigest()


def is_ready(tree: Tree) -> bool:
    """True if the tree is there, False if it has to be brought."""
    if not tree.path.exists():
        return False
    if tree_hash(tree.path) != tree.sha256:
        raise SourcesError(
            f'{tree.path} is not {tree.name} {tree.version} as vendor/pins.txt'
            ' pins it (its sha256 differs): remove that folder and build'
            ' again, it is then fetched anew'
        )
    return True


def pip_environment() -> dict[str, str]:
    environ = dict(os.environ)
    for name in PIP_VARIABLES:
        environ.pop(name, None)
    return environ


def download(folder: Path, trees: list[Tree]) -> None:
    """Has pip put the pinned sdists into the folder; pip checks the hashes.

    Without --no-build-isolation pip would install upstream's unpinned build
    requirements just to ask for metadata that nobody reads.
    """
    command = [
        *(sys.executable, '-m', 'pip', 'download', '--quiet', '--no-input'),
        *('--disable-pip-version-check', '--retries=2', '--no-deps'),
        *('--no-binary=:all:', '--no-build-isolation', '--require-hashes'),
        *('--requirement', str(PINS), '--dest', str(folder)),
    ]
    done = subprocess.run(
        command,
        env=pip_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
        check=False,
    )
    if done.returncode == 0:
        return
    if 'DO NOT MATCH THE HASHES' in done.stdout:
        raise SourcesError(
            'a fetched sdist does not match its sha256 in vendor/pins.txt:'
            ' the package index or a proxy serves another file than the one'
            ' that was pinned; do not build from it, use another index or'
            ' set HTTPTOOLS_UV_SOURCES'
        )
    wanted = ' and '.join(tree.requirement for tree in trees)
    raise SourcesError(
        f'cannot fetch the sources of {wanted} with pip'
        f' ({reason_of(done.stdout)}): check the network, or put both sdists'
        ' into a folder and set HTTPTOOLS_UV_SOURCES to it'
    )


def reason_of(output: str) -> str:
    """The line of pip's output that says most."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line in lines:
        if 'NewConnectionError' in line or 'No module named' in line:
            return line.split(': ', 1)[-1][:200]
    errors = [line for line in lines if line.startswith('ERROR:')]
    return (errors or lines or ['no output'])[0][:200]


def unpack(tree: Tree, archive: Path, target: Path) -> None:
    """Writes the kept files of the tree; the archive was hash-checked."""
    prefix = tree.folder + '/'
    with tarfile.open(archive) as tar:
        for member in tar:
            relative = member.name.removeprefix(prefix)
            if (
                not member.isfile()
                or relative == member.name
                or '..' in relative.split('/')
                or not KEEP[tree.name].fullmatch(relative)
            ):
                continue
            path = target / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None  # it is a regular file
            path.write_bytes(content.read())


def copy(tree: Tree, source: Path, target: Path) -> None:
    for path in source.rglob('*'):
        relative = path.relative_to(source).as_posix()
        if path.is_file() and KEEP[tree.name].fullmatch(relative):
            copied = target / relative
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(path.read_bytes())


def bring(tree: Tree, folder: Path, target: Path) -> None:
    """Takes the tree from a folder that holds it or its sdist."""
    archive = folder / tree.archive
    if (folder / tree.name).is_dir():
        copy(tree, folder / tree.name, target)
    elif not archive.is_file():
        raise SourcesError(
            f'{folder} holds neither a folder {tree.name} nor the file'
            f' {tree.archive}: put one of them there, or unset'
            ' HTTPTOOLS_UV_SOURCES to have pip fetch it'
        )
    elif (
        hashlib.sha256(archive.read_bytes()).hexdigest() != tree.archive_sha256
    ):
        raise SourcesError(
            f'{archive} does not match its sha256 in vendor/pins.txt: replace'
            f' it by the sdist of {tree.requirement} from the package index'
        )
    else:
        unpack(tree, archive, target)
    if not target.exists() or tree_hash(target) != tree.sha256:
        raise SourcesError(
            f'the {tree.name} in {folder} is not {tree.version} as'
            ' vendor/pins.txt pins it (its sha256 differs): put the unchanged'
            ' tree there; to build a patched one, change its pin as well'
        )


def place(tree: Tree, made: Path) -> None:
    """One rename, so that no build ever sees half a tree."""
    SRC.mkdir(exist_ok=True)
    try:
        made.rename(tree.path)
    except OSError:
        # Another build was faster. Its tree is checked, ours is thrown away.
        if not is_ready(tree):
            raise


def ensure() -> None:
    """Makes vendor/src right, or raises SourcesError."""
    missing = [tree for tree in read_pins() if not is_ready(tree)]
    if not missing:
        return
    given = os.environ.get('HTTPTOOLS_UV_SOURCES')
    try:
        work = Path(tempfile.mkdtemp(prefix='.fetch-', dir=HERE))
    except OSError as error:
        raise SourcesError(
            f'cannot write to {HERE} ({error.strerror}): build from a folder'
            ' that you may write to'
        ) from None
    try:
        folder = Path(given) if given else work
        if not given:
            download(folder, missing)
        for tree in missing:
            made = work / 'made' / tree.name
            bring(tree, folder, made)
            place(tree, made)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main(arguments: list[str]) -> None:
    if len(arguments) == 2 and arguments[0] == '--hash':
        print(tree_hash(Path(arguments[1])))
        return
    if arguments:
        sys.exit('usage: fetch.py [--hash FOLDER]')
    try:
        ensure()
    except SourcesError as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main(sys.argv[1:])
