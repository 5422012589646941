package proxy

import (
	"bytes"
	"fmt"

	"holdfast/proxy/resp"
	"holdfast/proxy/upstream"
)

// facts are the fences' observations of the server. provable.go decides, before a write is sent,
// whether its proof is available.
type facts struct {
	replicas int // online, without journals
	journals int

	config []byte // the last reply to CONFIG GET; worth and why are its evaluation
	of     *upstream.Info
	worth  bool
	always bool // appendfsync always, and worth
	why    string
}

// lacks describes the missing proof of a kind.
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

// aofWorth reads the CONFIG GET that accompanies a WAITAOF, and reports whether WAITAOF's answer is
// reliable.
func (d *durability) aofWorth(reply []byte) (ok bool, why string) {
	f, info := &d.facts, d.w.up.Info()
	if f.of == info && bytes.Equal(f.config, reply) {
		return f.worth, f.why // the server's version and disk errors count, too, hence info
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

// journalsFacked returns the number of journals that acknowledge fsyncs like replicas, and of
// replicas whose acknowledgements are unreliable: WAITAOF counts both.
func (d *durability) journalsFacked() int {
	n := d.w.up.Info().AOFDoubtful()
	if r := d.w.recorder; r != nil && r.facks() {
		n += d.facts.journals
	}
	return n
}
