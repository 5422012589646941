package keyspace

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// streamWalk reads a stream: XINFO of it and of its groups, the consumers and the pending entries
// of each group, then the entries.
type streamWalk struct {
	walking
	groups []map[string]any // still to be read
	phase  streamPhase
	after  string // id of the last entry read; "": none
}

type streamPhase uint8

const (
	streamMeta streamPhase = iota
	streamConsumers
	streamPending
	streamEntries
)

func (w *streamWalk) ask(s *Server) {
	switch w.phase {
	case streamMeta:
		s.put("XINFO", "STREAM", w.key)
		s.put("XINFO", "GROUPS", w.key)
	case streamConsumers:
		s.put("XINFO", "CONSUMERS", w.key, w.name())
	case streamPending:
		s.put("XPENDING", w.key, w.name(), w.from(), "+", strconv.Itoa(maxWindow))
	case streamEntries:
		s.put("XRANGE", w.key, w.from(), "+", "COUNT", strconv.Itoa(w.window))
	}
}

func (w *streamWalk) name() string { return textOf(w.groups[0]["name"]) }

// from is the start of the next window.
func (w *streamWalk) from() string {
	if w.after == "" {
		return "-"
	}
	return "(" + w.after
}

func (w *streamWalk) take(s *Server) (done bool, refused, err error) {
	if w.phase == streamMeta {
		return w.takeMeta(s)
	}
	v, no, err := s.read(w.keep)
	if err != nil || no != "" {
		return false, refusal(no), err
	}
	all := listOf(v)
	switch w.phase {
	case streamConsumers:
		w.takeConsumers(all)
	case streamPending:
		w.takePending(all)
	default:
		return w.takeEntries(all), nil, nil
	}
	return false, nil, nil
}

func (w *streamWalk) takeMeta(s *Server) (done bool, refused, err error) {
	about, no1, err := s.digested()
	if err != nil {
		return false, nil, err
	}
	groups, no2, err := s.reply()
	if err != nil || no1 != "" || no2 != "" {
		return false, refusal(cmp.Or(no1, no2)), err
	}
	w.to.stream(named(about))
	for _, g := range listOf(groups) {
		w.groups = append(w.groups, named(g))
	}
	slices.SortFunc(w.groups, func(a, b map[string]any) int {
		return cmp.Compare(textOf(a["name"]), textOf(b["name"]))
	})
	w.next()
	return false, nil, nil
}

// next continues with the next group, or the entries.
func (w *streamWalk) next() {
	w.after, w.phase = "", streamEntries
	if len(w.groups) > 0 {
		w.phase = streamConsumers
		w.to.group(w.groups[0])
	}
}

func (w *streamWalk) takeConsumers(all []any) {
	var names []string
	for _, c := range all {
		names = append(names, textOf(named(c)["name"]))
	}
	slices.Sort(names)
	for _, n := range names {
		w.to.consumer(w.name(), n)
	}
	w.phase = streamPending
}

func (w *streamWalk) takePending(all []any) {
	for _, one := range all {
		p := listOf(one)
		if len(p) != 4 {
			continue
		}
		w.after = textOf(p[0])
		w.to.pending(w.name(), w.after, textOf(p[1]), countOf(p[3]), countOf(p[2]))
	}
	if len(all) < maxWindow {
		w.groups = w.groups[1:]
		w.next()
	}
}

func (w *streamWalk) takeEntries(all []any) (done bool) {
	for _, one := range all {
		e := listOf(one)
		if len(e) != 2 {
			continue
		}
		w.after = textOf(e[0])
		w.to.entry(w.after, listOf(e[1]))
	}
	done = len(all) < w.window
	w.adapt(sizeOf(all), len(all))
	return done
}

// streamID is an entry's id, for ordering.
type streamID struct{ ms, seq uint64 }

func parseStreamID(text string) streamID {
	ms, seq, _ := strings.Cut(text, "-")
	var id streamID
	id.ms, _ = strconv.ParseUint(ms, 10, 64) // the server's own format
	id.seq, _ = strconv.ParseUint(seq, 10, 64)
	return id
}

func (id streamID) compare(other streamID) int {
	return cmp.Or(cmp.Compare(id.ms, other.ms), cmp.Compare(id.seq, other.seq))
}
