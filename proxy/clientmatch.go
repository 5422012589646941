package proxy

import (
	"bytes"
	"strconv"
	"strings"
)

// lineTest reports whether a line of CLIENT LIST passes one filter.
type lineTest func(line []byte) bool

// lineTests makes the test of each filter that takes one value. Each has a NOT- form as well.
var lineTests = map[string]func(value string) lineTest{
	"addr":     func(v string) lineTest { return fieldIs("addr", v) },
	"laddr":    func(v string) lineTest { return fieldIs("laddr", v) },
	"user":     func(v string) lineTest { return fieldIs("user", v) },
	"name":     func(v string) lineTest { return fieldIs("name", v) },
	"lib-name": func(v string) lineTest { return fieldIs("lib-name", v) },
	"lib-ver":  func(v string) lineTest { return fieldIs("lib-ver", v) },
	"db":       func(v string) lineTest { return numberTest("db", v, equal) },
	"maxage":   func(v string) lineTest { return numberTest("age", v, atLeast) },
	"idle":     func(v string) lineTest { return numberTest("idle", v, atLeast) },
	"type":     typeTest,
	"flags":    flagsTest,
	"capa":     capaTest,
	"ip":       ipTest,
}

// fieldIs compares a field. Like the server, it never matches an empty one.
func fieldIs(key, value string) lineTest {
	return func(line []byte) bool {
		have := field(line, key)
		return len(have) > 0 && string(have) == value
	}
}

func equal(have, want int64) bool   { return have == want }
func atLeast(have, want int64) bool { return have >= want }

func numberTest(key, value string, holds func(have, want int64) bool) lineTest {
	want, err := strconv.ParseInt(value, 10, 64)
	return func(line []byte) bool {
		have, bad := strconv.ParseInt(string(field(line, key)), 10, 64)
		return err == nil && bad == nil && holds(have, want)
	}
}

// typeTest is TYPE: the server's getClientType, derived from the flags. A client that runs MONITOR
// counts as an ordinary one.
func typeTest(value string) lineTest {
	want := strings.ToLower(value)
	switch want {
	case "slave":
		want = "replica"
	case "primary":
		want = "master"
	}
	return func(line []byte) bool {
		flags, is := field(line, "flags"), "normal"
		switch {
		case bytes.IndexByte(flags, 'M') >= 0:
			is = "master"
		case bytes.IndexByte(flags, 'S') >= 0:
			is = "replica"
		case bytes.IndexByte(flags, 'P') >= 0:
			is = "pubsub"
		}
		return is == want
	}
}

// flagsTest is FLAGS: all of them must be set. A client that runs MONITOR has the replica's flag as
// well, though its line shows only O.
func flagsTest(value string) lineTest {
	return func(line []byte) bool {
		flags := field(line, "flags")
		for i := range len(value) {
			if bytes.IndexByte(flags, value[i]) < 0 &&
				!(value[i] == 'S' && bytes.IndexByte(flags, 'O') >= 0) {
				return false
			}
		}
		return true
	}
}

func capaTest(value string) lineTest {
	return func(line []byte) bool {
		have := field(line, "capa")
		for i := range len(value) {
			if bytes.IndexByte(have, value[i]) < 0 {
				return false
			}
		}
		return true
	}
}

// ipTest is IP: the address without its port. A unix socket, whose port is 0, has none.
func ipTest(value string) lineTest {
	return func(line []byte) bool {
		rest, ok := bytes.CutPrefix(bytes.TrimPrefix(field(line, "addr"), []byte("[")), []byte(value))
		rest = bytes.TrimPrefix(rest, []byte("]"))
		return ok && len(rest) > 1 && rest[0] == ':' && rest[1] != '0'
	}
}
