//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"holdfast/journal"
)

// content is the stream's content: at each multiple of eight its own offset.
func content(from, to int64) []byte {
	out := make([]byte, 0, to-from+16)
	for at := from &^ 7; at < to; at += 8 {
		out = binary.LittleEndian.AppendUint64(out, uint64(at)*0x9e3779b97f4a7c15)
	}
	return out[from&7:][:to-from]
}

// write appends to the journal in dir until it is killed, and reports its durable end on standard
// output: "promised TIMELINE OFFSET" after each fsync.
func write(dir string, seed uint64) error {
	ctx := context.Background()
	j, err := journal.Open(journal.Options{Dir: dir, SegmentBytes: 1 << 20})
	if err != nil {
		return err
	}
	j.Subscribe(func(p journal.Position) {
		fmt.Fprintf(os.Stdout, "promised %d %d\n", p.Timeline, p.Offset)
	})
	tl, ok := j.Current()
	if !ok {
		tl, err = j.StartTimeline(ctx, journal.TimelineStart{ReplID: strings.Repeat("c", 40)})
		if err != nil {
			return err
		}
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	for at := tl.End; ; {
		n := int64(1 + rng.IntN(20_000))
		if err := j.Append(ctx, tl.ID, at, content(at, at+n)); err != nil {
			return err
		}
		at += n
		if rng.IntN(4) == 0 { // small batches, too
			err := j.WaitDurable(ctx, journal.Position{Timeline: tl.ID, Offset: at})
			if err != nil {
				return err
			}
		}
	}
}
