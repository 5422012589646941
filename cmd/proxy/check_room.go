package main

import (
	"context"
	"path/filepath"
	"strconv"

	"holdfast/configs"
	"holdfast/journal"
	"holdfast/journal/tap"
	"holdfast/journal/vfs"
	"holdfast/proxy/upstream"
)

// checkRoom compares bases and retention with the disk, and large values with the server's output
// buffer for a replica.
func checkRoom(ctx context.Context, r *report, c *configs.Config, u *upstream.Upstream) {
	room := journal.Room{Free: 1<<63 - 1, Largest: int64(c.Limits.MaxBulk)}
	if text, err := u.Do(ctx, "INFO", "memory"); err == nil {
		room.Dataset, _ = strconv.ParseInt(infoFields(text)["used_memory_dataset"], 10, 64)
		usage, err := vfs.OS{}.Usage(c.Journal.Dir)
		if err != nil { // it does not exist yet
			usage, err = vfs.OS{}.Usage(filepath.Dir(c.Journal.Dir))
		}
		if err == nil && usage.Total > 0 {
			room.Free, room.Keep = usage.Below(c.Journal.Disk.Stop), int64(c.Journal.Retention.Bytes)
			room.Held = r.journalBytes
		}
	}
	reply, err := u.Do(ctx, "CONFIG", "GET", "client-output-buffer-limit")
	if pair, ok := reply.([]any); err == nil && ok && len(pair) == 2 {
		value, _ := pair[1].(string)
		room.Buffer = tap.ReplicaBuffer(value)
	}
	for _, f := range room.Findings() {
		r.warn("journal", "%s", f.Text)
	}
}

// folderSize is the size of a journal's folder.
func folderSize(view *journal.View) (n int64) {
	for _, b := range view.Bases() {
		n += b.Size
	}
	for _, s := range view.Segments() {
		n += s.Bytes
	}
	return n
}
