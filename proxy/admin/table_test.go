package admin

import (
	"testing"
	"time"
)

func TestCells(t *testing.T) {
	for _, row := range []struct {
		in   any
		want string
	}{
		{"", "-"},
		{"a b", "a b"},
		{"a\x1b[2J\r\n\x00\xffé", "a?[2J???" + "?é"},
		{ref(0), "-"},
		{ref(9), "9"},
		{7, "7"},
		{byteSize(0), "0B"},
		{byteSize(10239), "10239B"},
		{byteSize(10240), "10.0KiB"},
		{byteSize(1023 << 10), "1.00MiB"},
		{byteSize(999 << 10), "999KiB"},
		{byteSize(3 << 40), "3.00TiB"},
		{byteSize(1<<64 - 1), "16.0EiB"},
		{time.Duration(-5), "0s"},
		{time.Duration(0), "0s"},
		{time.Duration(999), "999ns"},
		{time.Duration(1234567), "1.23ms"},
		{999999 * time.Microsecond, "999ms"},
		{59*time.Second + 987*time.Millisecond, "59.9s"},
		{61 * time.Second, "1m01s"},
		{47*time.Hour + 59*time.Minute, "47h59m"},
		{50 * time.Hour, "2d02h"},
	} {
		if got := cell(row.in); got != row.want {
			t.Errorf("%v: got %q, want %q", row.in, got, row.want)
		}
	}
}

func TestMatches(t *testing.T) {
	s := &Session{ID: 27, Addr: "10.0.0.5:50001", User: "Bob", Name: "web-1", LastCommand: "get"}
	for pattern, want := range map[string]bool{
		"": true, "27": true, "2": false, "2?": true, "bob": true, "BO": true, "10.0.0.5": true,
		"10.0.0.5*": true, "10.0.0.5?": false, "web-?": true, "*": true,
		"**": true, "?": false, "w*b*1": true, "get": true, "nobody": false, "*z*": false,
		"b?b": true, "[a-z]*": false,
	} {
		if got := s.Matches(pattern); got != want {
			t.Errorf("Matches(%q) = %v, want %v", pattern, got, want)
		}
	}
}

// A pattern made to go back for ever must not: the work is bounded by the product of lengths.
func TestGlobIsNotExponential(t *testing.T) {
	text, pattern := "", ""
	for range 2000 {
		text += "a"
		pattern += "a*"
	}
	if glob(pattern+"b", text) {
		t.Error("matched")
	}
}
