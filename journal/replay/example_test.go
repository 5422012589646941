package replay_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/journal/replay"
	"holdfast/journal/stream"
	"holdfast/journal/vfs/vfstest"
)

// recordedBy is the view of a journal that holds commands from offset 0 on.
func recordedBy(ctx context.Context, commands ...string) (*journal.View, error) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	j, err := journal.Open(journal.Options{Dir: "journal", FS: vfstest.NewMem(), Now: func() time.Time { return now }})
	if err != nil {
		return nil, err
	}
	defer j.Close()
	tl, err := j.StartTimeline(ctx, journal.TimelineStart{ReplID: strings.Repeat("a", 40), Why: "an example"})
	if err != nil {
		return nil, err
	}
	offset := int64(0)
	for _, c := range commands {
		words := strings.Fields(c)
		p := fmt.Appendf(nil, "*%d\r\n", len(words))
		for _, w := range words {
			p = fmt.Appendf(p, "$%d\r\n%s\r\n", len(w), w)
		}
		if err := j.Append(ctx, tl.ID, offset, p); err != nil {
			return nil, err
		}
		offset += int64(len(p))
	}
	if err := j.WaitDurable(ctx, journal.Position{Timeline: tl.ID, Offset: offset}); err != nil {
		return nil, err
	}
	return j.View()
}

// Commands walks through the executed commands.
func ExampleCommands() {
	ctx := context.Background()
	view, err := recordedBy(ctx, "SELECT 0", "SET order:1 paid", "FLUSHALL", "SET order:2 open")
	if err != nil {
		fmt.Println(err)
		return
	}
	err = replay.Commands(ctx, view, replay.Walk{}, func(c *stream.Command) error {
		fmt.Printf("%d: %s\n", c.Start, c.Args)
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// 0: [SELECT 0]
	// 23: [SET order:1 paid]
	// 59: [FLUSHALL]
	// 77: [SET order:2 open]
}
