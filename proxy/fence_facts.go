package proxy

import (
	"bytes"
	"fmt"

	"holdfast/proxy/resp"
	"holdfast/proxy/upstream"
)

// facts is what fences have seen of the server. Whether a proof can be had at all, which is looked
// at before a write is sent, is the matter of provable.go.
type facts struct {
	replicas int // online, journals not counted
	journals int

	config []byte // the last reply to CONFIG GET, and what it is worth
	of     *upstream.Info
	worth  bool
	always bool // appendfsync always, and worth it
	why    string
}

// lacks says what a kind has not proven.
func (f *fencer) lacks() string {
	why := ""
	if f.short != "" {
		why = " (" + reason(errNotNow(f.short)) + ")"
	}
	if f.kind.replicas == 0 || f.kind.aof {
		return f.name + " not confirmed" + why
	}
	return fmt.Sprintf("replicas %d of %d", min(f.acked, f.kind.replicas-1), f.kind.replicas)
}

// aofWorth reads CONFIG GET beside a WAITAOF: whether its answer is to be believed.
func (d *durability) aofWorth(reply []byte) (ok bool, why string) {
	f, info := &d.facts, d.w.up.Info()
	if f.of == info && bytes.Equal(f.config, reply) {
		return f.worth, f.why // its version and its disk count, too
	}
	v, _, err := resp.Parse(reply)
	if err != nil || len(v.Elems)%2 != 0 {
		return false, "the server's configuration cannot be read"
	}
	var appendOnly, appendFsync, noFsync []byte
	for i := 0; i < len(v.Elems); i += 2 {
		value := v.Elems[i+1].Str
		switch string(v.Elems[i].Str) {
		case "appendonly":
			appendOnly = value
		case "appendfsync":
			appendFsync = value
		case "no-appendfsync-on-rewrite":
			noFsync = value
		}
	}
	f.worth, f.why = info.FsyncProof(appendOnly, appendFsync, noFsync)
	f.always = f.worth && string(appendFsync) == "always"
	f.of, f.config = info, append(f.config[:0], reply...)
	if !f.worth {
		d.w.up.Recheck()
	}
	return f.worth, f.why
}

// journalsFacked is how many journals acknowledge their fsyncs as replicas do, and replicas that
// acknowledge them although they cannot be believed: WAITAOF counts both.
func (d *durability) journalsFacked() int {
	n := d.w.up.Info().AOFDoubtful()
	if r := d.w.recorder; r != nil && r.facks() {
		n += d.facts.journals
	}
	return n
}
