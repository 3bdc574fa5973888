"""The durable queue of online schema migrations and the engines that carry them out."""
