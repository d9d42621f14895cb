"""Verifies a copy of a Sluis log with PyPI's metamorphic-log, which nobody of Sluis wrote: the signature under the
checkpoint, that an older checkpoint is of the same tree, and files of proof.

    log.py KEY DIRECTORY OLDER CONSISTENCY PROOF...

OLDER is a checkpoint, CONSISTENCY its proof: a hash per line.
"""

import hashlib
import sys
from base64 import b64decode, b64encode
from pathlib import Path

from metamorphic_log import (
    VerifyError,
    checkpoint_verify,
    checkpoint_verify_consistency,
    checkpoint_verify_inclusion,
)


def hashes(lines: list[str]) -> list[bytes]:
    """Base64, which has one way to write each."""
    read = [b64decode(line, validate=True) for line in lines]
    if [b64encode(one).decode() for one in read] != lines:
        raise SystemExit("not a hash")
    return read


def changed(proof: list[bytes]):
    """The same proof with one bit of one hash changed, for each; and one without its last."""
    for at, one in enumerate(proof):
        yield [*proof[:at], bytes([one[0] ^ 1]) + one[1:], *proof[at + 1 :]]
    yield proof[:-1]


def refused(verify, *arguments) -> None:
    try:
        verify(*arguments)
    except VerifyError:
        return
    raise SystemExit(f"{verify.__name__} takes what is not so")


def inclusion(name: Path, key: str) -> None:
    """A file of proof (C2SP tlog-proof) beside its leaf."""
    head, note = name.read_bytes().decode().split("\n\n", 1)
    kind, place, *lines = head.split("\n")
    if kind != "c2sp.org/tlog-proof@v1" or not place.startswith("index "):
        raise SystemExit("not a file of proof")
    index, proof = int(place.removeprefix("index ")), hashes(lines)
    leaf = hashlib.sha256(b"\0" + name.with_suffix(".leaf").read_bytes()).digest()
    checkpoint_verify_inclusion(note, [key], index, leaf, proof)
    # It would notice.
    refused(checkpoint_verify_inclusion, note, [key], index, hashlib.sha256(leaf).digest(), proof)
    refused(checkpoint_verify_inclusion, note, [key], index ^ 1, leaf, proof)
    for other in changed(proof):
        refused(checkpoint_verify_inclusion, note, [key], index, leaf, other)


def main() -> None:
    key, directory, older, consistency, *proofs = sys.argv[1:]
    newer = (Path(directory) / "checkpoint").read_bytes().decode()
    head = checkpoint_verify(newer, [key])
    if head.origin != key.split("+", 1)[0]:
        raise SystemExit("a checkpoint of another log")
    refused(checkpoint_verify, newer.replace(f"\n{head.size}\n", f"\n{head.size + 1}\n"), [key])

    older = Path(older).read_bytes().decode()
    steps = hashes(Path(consistency).read_bytes().decode().splitlines())
    checkpoint_verify_consistency(older, newer, [key], steps)
    refused(checkpoint_verify_consistency, newer, older, [key], steps)
    for other in changed(steps):
        refused(checkpoint_verify_consistency, older, newer, [key], other)

    for name in proofs:
        inclusion(Path(name), key)
    print(f"{head.size} entries, {len(proofs)} proofs")


main()
