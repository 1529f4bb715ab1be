"""Everything about a model version in one archive that can be checked offline, years later, by somebody who has nothing else.

The proof is ``evidence.bundle.json``: envelopes, inclusion proofs, index proofs and the signed checkpoint. The rest are views of it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from typing import TYPE_CHECKING

from ml_governance import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_governance.report.card import Card

BUNDLE = "evidence.bundle.json"
POLICY = "policy.yaml"
SUMS = "SHA256SUMS"
FIRST = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a ZIP file can hold: every file has it, so that the same evidence gives the same bytes."""

README = """# {name}: everything that the log {origin} holds about these bytes

Model artifact:  sha256:{sha256}
Stage:           {stage}
As of:           {as_of}, {size} entries in the log
Written by:      ml-governance {version}

## What is here

{contents}

Everything but the bundle is a view of the bundle, made for reading. Where they differ, believe the bundle, and ask who changed the view.

## Check it

1. That nothing was damaged on the way:

       sha256sum -c {sums}

2. That nothing was changed or kept back since it was signed. This needs the root digest of the log's trust, which the holders of the root
   keys must tell you by another way than this archive. It claims to be {root}; that alone proves nothing.

       pip install "ml-governance=={version}"
       mlgov log verify {bundle} --root sha256:...

   Exit code 0: every entry is signed by somebody whom the root names and is in the signed tree, and none about this model is missing,
   nor any trust file, policy, revocation or erasure. Exit code 4: it says which entry does not verify.

3. Without our program, with jq and OpenSSL: that the root which you were told stands behind the signature of one entry, here
   number {entry}:

       entry() {{ jq ".entries[] | select(.index == $1).envelope" {bundle}; }}
       signed() {{
         id=$(jq -r '.signatures[0].keyid' $1)
         jq -r --arg id "$id" '(.root, .principals[]).keys[] | (.key // .) | select(.keyid == $id).pem' trust.json > key.pem
         jq -r '.signatures[0].sig' $1 | base64 -d > sig
         jq -r .payload $1 | base64 -d > payload
         type=$(jq -r .payloadType $1)
         {{ printf 'DSSEv1 %d %s %d ' ${{#type}} $type $(stat -c %s payload); cat payload; }} > pae
         openssl dgst -sha256 -verify key.pem -signature sig pae
       }}
       entry {trust} | jq -r .payload | base64 -d | jq .predicate.envelope > root.json
       jq -r .payload root.json | base64 -d > trust.json
       for pem in $(jq -r '.root.keys[].pem | @base64' trust.json); do
         echo $pem | base64 -d | openssl pkey -pubin -outform DER | sha256sum | cut -c 1-64
       done | sort | jq -R . | jq -s . > keys.json
       jq -cj --slurpfile keys keys.json '{{keys: $keys[0], origin, threshold: .root.threshold}}' trust.json | sha256sum
       signed root.json
       entry {entry} > e.json && signed e.json

   The digest is the one that you were told, unless the root keys were handed on since: step 2 follows that. Both signatures are
   "Verified OK".

4. That a model file which you were given is this one: its SHA-256 is the one above; of a folder, from inside it:

       find . -type f | LC_ALL=C sort | sed 's|^\\./||' | xargs -d '\\n' sha256sum | sha256sum

## What it does not prove

{limits}
- That the log was not rolled back before this was made, unless you hold a checkpoint of it from earlier: add --pin FILE.
"""

ABOUT = {
    BUNDLE: "the signed evidence with its proofs",
    POLICY: "the policy in force for the stage, as its owner signed it",
    "report.html": "the report, for reading",
    "report.json": "the report, as data",
    "model-card.md": "a model card (Hugging Face)",
    "bom.cdx.json": "a bill of materials (CycloneDX 1.6)",
    "oscal-results.json": "evidence for controls (OSCAL assessment results)",
}


def to_dossier(card: Card, *, views: Mapping[str, str], bundle: bytes, policy: str | None) -> bytes:
    """Return a ZIP archive; the same evidence gives the same bytes.

    Parameters
    ----------
    card : Card
        The audit pack.
    views : mapping of str to str
        The forms of the report, by file name.
    bundle : bytes
        The evidence about the model, as ``mlgov log export --bundle`` writes it.
    policy : str or None
        Text of the policy in force; None if there is none.
    """
    files = {BUNDLE: bundle, **({} if policy is None else {POLICY: policy.encode()})}
    files |= {name: text.encode() for name, text in views.items()}
    files["README.md"] = _readme(card, files).encode()
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    folder = card.subject["name"].replace("/", "-").replace(":", "-")
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted({**files, SUMS: sums.encode()}.items()):
            entry = zipfile.ZipInfo(f"{folder}/{name}", FIRST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return written.getvalue()


def _readme(card: Card, files: Mapping[str, bytes]) -> str:
    width = max(map(len, ABOUT))
    entry, trust = _sample(files[BUNDLE])
    return README.format(
        name=_one_line(card.subject["name"]),
        origin=card.log["origin"],
        sha256=card.subject["sha256"],
        stage=_one_line(card.stage),
        as_of=card.as_of,
        size=card.log["size"],
        version=__version__,
        contents="\n".join(f"    {name:<{width}}  {what}" for name, what in ABOUT.items() if name in files),
        sums=SUMS,
        root=card.log["trustRoot"],
        bundle=BUNDLE,
        entry=entry,
        trust=trust,
        limits="\n".join(f"- {one}" for one in card.limitations),
    )


def _sample(bundle: bytes) -> tuple[int, int]:
    """Return the numbers of the newest entry that is not a trust file, and of the newest trust file before it."""
    trust, entry, under = 0, 0, 0
    for one in json.loads(bundle)["entries"]:
        if one["envelope"] is None:
            continue  # erased: only its digest is left
        statement = json.loads(base64.b64decode(one["envelope"]["payload"]))
        if statement["predicateType"].split(":")[-2] == "trust":
            trust = one["index"]
        else:
            entry, under = one["index"], trust
    return entry, under


def _one_line(text: str) -> str:
    return " ".join(text.split())
