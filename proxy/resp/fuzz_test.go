package resp

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// cut splits p into two pieces at a place that at chooses.
func cut(p []byte, at uint16) [][]byte {
	i := int(at) % (len(p) + 1)
	return [][]byte{p[:i], p[i:]}
}

// dialects are those that servers have.
var dialects = []Dialect{0, DialectOf("valkey", 80101), DialectOf("valkey", 90000),
	DialectOf("valkey", 90102)}

func FuzzCommandScanner(f *testing.F) {
	for i, tt := range commandStreams {
		f.Add([]byte(tt.stream), uint16(i), i%7 == 0)
	}
	f.Fuzz(func(t *testing.T, p []byte, at uint16, unauthenticated bool) {
		lim := &Limits{MaxArgs: 20, MaxBulk: 20000, MaxInline: 40, Unauthenticated: unauthenticated}
		for _, lim.Dialect = range dialects {
			want := modelCommands(p, lim).String()
			for how, pieces := range map[string][][]byte{
				"whole": {p}, "cut": cut(p, at), "byte by byte": bytewise(p),
			} {
				if got := scanPieces(t, lim, pieces...).String(); got != want {
					t.Fatalf("%q %s, dialect %b:\n got %s\nwant %s", p, how, lim.Dialect, got, want)
				}
			}
		}
	})
}

func FuzzSplitInline(f *testing.F) {
	for _, tt := range inlineLines {
		f.Add([]byte(tt.line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		for _, d := range dialects {
			args, ok := splitInline(line, d)
			var got []string
			for _, arg := range args {
				got = append(got, string(arg))
			}
			want, wantOK := modelWords(string(line), d)
			if ok != wantOK || ok && !slices.Equal(got, want) {
				t.Fatalf("%q, dialect %b: got %q, %v, want %q, %v", line, d, got, ok, want, wantOK)
			}
			if !bytes.Equal(before, line) {
				t.Fatalf("%q was changed to %q", before, line)
			}
		}
	})
}

func FuzzReplyScanner(f *testing.F) {
	for i, tt := range replyStreams {
		f.Add([]byte(tt.stream), uint16(i))
	}
	f.Fuzz(func(t *testing.T, p []byte, at uint16) {
		want := modelReplies(p)
		for how, pieces := range map[string][][]byte{
			"whole": {p}, "cut": cut(p, at), "byte by byte": bytewise(p),
		} {
			if got := scanReplies(t, pieces...); got != want {
				t.Fatalf("%q %s:\n got %s\nwant %s", p, how, got, want)
			}
		}
	})
}

// modelReplies is scanReplies by the model.
func modelReplies(p []byte) (list string) {
	for len(p) > 0 {
		n, typ, bad := modelReply(p)
		if bad {
			return list + "malformed"
		}
		if n == 0 {
			return list + "half"
		}
		list += fmt.Sprintf("%c%d ", typ, n)
		p = p[n:]
	}
	return list
}

// FuzzParse checks Parse against ReplyScanner: what it parses is what the scanner measures, and
// what the scanner finds malformed it does not parse.
func FuzzParse(f *testing.F) {
	for _, tt := range replyStreams {
		f.Add([]byte(tt.stream))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		v, n, err := Parse(p)
		if err != nil {
			return
		}
		var s ReplyScanner
		m, done, serr := s.Scan(p)
		if !done || m != n || serr != nil || s.Type() != v.Type {
			t.Fatalf("%q: parsed %d bytes of type %q; scanned %d of %q, done %v, error %v",
				p, n, v.Type, m, s.Type(), done, serr)
		}
	})
}

// FuzzWriters checks that what is written can be read, as one frame and no more.
func FuzzWriters(f *testing.F) {
	f.Add("OK", int64(0), 2)
	f.Add("ERR no\r\n+OK\r\nway", int64(-1), 3)
	f.Fuzz(func(t *testing.T, s string, v int64, proto int) {
		for name, frame := range map[string][]byte{
			"simple": AppendSimple(nil, s), "error": AppendError(nil, s), "int": AppendInt(nil, v),
			"bulk": AppendBulk(nil, []byte(s)), "null": AppendNull(nil, proto),
			"verbatim": AppendVerbatim(nil, proto, "txt", s),
			"map":      AppendBulkString(AppendInt(AppendMap(nil, 1, proto), v), s),
		} {
			if value, n, err := Parse(frame); err != nil || n != len(frame) {
				t.Fatalf("%s of %q: parsed %+v, %d of %d bytes, error %v",
					name, frame, value, n, len(frame), err)
			}
		}
		if got := scanPieces(t, nil, AppendCommandStrings(nil, s, s)); len(got.commands) != 1 ||
			got.rest != 0 {
			t.Fatalf("command of %q: read %v", s, got)
		}
	})
}
