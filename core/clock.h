/* core/clock.h -- time: wall clock for display and expiry, monotonic for deadlines, both in microseconds. */
#pragma once
#include <glib.h>

/* Microseconds since the epoch.  Never goes back within a process (a high-water mark). */
gint64 clock_wall_us(void);
/* Microseconds of CLOCK_MONOTONIC. */
gint64 clock_mono_us(void);
/* "2026-01-31T12:00:00Z"; with micros "2026-01-31T12:00:00.000000Z"; without zone (zone=false) the "Z" is left out. */
typedef enum { CLOCK_SECONDS_Z, CLOCK_MICROS_Z, CLOCK_MICROS } ClockStyle;
void clock_format(gint64 us, ClockStyle style, char buf[32]);
/* ISO 8601 with optional fraction and zone → microseconds; false on anything else. */
gboolean clock_parse(const char *text, gint64 *ret_us);
