#include "model.h"

#include <string.h>

#include "world.h"

#define PFLAG_READ 0x01
#define PFLAG_WRITE 0x02
#define PFLAG_APPEND 0x04
#define PFLAG_TRUNC 0x10

struct model model;
uint8_t model_pattern[MODEL_PATTERN];

const model_path model_paths[] = {
    {"/f0", 0},      {"/f1", 1},        {"/f2", 2},     {"/f3", 3},   {"/link", 0},  {"/dangling", 3}, {"/out", 1},
    {"/d", -1},      {"/fifo", -1},     {"/loop", -1},  {"/", -1},    {"/gone/f", -1}, {"/f0/", -1},   {"//f0", -1},
    {"/./f0", -1},   {"/../f0", -1},    {"/d/../f0", -1}, {"f0", -1}, {"", -1},      {"/f0/f", -1},    {"/d/up", 0},
};
static const size_t model_padded[MODEL_NUMBERS - MODEL_PADDED] = {3, 100, 255, 256};
const size_t model_path_count = sizeof model_paths / sizeof *model_paths;

uint32_t get_u32(const uint8_t *from) {
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

void put_u32(uint8_t *to, uint32_t value) {
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
}

void model_setup(void) {
    for (size_t i = 0; i < sizeof model_pattern; i++)
        model_pattern[i] = (uint8_t)(i * 7 + (i >> 8));
}

void model_reset(void) {
    memset(model.numbered, 0, sizeof model.numbered);
    for (int i = 0; i < MODEL_NUMBERS; i++)
        model.numbered[i].file = -1;
    for (int i = 0; i < FILES; i++) {
        model.files[i].size = 0;
        model.files[i].known = 1;
    }
    model.composed = model.delivered = model.framed = model.reply_length = 0;
    model.frame_count = model.replied = 0;
    model.bad_frame = model.discard = model.wild_path = 0;
}

/* --- requests --- */

void model_deliver(size_t count) {
    model.delivered += count;
    while (!model.bad_frame && model.delivered - model.framed >= 4) {
        uint32_t length = get_u32(model.stream + model.framed);

        model.bad_frame = length == 0 || length > MODEL_PACKET_MAX;
        if (model.bad_frame || model.delivered - model.framed - 4 < length)
            return;
        model.frames[model.frame_count++] = (uint32_t)model.framed;
        model.framed += length + 4;
    }
}

const uint8_t *model_frame(uint32_t index, size_t *length) {
    const uint8_t *frame = model.stream + model.frames[index];

    *length = get_u32(frame);
    return frame + 4;
}

size_t model_handle_name(int number, uint8_t *name) {
    char digits[12];
    size_t length = (size_t)snprintf(digits, sizeof digits, "%d", number);
    size_t whole = number < MODEL_PADDED ? length : model_padded[number - MODEL_PADDED];

    memset(name, '.', whole);
    memcpy(name, digits, length);
    return whole;
}

model_handle *model_handle_called(const uint8_t *name, size_t length) {
    uint8_t expected[MODEL_NAME_MAX];
    int number = 0;

    for (size_t i = 0; i < length && i < 2 && name[i] >= '0' && name[i] <= '9'; i++)
        number = number * 10 + name[i] - '0';
    if (number == 0 || number >= MODEL_NUMBERS || model_handle_name(number, expected) != length ||
        memcmp(name, expected, length) != 0)
        return NULL;
    return &model.numbered[number];
}

/* --- what a pair of request and reply says --- */

/* A request as far as its layout holds: the string all these begin with, then the rest. */
typedef struct {
    uint32_t index;
    const uint8_t *name;
    size_t name_length;
    const uint8_t *rest;
    size_t rest_length;
} request;

static int request_parse(request *r, uint32_t index) {
    size_t length;
    const uint8_t *frame = model_frame(index, &length);

    if (length < 9 || get_u32(frame + 5) > length - 9)
        return 0;
    r->index = index;
    r->name_length = get_u32(frame + 5);
    r->name = frame + 9;
    r->rest = r->name + r->name_length;
    r->rest_length = length - 9 - r->name_length;
    return 1;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static void pair_read(const request *r, const uint8_t *data, size_t length, int at_end) {
    model_handle *h = model_handle_called(r->name, r->name_length);
    uint64_t offset;
    size_t count;
    model_file *f;

    CHECK(r->rest_length >= 12 && h != NULL && h->readable && r->index < h->gone);
    offset = (uint64_t)get_u32(r->rest) << 32 | get_u32(r->rest + 4);
    count = least(get_u32(r->rest + 8), MODEL_DATA_MAX);
    CHECK(length <= count && (at_end || length > 0));
    if (h->file < 0 || !model.files[h->file].known)
        return;
    f = &model.files[h->file];
    if (at_end) {
        CHECK(offset >= f->size || count == 0);
        return;
    }
    CHECK(offset < f->size && length <= f->size - offset);
    CHECK(length == least(count, f->size - (size_t)offset) || world.cut);
    CHECK(memcmp(data, (h->file == FILE_PATTERN ? model_pattern : f->data) + offset, length) == 0);
}

static void file_write(model_file *f, uint64_t offset, const uint8_t *data, size_t length) {
    if (length == 0)
        return;
    if (offset > MODEL_FILE_MAX || length > MODEL_FILE_MAX - offset) {
        f->known = 0;
        return;
    }
    if (offset > f->size)
        memset(f->data + f->size, 0, (size_t)offset - f->size);
    memcpy(f->data + offset, data, length);
    if (offset + length > f->size)
        f->size = (size_t)offset + length;
}

static void pair_write(const request *r, uint32_t status) {
    model_handle *h = model_handle_called(r->name, r->name_length);
    model_file *f = h != NULL && h->file >= 0 ? &model.files[h->file] : NULL;
    uint64_t offset;

    if (status == STATUS_FAILED && f != NULL)
        f->known = 0;
    if (status != STATUS_OK)
        return;
    CHECK(r->rest_length >= 12 && h != NULL && h->writable && r->index < h->gone);
    CHECK(get_u32(r->rest + 8) <= r->rest_length - 12);
    offset = (uint64_t)get_u32(r->rest) << 32 | get_u32(r->rest + 4);
    if (f != NULL && f->known)
        file_write(f, h->append ? f->size : offset, r->rest + 12, get_u32(r->rest + 8));
}

static int file_at(const uint8_t *path, size_t length) {
    for (size_t i = 0; i < model_path_count; i++) {
        if (strlen(model_paths[i].path) == length && memcmp(model_paths[i].path, path, length) == 0)
            return model_paths[i].file;
    }
    model.wild_path = 1;
    return -1;
}

static void pair_open(const request *r, const uint8_t *name, size_t length) {
    model_handle *h = model_handle_called(name, length);
    uint32_t pflags;

    CHECK(r->rest_length >= 8 && (h == NULL || h->file == -1 || h->gone != MODEL_NEVER));
    pflags = get_u32(r->rest);
    CHECK(memchr(r->name, 0, r->name_length) == NULL);
    if (h == NULL)
        return;
    h->file = file_at(r->name, r->name_length);
    h->readable = (pflags & PFLAG_READ) != 0 || !(pflags & PFLAG_WRITE);
    h->writable = (pflags & PFLAG_WRITE) != 0;
    h->append = (pflags & PFLAG_APPEND) != 0;
    h->gone = MODEL_NEVER;
    if (h->file >= 0 && pflags & PFLAG_TRUNC) {
        model.files[h->file].size = 0;
        model.files[h->file].known = 1;
    }
}

static void pair_close(const request *r, uint32_t status) {
    model_handle *h = model_handle_called(r->name, r->name_length);

    if (status == STATUS_REFUSED)
        return;
    CHECK(h != NULL && h->gone >= r->index);
    if (h->gone > r->index)
        h->gone = r->index + 1;
}

static void pair(uint8_t kind, const request *r, const uint8_t *reply, size_t length) {
    uint32_t status = reply[0] == FXP_STATUS && length >= 9 ? get_u32(reply + 5) : MODEL_NEVER;

    if (kind == FXP_READ && (reply[0] == FXP_DATA || status == STATUS_EOF))
        pair_read(r, reply + 9, reply[0] == FXP_DATA ? length - 9 : 0, status == STATUS_EOF);
    else if (kind == FXP_WRITE && reply[0] == FXP_STATUS)
        pair_write(r, status);
    else if (kind == FXP_OPEN && reply[0] == FXP_HANDLE)
        pair_open(r, reply + 9, length - 9);
    else if (kind == FXP_CLOSE && reply[0] == FXP_STATUS)
        pair_close(r, status);
    else
        CHECK(status == STATUS_REFUSED || (kind == FXP_READ && status == STATUS_FAILED));
}

/* Rule: one reply for each request, in their order, with its id. */
static void model_pair(const uint8_t *reply, size_t length) {
    uint32_t index = model.replied++;
    size_t size;
    const uint8_t *frame;
    request r;

    CHECK(index < model.frame_count && length >= 9);
    frame = model_frame(index, &size);
    CHECK(get_u32(reply + 1) == (size < 5 ? 0 : get_u32(frame + 1)));
    if (reply[0] == FXP_DATA || reply[0] == FXP_HANDLE)
        CHECK(get_u32(reply + 5) == length - 9);
    if (request_parse(&r, index))
        pair(frame[0], &r, reply, length);
    else
        CHECK(reply[0] == FXP_STATUS && get_u32(reply + 5) == STATUS_REFUSED);
}

void model_take(const uint8_t *data, size_t length) {
    while (length > 0) {
        size_t whole = model.reply_length < 4 ? 4 : get_u32(model.reply) + 4u;
        size_t count;

        CHECK(whole >= 4 && whole <= sizeof model.reply);
        count = least(length, whole - model.reply_length);
        memcpy(model.reply + model.reply_length, data, count);
        model.reply_length += count;
        data += count;
        length -= count;
        if (model.reply_length >= 4 && model.reply_length == get_u32(model.reply) + 4u) {
            model_pair(model.reply + 4, model.reply_length - 4);
            model.reply_length = 0;
        }
    }
}
