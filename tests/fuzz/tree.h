/* The files of a run: a small tree in a directory that is thrown away, and some that only Python has. */
#ifndef FUZZ_TREE_H
#define FUZZ_TREE_H

#include "model.h"

extern int tree_root;         /* of the tree */
extern int tree_files[FILES]; /* those from FILE_PATTERN on */

void tree_make(void);  /* in $FUZZ_DIRECTORY, once */
void tree_reset(void); /* as the model has it after model_reset, and tells the model */
void tree_flags(int flags[64]);

#endif
