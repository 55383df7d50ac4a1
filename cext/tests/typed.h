/* What tests of all types share: the configuration that is tested, arrays of its type between guard
 * pages, and numbers that are near enough. */
#ifndef TYPED_H
#define TYPED_H

#include <stdint.h>

#include "guarded.h"
#include "nnpoly.h"

extern int dtype;
extern enum side side;

/* Call `test` in every configuration: for each ISA that runs here and each way of bfloat16's pairs,
 * all types, one thread and two, and either end of the arrays. */
void in_every_configuration(void (*test)(void));

/* End the program, with what is wrong. */
void fail(const char *what, double got, double want);
void ok(const char *what, int status);

double get(const void *array, int64_t i);
void set(void *array, int64_t i, double value);
void *room(int64_t count);
double draw(double low); /* uniform in [low, low + 1), the same in every run */
void *filled(int64_t count, double low);
const void *input(int64_t count); /* which is not to be written */

/* `scale` is the size of what was added up, of `terms` terms. */
void near(const char *what, double got, double want, double terms, double scale);

#endif
