/* What a client may conclude from its requests and the replies, in their order; broken conclusions abort. */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <stddef.h>
#include <stdint.h>

#define MODEL_STREAM (1024 * 1024) /* bytes of requests in one script */
#define MODEL_FRAMES (MODEL_STREAM / 5)
#define MODEL_PATTERN 400000           /* more than one READ gives */
#define MODEL_FILE_MAX (16 * 1024)
#define MODEL_NUMBERS 64 /* handles that are called "1" to "59"; from 60 on their names are longer */
#define MODEL_PADDED 60
#define MODEL_NAME_MAX 256
#define MODEL_NEVER UINT32_MAX

enum { MODEL_PACKET_MAX = 256 * 1024, MODEL_DATA_MAX = MODEL_PACKET_MAX - 1024 }; /* what the core promises */
enum { STATUS_OK = 0, STATUS_EOF = 1, STATUS_FAILED = 4, STATUS_REFUSED = 5 }; /* the last two: by us, for Python */
enum { FXP_OPEN = 3, FXP_CLOSE = 4, FXP_READ = 5, FXP_WRITE = 6, FXP_STATUS = 101, FXP_HANDLE = 102, FXP_DATA = 103 };

/* Files of the tree are 0 to 3, those that Python opens follow; -1 is a file nothing is known of. */
enum { FILE_TREE = 4, FILE_PATTERN = FILE_TREE, FILE_PYTHON, FILES = 8 };

typedef struct {
    size_t size;
    int known; /* 0: what a failed write left is anybody's guess */
    uint8_t data[MODEL_FILE_MAX];
} model_file;

typedef struct {
    int file;
    int readable;
    int writable;
    int append;
    uint32_t gone; /* from this request on nobody answers it; MODEL_NEVER: open */
} model_handle;

struct model {
    model_file files[FILES];
    model_handle numbered[MODEL_NUMBERS];
    uint8_t stream[MODEL_STREAM]; /* all requests, delivered or not */
    size_t composed;
    size_t delivered;
    uint32_t frames[MODEL_FRAMES]; /* where the delivered ones begin */
    uint32_t frame_count;
    size_t framed;    /* bytes of the stream that the frames take */
    int bad_frame;    /* a length field no packet may have follows them */
    uint32_t replied; /* replies that have been read */
    int discard;      /* replies are no longer made */
    int wild_path;    /* a file has been made whose name is not among `model_paths` */
    uint8_t reply[MODEL_PACKET_MAX + 4];
    size_t reply_length; /* of the reply that is still coming in */
};

extern struct model model;
extern uint8_t model_pattern[MODEL_PATTERN]; /* what FILE_PATTERN holds */

typedef struct {
    const char *path;
    int file;
} model_path;

extern const model_path model_paths[];
extern const size_t model_path_count;

uint32_t get_u32(const uint8_t *from);
void put_u32(uint8_t *to, uint32_t value);
void model_setup(void);
void model_reset(void);
void model_deliver(size_t count);
/* What the core has written; world.reader. */
void model_take(const uint8_t *data, size_t length);
const uint8_t *model_frame(uint32_t index, size_t *length); /* without its length field */
size_t model_handle_name(int number, uint8_t *name); /* the length */
model_handle *model_handle_called(const uint8_t *name, size_t length);

#endif
