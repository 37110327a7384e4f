/* Fuzz target: one client and one "Python" around the engine of sftp.c, with state.
 *
 * The input is a script of steps of 8 bytes. The client composes requests (whole, damaged, or raw bytes), sends them in
 * pieces and reads replies when it likes; Python answers what is left to it, hands over files and takes them away, changes
 * what it watches, as serve/session does; now and then a system call fails. model.c judges the replies. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "descriptors.h"
#include "model.h"
#include "sftp.h"
#include "tree.h"
#include "world.h"

#define HANDED_MOST 16
#define STATUS_SIZE 21 /* of a STATUS with empty texts */
#define FILLER 70000   /* bytes of a long reply of Python's */

typedef struct {
    uint8_t op, a, b, c;
    uint32_t n;
} step;

/* A handle whose file is Python's. */
typedef struct {
    int number; /* 0: free */
    int fd;     /* to be closed; -1: one of tree_files */
    sshd_handle_stats stats;
} handed;

static struct {
    sshd_pipe *pipe;
    sshd_sftp *sftp;
    sshd_files *files;
    sshd_counts counts;
    handed handed[HANDED_MOST];
    size_t packet; /* where the packet composed last begins in the stream */
    uint8_t reply[FILLER + STATUS_SIZE]; /* of Python, for the next call */
    size_t reply_length;
    int reply_at_once; /* Python queues its replies itself */
    int reply_long;
    int shown; /* an event shows a request that Python has not answered */
    int over;  /* nothing more is to be expected */
    size_t promised; /* bytes of replies that were made before `discard` */
    size_t read_ever;
} it;

static const uint8_t OK[STATUS_SIZE] = {[3] = STATUS_SIZE - 4, [4] = FXP_STATUS, [12] = STATUS_OK};
static const uint8_t END[STATUS_SIZE] = {[3] = STATUS_SIZE - 4, [4] = FXP_STATUS, [12] = STATUS_EOF};

/* --- the client: composing requests --- */

static void put(const void *data, size_t length) {
    if (length <= sizeof model.stream - model.composed) {
        memcpy(model.stream + model.composed, data, length);
        model.composed += length;
    }
}

static void put_number(uint32_t value) {
    uint8_t bytes[4];

    put_u32(bytes, value);
    put(bytes, sizeof bytes);
}

static void begin(uint8_t kind) {
    it.packet = model.composed;
    put_number(0);
    put(&kind, 1);
    put_number((uint32_t)it.packet ^ 0x5a000000); /* an id of its own */
}

static void end(void) {
    if (model.composed - it.packet >= 9)
        put_u32(model.stream + it.packet, (uint32_t)(model.composed - it.packet - 4));
}

static void put_handle(uint8_t which) {
    uint8_t name[MODEL_NAME_MAX];
    size_t length = model_handle_name(which % MODEL_NUMBERS, name);

    put_number((uint32_t)length);
    put(name, length);
}

/* The lower bits near the beginning of a file, some of the others at the edges of the numbers. */
static void put_offset(uint8_t kind, uint32_t n) {
    static const uint32_t HIGH[] = {0, 0, 0, 0, 0, 0x7fffffff, 0x80000000, 0xffffffff};
    uint32_t high = HIGH[kind % 8];

    put_number(high);
    put_number(high ? ~n : n % (2 * WORLD_FILE_MAX));
}

static void step_read(const step *s) {
    begin(FXP_READ);
    put_handle(s->a);
    put_offset(s->b, s->n);
    put_number(s->c < 250 ? (uint32_t)s->c * (s->b & 128 ? 1100 : 33) : UINT32_MAX - s->c + 250);
    end();
}

static void step_write(const step *s) {
    size_t length = s->b & 128 ? (size_t)s->c * 1000 : s->c;

    begin(FXP_WRITE);
    put_handle(s->a);
    put_offset(s->b, s->n);
    put_number((uint32_t)length);
    if (length <= sizeof model.stream - model.composed) {
        memset(model.stream + model.composed, (int)(s->n & 0xff), length);
        memcpy(model.stream + model.composed, s, length < sizeof *s ? length : sizeof *s);
        model.composed += length;
    }
    end();
}

