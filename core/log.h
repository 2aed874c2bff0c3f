/* core/log.h -- logfmt: one line an event on standard error, tagged with the request id of the thread. */
#pragma once
#include <glib.h>

typedef enum { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG } LogLevel;

/* Key and value strings in turn, ended by NULL.  Values are escaped and cut at 1 KiB; a NULL value is printed as "-".
 * Never pass a secret.  Example: log_info("server.created", "id", id, "host", host, NULL); */
void log_event(LogLevel level, const char *event, ...) G_GNUC_NULL_TERMINATED;
#define log_error(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* An integer as a log value, alive until the end of the enclosing block. */
#define LOG_INT(n) log_int((char[24]){ 0 }, (n))
const char *log_int(char buf[24], gint64 n);

void log_level_set(LogLevel level);
/* "error", "warn", "info", "debug"; false: unknown name, nothing changed. */
gboolean log_level_parse(const char *name, LogLevel *ret_level);

/* The id that this thread's lines carry ("req-<uuid>"); NULL clears it.  Copied.  The agent gets it with each verb. */
void log_request_set(const char *request_id);
const char *log_request_get(void);
