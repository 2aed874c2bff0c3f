/* identity/backoff.c -- failed logins by address: each has so many a minute, then it waits; no account is ever locked. */
#include "core/clock.h"
#include "core/conf.h"
#include "core/ip.h"
#include "identity/internal.h"
#include <string.h>

enum { ADDRESSES_MAX = 20000 };

/* A bucket of allowed failures, filled up again over a minute. */
typedef struct Bucket { double left; gint64 at_us; } Bucket;

/* The process's memory of failures; lost at restart, which is harmless. */
static GMutex lock;
static GHashTable *buckets;

/* One IPv6 customer has a whole /64. */
static char *bucket_key(const char *address)
{
    Ip ip;
    char text[46];
    if (!address || !ip_parse(address, &ip))
        return g_strdup("?");
    if (ip.version == 6)
        ip.n = ip.n >> 64 << 64;
    ip_format(ip, text);
    return g_strdup(text);
}

static void refill(Bucket *b, double max)
{
    gint64 now = clock_mono_us();
    b->left = MIN(max, b->left + (double) (now - b->at_us) * max / 60e6);
    b->at_us = now;
}

static gboolean is_full(gpointer key, gpointer value, gpointer data)
{
    (void) key;
    double max = *(double *) data;
    refill(value, max);
    return ((Bucket *) value)->left >= max;
}

bool backoff_check(const char *address, int *ret_wait_s)
{
    double max = (double) conf_int("identity.failed_logins");
    g_autofree char *key = bucket_key(address);
    g_mutex_lock(&lock);
    Bucket *b = buckets ? g_hash_table_lookup(buckets, key) : NULL;
    if (b)
        refill(b, max);
    bool ok = !b || b->left >= 1;
    if (!ok)
        *ret_wait_s = 1 + (int) ((1 - b->left) * 60 / max);
    g_mutex_unlock(&lock);
    return ok;
}

void backoff_failed(const char *address)
{
    double max = (double) conf_int("identity.failed_logins");
    char *key = bucket_key(address);
    g_mutex_lock(&lock);
    if (!buckets)
        buckets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (g_hash_table_size(buckets) >= ADDRESSES_MAX)
        g_hash_table_foreach_remove(buckets, is_full, &max);
    Bucket *b = g_hash_table_lookup(buckets, key);
    if (!b && g_hash_table_size(buckets) >= ADDRESSES_MAX)
        g_hash_table_remove_all(buckets);        /* an attack from everywhere: the queue of password.c holds it */
    if (!b) {
        b = g_new0(Bucket, 1);
        *b = (Bucket){ max, clock_mono_us() };
        g_hash_table_replace(buckets, g_steal_pointer(&key), b);
    }
    refill(b, max);
    b->left = MAX(0, b->left - 1);
    g_mutex_unlock(&lock);
    g_free(key);
}