static void step_open(const step *s) {
    const char *path = model_paths[s->a % model_path_count].path;

    begin(FXP_OPEN);
    put_number((uint32_t)strlen(path));
    put(path, strlen(path));
    put_number(s->b);
    put_number(s->c);
    for (int bit = 1; bit <= 8; bit *= 2) {
        if (s->c & bit)
            put_number(s->n);
        if (s->c & bit & ~4)
            put_number(s->n);
    }
    end();
}

static void step_close(const step *s) {
    begin(FXP_CLOSE);
    put_handle(s->a);
    end();
}

static void step_other(const step *s) {
    begin(s->a);
    for (unsigned i = 0; i < s->b % 8u; i++)
        put_number(s->n);
    put("tail", s->c % 5u);
    end();
}

/* Changes a byte of the packet composed last, or cuts or lengthens it; what was sent of it stays. */
static void step_damage(const step *s) {
    size_t length = model.composed - it.packet;
    size_t at = it.packet + (length ? s->n % length : 0);

    if (at < model.delivered || length == 0)
        return;
    if (s->a & 1)
        model.stream[at] = s->b;
    else
        model.composed = at;
    if (s->a & 2)
        end();
}

/* --- Python --- */

/* Bytes that are still to come of the reply that has been read in part. */
static size_t begun_left(const uint8_t *at) {
    uint8_t field[4];
    size_t known = model.reply_length < sizeof field ? model.reply_length : sizeof field;

    if (known == 0)
        return 0;
    memcpy(field, model.reply, known);
    memcpy(field + known, at, sizeof field - known);
    return get_u32(field) + 4u - model.reply_length;
}

/* Replies that have been made and not been read. */
static uint32_t out_replies(void) {
    const uint8_t *at = sshd_buffer_head(&it.sftp->out);
    size_t left = sshd_buffer_length(&it.sftp->out);
    size_t size = left ? begun_left(at) : 0;
    uint32_t count = size > 0;

    CHECK(size <= left);
    for (left -= size; left > 0; left -= size) {
        at += size;
        size = get_u32(at) + 4u;
        CHECK(size <= left);
        count++;
    }
    return count;
}

/* How many requests have been answered. */
static uint32_t served(void) {
    return model.replied + out_replies() + (it.reply_length > 0);
}

static void answer(uint8_t kind, uint32_t id, uint32_t number, size_t more) {
    size_t length = STATUS_SIZE + more;

    CHECK(it.reply_length == 0);
    memset(it.reply, 0, length);
    put_u32(it.reply, (uint32_t)length - 4);
    it.reply[4] = kind;
    put_u32(it.reply + 5, id);
    put_u32(it.reply + 9, number);
    it.shown = 0;
    if (it.reply_at_once)
        CHECK(sshd_sftp_reply(it.sftp, it.reply, length) == 0);
    else
        it.reply_length = length;
}

static void answer_status(uint32_t id, uint32_t status) {
    answer(FXP_STATUS, id, status, it.reply_long && status == STATUS_REFUSED ? FILLER : 0);
}

static handed *handed_find(int number) {
    for (int i = 0; i < HANDED_MOST; i++) {
        if (it.handed[i].number == number)
            return &it.handed[i];
    }
    return NULL;
}

static int number_of(const uint8_t *name, size_t length) {
    const model_handle *h = model_handle_called(name, length);

    return h == NULL ? 0 : (int)(h - model.numbered);
}

static sshd_order *place_order(int action, int number) {
    sshd_order *o = sshd_sftp_order(it.sftp);

    if (o->action)
        CHECK(sshd_sftp_obey(it.sftp) == 0);
    o->length = model_handle_name(number, o->name);
    o->action = action;
    return o;
}

static void count_handles(int change) {
    it.files->open += (uint32_t)change;
    it.counts.open += (uint32_t)change;
}

static void take_away(handed *h) {
    model_handle *m = &model.numbered[h->number];

    place_order(SSHD_ORDER_REMOVE, h->number);
    count_handles(-1);
    if (m->gone == MODEL_NEVER && !model.discard)
        m->gone = served() + (it.shown != 0);
    if (h->fd >= 0)
        close(h->fd);
    h->number = 0;
}

