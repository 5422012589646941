package resp

// Dialect is the set of a server's deviations from Redis in reading commands that are not plain
// RESP. It decides which command the client sent and which frames are refused. Forwarded frames are
// strict RESP in every dialect. 0 is Redis, in every version from 7.0 to 8.0, and Valkey up to 8.0.
type Dialect uint8

const (
	// NULInLines: a line of a multibulk command may hold a NUL. Other servers never find the end of
	// such a line, and wait.
	NULInLines Dialect = 1 << iota
	// LosesFF: an inline command loses its 0xff bytes, except those written as \xff.
	LosesFF
	// GluedQuotes: in an inline command quotes may begin and end anywhere in a word, as in a shell.
	// Others refuse a closing quote that no blank follows.
	GluedQuotes
	// LastBackslash: in an inline command a backslash before the last byte escapes nothing, so a
	// quote there closes.
	LastBackslash
	// StrictCRLF: the server refuses any other byte in place of a CR or LF. Other servers skip two
	// bytes unread.
	StrictCRLF
)

// DialectOf returns the dialect of a server, "redis" or "valkey". The version is major·10000 +
// minor·100 + patch.
func DialectOf(server string, version int) (d Dialect) {
	if server != "valkey" {
		return 0
	}
	if version >= 8_01_00 {
		d |= NULInLines
	}
	if version >= 9_00_00 {
		d |= GluedQuotes
	}
	if version >= 9_01_00 {
		d |= StrictCRLF
	}
	// These two look like bugs of the server, so do not expect them of untested versions.
	if version >= 8_01_00 && version < 9_02_00 {
		d |= LosesFF
	}
	if version >= 9_01_00 && version < 9_02_00 {
		d |= LastBackslash
	}
	return d
}

// changes reports whether c makes a word differ from its bytes in the line.
func (d Dialect) changes(c byte) bool {
	return c == '"' || c == '\'' || c == 0xff && d&LosesFF != 0
}
