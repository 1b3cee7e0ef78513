"""Counter-based random streams: one generator for each (seed, purpose, epoch, index, …).

There is no global seed. Whoever draws names what the draw is for, and the name alone decides the bits:
the order of calls, the number of workers, a resumed run or a recomputed block cannot change them.

The key is hashed with SHA-256 and keys a Philox generator (Salmon et al. 2011, "Parallel random numbers:
as easy as 1, 2, 3"), whose streams for different keys are independent.

    >>> a, b = stream(0, "shuffle", 3), stream(0, "shuffle", 3)
    >>> bool(a.random() == b.random() != stream(0, "shuffle", 4).random())
    True
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["stream"]


def stream(seed: int, *key: str | int) -> np.random.Generator:
    """A NumPy generator that depends on `seed` and the words and numbers of `key`, on nothing else.

    A GPU run sees the CPU run's numbers: they are drawn on the host, or on the card by a kernel that makes NumPy's bits.
    """
    text = repr((int(seed), *(part if isinstance(part, str) else int(part) for part in key)))
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], dtype="<u8")))
