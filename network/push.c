/* network/push.c -- bringing one network, security group or port on one host to what the rows say; asked as often as anybody likes. */
#include "core/id.h"
#include "network/push.h"
#include <string.h>

enum { STRIPES = 64, CALL_S = 60 };

/* Rows are read and sent under a lock of the resource: of two that push the same thing, the later one to arrive has read the later rows.
 * Never two at a time in one thread. */
static GMutex stripes[STRIPES];

static GMutex *stripe(const char *host, const char *id)
{
    return &stripes[(g_str_hash(id) ^ g_str_hash(host)) % STRIPES];
}

typedef json_t *Load(Db *db, const char *id, GError **err);

static bool call(const char *host, const char *verb, json_t *args, GError **err)
{
    g_autoptr(json_t) answer = agent_call(host, verb, args, CALL_S, err);
    return answer != NULL;
}

bool push_absent(const char *host, const char *verb, const char *id, GError **err)
{
    g_autoptr(GMutexLocker) lock = g_mutex_locker_new(stripe(host, id));
    (void) lock;
    return call(host, verb, json_make("s", "id", id), err);
}

/* A row that is gone has its own operation, or is a stray for the next comparison. */
static bool push(Db *db, const char *host, const char *verb, const char *id, Load *load, GError **err)
{
    g_autoptr(GMutexLocker) lock = g_mutex_locker_new(stripe(host, id));
    g_autoptr(GError) why = NULL;
    json_t *args = load(db, id, &why);
    (void) lock;
    if (!args && nv_error_code(why) == NV_ERR_NOT_FOUND)
        return true;
    if (!args) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    return call(host, verb, args, err);
}

bool push_network(Db *db, const char *host, const char *id, GError **err)
{
    return push(db, host, "network.ensure", id, desired_network_load, err);
}

bool push_group(Db *db, const char *host, const char *id, GError **err)
{
    return push(db, host, "group.ensure", id, desired_group_load, err);
}

/* Only while it belongs on a host: its removal may have been decided since the caller looked. */
static json_t *plugged_port_load(Db *db, const char *id, GError **err)
{
    g_autofree char *host = NULL;
    if (!db_query_str(db, err, &host, "port_host", "s", id))
        return NULL;
    return host ? desired_port_load(db, id, err) : (nv_fail(err, NV_ERR_NOT_FOUND, "port %s is not plugged", id), NULL);
}

bool push_port(Db *db, const char *host, const char *id, GError **err)
{
    return push(db, host, "port.ensure", id, plugged_port_load, err);
}

bool push_each(Db *db, const char *host, const json_t *rows, Push *one, GError **err)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *) rows, i, row)
        if (!one(db, host, json_get_str(row, "id"), err))
            return false;
    return true;
}
