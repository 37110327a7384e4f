"""From the spelling of the manual to the spelling of Python."""

import pytest

from libsshd.naming import pythonic
from tests.contract import surface

PAIRS = {
    "SSHCertStore": "ssh_cert_store",
    "AltSSHCertStoreType": "alt_ssh_cert_store_type",
    "DoEvents": "do_events",
    "FileATime": "file_atime",
    "FileMTime": "file_mtime",
    "FileCreateTime": "file_create_time",
    "ATimeNS": "atime_ns",
    "UseIPv6": "use_ipv6",
    "UseIOCP": "use_iocp",
    "ServerEOL": "server_eol",
    "TcpNoDelay": "tcp_no_delay",
    "MIMEType": "mime_type",
    "ConnectionUID": "connection_uid",
    "ConnectionId": "connection_id",
    "SSHStatus": "ssh_status",
    "SSHUserAuthRequest": "ssh_user_auth_request",
    "SFTPConnectionFileData": "sftp_connection_file_data",
    "SSHPubKeyAuthSigAlgorithms": "ssh_pub_key_auth_sig_algorithms",
    "UseFIPSCompliantAPI": "use_fips_compliant_api",
    "Listening": "listening",
    "listening": "listening",
    "local_port": "local_port",
}
MEMBERS = [
    *(member.name for member in surface.PROPERTIES),
    *(method.name for method in surface.METHODS),
    *(setting.name for setting in surface.CONFIG),
]
KINDS = {
    "members of the server": MEMBERS,
    "events": [event.name for event in surface.EVENTS],
    "attributes": list(surface.OTHER_ATTRIBUTES),
    **{event.name: [param.name for param in event.params] for event in surface.EVENTS},
}


@pytest.mark.parametrize(("documented", "ours"), PAIRS.items())
def test_words_are_split_and_a_run_of_capitals_is_one_word(documented: str, ours: str) -> None:
    assert pythonic(documented) == ours


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_documented_names_of_a_kind_become_one(kind: str) -> None:
    names = {pythonic(name) for name in KINDS[kind]}
    assert len(names) == len(KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_every_documented_name_becomes_words_in_lower_case(kind: str) -> None:
    for name in KINDS[kind]:
        words = pythonic(name).split("_")
        assert "".join(words) == name.lower()
        assert all(len(word) > 1 for word in words), name
