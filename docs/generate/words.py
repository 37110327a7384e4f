"""What pages say that the tables of the library do not: topics, documented names, the meaning of parameters."""

from libsshd.naming import pythonic

ADDED = "added"

TOPICS = {
    "Files": "root_directory read_only allow_links",
    "Where it listens": "local_host local_port use_ipv6 bind_exclusively connection_backlog",
    "Who may connect": "allowed_clients blocked_clients max_connections ssh_version_pattern",
    "Floods and guesses": "max_startups max_startups_begin max_startups_rate max_startups_per_source "
    "source_bits_ipv4 source_bits_ipv6 exempt_clients penalty_crash penalty_auth_failed penalty_no_auth "
    "penalty_grace_exceeded penalty_least penalty_most penalty_sources max_bytes_before_version "
    "max_packet_before_login max_bytes_before_login max_bytes_in_flight max_handles",
    "TCP": "tcp_no_delay in_buffer_size out_buffer_size keep_alive_time keep_alive_interval keep_alive_retry_count",
    "Time": "default_timeout default_connection_timeout login_timeout idle_timeout ssh_keep_alive_interval "
    "ssh_keep_alive_count_max max_read_time",
    "Handlers": "process_idle_events select_wait_millis",
    "Logging in": "default_auth_methods keyboard_interactive_message max_auth_attempts failure_delay "
    "fire_auth_request_after_sig ssh_pub_key_auth_sig_algorithms",
    "Keys and encryption": "ssh_public_key_algorithms ssh_key_exchange_algorithms ssh_encryption_algorithms "
    "ssh_mac_algorithms ssh_compression_algorithms use_strict_key_exchange key_renegotiation_threshold "
    "server_ssh_version_string",
    "SFTP": "protocol_version server_eol code_page unix_style_date_format max_handles_per_channel "
    "max_handles_per_connection max_idle_requests deny_requests allow_requests upload_mode sweep",
    "Log": "log_level mask_sensitive",
    "Only for other systems": "use_fips_compliant_api use_internal_security_api use_iocp use_windows_messages",
}
"""Settings of the server, by what they are about."""

DOCUMENTED_DEFAULTS = {
    "TcpNoDelay": "False",
    "DirListBufferSize": "1",
    "MaskSensitive": "False",
    "ConnectionBacklog": "5",
    "SSHCompressionAlgorithms": "none,zlib",
}
"""What the manual has where our default is another."""

AT_ONCE = ("process_idle_events", "select_wait_millis")
WHEN_IT_STARTS = ("connection_backlog", "use_ipv6", "bind_exclusively")

METHODS = (
    "Config", "Disconnect", "DoEvents", "ExchangeKeys", "Reset", "SetFileList", "Shutdown", "StartListening",
    "StopListening",
)  # fmt: skip
EVENT_NAMES = (
    "Connected", "ConnectionRequest", "DirCreate", "DirList", "DirRemove", "Disconnected", "Error", "FileClose",
    "FileOpen", "FileRead", "FileRemove", "FileRename", "FileWrite", "GetAttributes", "Log", "ResolvePath",
    "SetAttributes", "SSHStatus", "SSHUserAuthRequest",
)  # fmt: skip
PROPERTIES = (
    "SFTPConnectionCount", "SFTPConnectionConnected", "SFTPConnectionErrorMessage", "SFTPConnectionFileData",
    "SFTPConnectionLocalAddress", "SFTPConnectionProtocolVersion", "SFTPConnectionRemoteHost",
    "SFTPConnectionRemotePort", "SFTPConnectionTimeout", "KeyboardInteractivePromptCount",
    "KeyboardInteractivePromptEcho", "KeyboardInteractivePromptPrompt", "Listening", "SSHCertEncoded",
    "SSHCertStore", "SSHCertStorePassword", "SSHCertStoreType", "SSHCertSubject",
)  # fmt: skip
CONFIG = ("AltSSHCertCount", "BuildInfo", "LicenseInfo")
"""The documented names; whatever else is public was added."""

