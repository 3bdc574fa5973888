-- One row for each app that is throttled or exempt, on the shard's primary; expires_at is UTC by
-- the server's clock. A DATETIME, since a rule for ever ends after 2038.
CREATE TABLE IF NOT EXISTS `_vt`.`throttled_apps` (
  `name` varbinary(256) NOT NULL,
  `ratio` double NOT NULL DEFAULT 1,
  `expires_at` datetime(6) NOT NULL,
  `exempt` tinyint unsigned NOT NULL DEFAULT 0,
  PRIMARY KEY (`name`)
) ENGINE=InnoDB