/* Takes over a file that C opened. */
static handed *adopt(int number) {
    handed *h = handed_find(0);
    uint8_t name[MODEL_NAME_MAX];
    size_t length = model_handle_name(number, name);
    sshd_adopted file;

    if (h == NULL || handed_find(number) != NULL || sshd_sftp_adopt(it.sftp, name, length, &file) < 0)
        return NULL;
    CHECK(file.path_length > 0 && file.path[0] == '/' && file.path[file.path_length - 1] != 0);
    CHECK(fcntl(file.fd, F_GETFD) == FD_CLOEXEC && (file.access & ~3) == 0 && file.access != 0);
    h->number = number;
    h->fd = file.fd;
    return h;
}

static void python_close(uint32_t id, const uint8_t *name, size_t length) {
    int number = number_of(name, length);
    handed *h = number ? handed_find(number) : NULL;

    if (h == NULL && number)
        h = adopt(number);
    if (h != NULL)
        take_away(h);
    answer_status(id, h == NULL ? STATUS_REFUSED : STATUS_OK);
}

static void see_packet(const sshd_event *e) {
    size_t length;
    const uint8_t *frame;
    uint32_t id = e->length < 5 ? 0 : get_u32(e->data + 1);

    if (!model.discard) { /* then it is not told which one it is */
        CHECK(served() < model.frame_count);
        frame = model_frame(served(), &length);
        CHECK(e->length == length && memcmp(e->data, frame, length) == 0);
    }
    it.shown = 1;
    if (e->length >= 9 && e->data[0] == FXP_CLOSE && get_u32(e->data + 5) <= e->length - 9)
        python_close(id, e->data + 9, get_u32(e->data + 5));
    else
        answer_status(id, STATUS_REFUSED);
}

static void see_failure(const sshd_event *e) {
    CHECK(e->error > 0 && e->length > 0 && e->length <= MODEL_NAME_MAX);
    CHECK(number_of(e->data, e->length) != 0);
    CHECK(e->operation == SSHD_HANDLE_READ || e->operation == SSHD_HANDLE_WRITE || e->operation == SSHD_HANDLE_CLOSE);
    it.shown = 1;
    answer_status(e->request_id, STATUS_FAILED);
}

static void see_bad_frame(const sshd_event *e) {
    CHECK(model.bad_frame && e->length == get_u32(model.stream + model.framed));
    CHECK(model.discard || served() == model.frame_count);
    it.over = 1;
}

static void see_end(const sshd_event *e) {
    CHECK(world.input_ended && world.input_left == 0 && e->length == model.delivered - model.framed);
    CHECK(model.discard || served() == model.frame_count);
    it.over = 1;
}

static void see(const sshd_event *e) {
    switch (e->kind) {
    case SSHD_EVENT_PACKET: see_packet(e); break;
    case SSHD_EVENT_FAILED: see_failure(e); break;
    case SSHD_EVENT_BAD_FRAME: see_bad_frame(e); break;
    case SSHD_EVENT_EOF: see_end(e); break;
    default: CHECK(e->kind == SSHD_EVENT_WAKE);
    }
}

static int is_expected(int rc) {
    return rc == -EINTR || (world.hung_up && rc == -EPIPE) || (world.fault.after < 0 && rc == -world.fault.error);
}

/* Serves until the core would sleep, or until something went wrong with its descriptors. */
static void run(void) {
    sshd_event e = {.kind = SSHD_EVENT_NONE};

    for (int tries = 0; !it.over && e.kind != SSHD_EVENT_WAKE; tries++) {
        size_t length = it.reply_length;
        int rc;

        it.reply_length = 0;
        world.armed = 1;
        rc = sshd_pipe_next(it.pipe, it.reply, length, &e);
        world.armed = 0;
        if (rc == 0) {
            see(&e);
            continue;
        }
        CHECK(is_expected(rc));
        it.over = rc != -EINTR;
        return;
    }
}

/* --- steps --- */

static void step_raw(const step *s) {
    put(s, sizeof *s);
}

static void send_bytes(size_t count) {
    size_t left = model.composed - model.delivered;

    if (count > left || world.input_ended)
        count = world.input_ended ? 0 : left;
    if (model.delivered + count == model.composed)
        it.packet = model.composed;
    world.input = model.stream + model.delivered - world.input_left;
    world.input_left += count;
    model_deliver(count);
}