DOCUMENTED = {pythonic(name): name for name in (*METHODS, *PROPERTIES, *CONFIG)}

FOR_THE_SERVER = ("handlers_changed", "found", "native", "values")
"""Public to the modules of the library, of no use to programs."""

PARAMETERS = {
    "accept": "True lets the client go on.",
    "address": "The client's address.",
    "algorithm": "`md5`, `sha1`, `sha224`, `sha256`, `sha384`, `sha512` or `crc32`.",
    "auth_method": "`none`, `password`, `publickey`, `keyboard-interactive`, `keyboard-interactive-1` and so on for "
    "single answers, or `sigstatus`.",
    "auth_param": "The password, the Base64 form of the public key, an answer, or `1` or `0` for a signature.",
    "available_methods": "Comma list of the methods this client may try from now on.",
    "before_exec": "True before the operation, False after it.",
    "block_mask": "What the lock keeps off: BLOCK_READ, BLOCK_WRITE and BLOCK_ADVISORY of OpenModes.",
    "block_size": "Bytes that each hash is made of; 0: one hash of all.",
    "bytes_written": "Bytes that reached the file.",
    "cert_password": "What opens `cert_store`.",
    "cert_store": "File name or content of a store with a host key for this connection alone.",
    "cert_store_type": "Form of `cert_store`: a CertStoreType.",
    "cert_subject": 'Which certificate of the store; "" or `*`: the first.',
    "connection_id": "The number of the connection, -1 for none.",
    "control_flags": "A RealpathControl; 1 where the request has none.",
    "data": "What came with the request.",
    "description": 'What happened, "OK" if nothing did.',
    "desired_access": "Mask of what the client wants to do with the file; 0 in OPEN of version 3.",
    "error_code": "An ErrorCode.",
    "file_atime": "Last access, milliseconds since 1970 UTC.",
    "file_attrib_bits": "Attribute bits.",
    "file_attrib_bits_valid": "Which of the attribute bits are known.",
    "file_create_time": "Creation, milliseconds since 1970 UTC.",
    "file_group": "The group: a number as text in version 3, a name later.",
    "file_mtime": "Last change, milliseconds since 1970 UTC.",
    "file_offset": "Where in the file, in bytes.",
    "file_owner": "The owner: a number as text in version 3, a name later.",
    "file_permissions": "POSIX permission bits.",
    "file_size": "Bytes.",
    "file_type": "A FileType.",
    "flags": "OpenFlags of FileOpen, RenameFlags of FileRename; in GetAttributes the attributes asked for.",
    "handle": "What stands for the open file; text of at most 256 bytes.",
    "home_dir": 'Directory where the client starts; "" is the root.',
    "key_algorithm": 'The signature algorithm of a public key, "" for other methods.',
    "length": "Bytes asked for; 0 in locks, copies and hashes: up to the end.",
    "log_level": "1 info, 2 packets, 3 their bytes.",
    "log_type": 'Reserved, "".',
    "message": "Text for people.",
    "name": "The extension's name.",
    "new_file_offset": "Where in the file that is written, in bytes.",
    "new_handle": "As `handle`, of the file that is written.",
    "new_path": "The new name, absolute and normalised.",
    "original_path": "The path as the client sent it.",
    "other_attributes": "Further attributes: `Name=Value;Name=Value`.",
    "overwrite": "True: what has the new name may be replaced.",
    "partial_success": "True: this factor is proven, more are needed; wins over `accept`.",
    "path": "Absolute and normalised, with `/`; `/` is the root.",
    "port": "The client's port.",
    "real_path": "The canonical path that the client is told.",
    "reply": "Body of the reply; None: a status alone.",
    "service": "The service asked for, `ssh-connection`.",
    "status_code": "A Status of SFTP in events of requests, otherwise 0 or an ErrorCode.",
    "symbolic": "True for a symbolic link, False for a hard link.",
    "target": "What the link leads to.",
    "user": "The account.",
}
"""Parameters of events."""
