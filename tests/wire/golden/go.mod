// The module's root. What it needs is in go.<release>.mod, one for each release of Vitess.
module golden
