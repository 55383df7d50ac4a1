/* Arrays between pages that fault: whoever reads or writes past either end is caught at once. */
#ifndef GUARDED_H
#define GUARDED_H

#include <stddef.h>

enum side { AT_START, AT_END }; /* the array touches the page before it, or the page after it */

/* Room for `bytes` bytes. Freed, with all the others, by guarded_free_all. */
void *guarded(size_t bytes, enum side side);

/* From here on a write to the array faults, too. */
void guarded_read_only(void *array);

void guarded_free_all(void);

#endif
