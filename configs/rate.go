package configs

import (
	"errors"
	"strings"
)

// Rate is bytes a second.
type Rate int64

var errNotRate = errors.New("expected a rate such as 20MiB/s")

// ParseRate reads a size as ParseBytes does, and "/s".
func ParseRate(text string) (Rate, error) {
	size, ok := strings.CutSuffix(text, "/s")
	if !ok {
		return 0, errNotRate
	}
	n, err := ParseBytes(strings.TrimRight(size, " "))
	if errors.Is(err, errNotSize) {
		err = errNotRate
	}
	return Rate(n), err
}

// String is the rate as ParseRate reads it.
func (r Rate) String() string { return Bytes(r).String() + "/s" }

// MarshalYAML prints the rate as String does.
func (r Rate) MarshalYAML() ([]byte, error) { return []byte(r.String()), nil }
