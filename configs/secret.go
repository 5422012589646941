package configs

import (
	"fmt"
	"log/slog"
)

// Secret is a text that every way of printing replaces: fmt with any verb, slog, YAML and JSON. The
// text itself is string(s).
type Secret string

const redacted = "(redacted)"

// String is "(redacted)", or empty if the secret is.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format prints String for every verb, so that %q, %x or %#v of a Config leak nothing.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue is what slog prints.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is what JSON and other encoders print.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML is the value in the printed configuration.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }
