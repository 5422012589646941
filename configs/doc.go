// Package configs is the configuration file: its structure, its defaults, its strict reading and
// its validation, together with the sample files, the systemd unit, the alert rules and the
// dashboard.
//
// It owns the YAML and nothing behind it: package policy decides whether a command in a rule
// exists, package upstream whether an address answers. Only cmd/proxy and tests import it.
//
// # Strictness
//
// A mistyped key must not give a false sense of protection. So every setting that this version does
// not implement is an error: unknown keys, keys of features that do not exist yet, values of the
// wrong type, the same key twice, a second document. Anchors, aliases, merge keys and tags are
// refused too: in a file that a person checks by eye, each value should be visible in its place.
// Every error carries its line and column, and all of them are reported at once.
//
// # Values
//
// Durations are Go's with days in front (500ms, 10s, 24h, 7d, 1d12h). Sizes are bytes, or a number
// with kb, KiB, MiB, GiB and so on, always by 1024 as in redis.conf; a bare k, m or g is refused,
// since redis.conf and nginx disagree about it. Addresses are host:port, [v6]:port or unix:/path.
//
// # Absent keys
//
// An absent key has its default, which [Default] and holdfast.yaml show. Two absences have a
// meaning of their own. Without the key rules, the built-in write safety applies (rules: [] lifts
// it). Without a password or password_file below upstream, the environment variable
// HOLDFAST_UPSTREAM_PASSWORD counts, as REDISCLI_AUTH does for redis-cli: the file wins over the
// environment.
//
// # Concurrency
//
// A Config is a plain value. Nothing here keeps state, so files may be read from any goroutine; a
// Config that is shared must not be changed.
package configs
