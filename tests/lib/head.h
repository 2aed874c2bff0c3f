/* tests/lib/head.h -- the head of a request as the library leaves it, rebuilt from raw bytes with its leniency; for unit tests and fuzzing. */
#pragma once
#include "api/gate.h"
#include <string.h>

static char memory[32768];

/* Parses as libmicrohttpd 0.9.75 does: in place, lines end at LF with or without CR, first colon splits, folded lines are not joined
 * (the library moves those elsewhere, which the caller models by `moved`). */
static bool lenient(const char *raw, size_t n, GateHead *h)
{
    static char *line, *next;
    *h = (GateHead){ .method = memory };
    memcpy(memory, raw, n);
    memory[n] = 0;
    for (line = memory; line < memory + n; line = next) {
        char *lf = memchr(line, '\n', (size_t) (memory + n - line));
        if (!lf)
            return false;
        next = lf + 1;
        if (lf > line && lf[-1] == '\r')
            lf[-1] = 0;
        *lf = 0;
        if (line == memory) {
            char *target = strchr(line, ' ');
            if (!target)
                return false;
            *target++ = 0;
            while (*target == ' ')
                target++;
            char *version = strrchr(target, ' ');
            if (!version)                            /* a NUL hides it from strrchr */
                version = memrchr(target, ' ', (size_t) (lf - target));
            if (!version)
                return false;
            *version++ = 0;
            h->target = target;
            h->target_len = strlen(target);
            h->version = version;
            continue;
        }
        if (!*line) {
            h->size = (size_t) (next - memory);
            return true;
        }
        char *colon = strchr(line, ':');
        if (!colon)
            return false;
        *colon++ = 0;
        while (*colon == ' ' || *colon == '\t')
            colon++;
        if (h->n_headers < GATE_HEADERS_MAX)
            h->headers[h->n_headers] = (GateHeader){ line, colon };
        h->n_headers++;
    }
    return false;
}
