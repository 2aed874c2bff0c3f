/* core/log.c -- logfmt lines, written with one write(2) each so that threads never mix. */
#include "core/log.h"
#include "core/clock.h"
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { VALUE_MAX = 1024 };
static const char *const level_names[] = { "error", "warn", "info", "debug" };
static int level_now = LOG_LEVEL_INFO;          /* atomic */
static _Thread_local char request_id[64];

/* Bare where it is plain; quoted, with control bytes and quotes escaped, where it is not: no value can forge a line. */
static void append_value(GString *line, const char *value)
{
    if (!value || !*value) {
        g_string_append(line, value ? "\"\"" : "-");
        return;
    }
    size_t n = strnlen(value, VALUE_MAX);
    bool plain = true;
    for (size_t i = 0; i < n && plain; i++)
        plain = g_ascii_isgraph(value[i]) && value[i] != '"' && value[i] != '=' && value[i] != '\\';
    if (plain) {
        g_string_append_len(line, value, (gssize) n);
        return;
    }
    g_string_append_c(line, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char) value[i];
        if (c == '"' || c == '\\')
            g_string_append_c(line, '\\'), g_string_append_c(line, (char) c);
        else if (c == '\n')
            g_string_append(line, "\\n");
        else if (c < 0x20 || c == 0x7f)
            g_string_append_printf(line, "\\x%02x", c);
        else
            g_string_append_c(line, (char) c);
    }
    g_string_append_c(line, '"');
}

void log_event(LogLevel level, const char *event, ...)
{
    if ((int) level > g_atomic_int_get(&level_now))
        return;
    char when[32];
    clock_format(clock_wall_us(), CLOCK_MICROS_Z, when);
    g_autoptr(GString) line = g_string_sized_new(256);
    g_string_append_printf(line, "t=%s level=%s event=%s", when, level_names[level], event);
    if (request_id[0])
        g_string_append_printf(line, " request=%s", request_id);
    va_list ap;
    va_start(ap, event);
    for (const char *key; (key = va_arg(ap, const char *));) {
        g_string_append_printf(line, " %s=", key);
        append_value(line, va_arg(ap, const char *));
    }
    va_end(ap);
    g_string_append_c(line, '\n');
    if (write(STDERR_FILENO, line->str, line->len) < 0)
        return;                                  /* nowhere left to complain */
}

const char *log_int(char buf[24], gint64 n)
{
    g_snprintf(buf, 24, "%" G_GINT64_FORMAT, n);
    return buf;
}

void log_level_set(LogLevel level)
{
    g_atomic_int_set(&level_now, (int) level);
}

gboolean log_level_parse(const char *name, LogLevel *ret_level)
{
    for (guint i = 0; i < G_N_ELEMENTS(level_names); i++)
        if (g_strcmp0(name, level_names[i]) == 0) {
            *ret_level = (LogLevel) i;
            return TRUE;
        }
    return FALSE;
}

void log_request_set(const char *id)
{
    g_strlcpy(request_id, id ? id : "", sizeof request_id);
}

const char *log_request_get(void)
{
    return request_id[0] ? request_id : NULL;
}
