/* The one declaration of what Python sees of the C core (read by cffi and included by every C file). */

/* --- sftp.c --- */
#define SSHD_WATCH_READ 1
#define SSHD_WATCH_WRITE 2
#define SSHD_WATCH_OPEN 4
#define SSHD_WATCH_CLOSE 8

#define SSHD_HANDLE_READ 1
#define SSHD_HANDLE_WRITE 2
#define SSHD_HANDLE_CLOSE 4 /* only as the operation of SSHD_EVENT_FAILED */

typedef enum {
    SSHD_EVENT_NONE,      /* nothing happened until the time-out */
    SSHD_EVENT_MESSAGE,   /* an SSH message for Python: data, length */
    SSHD_EVENT_BANNER,    /* the client's version line is known, its KEXINIT not yet handled */
    SSHD_EVENT_KEYS,      /* a key exchange is complete: length = how many so far */
    SSHD_EVENT_PACKET,    /* an SFTP packet for Python: channel, data, length (without the length field) */
    SSHD_EVENT_FAILED,    /* a READ, WRITE or CLOSE served in C failed: channel, request_id, error, data/length = handle */
    SSHD_EVENT_BAD_FRAME, /* a length field no packet may have: channel, length */
    SSHD_EVENT_EOF,       /* the client will send no more, all its requests are served: channel, length = bytes left over */
    SSHD_EVENT_CLOSED,    /* the channel is closed in both directions and gone: channel */
    SSHD_EVENT_WAKE,      /* sshd_connection_wake was called */
    SSHD_EVENT_DEADLINE,  /* the deadline has passed */
    SSHD_EVENT_STALLED,   /* what the peer owes did not come for the time allowed */
    SSHD_EVENT_IDLE,      /* no request came for the time allowed */
    SSHD_EVENT_GONE       /* the connection is over: error = errno or 0 for an orderly end */
} sshd_event_kind;

typedef struct {
    int kind;
    int channel;
    int error;
    int operation; /* SSHD_HANDLE_... of SSHD_EVENT_FAILED */
    uint32_t request_id;
    const uint8_t *data; /* valid until the next call */
    size_t length;
} sshd_event;

typedef struct {
    int error; /* the first errno that a WRITE met, 0 if none */
    uint64_t bytes_read;
    uint64_t bytes_written;
} sshd_handle_stats;

/* A change of the handle table. It is written here and carried out by the next call that serves: a call of its own
 * would cost every OPEN and CLOSE another turn of Python's lock. */
typedef struct {
    int action; /* SSHD_ORDER_...; 0 when there is none */
    int fd;
    int access;
    size_t length;
    uint8_t name[256];
    sshd_handle_stats *stats; /* written while the file is served; the caller's until the handle is removed */
} sshd_order;

#define SSHD_ORDER_ADD 1
#define SSHD_ORDER_REMOVE 2

/* The handles of one connection; the memory is the caller's, both sides count. */
typedef struct {
    uint32_t open;
    uint32_t most;
    uint64_t made; /* handles are numbered, over all channels */
} sshd_counts;

/* What C needs to answer OPEN by itself. */
typedef struct {
    int root; /* the descriptor all paths start from; -1: every OPEN goes to Python */
    int walk;
    uint32_t open; /* handles of this channel, counted by both sides */
    uint32_t most;
    sshd_counts *connection;
    int flags[64]; /* O_* by SSH_FXF bits, -1 for those that Python must judge */
} sshd_files;

/* A handle that C opened and Python takes over. */
typedef struct {
    int fd;
    int access;
    const uint8_t *path;
    size_t path_length;
    sshd_handle_stats *stats; /* valid until the handle is removed */
} sshd_adopted;

typedef struct sshd_sftp sshd_sftp;
sshd_files *sshd_sftp_files(sshd_sftp *s);
int sshd_sftp_adopt(sshd_sftp *s, const uint8_t *name, size_t length, sshd_adopted *out);
int sshd_sftp_owned(sshd_sftp *s, uint8_t *name, size_t size);
sshd_order *sshd_sftp_order(sshd_sftp *s);
int sshd_sftp_obey(sshd_sftp *s);
int sshd_sftp_reply(sshd_sftp *s, const uint8_t *packet, size_t length);
int sshd_sftp_stock(sshd_sftp *s, const uint8_t *ok, size_t ok_length, const uint8_t *eof, size_t eof_length);
int sshd_sftp_watch(sshd_sftp *s, int mask);
/* --- end sftp.c --- */

/* --- pipe.c --- */
typedef struct sshd_pipe sshd_pipe;
sshd_pipe *sshd_pipe_new(int input, int output, const uint8_t *ok, size_t ok_length, const uint8_t *eof, size_t eof_length);
void sshd_pipe_free(sshd_pipe *p);
sshd_sftp *sshd_pipe_sftp(sshd_pipe *p);
/* From now on SSHD_EVENT_WAKE comes as long as there is something to read from the descriptor `wake`. */
void sshd_pipe_wake_by(sshd_pipe *p, int wake);
/* -EINTR when a signal came: to be called again, without the reply, which is queued. */
int sshd_pipe_next(sshd_pipe *p, const uint8_t *reply, size_t reply_length, sshd_event *e);
int sshd_pipe_flush(sshd_pipe *p);
int sshd_pipe_hung_up(sshd_pipe *p); /* nobody will read what we write */
/* --- end pipe.c --- */

