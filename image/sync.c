/* image/sync.c -- copies of images on the hosts: those that nobody will need again go. */
#include "image/image.h"
#include "core/log.h"

enum { CALL_S = 20 };

/* Copies on host whose image was deleted and that no server was made from.  Were one needed after all, the agent refuses: an overlay
 * holds it. */
static json_t *unused(Db *db, const char *host, GError **err)
{
    g_autoptr(json_t) disks = agent_call(host, "disk.list", NULL, CALL_S, err);
    const json_t *bases = json_object_get(disks, "bases");
    g_autofree char *text = bases ? json_text(bases) : NULL;
    return disks ? db_query(db, err, "image_bases_unused", "s", text ? text : "[]") : NULL;
}

bool image_sync(Db *db, const char *host)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(json_t) rows = unused(db, host, &err);
    bool whole = rows != NULL;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        const char *id = json_get_str(row, "id");
        g_autoptr(GError) why = NULL;
        g_autoptr(json_t) done = agent_call(host, "base.absent", json_make("s", "image_id", id), CALL_S, &why);
        whole = whole && (done || nv_error_code(why) == NV_ERR_CONFLICT);
        if (done)
            log_info("base.removed", "image", id, "host", host, NULL);
        else if (nv_error_code(why) != NV_ERR_CONFLICT)
            log_warn("base.not_removed", "image", id, "host", host, "why", why->message, NULL);
    }
    if (err)
        log_warn("image.sync_failed", "host", host, "why", err->message, NULL);
    return whole;
}
