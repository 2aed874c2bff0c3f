/* tests/fuzz/fuzz.h -- what libFuzzer calls; a broken promise aborts. */
#pragma once
#include <glib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const guint8 *data, size_t n);
