"""Two shards and Vitess's client; a package so that its daemons end before other tests begin."""
