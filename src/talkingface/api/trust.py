"""What files say about themselves, and what this installation is made of: for apps and Python users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from talkingface.core.cache import user_path
from talkingface.core.errors import InputError
from talkingface.core.weights import list_weights, read_card
from talkingface.trust.bom import make_bom
from talkingface.trust.reading import check_credentials
from talkingface.trust.verify import Verification, verify

__all__ = ["Verification", "read_bom", "verify"]


def read_bom(path: str | Path | None = None) -> dict[str, Any]:
    """The bill of materials (CycloneDX 1.6) in the credentials of a result; None: that of this installation, with all
    weights in the store. Raises InputError for a file that holds none, or whose credentials are broken.
    """
    if path is None:
        return make_bom({"name": ref.name, **read_card(ref.folder)} for ref in list_weights())
    found = check_credentials(user_path(path))
    if found.state == "broken":
        raise InputError(
            f"the credentials of {path} do not hold, so neither does their bill of materials: {found.detail}"
        )
    if found.bom is None:
        raise InputError(f"{path} has no credentials with a bill of materials")
    return dict(found.bom)
