"""What the doctor says to do about a server that cannot be used."""

from __future__ import annotations

import pytest

from resqued.diagnostics.server_checks import way_out


@pytest.mark.parametrize(
    ("error", "way"),
    [
        ("Error 111 connecting to h:1. Connection refused", "start it, or name"),
        ("max number of clients reached", "raise maxclients"),
        ("Error 13 connecting to unix socket. Permission denied", "unixsocketperm"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "ssl_ca_certs"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "rediss://"),
        ("redis at redis://h refused the login: WRONGPASS", "user and password"),
        ("Error -2 connecting to h:1. Name or service not known", "DNS"),
    ],
)
def test_the_way_out_fits_the_error(error: str, way: str) -> None:
    assert way in way_out(f"redis at redis://h: {error}")
