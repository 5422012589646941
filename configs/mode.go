package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// FileMode is the permission bits of a unix socket, written in octal.
type FileMode fs.FileMode

var errNotMode = errors.New(`expected permission bits in octal, such as "0770"`)

// parseMode reads permission bits in octal whatever their prefix: 770, 0770 and 0o770 are the same.
// It bypasses YAML's numbers, in which 770 is decimal.
func parseMode(text string) (FileMode, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	if err != nil || n > 0o777 {
		return 0, errNotMode
	}
	return FileMode(n), nil
}

// String is the mode in octal: "0770".
func (m FileMode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// MarshalYAML prints the mode as quoted octal.
func (m FileMode) MarshalYAML() ([]byte, error) { return []byte(`"` + m.String() + `"`), nil }
