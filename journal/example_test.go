package journal_test

import (
	"context"
	"errors"
	"fmt"
	"io"

	"holdfast/journal"
	"holdfast/journal/vfs/vfstest"
)

// A journal takes the bytes of a replication stream, says when they are durable, and gives them back.
func Example() {
	ctx := context.Background()
	j, err := journal.Open(journal.Options{Dir: "journal", FS: vfstest.NewMem()}) // nil is the machine's disk
	if err != nil {
		fmt.Println(err)
		return
	}
	defer j.Close()
	tl, err := j.StartTimeline(ctx, journal.TimelineStart{ReplID: "8e5fd1f0", Start: 100, Why: "first attach"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ping := []byte("*1\r\n$4\r\nPING\r\n")
	if err := j.Append(ctx, tl.ID, 100, ping); err != nil {
		fmt.Println(err)
		return
	}
	if err := j.WaitDurable(ctx, journal.Position{Timeline: tl.ID, Offset: 100 + int64(len(ping))}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("durable up to", j.Durable().Offset)

	view, err := j.View()
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := view.Reader(tl.ID, 100)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	for {
		chunk, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d: %q\n", chunk.Offset, chunk.Data)
	}
	// Output:
	// durable up to 114
	// 100: "*1\r\n$4\r\nPING\r\n"
}
