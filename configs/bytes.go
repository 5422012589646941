package configs

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size in bytes.
type Bytes int64

// The units of sizes.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

// units in the order in which String tries them.
var units = []struct {
	size  Bytes
	names []string // lower case; the first as String prints it but for case
	print string
}{
	{TiB, []string{"tib", "tb"}, "TiB"},
	{GiB, []string{"gib", "gb"}, "GiB"},
	{MiB, []string{"mib", "mb"}, "MiB"},
	{KiB, []string{"kib", "kb"}, "KiB"},
	{1, []string{"b", ""}, ""},
}

var (
	errNotSize  = errors.New("expected a size such as 64MiB, 512kb or a number of bytes")
	errBareUnit = errors.New("a bare k, m, g or t is ambiguous: write kb or KiB, mb or MiB …")
	errTooLarge = errors.New("too large")
)

// ParseBytes reads a size: digits and one of b, kb, KiB, mb, MiB, gb, GiB, tb, TiB in any case,
// always by 1024, as redis.conf counts kb and mb. A bare k, m, g or t is an error: redis.conf
// counts those by 1000 and nginx by 1024. Fractions and signs are errors.
func ParseBytes(text string) (Bytes, error) {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, errNotSize
	}
	unit := strings.ToLower(strings.TrimLeft(text[len(digits):], " "))
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, errTooLarge
	}
	switch unit {
	case "k", "m", "g", "t":
		return 0, errBareUnit
	}
	for _, u := range units {
		for _, name := range u.names {
			if unit != name {
				continue
			}
			if n > math.MaxInt64/int64(u.size) {
				return 0, errTooLarge
			}
			return Bytes(n) * u.size, nil
		}
	}
	return 0, errNotSize
}

// String is the size in the largest unit that divides it: "64MiB", "1000".
func (b Bytes) String() string {
	for _, u := range units {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.print
		}
	}
	return "0"
}

// MarshalYAML prints the size as String does.
func (b Bytes) MarshalYAML() ([]byte, error) { return []byte(b.String()), nil }
