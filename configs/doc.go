// Package configs is the configuration file: its structure, its defaults, its strict reading and
// its validation, with the sample files, the systemd unit, the alert rules and the dashboard that
// ship beside it.
//
// It owns the YAML and nothing behind it: whether a command that a rule names exists is decided by
// package policy, whether an address answers by package upstream. Only cmd/proxy and tests import
// it.
//
// # Strictness
//
// Someone who mistypes a key must not believe himself protected, so whatever the file says and this
// version does not do is an error: unknown keys, keys of features that do not exist yet, values of
// the wrong type, the same key twice, a second document. Anchors, aliases, merge keys and tags are
// refused too: a file that a person checks by eye should say what it means where it stands. Every
// error carries its line and column, and all of them are reported at once.
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
// HOLDFAST_UPSTREAM_PASSWORD counts, as REDISCLI_AUTH does for redis-cli: what is written in the
// file wins over the environment.
//
// # Concurrency
//
// A Config is a plain value. Nothing here keeps state, so files may be read from any goroutine; a
// Config that is shared must not be changed.
package configs
