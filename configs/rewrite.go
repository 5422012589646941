package configs

import (
	"bytes"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// WithUpstream returns the text of a configuration file with another upstream.address, and every
// other byte unchanged: comments, order, quotes. name is the file's name in errors, which are
// [Errors]; they give the line to edit by hand. The result is read back and compared before it is
// returned.
func WithUpstream(name string, text []byte, address string) ([]byte, error) {
	const path = "upstream.address"
	before, err := Parse(name, text)
	if err != nil {
		return nil, err
	}
	if len(before.Upstream.Sentinels) > 0 {
		return nil, Errors{before.At("upstream.sentinels", fmt.Sprintf("name the server: write address: %q in "+
			"their place, and the sentinels again once they watch that server", address))}
	}
	at, ok := before.origin.at[path]
	if !ok {
		return nil, Errors{before.At("upstream", fmt.Sprintf("has no address of its own (%s is the default): "+
			"write address: %q into it", before.Upstream.Address, address))}
	}
	was := before.Upstream.Address
	switch {
	case len(was) > 1:
		return nil, Errors{before.At(path, fmt.Sprintf("is a list: write address: %q in its place, and the list again "+
			"once the other candidates follow that server", address))}
	case was.One() == address:
		return text, nil
	}
	refused := func(why string) error {
		return Errors{before.At(path, fmt.Sprintf("%s: write address: %q there by hand", why, address))}
	}
	from, to, ok := scalarAt(text, at, was.One())
	if !ok {
		return nil, refused("is written in a form that is not replaced")
	}
	out := bytes.Join([][]byte{text[:from], []byte(`"` + address + `"`), text[to:]}, nil)
	after, err := Parse(name, out)
	if err != nil {
		return nil, err
	}
	if !differsInUpstreamOnly(before, after, address) {
		return nil, refused("cannot be replaced without another change")
	}
	return out, nil
}

// differsInUpstreamOnly compares two configurations, without the places of their values.
func differsInUpstreamOnly(before, after *Config, address string) bool {
	a, b := *before, *after
	a.origin, b.origin = origin{}, origin{}
	a.Upstream.Address = Addresses{address}
	return reflect.DeepEqual(a, b)
}

// scalarAt finds the bytes of a value of one line that begins at a position: plain, or in quotes.
func scalarAt(text []byte, at position, value string) (from, to int, ok bool) {
	if at.line < 1 || at.column < 1 {
		return 0, 0, false
	}
	from = len(text) - len(bytes.TrimPrefix(text, byteOrderMark))
	for range at.line - 1 {
		n := bytes.IndexByte(text[from:], '\n')
		if n < 0 {
			return 0, 0, false
		}
		from += n + 1
	}
	line, _, _ := bytes.Cut(text[from:], []byte("\n"))
	for skip := at.column - 1; skip > 0; skip-- {
		_, size := utf8.DecodeRune(line)
		line, from = line[size:], from+size
	}
	for _, form := range []string{value, `"` + value + `"`, "'" + value + "'"} {
		if bytes.HasPrefix(line, []byte(form)) {
			return from, from + len(form), true
		}
	}
	return 0, 0, false
}
