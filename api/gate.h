/* api/gate.h -- what a request's head must look like before anything else sees it: pure checks, no I/O (hardening HTTP-01, -03, -07, -17). */
#pragma once
#include <glib.h>
#include <stdbool.h>

enum { GATE_HEADERS_MAX = 64, GATE_HEAD_MAX = 16384 };

typedef struct GateHeader { const char *name, *value; } GateHeader;

/* The head as libmicrohttpd left it.  Its parser works in place: CR LF, the blanks of the request line and each header's colon became NUL,
 * everything else still stands where it was received.  From the addresses follows what the parser hides. */
typedef struct GateHead {
    const char *method, *target, *version;
    gsize target_len;            /* as received, query included */
    gsize size;                  /* from method to the end of the empty line */
    GateHeader headers[GATE_HEADERS_MAX];
    guint n_headers;             /* all that came, even if more than fit */
} GateHead;

typedef struct GateResult {
    const char *method;          /* static text; GET for HEAD */
    const char *host;            /* Host header's value, NULL with HTTP/1.0 where it is optional */
    bool head, chunked, expect_continue;
    gint64 content_length;       /* -1: none given */
} GateResult;

/* 0: accepted, result filled.  Else the HTTP status for the refusal and in *ret_why a sentence. */
int gate_check(const GateHead *head, GateResult *result, const char **ret_why);
/* Only the positions: true if the bytes between the parts are exactly one CR LF a line and nothing was hidden (bare LF, NUL, folded
 * lines, blanks before the colon, blanks around the request line's parts). */
bool gate_layout(const GateHead *head);
/* "name[:port]", IPv4 or [IPv6]. */
bool gate_host(const char *text);
/* Reason phrase of a status. */
const char *gate_reason(int status);
