-- One row for each server, since this schema replicates: which daemon acts for it, as of which
-- epoch. An empty nonce: nobody does.
CREATE TABLE IF NOT EXISTS `_vt`.`lease` (
  `server` varchar(160) NOT NULL,
  `epoch` bigint unsigned NOT NULL,
  `nonce` varchar(64) NOT NULL,
  `renewals` bigint unsigned NOT NULL,
  `expires_at` datetime(6) NOT NULL,
  `tablet` varchar(128) NOT NULL,
  `host` varchar(255) NOT NULL,
  `boot_id` varchar(64) NOT NULL,
  `pid_namespace` bigint unsigned NOT NULL,
  `pid` bigint unsigned NOT NULL,
  `start_ticks` bigint unsigned NOT NULL,
  `address` varchar(255) NOT NULL,
  PRIMARY KEY (`server`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
