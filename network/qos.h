/* network/qos.h -- QoS policies and rules, for the files of network/ that let networks and ports use them. */
#pragma once
#include "network/internal.h"

/* What a caller may give as qos_policy_id: wanted is seen by ctx (NV_ERR_NOT_FOUND), and had, the one it takes the place of, too (NV_ERR_FORBIDDEN).
 * Either may be NULL. */
bool qos_check(Db *db, const Ctx *ctx, const char *wanted, const char *had, GError **err);
/* The project's default policy → *ret_id, caller frees; NULL: it has none. */
bool qos_default(Db *db, const char *project_id, char **ret_id, GError **err);
/* Array of the policies' rules as Neutron shows them, with their type; {"policy": [...]} for each of ids (JSON array). */
json_t *qos_rules_of(Db *db, const json_t *ids, GError **err);
/* "qos" of port.ensure: pure; rows of the statement qos_of_port.  NULL: nothing is limited. */
json_t *desired_qos(const json_t *rows);
json_t *desired_qos_load(Db *db, const char *port_id, GError **err);
/* After a change of a policy, network, port or server: what it promises to ports, their networks can keep, and their hosts have (NV_ERR_CONFLICT). */
bool qos_kept(Db *db, const char *id, GError **err);
/* Carries a change of a policy or of a network's policy to the ports that it is in force for. */
bool sync_qos(Db *db, const Ctx *ctx, const char *policy_or_network_id, GError **err);

/* A project's policies, which nobody uses, go with it. */
bool qos_project_gone(Db *db, const char *project_id, GError **err);

/* PUT: what is wrong in itself is told before it is known whether the policy is there, as Neutron does. */
Handler qos_policy_update;
Handler qos_rule_list, qos_rule_create, qos_rule_one, qos_alias_one, qos_types_list, qos_type_show;
