"""What the profile claims of security; without claims there is nothing to hold a device to."""

from __future__ import annotations

import pytest

from fixtures.profile import Profile, SecurityClaims


def claimed(profile: Profile) -> SecurityClaims:
    """The security claims; skips the test where the profile makes none."""
    if profile.security is None:
        pytest.skip(f"profile {profile.name} has no `security:`, and so claims nothing here")
    return profile.security
