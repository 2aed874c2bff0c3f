/* image/metadef.h -- the catalog of metadata definitions: namespaces with objects, properties, tags and resource types. */
#pragma once
#include "core/call.h"
#include "db/db.h"

/* One attribute that clients may give; type: jansson's.  text: longest string. */
typedef struct MetaField { const char *name; json_type type; bool required; int text; } MetaField;
/* What a namespace holds. */
typedef struct MetaKind {
    const char *many, *one;              /* "objects" (path, column kind, member of a list), "object" (schema) */
    const char *member;                  /* of a namespace's body: "resource_type_associations" */
    const MetaField *fields;             /* besides name; ended by name NULL */
    bool by_name;                        /* a list is an object by name (properties) */
    bool links;                          /* rendered with self and schema (objects) */
} MetaKind;
extern const MetaKind metadef_kinds[];   /* ended by many NULL */
extern const MetaField metadef_namespace_fields[];

/* Checks a body against fields and a name of ≤ 80 characters under name_key; ret_rest: the body without the name and what is read-only. */
bool metadef_check(const json_t *body, const char *name_key, const MetaField *fields, json_t **ret_rest, GError **err);
/* All items of a kind (name NULL) as their list's value, or one as its object. */
json_t *metadef_items(Db *db, const char *namespace, const MetaKind *kind, GError **err);
bool metadef_item_add(Db *db, const char *namespace, const MetaKind *kind, const json_t *body, GError **err);

Handler metadef_namespaces_list, metadef_namespace_create, metadef_namespace_show, metadef_namespace_update, metadef_namespace_delete;
Handler metadef_items_list, metadef_items_delete, metadef_item_create, metadef_item_show, metadef_item_update, metadef_item_delete;
Handler metadef_tags_replace, metadef_tag_create, metadef_resource_types, schema_metadef;
/* The namespace of the path's first {…} as the caller sees it; write: as he may change it. */
json_t *metadef_namespace_of_call(Call *c, GError **err);
void metadef_times(json_t *object, const json_t *row);