static void step_send(const step *s) {
    size_t left = model.composed - model.delivered;

    world.input_most = s->b & 1 ? 1u + s->c + left / 64 : SIZE_MAX; /* not a thousand reads for one long WRITE */
    send_bytes(s->a & 1 ? s->n : SIZE_MAX);
    run();
}

static void step_pause(const step *s) {
    world.room = s->a & 1 ? s->n % 300000 : SIZE_MAX;
}

static void step_watch(const step *s) {
    sshd_sftp_watch(it.sftp, s->a & 15);
}

/* Python hands over a file under a number of its choice, perhaps the next one that C would take. */
static void step_add(const step *s) {
    int number = s->a & 128 ? (int)it.counts.made + 1 : s->a % MODEL_NUMBERS;
    handed *h = handed_find(0);
    model_handle *m;
    sshd_order *o;
    int file = FILE_PATTERN + s->b % (FILES - FILE_PATTERN);

    if (number <= 0 || number >= MODEL_NUMBERS || h == NULL || model.discard || served() != model.replied)
        return;
    m = &model.numbered[number];
    if (handed_find(number) != NULL || (m->file != -1 && m->gone == MODEL_NEVER))
        return;
    h->number = number;
    h->fd = -1;
    memset(&h->stats, 0, sizeof h->stats);
    o = place_order(SSHD_ORDER_ADD, number);
    o->fd = tree_files[file];
    o->access = file == FILE_PATTERN ? s->c & SSHD_HANDLE_READ : s->c & 3;
    o->stats = &h->stats;
    *m = (model_handle){file, o->access & SSHD_HANDLE_READ, o->access & SSHD_HANDLE_WRITE, 0, MODEL_NEVER};
    count_handles(1);
}

static void step_remove(const step *s) {
    handed *h = &it.handed[s->a % HANDED_MOST];

    if (h->number)
        take_away(h);
}

static void step_adopt(const step *s) {
    int number = s->a % MODEL_NUMBERS;

    if (number)
        adopt(number);
}

/* Orders that no handle table can carry out. */
static void step_bad_order(const step *s) {
    sshd_order *o = sshd_sftp_order(it.sftp);

    if (o->action)
        CHECK(sshd_sftp_obey(it.sftp) == 0);
    o->action = s->a & 1 ? SSHD_ORDER_ADD : SSHD_ORDER_REMOVE;
    o->length = s->b & 1 ? 0 : 257 + (size_t)s->n;
    CHECK(sshd_sftp_obey(it.sftp) == (s->a & 1 ? -EINVAL : -ENOENT));
}

static void step_fault(const step *s) {
    static const int ERRORS[] = {EINTR, EAGAIN, EIO, ENOSPC, EDQUOT, WORLD_SHORT, WORLD_SHORT, EBADF};
    int call = s->a % WORLD_CALLS;
    int error = ERRORS[s->b % 8];

    if (call == WORLD_POLL && error != EINTR) /* nothing else is to be expected there */
        error = EINTR;
    if (call == WORLD_CLOSE && error == WORLD_SHORT)
        error = EIO;
    if (call > WORLD_POLL && error == EAGAIN)
        error = EIO;
    world.fault = (world_fault){call, s->c % 16, error};
}

static void step_limit(const step *s) {
    it.files->most = s->a & 1 ? s->b % 8u : 256;
    it.counts.most = s->a & 2 ? s->c % 8u : 1024;
    it.files->walk = (s->a & 4) != 0;
    it.files->root = s->a & 8 && s->n % 4 == 0 ? -1 : tree_root;
}

static void step_manner(const step *s) {
    it.reply_at_once = s->a & 1;
    it.reply_long = (s->a & 6) == 6;
    sshd_pipe_wake_by(it.pipe, s->b & 1 ? -1 : WORLD_WAKE);
}

static void step_stock(const step *s) {
    uint8_t text[SSHD_STATUS_MAX + 2] = {0};
    size_t length = STATUS_SIZE + s->n % 280;
    int fits = length <= SSHD_STATUS_MAX;

    put_u32(text, (uint32_t)length - 4);
    text[4] = FXP_STATUS;
    CHECK(sshd_sftp_stock(it.sftp, text, length, END, sizeof END) == (fits ? 0 : -EINVAL));
    CHECK(sshd_sftp_stock(it.sftp, OK, s->a % 9u, END, sizeof END) == -EINVAL);
}

