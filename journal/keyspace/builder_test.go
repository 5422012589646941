package keyspace

import (
	"slices"
	"strings"
	"testing"
)

// TestLargeStringsNeverGrow: the first command gives the string its length, and no later one changes it.
func TestLargeStringsNeverGrow(t *testing.T) {
	t.Parallel()
	piece := strings.Repeat("x", pieceBytes)
	for _, c := range []struct {
		name  string
		parts []string
		want  [][]string
	}{
		{"large", []string{piece, piece, "tail"}, [][]string{{"SETRANGE", "k", decimal(2*pieceBytes + 3), "\x00"},
			{"SETRANGE", "k", "0", piece}, {"SETRANGE", "k", decimal(pieceBytes), piece},
			{"SETRANGE", "k", decimal(2 * pieceBytes), "tail"}}},
		{"one piece", []string{piece}, [][]string{{"SET", "k", piece}}},
		{"empty", []string{""}, [][]string{{"SET", "k", ""}}},
	} {
		var got [][]string
		b := newBuilder("string", "k", true, func(args ...string) error {
			got = append(got, args)
			return nil
		})
		b.length(int64(len(strings.Join(c.parts, ""))))
		for _, part := range c.parts {
			b.text(part)
		}
		b.end()
		if !slices.EqualFunc(got, c.want, slices.Equal) {
			t.Errorf("%s: %.200q, want %.200q", c.name, got, c.want)
		}
	}
}
