"""The MySQL or MariaDB server beside us: connections, dialects, replication, our own tables."""
