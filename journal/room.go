package journal

import "fmt"

// Room compares the needs of a journal with the disk, and a server's stream with its replica
// buffers. All sizes are in bytes.
type Room struct {
	Dataset int64 // of the server, in memory; an RDB is seldom larger
	Held    int64 // by the journal now
	Free    int64 // until Disk.Stop; may be below zero
	Keep    int64 // Retention.Bytes; 0: no limit
	Buffer  int64 // the server's hard limit of client-output-buffer-limit replica; 0: none, or unknown
	Largest int64 // value that clients may send; 0: unknown
}

// RoomFinding is one shortage of room.
type RoomFinding struct {
	Text   string
	Kind   string // the same for a finding that differs in figures only
	NoBase bool   // no snapshot may fit
}

// Findings lists the shortages.
func (r Room) Findings() (out []RoomFinding) {
	add := func(noBase bool, format string, a ...any) {
		out = append(out, RoomFinding{fmt.Sprintf(format, a...), format, noBase})
	}
	switch {
	case r.Dataset > r.Free:
		add(true, "a base takes up to %s, as the data set does in memory, and the disk has %s until "+
			"disk.stop: no base may fit", inWords(r.Dataset), inWords(max(r.Free, 0)))
	case r.Keep > 0 && 2*r.Dataset > r.Keep:
		add(false, "two bases of up to %s each, the old one and the new one, exceed retention.bytes (%s)",
			inWords(r.Dataset), inWords(r.Keep))
	case r.Keep > 0 && r.Keep-r.Held > r.Free:
		add(false, "retention.bytes is %s, and the disk has room for %s until disk.stop: history is dropped "+
			"before retention asks for it", inWords(r.Keep), inWords(r.Held+max(r.Free, 0)))
	}
	if r.Buffer > 0 && r.Buffer < r.Largest {
		add(false, "client-output-buffer-limit of replicas is %s, and limits.max_bulk lets values of %s "+
			"pass: a larger one than the former detaches the journal; raise it, or lower limits.max_bulk",
			inWords(r.Buffer), inWords(r.Largest))
	}
	return out
}

// RoomOnDisk fills in the journal's own part of a Room.
func (j *Journal) RoomOnDisk() (Room, error) {
	u, err := j.fs().Usage(j.opts.Dir)
	if err != nil {
		return Room{}, fmt.Errorf("journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	p := planner{catalog: j.catalog, segments: j.segments}
	r := Room{Held: p.left(nil, nil), Keep: j.opts.Retention.Bytes, Free: u.Below(j.opts.Disk.Stop)}
	if u.Total == 0 { // a file system without figures
		r.Free = 1<<63 - 1
	}
	return r, nil
}

// inWords formats a size: "256 MiB", "1.5 GiB".
func inWords(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	if v == float64(int64(v)) {
		return fmt.Sprintf("%d %s", int64(v), units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
