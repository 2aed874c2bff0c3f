-- 012-rule.sql: security group rules of before, spelled as those made from now on are: they are filtered by and compared so.
UPDATE security_group_rule SET remote_ip_prefix = cidr_spelled(remote_ip_prefix) WHERE remote_ip_prefix IS NOT NULL;
UPDATE security_group_rule SET protocol = CASE protocol WHEN '1' THEN '58' ELSE 'ipv6-icmp' END
    WHERE ethertype = 'IPv6' AND protocol IN ('1', 'icmp', 'icmpv6');
UPDATE security_group_rule SET port_range_min = NULL, port_range_max = NULL WHERE port_range_min = 1 AND port_range_max = 65535;
