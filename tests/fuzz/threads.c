/* Many threads at once, as in the product: one serves each pipe or connection, others do what is allowed to them.
 * A program of its own for TSan and valgrind: threads DIRECTORY ROUNDS. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "native.h"

#define THREADS 4
#define CHECK(condition) ((condition) ? (void)0 : fail(#condition, __LINE__))

static const uint8_t ok[] = "\0\0\0\x11\x65\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
static const uint8_t eof[] = "\0\0\0\x11\x65\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0";
static const uint8_t requests[] =
    "\0\0\0\x13\x03\0\0\0\1\0\0\0\2/f\0\0\0\x0b\0\0\0\0"                       /* OPEN, to read, write and create */
    "\0\0\0\x1a\x06\0\0\0\2\0\0\0\1" "1\0\0\0\0\0\0\0\0\0\0\0\4data"           /* WRITE */
    "\0\0\0\x16\x05\0\0\0\3\0\0\0\1" "1\0\0\0\0\0\0\0\0\0\0\0\x10"             /* READ */
    "\0\0\0\x0b\x11\0\0\0\4\0\0\0\2/f"                                         /* STAT, which goes to Python */
    "\0\0\0\x0a\x04\0\0\0\5\0\0\0\1" "1";                                      /* CLOSE */

static int root, rounds;
static sshd_bind *shared_bind;
static _Atomic int serving;

static void fail(const char *condition, int line) {
    fprintf(stderr, "threads.c:%d: %s\n", line, condition);
    abort();
}

/* What the others may touch, as long as it is there. */
static struct {
    pthread_mutex_t lock;
    sshd_sftp *sftp[THREADS];
    sshd_connection *connection[THREADS];
} shown = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void show(int number, sshd_sftp *sftp, sshd_connection *connection) {
    pthread_mutex_lock(&shown.lock);
    shown.sftp[number] = sftp;
    shown.connection[number] = connection;
    pthread_mutex_unlock(&shown.lock);
}

/* --- the serving threads --- */

static void serve_pipe(int number) {
    sshd_counts counts = {.most = 10};
    sshd_event e = {0};
    sshd_pipe *pipe;
    sshd_files *files;
    int pair[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(write(pair[1], requests, sizeof requests - 1) == (ssize_t)sizeof requests - 1);
    CHECK(shutdown(pair[1], SHUT_WR) == 0);
    pipe = sshd_pipe_new(pair[0], pair[0], ok, sizeof ok - 1, eof, sizeof eof - 1);
    CHECK(pipe != NULL);
    files = sshd_sftp_files(sshd_pipe_sftp(pipe));
    files->root = root;
    files->most = 10;
    files->connection = &counts;
    for (int i = 0; i < 64; i++)
        files->flags[i] = O_RDWR | O_CREAT;
    show(number, sshd_pipe_sftp(pipe), NULL);
    while (e.kind != SSHD_EVENT_EOF) {
        const uint8_t *reply = e.kind == SSHD_EVENT_PACKET ? ok : NULL;
        CHECK(sshd_pipe_next(pipe, reply, reply ? sizeof ok - 1 : 0, &e) == 0);
    }
    CHECK(sshd_pipe_flush(pipe) == 0);
    show(number, NULL, NULL);
    sshd_pipe_free(pipe);
    close(pair[0]);
    close(pair[1]);
}

/* As far as a peer without keys gets: both identifications, our KEXINIT, and the end of its patience. */
static void serve_connection(int number) {
    static const char hello[] = "SSH-2.0-threads\r\n";
    sshd_connection *c;
    sshd_event e = {0};
    int pair[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(write(pair[1], hello, sizeof hello - 1) == sizeof hello - 1);
    c = sshd_connection_new(shared_bind, pair[0], SSHD_STRICT_OFFERED);
    CHECK(c != NULL);
    sshd_connection_deadline(c, 0.01);
    show(number, NULL, c);
    while (e.kind != SSHD_EVENT_DEADLINE && e.kind != SSHD_EVENT_GONE)
        CHECK(sshd_connection_next(c, NULL, 0, &e) == 0);
    show(number, NULL, NULL);
    shutdown(pair[1], SHUT_RDWR);
    sshd_connection_close(c, 11, "bye", 3);
    sshd_connection_free(c);
    close(pair[1]);
}

static void *serve(void *argument) {
    int number = (int)(intptr_t)argument;

    for (int i = 0; i < rounds; i++) {
        serve_pipe(number);
        serve_connection(number);
    }
    serving--;
    return NULL;
}

/* --- the others --- */

static void *disturb(void *argument) {
    unsigned mask = (unsigned)(intptr_t)argument;

    while (serving > 0) {
        for (int i = 0; i < THREADS; i++) {
            pthread_mutex_lock(&shown.lock);
            if (shown.sftp[i])
                sshd_sftp_watch(shown.sftp[i], (int)(mask++ & 15));
            if (shown.connection[i])
                sshd_connection_wake(shown.connection[i]);
            pthread_mutex_unlock(&shown.lock);
        }
        usleep(100);
    }
    return NULL;
}

int main(int count, char **arguments) {
    sshd_algorithms lists = {.version = "threads"};
    pthread_t threads[THREADS + 2];
    sshd_key *key = NULL;
    sshd_budget *budget = sshd_budget_new(1 << 30);

    CHECK(count == 3);
    root = open(arguments[1], O_RDONLY | O_DIRECTORY);
    rounds = atoi(arguments[2]);
    CHECK(root >= 0 && sshd_library_init() == 0);
    shared_bind = sshd_bind_new(budget);
    CHECK(budget != NULL && shared_bind != NULL && sshd_key_generate("ssh-ed25519", 0, &key) == 0);
    CHECK(sshd_bind_add_key(shared_bind, key) == 0 && sshd_bind_algorithms(shared_bind, &lists) == 0);
    serving = THREADS;
    for (int i = 0; i < THREADS + 2; i++)
        CHECK(pthread_create(&threads[i], NULL, i < THREADS ? serve : disturb, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < THREADS + 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    sshd_key_free(key);
    sshd_bind_free(shared_bind);
    sshd_budget_free(budget);
    close(root);
    printf("%d rounds\n", rounds);
    return 0;
}
