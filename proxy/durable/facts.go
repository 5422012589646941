package durable

import (
	"bytes"

	"holdfast/proxy/resp"
	"holdfast/proxy/upstream"
)

// facts are the fences' observations of the server. A Monitor decides, before a write is sent,
// whether its proof is available.
type facts struct {
	journals int // that follow it as replicas

	config []byte // the last reply to CONFIG GET; worth and why are its evaluation
	of     *upstream.Info
	worth  bool
	always bool // appendfsync always, and worth
	why    string
}

// aofWorth reads the CONFIG GET that accompanies a WAITAOF, and reports whether WAITAOF's answer is
// reliable.
func (p *Pipeline) aofWorth(reply []byte) (ok bool, why string) {
	f, info := &p.facts, p.env.Info()
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
		p.env.Recheck()
	}
	return f.worth, f.why
}

// journalsFacked returns the number of journals that acknowledge fsyncs like replicas, and of
// replicas whose acknowledgements are unreliable: WAITAOF counts both.
func (p *Pipeline) journalsFacked() int {
	n := p.env.Info().AOFDoubtful()
	if p.journal != nil && p.journal.FACKs() {
		n += p.facts.journals
	}
	return n
}
