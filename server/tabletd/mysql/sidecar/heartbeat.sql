-- One row for each shard; ts is the writer's wall clock in nanoseconds since the Unix epoch.
-- Layout of Vitess, all versions: readers of other makes rely on these three columns.
CREATE TABLE IF NOT EXISTS `_vt`.`heartbeat` (
  `keyspaceShard` varbinary(256) NOT NULL,
  `tabletUid` int unsigned NOT NULL,
  `ts` bigint unsigned NOT NULL,
  PRIMARY KEY (`keyspaceShard`)
) ENGINE=InnoDB
