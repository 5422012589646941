package replay

import (
	"fmt"
	"strconv"
	"strings"

	"holdfast/journal/rdb"
)

// release is a server's kind and version.
type release struct {
	valkey              bool
	major, minor, patch int
	text                string
}

func releaseOf(info map[string]string) release {
	if v := info["valkey_version"]; v != "" {
		return parseRelease(true, v)
	}
	return parseRelease(false, info["redis_version"])
}

func parseRelease(valkey bool, text string) release {
	r := release{valkey: valkey, text: text}
	parts := strings.SplitN(text, ".", 3)
	if len(parts) > 2 {
		r.patch, _ = strconv.Atoi(parts[2])
	}
	if len(parts) > 1 {
		r.major, _ = strconv.Atoi(parts[0]) // 0, the oldest, if it is no number
		r.minor, _ = strconv.Atoi(parts[1])
	}
	return r
}

func (r release) String() string {
	if r.valkey {
		return "Valkey " + r.text
	}
	return "Redis " + r.text
}

func (r release) atLeast(major, minor int) bool {
	return r.major > major || r.major == major && r.minor >= minor
}

// sinceWriter reports whether a server is the one that wrote a snapshot or a newer one of its kind.
func (r release) sinceWriter(h *rdb.Header) bool {
	writer := parseRelease(h.Valkey, h.Server)
	return h.Server != "" && writer.valkey == r.valkey && (r.atLeast(writer.major, writer.minor+1) ||
		r.major == writer.major && r.minor == writer.minor && r.patch >= writer.patch)
}

// The formats of snapshots, and the servers that load them (RDB_VERSION in the servers' rdb.h).
const (
	formatRedis70  = 10 // every server of this list
	formatShared   = 11 // Redis 7.2, every Valkey
	formatRedis74  = 12 // Redis 7.4 and 8, no Valkey
	formatOfValkey = 80 // Valkey 9, no Redis
)

// loads reports whether a server can load a snapshot. The writer's own version and newer ones of
// its kind load it. A server that cannot has emptied itself by then or has put the snapshot in the
// place of its own file.
func (r release) loads(h *rdb.Header) bool {
	writer := parseRelease(h.Valkey, h.Server)
	if h.Server != "" && writer.valkey == r.valkey && r.atLeast(writer.major, writer.minor) {
		return true
	}
	switch {
	case h.Version <= formatRedis70:
		return true
	case h.Version == formatShared:
		return r.valkey || r.atLeast(7, 2)
	case h.Version == formatRedis74:
		return !r.valkey && r.atLeast(7, 4)
	case h.Version == formatOfValkey:
		return r.valkey && r.atLeast(9, 0)
	}
	return false
}

// describe words a snapshot's format.
func describe(h *rdb.Header) string {
	by := "a server that does not say which"
	if h.Server != "" {
		by = parseRelease(h.Valkey, h.Server).String()
	}
	return fmt.Sprintf("format %d, written by %s", h.Version, by)
}
