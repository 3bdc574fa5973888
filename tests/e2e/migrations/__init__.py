"""Whole migrations; a package so that its tests share daemons that other tests must not meet."""
