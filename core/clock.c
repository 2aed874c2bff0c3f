/* core/clock.c -- wall and monotonic time. */
#include "core/clock.h"
#include <stdbool.h>
#include <string.h>
#include <time.h>

/* The wall clock may be set back under us; tokens must not come back to life and lists must keep their order. */
gint64 clock_wall_us(void)
{
    static gint64 high;                          /* atomic high-water mark */
    gint64 now = g_get_real_time(), seen = __atomic_load_n(&high, __ATOMIC_RELAXED);
    while (now > seen)
        if (__atomic_compare_exchange_n(&high, &seen, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return now;
    return seen;
}

gint64 clock_mono_us(void)
{
    return g_get_monotonic_time();
}

void clock_format(gint64 us, ClockStyle style, char buf[32])
{
    time_t s = (time_t) (us / G_USEC_PER_SEC);
    struct tm tm;
    gmtime_r(&s, &tm);
    size_t n = strftime(buf, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    if (style == CLOCK_SECONDS_Z)
        g_strlcpy(buf + n, "Z", 32 - n);
    else
        g_snprintf(buf + n, (gulong) (32 - n), ".%06d%s", (int) (us % G_USEC_PER_SEC), style == CLOCK_MICROS_Z ? "Z" : "");
}

gboolean clock_parse(const char *text, gint64 *ret_us)
{
    if (!text || strlen(text) > 40)
        return FALSE;
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) t = g_date_time_new_from_iso8601(text, utc);
    if (!t)
        return FALSE;
    *ret_us = g_date_time_to_unix(t) * G_USEC_PER_SEC + g_date_time_get_microsecond(t);
    return TRUE;
}
