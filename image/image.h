/* image/image.h -- images: metadata, bytes, what the inspector found. */
#pragma once
#include "core/call.h"
#include "db/db.h"
#include "ops/agent.h"

extern const Route image_routes[];
/* Removes from a host the cached copies of images that are gone and that no disk there is an overlay of. */
AgentSync image_sync;

typedef struct Image {
    Row row;
    char *id, *project_id, *name, *status, *visibility, *disk_format, *container_format, *checksum, *os_hash_algo, *os_hash_value;
    gint64 size, virtual_size, min_disk, min_ram, created_at, updated_at;
    bool protected_, os_hidden;
    json_t *tags, *properties;           /* array of strings; object of strings */
    /* Not known yet: name, disk_format and container_format are "", size and virtual_size -1. */
} Image;
extern const Resource image_resource;

/* The image if ctx may see it, else NV_ERR_NOT_FOUND. */
Image *image_get_for(Db *db, const Ctx *ctx, const char *id, GError **err);
/* Removes what an interrupted upload left (.part files, rows in "saving"); called at start. */
bool image_recover(Db *db, GError **err);
/* Hidden subcommand `nuvolet inspect FORMAT`, run as an rlimited child with the file as standard input: prints JSON
 * {"format", "virtual_size"} or {"refused": one sentence}, and exits 0; any other end means that the bytes broke it. */
int image_inspect_main(const char *format);
