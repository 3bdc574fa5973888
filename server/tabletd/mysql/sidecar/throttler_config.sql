-- At most one row, id 1: the throttler's settings of the shard. A threshold of 0 is not set;
-- app_checked_metrics is a JSON object of lists, metric_thresholds one of numbers without the lag's,
-- which has a column; version grows with each change of settings or rules.
CREATE TABLE IF NOT EXISTS `_vt`.`throttler_config` (
  `id` tinyint unsigned NOT NULL,
  `enabled` tinyint unsigned NOT NULL DEFAULT 1,
  `threshold` double NOT NULL DEFAULT 0,
  `lag_threshold` double NOT NULL DEFAULT 0,
  `app_checked_metrics` text NOT NULL,
  `metric_thresholds` varchar(1024) NOT NULL DEFAULT '',
  `custom_query` varchar(2048) NOT NULL DEFAULT '',
  `version` bigint unsigned NOT NULL DEFAULT 0,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
