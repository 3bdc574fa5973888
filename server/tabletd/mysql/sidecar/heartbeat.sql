-- One row for each shard; ts is the writer's wall clock in nanoseconds since the Unix epoch.
-- The first three columns are the layout of Vitess, all versions: readers of other makes rely on them.
-- series names the run of the daemon that wrote the beat, seq is its number in it, and sentNs tells
-- when it was sent, by a clock of that run that never goes back. 0: another make's beat.
CREATE TABLE IF NOT EXISTS `_vt`.`heartbeat` (
  `keyspaceShard` varbinary(256) NOT NULL,
  `tabletUid` int unsigned NOT NULL,
  `ts` bigint unsigned NOT NULL,
  `series` bigint unsigned NOT NULL DEFAULT 0,
  `seq` bigint unsigned NOT NULL DEFAULT 0,
  `sentNs` bigint unsigned NOT NULL DEFAULT 0,
  PRIMARY KEY (`keyspaceShard`)
) ENGINE=InnoDB