/* --- process.c --- */
/* Not to be read, written or dumped by its own user: PR_SET_DUMPABLE 0. */
int sshd_process_conceal(void);
int sshd_process_no_new_privileges(void);
int sshd_process_drop_capabilities(void);
/* Landlock, by the bits of linux/landlock.h: which version there is, a descriptor of a new set of rules, a rule for what
 * is below `fd`, and the rules put in force for this thread and those it starts. */
int sshd_landlock_version(void);
int sshd_landlock_ruleset(uint64_t files, uint64_t scopes);
int sshd_landlock_allow(int ruleset, int fd, uint64_t files);
int sshd_landlock_enforce(int ruleset);
/* --- end process.c --- */

/* --- hostkey.c --- */
typedef struct sshd_key sshd_key;
int sshd_key_import(const char *text, const char *passphrase, sshd_key **key);
int sshd_key_generate(const char *type, int bits, sshd_key **key);
void sshd_key_free(sshd_key *key);
const char *sshd_key_type(sshd_key *key);
int sshd_key_public_blob(sshd_key *key, uint8_t *buffer, size_t size);
int sshd_key_export(sshd_key *key, char *buffer, size_t size);
/* --- end hostkey.c --- */

/* --- bind.c --- */
typedef struct {
    const char *version;      /* "libsshd_0.1.0": what follows SSH-2.0- */
    const char *kex;          /* comma lists, in order of preference */
    const char *ciphers;
    const char *macs;
    const char *host_keys;
    const char *public_keys;  /* signature algorithms accepted from users */
    const char *compression;  /* of both directions */
} sshd_algorithms;

#define SSHD_LIST_KEX 0
#define SSHD_LIST_KEYS 1 /* of hosts and users */
#define SSHD_LIST_CIPHERS 2
#define SSHD_LIST_MACS 3
#define SSHD_LIST_COMPRESSION 4

/* What the windows of all clients promise them: bytes that may be on their way to us, or wait here. */
typedef struct sshd_budget sshd_budget;
sshd_budget *sshd_budget_new(int64_t most);
void sshd_budget_free(sshd_budget *b);
void sshd_budget_limit(sshd_budget *b, int64_t most); /* takes nothing back */
int64_t sshd_budget_used(sshd_budget *b);

typedef struct sshd_bind sshd_bind;
int sshd_library_init(void);
const char *sshd_libssh_version(void);
const char *sshd_supported(int list); /* SSHD_LIST_..., in libssh's order */
const char *sshd_openssl_version(void);
sshd_bind *sshd_bind_new(sshd_budget *budget); /* the budget is the caller's, and outlives it */
void sshd_bind_free(sshd_bind *b);
int sshd_bind_add_key(sshd_bind *b, sshd_key *key);
int sshd_bind_algorithms(sshd_bind *b, const sshd_algorithms *a);
const char *sshd_bind_error(sshd_bind *b);
/* --- end bind.c --- */

/* --- connection.c --- */
#define SSHD_CHANNELS 10

#define SSHD_STRICT_NEVER 0
#define SSHD_STRICT_OFFERED 1 /* when the client wants it */
#define SSHD_STRICT_IF_EXPOSED 2 /* demanded of clients whose cipher is open to the Terrapin attack */
#define SSHD_STRICT_ALWAYS 3

typedef struct {
    uint64_t bytes_in;
    uint64_t bytes_out;
    int strict_kex;
    const char *client_version;
    const char *kex;
    const char *cipher_in;
    const char *cipher_out;
    const char *mac_in;
    const char *mac_out;
    const char *compression_in;
    const char *compression_out;
} sshd_connection_info;

typedef struct sshd_connection sshd_connection;
/* Takes the descriptor in every case. `strict` is one of SSHD_STRICT_...; NULL leaves the reason in errno. */
sshd_connection *sshd_connection_new(sshd_bind *b, int fd, int strict);
void sshd_connection_free(sshd_connection *c);
int sshd_connection_next(sshd_connection *c, const uint8_t *reply, size_t reply_length, sshd_event *e);
int sshd_connection_flush(sshd_connection *c);
/* Whether the peer has closed its side, without reading what it sent before that. */
int sshd_connection_hung_up(sshd_connection *c);
int sshd_connection_close(sshd_connection *c, int reason, const char *text, size_t length);
void sshd_connection_abandon(sshd_connection *c); /* in the child of a fork */
void sshd_connection_wake(sshd_connection *c);
void sshd_connection_announce_banner(sshd_connection *c); /* SSHD_EVENT_BANNER is to come, once */
void sshd_connection_deadline(sshd_connection *c, double seconds);
void sshd_connection_inactivity_limit(sshd_connection *c, double seconds);
void sshd_connection_idle_limit(sshd_connection *c, double seconds);
/* What a peer may send that is not logged in, in bytes: before its version line is complete, in one packet, and in all.
 * 0 is no limit. */
