"""The pre-trained VGGs that are published for everybody, by name: where each file is, and how its SHA-256 begins.

torchvision names its files NAME-DIGITS.pth, the digits being the first 8 hexadecimal ones of the contents' SHA-256. 32 bits tell a damaged
file from a whole one; that nobody has put another file in its place is up to https. Reading a file runs no code in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..data.colours import cache_folder
from ..errors import CheckpointError, ConfigError

__all__ = ["PUBLISHED", "Published", "located", "shelf"]


@dataclass(frozen=True)
class Published:
    """A file at `address`, under `name` for people; `digits` begin its SHA-256, in hexadecimal; `about` is what the network is."""

    name: str
    address: str
    digits: str
    about: str = ""

    @property
    def file(self) -> str:
        """The file's name."""
        return Path(urlsplit(self.address).path).name


def _torchvision(*files: str) -> dict[str, Published]:
    found = {}
    for file in files:
        name, digits = file.removesuffix(".pth").split("-")
        found[name] = Published(name, f"https://download.pytorch.org/models/{file}", digits, "ImageNet, 1000 classes, from torchvision")
    return found


PUBLISHED = _torchvision(
    "vgg11-8a719046.pth",
    "vgg13-19584684.pth",
    "vgg16-397923af.pth",
    "vgg19-dcbb9e9d.pth",
    "vgg11_bn-6002323d.pth",
    "vgg13_bn-abd245e5.pth",
    "vgg16_bn-6c64b313.pth",
    "vgg19_bn-c79401a0.pth",
)


def shelf() -> Path:
    """The folder where fetched files are kept: the cache. Raises ConfigError where there is no home for one."""
    folder = cache_folder()
    if folder is None:
        raise ConfigError("there is no home folder for a cache: name a folder for the file (--folder), and give its path for the weights.")
    return folder


def located(path: str | Path) -> Path:
    """`path`, if there is such a file or it is not a name of PUBLISHED; otherwise the fetched file of that name.

    Raises CheckpointError, with the command that fetches it, if it is not here.
    """
    path = Path(path)
    entry = PUBLISHED.get(str(path))
    if entry is None or path.exists():
        return path
    folder = cache_folder()
    if folder is None or not (folder / entry.file).is_file():
        raise CheckpointError(f"{path}: is not here; `minivgg pull {path}` fetches it.")
    return folder / entry.file
