package trash

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"holdfast/proxy/resp"
)

// Reserved databases do not exist for clients. A command that names one is sent with a number that
// no server has, so that the server itself refuses it, in its own words and in its own order of
// checks, in a transaction, too.

// hiddenSuffix turns the number of a reserved database into one that no server has.
const hiddenSuffix = "00000"

// Mask returns the arguments of a command that names reserved databases with other numbers in their
// place; nil: it names none. It changes nothing in args.
func (t *Plan) Mask(name string, args [][]byte) (masked [][]byte) {
	if t.Hidden == nil {
		return nil
	}
	for _, i := range databaseArgs(name, args) {
		db, err := strconv.Atoi(string(args[i]))
		if err != nil || !t.Hides(db) {
			continue
		}
		if masked == nil {
			masked = slices.Clone(args)
			for k := range masked {
				masked[k] = bytes.Clone(masked[k])
			}
		}
		// With more digits a number is still a number, and an invalid one ("09") is still invalid.
		masked[i] = append(masked[i], hiddenSuffix...)
	}
	return masked
}

// databaseArgs returns the indexes of the arguments that are database numbers.
func databaseArgs(name string, args [][]byte) []int {
	switch {
	case name == "select" && len(args) == 2:
		return []int{1}
	case name == "swapdb" && len(args) == 3:
		return []int{1, 2}
	case name == "move" && len(args) == 3:
		return []int{2}
	case name == "copy":
		return copyDatabases(args)
	}
	return nil
}

// copyDatabases are those of COPY source destination [DB n] [REPLACE].
func copyDatabases(args [][]byte) []int {
	var at []int
	for i := 3; i+1 < len(args); i++ {
		if resp.EqualFold(args[i], "db") {
			at = append(at, i+1)
			i++
		}
	}
	return at
}

// OutOfRange adds the reason to the server's error for the SELECT of a number that Mask has replaced.
func (t *Plan) OutOfRange(args [][]byte, reply []byte) []byte {
	const words = "-ERR DB index is out of range"
	if len(args) != 2 || strings.TrimRight(string(reply), "\r\n") != words {
		return reply
	}
	number, ok := strings.CutSuffix(string(args[1]), hiddenSuffix)
	if !ok || !slices.ContainsFunc(t.Hidden, func(db int) bool { return fmt.Sprint(db) == number }) {
		return reply
	}
	return fmt.Appendf(nil, "%s: the proxy reserves database %s for %s\r\n", words, number, t.purpose())
}

// HideKeyspace removes the lines of reserved databases from an INFO text.
func (t *Plan) HideKeyspace(text []byte) []byte {
	if t.Hidden == nil || !bytes.Contains(text, []byte("\ndb")) {
		return text
	}
	out := make([]byte, 0, len(text))
	for line := range bytes.Lines(text) {
		if !t.Hides(keyspaceLine(line)) {
			out = append(out, line...)
		}
	}
	return out
}

// keyspaceLine is the database of a line such as "db9:keys=1,expires=0", or, since Redis 8.0,
// "db9_distrib_strings_sizes:1=5"; -1 for other lines.
func keyspaceLine(line []byte) int {
	digits, ok := bytes.CutPrefix(line, []byte("db"))
	end := bytes.IndexAny(digits, ":_")
	if !ok || end < 0 {
		return -1
	}
	db, err := strconv.Atoi(string(digits[:end]))
	if err != nil {
		return -1
	}
	return db
}