void sshd_connection_login_limits(sshd_connection *c, uint64_t version, uint64_t packet, uint64_t all);
void sshd_connection_keep_alive(sshd_connection *c, double seconds, uint32_t most);
void sshd_connection_read_time(sshd_connection *c, double seconds);
int sshd_connection_rekey(sshd_connection *c);
void sshd_connection_rekey_threshold(sshd_connection *c, uint64_t bytes);
int sshd_connection_send(sshd_connection *c, const uint8_t *payload, size_t length);
const char *sshd_connection_error(sshd_connection *c);
/* The reason and description of the peer's DISCONNECT; 0 and nothing without one. */
uint32_t sshd_connection_farewell(sshd_connection *c, const uint8_t **text, size_t *length);
void sshd_connection_describe(sshd_connection *c, sshd_connection_info *info);
/* authentication */
int sshd_connection_verify(sshd_connection *c, const uint8_t *payload, size_t signed_length,
                           const uint8_t *blob, size_t blob_length, const uint8_t *signature, size_t signature_length);
int sshd_connection_host_key(sshd_connection *c, uint8_t *buffer, size_t size);
int sshd_connection_authenticated(sshd_connection *c);
/* channels */
int sshd_connection_open_channel(sshd_connection *c, uint32_t remote_id, uint32_t window, uint32_t max_packet);
int sshd_connection_start_sftp(sshd_connection *c, uint32_t channel, const uint8_t *ok, size_t ok_length,
                               const uint8_t *eof, size_t eof_length);
int sshd_connection_remote_id(sshd_connection *c, uint32_t channel, uint32_t *remote_id);
int sshd_connection_finish_channel(sshd_connection *c, uint32_t channel, int exit_status);
sshd_sftp *sshd_connection_sftp(sshd_connection *c, uint32_t channel);
/* --- end connection.c --- */

/* --- path.c --- */
#define SSHD_DIRECTORY_BATCH 512   /* entries a batch holds at most */
#define SSHD_DIRECTORY_NAMES 12288 /* 24 bytes, the kernel's smallest directory record, for each of them */

/* Without padding, so that the binding unpacks it as one run. A mode of 0 means that the kernel refused to tell. */
typedef struct {
    uint64_t device;
    uint64_t inode;
    uint64_t links;
    uint64_t size;
    uint64_t allocation; /* bytes on the disk */
    int64_t atime;
    int64_t mtime;
    int64_t ctime;
    int64_t birth;
    uint32_t atime_ns;
    uint32_t mtime_ns;
    uint32_t ctime_ns;
    uint32_t birth_ns;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t bits; /* marks in the numbers of draft-13, section 7.9 */
    uint32_t bits_known;
    uint32_t birth_known;
} sshd_stat;

#define SSHD_CHANGE_SIZE 1
#define SSHD_CHANGE_UID 2
#define SSHD_CHANGE_GID 4
#define SSHD_CHANGE_MODE 8
#define SSHD_CHANGE_ATIME 16
#define SSHD_CHANGE_MTIME 32
#define SSHD_CHANGE_ALLOCATION 64

typedef struct {
    uint32_t what;
    uint32_t uid;
    uint32_t gid;
    uint32_t mode;
    uint64_t size;
    uint64_t allocation; /* space set aside, without moving the end of the file */
    int64_t atime;
    int64_t mtime;
    uint32_t atime_ns;
    uint32_t mtime_ns;
} sshd_change;

/* How paths are resolved, see path.h. */
#define SSHD_RULE_WALK 1
#define SSHD_RULE_BENEATH 2

int sshd_path_resolve(int root, const char *path, uint64_t flags, uint32_t mode, int rules);
int sshd_path_open(int root, const char *path, uint64_t flags, uint32_t mode, int rules);
int sshd_path_stat(int root, const char *path, int follow, sshd_stat *result, int rules);
int sshd_path_change(int root, const char *path, int follow, const sshd_change *change, int rules);
int sshd_path_mkdir(int root, const char *path, uint32_t mode, int rules);
int sshd_path_rmdir(int root, const char *path, int rules);
int sshd_path_remove(int root, const char *path, int rules);
int sshd_path_rename(int root, const char *old_path, const char *new_path, int replace, int rules);
int sshd_path_symlink(int root, const char *target, const char *path, int rules);
int sshd_path_link(int root, const char *old_path, const char *new_path, int rules);
int sshd_path_readlink(int root, const char *path, char *target, size_t size, int rules);
int sshd_file_stat(int fd, sshd_stat *result);
int sshd_file_change(int fd, const sshd_change *change);
int sshd_directory_open(int root, const char *path, int rules);
int sshd_directory_read(int root, int fd, sshd_stat *stats, char *names, size_t *names_used);
/* --- end path.c --- */
