package tap

import (
	"fmt"
	"strconv"
	"strings"

	"holdfast/journal/stream"
)

// MarkKey is the key by which a server proves the offset up to which it is whole.
//
// Its value is pairs of a replication id and an offset, newest first:
//
//	9f86d081…0f00a08 48213 60303ae2…d752 7741
//
// A server that holds it has executed everything of the first history below the first offset, for
// the write of the key stands behind that in the stream. The pairs that follow are the last marks
// of the histories before: a server whose append-only file was loaded has a new history, and the
// first proxy to write its mark must leave the evidence of the old one to the second.
const MarkKey = stream.MarkKey

// maxMarks bounds the pairs of a mark.
const maxMarks = 4

// markPair is one pair.
type markPair struct {
	replID string
	offset int64
}

// String formats the pair as in a mark.
func (m markPair) String() string { return fmt.Sprintf("%s %d", m.replID, m.offset) }

// parseMark parses a value; it is nil for any other value.
func parseMark(value string) []markPair {
	words := strings.Fields(value)
	if len(words)%2 != 0 {
		return nil
	}
	var out []markPair
	for i := 0; i < len(words); i += 2 {
		n, err := strconv.ParseInt(words[i+1], 10, 64)
		if err != nil || n < 0 || len(words[i]) != replIDLen {
			return nil
		}
		out = append(out, markPair{words[i], n})
	}
	return out
}

// nextMark is the value for a position, after the present value.
func nextMark(now markPair, before string) string {
	marks := []markPair{now}
	for _, m := range parseMark(before) {
		if m.replID != now.replID && len(marks) < maxMarks {
			marks = append(marks, m)
		}
	}
	words := make([]string, len(marks))
	for i, m := range marks {
		words[i] = m.String()
	}
	return strings.Join(words, " ")
}
