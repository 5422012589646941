package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// The tail is the same however the lines fall on the reads, newest first, without half and foreign lines.
func TestTail(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"time":"2026-11-29T14:03:05Z","verdict":"denied","command":"half"`)
	const lines = 3000
	for i := range lines {
		fmt.Fprintf(&b, "\n"+`{"time":"2026-11-29T14:03:05Z","verdict":"denied","command":"n%d %s","user":"User%d"}`, i,
			strings.Repeat("x", i%500), i%7)
	}
	b.WriteString("\nno json\n" + `{"verdict":"now`)
	text := b.String()
	tail := func(q Query) *Tail {
		got, err := tailOf(context.Background(), strings.NewReader(text), int64(len(text)), q)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, limit := range []int{1, 40, 2999} {
		got := tail(Query{Limit: limit})
		if len(got.Entries) != limit || !got.More {
			t.Fatalf("%d of %d lines, more: %v", len(got.Entries), limit, got.More)
		}
		for i, l := range got.Entries {
			if !strings.HasPrefix(l.Command, fmt.Sprintf("n%d ", lines-1-i)) {
				t.Fatalf("line %d of %d: %q", i, limit, l.Command)
			}
		}
	}
	if got := tail(Query{Limit: lines + 10}); len(got.Entries) != lines || got.More {
		t.Errorf("all: %d lines, more: %v", len(got.Entries), got.More)
	}
	got := tail(Query{Limit: 50, Text: "uSER3"})
	if len(got.Entries) != 50 || got.Entries[0].User != "User3" || !got.More {
		t.Errorf("of one user: %d lines, %+v", len(got.Entries), got.Entries[0])
	}
	if got := tail(Query{Limit: 50, Text: "nobody"}); len(got.Entries) != 0 || got.More {
		t.Errorf("of nobody: %+v", got)
	}
	text = strings.Repeat("x", 3*tailMost)
	if got := tail(Query{Limit: 50}); len(got.Entries) != 0 || !got.More {
		t.Errorf("one endless line: %+v", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tailOf(ctx, strings.NewReader(text), int64(len(text)), Query{Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
