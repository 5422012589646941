package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
)

const (
	// tailChunk is the size of one read at the end of the audit log.
	tailChunk = 64 << 10
	// tailMost bounds the part of the log that one search reads.
	tailMost = 4 << 20
)

// ErrOff: there is no audit log. Operators see the text.
var ErrOff = errors.New("this proxy writes no audit log: the configuration has no audit.file")

// Query selects entries.
type Query struct {
	Limit int
	Text  string // in any case, anywhere in a field of the entry; "": all
}

// Tail is the end of the audit log.
type Tail struct {
	Entries []Entry // newest first
	More    bool    // the search ended before the beginning of the file
}

// Tail reads the present file from its end, as far as tailMost; rotated files are left out. Beyond the errors
// of the disk and of ctx there is ErrOff.
func (l *Log) Tail(ctx context.Context, q Query) (*Tail, error) {
	a := l.file.Load()
	if a == nil {
		return nil, ErrOff
	}
	f, err := os.Open(a.opts.File)
	if errors.Is(err, os.ErrNotExist) {
		return &Tail{}, nil // moved away; the next line makes another
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	return tailOf(ctx, f, end, q)
}

// tailOf looks through the lines that end below end, last line first.
func tailOf(ctx context.Context, f io.ReaderAt, end int64, q Query) (*Tail, error) {
	out, text := &Tail{}, strings.ToLower(q.Text)
	var rest []byte // the beginning of a line that the previous read cut
	for at := end; at > 0; {
		if end-at >= tailMost || len(out.Entries) == q.Limit {
			out.More = true
			return out, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		from := max(0, at-tailChunk)
		chunk := make([]byte, at-from, at-from+int64(len(rest)))
		if _, err := f.ReadAt(chunk, from); err != nil {
			return nil, err
		}
		chunk, at = append(chunk, rest...), from
		rest = nil
		if at > 0 {
			cut := bytes.IndexByte(chunk, '\n') + 1 // 0: no line ends here
			if rest = chunk[:cut]; cut == 0 {
				rest, chunk = chunk, nil
			}
			chunk = chunk[min(cut, len(chunk)):]
		}
		for len(chunk) > 0 && len(out.Entries) < q.Limit {
			body := bytes.TrimSuffix(chunk, []byte("\n"))
			start := bytes.LastIndexByte(body, '\n') + 1
			if e, ok := entryOf(body[start:], text); ok {
				out.Entries = append(out.Entries, e)
			}
			chunk = chunk[:start]
		}
		out.More = len(chunk) > 0
	}
	return out, nil
}

// entryOf parses a line, if it has the text. A half line, such as one that is just written, is none.
func entryOf(line []byte, text string) (l Entry, ok bool) {
	if json.Unmarshal(line, &l) != nil {
		return l, false
	}
	for _, field := range [...]string{l.User, l.Client, l.Name, l.Operator, l.Verdict, l.Rule, l.Command, l.Token} {
		if strings.Contains(strings.ToLower(field), text) {
			return l, true
		}
	}
	return l, false
}