static void step_flush(const step *s) {
    int rc;

    world.armed = 1;
    rc = sshd_pipe_flush(it.pipe);
    world.armed = 0;
    CHECK(rc == 0 || is_expected(rc));
    CHECK(sshd_pipe_hung_up(it.pipe) == world.hung_up);
    it.over = it.over || (rc < 0 && rc != -EINTR);
    (void)s;
}

/* The client goes: at once, or it still reads. */
static void step_leave(const step *s) {
    world.hung_up = s->a % 4 == 3;
    world.input_ended = s->a % 2;
}

/* As a channel whose client has closed it: nobody takes the replies any more. */
static void step_discard(const step *s) {
    if (s->n % 8 != 0 || model.discard || it.reply_length > 0)
        return;
    model.discard = it.sftp->discard = 1;
    it.promised = it.read_ever + sshd_buffer_length(&it.sftp->out);
}

static void (*const STEPS[])(const step *) = {
    step_read,  step_write, step_open,  step_close,     step_other, step_damage, step_raw,   step_send,
    step_pause, step_watch, step_add,   step_remove,    step_adopt, step_fault,  step_limit, step_manner,
    step_stock, step_flush, step_leave, step_bad_order, step_discard,
};

/* --- one run --- */

static void reader(const uint8_t *data, size_t length) {
    it.read_ever += length;
    if (!model.discard)
        model_take(data, length);
}

static void arrive(void) {
    memset(&world, 0, sizeof world);
    world.room = world.input_most = SIZE_MAX;
    world.fault.after = -1;
    world.reader = reader;
    memset(&it, 0, sizeof it);
    model_reset();
    tree_reset();
    it.pipe = sshd_pipe_new(WORLD_INPUT, WORLD_OUTPUT, OK, sizeof OK, END, sizeof END);
    CHECK(it.pipe != NULL);
    it.sftp = sshd_pipe_sftp(it.pipe);
    it.files = sshd_sftp_files(it.sftp);
    it.files->connection = &it.counts;
    it.files->root = tree_root;
    it.files->most = 256;
    it.counts.most = 1024;
    tree_flags(it.files->flags);
    sshd_pipe_wake_by(it.pipe, WORLD_WAKE);
}

/* The client sends the rest, reads all replies and hangs up; Python closes what is open. */
static void leave(void) {
    uint8_t name[MODEL_NAME_MAX];
    size_t length;

    world.fault.after = -1;
    world.room = world.input_most = SIZE_MAX;
    sshd_pipe_wake_by(it.pipe, WORLD_WAKE);
    send_bytes(SIZE_MAX);
    world.input_ended = 1;
    run();
    if (!it.over)
        run(); /* the one before may have been interrupted */
    CHECK(it.over);
    if (!world.hung_up && sshd_pipe_flush(it.pipe) == 0)
        CHECK(model.discard ? it.read_ever == it.promised : model.reply_length == 0);
    for (int i = 0; i < HANDED_MOST; i++) {
        if (it.handed[i].number)
            take_away(&it.handed[i]);
    }
    while ((length = (size_t)sshd_sftp_owned(it.sftp, name, sizeof name)) > 0) {
        sshd_adopted file;
        CHECK(sshd_sftp_adopt(it.sftp, name, length, &file) == 0);
        close(file.fd);
        count_handles(-1);
    }
    CHECK(it.files->open == 0 && it.counts.open == 0);
    sshd_pipe_free(it.pipe);
}

void target_setup(void) {
    model_setup();
    tree_make();
}

void target_run(const uint8_t *data, size_t size) {
    uint64_t before = descriptors();
    step s;

    arrive();
    for (; size >= sizeof s; data += sizeof s, size -= sizeof s) {
        memcpy(&s, data, sizeof s);
        if (!it.over)
            STEPS[s.op % (sizeof STEPS / sizeof *STEPS)](&s);
    }
    leave();
    CHECK(descriptors() == before);
}
