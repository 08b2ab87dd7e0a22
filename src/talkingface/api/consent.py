"""Consent where avatars are made and used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from talkingface.clips.source import Source, existing
from talkingface.core.errors import ConsentError, UsageError, warn_once
from talkingface.core.types import Avatar


def load_checked(consent: str | Path | None, face: object, *, required: bool) -> dict[str, Any] | None:
    """The consent for an avatar of `face`, checked, before work that takes long. Raises ConsentError, UsageError."""
    if consent is None:
        if required:
            raise UsageError("--require-consent needs a consent; name one with --consent")
        return None
    from talkingface.trust.consent import check_consent, load_consent

    record = load_consent(existing(consent))
    file = Path(face) if isinstance(face, str | Path) else None
    # a consent without a photo is for any picture of the person; a clip may be the statement itself
    check_consent(record, {"photo": file} if "photo" in record and file is not None and file.is_file() else None)
    return record


def with_consent(avatar: Avatar, record: dict[str, Any] | None, *, required: bool) -> Avatar:
    """The avatar with a consent in its card."""
    if record is None:
        return avatar
    return replace(avatar, card={**avatar.card, "consent": record, "consent_required": required})


def check_use(source: Source | None) -> None:
    """Raise ConsentError for an avatar that may not be used any more; a note where it did not require consent."""
    card = source.card if isinstance(source, Avatar) else {}
    record = card.get("consent")
    if record is None and not card.get("consent_required"):
        return
    from talkingface.trust.consent import check_consent

    try:
        if not isinstance(record, dict):
            raise ConsentError("the avatar requires a consent that it does not hold; make it again with --consent")
        check_consent(record)
    except ConsentError as error:
        if card.get("consent_required"):
            raise
        warn_once(str(error))
